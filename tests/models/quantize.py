#!/usr/bin/python3
"""The digits example, quantized with a hundred of its digits: every method keeps the accuracy over all held-out digits
within 0.2 points and makes the object 3.5 times smaller; a saved plan gives the same object without samples, and an
edited one another."""
import os, re, shutil, struct, subprocess, sys, tempfile

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
FOLDER = os.path.join(SOURCE, "examples", "digits")


def read_digits(path, count):
    """The first pixels of heldout.rle, as bytes of 784 float32 each."""
    data, at, out = open(path, "rb").read(), 0, []
    while len(out) < count:
        at += 1  # the class
        pixels = []
        while len(pixels) < 784:
            if data[at]:
                pixels.append(data[at])
                at += 1
            else:
                pixels += [0] * data[at + 1]
                at += 2
        out.append(struct.pack("<784f", *(p / 255 for p in pixels)))
    return out


def run(*command, good=True):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if good and done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


def accuracy(*options):
    run(MCC, "digits.onnx", "-o", "digits.o", *options)
    run("cc", "-std=c11", "-O2", "-I", os.path.join(SOURCE, "include"), "app.c", "digits.o", "-o", "digits")
    return float(re.match(r"accuracy ([0-9.]+)", run("./digits", "--accuracy", "heldout.rle"))[1])


def main():
    os.chdir(folder)
    for name in ("app.c", "digits.onnx", "heldout.rle"):
        shutil.copy(os.path.join(FOLDER, name), ".")
    os.mkdir("samples")
    for i, image in enumerate(read_digits("heldout.rle", 100)):
        open(f"samples/{i:03}.raw", "wb").write(image)

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


folder = tempfile.mkdtemp()
try:
    main()
finally:
    shutil.rmtree(folder)
