#!/usr/bin/python3
"""The digits example, quantized with a hundred of its digits: every method keeps the accuracy over all held-out digits
within 0.2 points and makes the object 3.5 times smaller; a saved plan gives the same object without samples, and an
edited one another."""
import os, re, tempfile
from digits import accuracy, prepare


def main():
    exact, size = accuracy(), os.path.getsize("digits.o")
    for method, activations in ("average", "u8"), ("percentile:99.99", "u8"), ("mse", "u8"), ("minmax", "s8"):
        got = accuracy("--quantize=int8", "--calibrate=samples", f"--calibrate-method={method}",
                       f"--activations={activations}", "--save-plan=plan.txt")
        print(f"{method} {activations}: {exact} % -> {got} %")
        assert got >= exact - 0.2, (method, activations)
        assert os.path.getsize("digits.o") * 3.5 <= size, (method, activations)

    first = open("digits.o", "rb").read()
    accuracy("--quantize=int8", "--plan=plan.txt", "--activations=s8")
    assert open("digits.o", "rb").read() == first, "a plan gives other bytes than the calibration that it was saved from"

    text = open("plan.txt").read()
    edited = re.sub(r"node (\S*conv2\S*) int8", r"node \1 f32", text)
    assert edited != text
    open("edited.txt", "w").write(edited)
    got = accuracy("--quantize=int8", "--plan=edited.txt", "--activations=s8")
    assert got >= exact - 0.2 and open("digits.o", "rb").read() != first
    skipped = accuracy("--quantize=int8", "--calibrate=samples", "--quantize-skip=Conv", "--quantize-skip=Gemm")
    assert skipped == exact, "with nothing quantized, nothing changes"


with tempfile.TemporaryDirectory() as folder:
    prepare(folder, 100)
    main()
