"""The digits example in a folder of its own: its held-out digits as samples, its accuracy with some options of mcc."""
import os, re, shutil, struct, subprocess, sys

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


def prepare(folder, count):
    """The example's files and its first digits, as samples/NNN.raw, in the folder, which becomes the current one."""
    os.chdir(folder)
    for name in ("app.c", "digits.onnx", "heldout.rle"):
        shutil.copy(os.path.join(FOLDER, name), ".")
    os.mkdir("samples")
    for i, image in enumerate(read_digits("heldout.rle", count)):
        with open(f"samples/{i:03}.raw", "wb") as out:
            out.write(image)
