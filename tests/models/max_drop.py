#!/usr/bin/python3
"""--max-drop: a network with one layer that integers ruin keeps just that layer in float, none where the bound is wide, all
where nothing may change; what the search promises holds for the object that comes out, and comes out again the same.
The digits example within 55 dB, by each metric."""
import os, re, shutil, struct, subprocess, sys, tempfile
import numpy as np
import onnx_wire as w
from model import Model

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
LAYERS, WIDTH, BAD, SAMPLES = 5, 32, 3, 24
loaded = 0


def run(*command, code=0):
    done = subprocess.run((MCC,) + command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != code:
        sys.exit(f"mcc {' '.join(command)}: exit {done.returncode}, want {code}\n{done.stdout}")
    return done.stdout


def write_network(path):
    """Products and activations; one channel that layer BAD reads is 60 times the others, and hardly matters to it."""
    rng = np.random.default_rng(7)
    nodes, constants, x = [], [], "x"
    for i in range(LAYERS):
        weights = rng.standard_normal((WIDTH, WIDTH)) * np.sqrt(2 / WIDTH)
        if i == BAD - 1:
            weights[:, 5] = np.abs(weights[:, 5]) * 60
        if i == BAD:
            weights[5] /= 60
        constants.append(w.tensor(f"w{i}", w.FLOAT, (WIDTH, WIDTH), weights.astype(np.float32).tobytes()))
        out = "y" if i == LAYERS - 1 else f"r{i}"
        nodes.append(w.node("Gemm", [x, f"w{i}"], [f"g{i}" if out != "y" else out], name=f"layer{i}"))
        if out != "y":
            nodes.append(w.node("Relu", [f"g{i}"], [out], name=f"relu{i}"))
        x = out
    made = w.graph(nodes, [w.value("x", w.FLOAT, (1, WIDTH))], [w.value("y", w.FLOAT, (1, WIDTH))], constants)
    open(path, "wb").write(w.model(made))
    os.mkdir("samples")
    for i in range(SAMPLES):
        open(f"samples/{i:02}.raw", "wb").write(np.abs(rng.standard_normal(WIDTH)).astype(np.float32).tobytes())


def outputs(model, shape, *options):
    global loaded
    loaded += 1
    out = f"./m{loaded}.so"
    run(model, "--emit=shared", "-o", out, *options)
    made = Model(out, f"m{loaded}")
    files = sorted(os.listdir("samples"))
    return np.array([made.run([np.fromfile(f"samples/{f}", np.float32).reshape(shape)])[0].ravel() for f in files], float)


def products_in_float():
    return re.findall(r"^node (\S+) (?:f16|f32) (?:Gemm|Conv|MatMul)$", open("plan.txt").read(), re.M)


def sqnr(got, want):
    noise = np.sum((got - want) ** 2)
    return 10 * np.log10(np.sum(want ** 2) / noise) if noise else np.inf


def cosine_drop(got, want):
    return np.mean([1 - a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(got, want)])


def top1_drop(got, want):
    return np.mean(got.argmax(1) != want.argmax(1))


def one_bad_layer():
    shape = (1, WIDTH)
    quantize = "--quantize=int8", "--calibrate=samples", "--calibrate-method=minmax", "--equalize=off", "--save-plan=plan.txt"
    exact, full = outputs("net.onnx", shape), outputs("net.onnx", shape, *quantize)
    assert not products_in_float()
    print(f"all int8: {sqnr(full, exact):.1f} dB, cosine {cosine_drop(full, exact):.2g}, top1 {top1_drop(full, exact):.2g}")
    assert sqnr(full, exact) < 20

    first = None
    for _ in range(2):
        text = run("net.onnx", "-o", "one.o", "-v", *quantize, "--max-drop=25dB", "--metric=sqnr")
        assert products_in_float() == [f"layer{BAD}"], text
        assert f"layer{BAD} stays in float with float16 weights" in text, text
        assert "1 of 5 products in float, 1 of them with float16 weights" in text, text
        assert f"node layer{BAD} f16 Gemm" in open("plan.txt").read()
        made = open("one.o", "rb").read(), open("plan.txt").read()
        assert first in (None, made), "another result the second time"
        first = made
    run("net.onnx", "-o", "two.o", "--name=one", "--quantize=int8", "--plan=plan.txt")
    assert open("two.o", "rb").read() == first[0], "the saved plan gives another object"
    mixed = outputs("net.onnx", shape, *quantize, "--max-drop=25dB", "--metric=sqnr")
    assert 25 <= sqnr(mixed, exact) < 60, sqnr(mixed, exact)

    bound = cosine_drop(full, exact) / 2
    mixed = outputs("net.onnx", shape, *quantize, f"--max-drop={bound}")
    assert cosine_drop(mixed, exact) <= bound and products_in_float() == [f"layer{BAD}"]

    for wide in ("--max-drop=-20dB", "--metric=sqnr"), ("--max-drop=100%",), ("--max-drop=1", "--metric=top1"):
        run("net.onnx", "-o", "one.o", *quantize, *wide)
        assert not products_in_float(), wide
    text = run("net.onnx", "-o", "one.o", *quantize, "--max-drop=300dB", "--metric=sqnr")
    assert len(products_in_float()) == LAYERS and "no product can be int8" in text, text
    assert " f16 " not in open("plan.txt").read(), "nothing may change at all"
    run("net.onnx", "-o", "one.o", *quantize, "--max-drop=25dB", "--metric=sqnr", f"--quantize-skip=layer{BAD}")
    assert products_in_float() == [f"layer{BAD}"], "what is skipped stays skipped"


def digits():
    model, shape = os.path.join(SOURCE, "examples", "digits", "digits.onnx"), (1, 1, 28, 28)
    data, at = open(os.path.join(SOURCE, "examples", "digits", "heldout.rle"), "rb").read(), 0
    shutil.rmtree("samples")
    os.mkdir("samples")
    for i in range(40):
        at, pixels = at + 1, []  # the class
        while len(pixels) < 784:
            run_of_zeros = not data[at]
            pixels += [0] * data[at + 1] if run_of_zeros else [data[at]]
            at += 1 + run_of_zeros
        open(f"samples/{i:02}.raw", "wb").write(struct.pack("<784f", *(p / 255 for p in pixels)))
    quantize = ("--quantize=int8", "--calibrate=samples", "--save-plan=plan.txt")
    exact, full = outputs(model, shape), outputs(model, shape, *quantize)
    for metric, text, held in (("sqnr", "55dB", lambda got: sqnr(got, exact) >= 55),
                               ("cosine", f"{cosine_drop(full, exact) / 2}", lambda got: cosine_drop(got, exact) <= cosine_drop(full, exact) / 2),
                               ("top1", "0", lambda got: top1_drop(got, exact) == 0)):
        got = outputs(model, shape, *quantize, f"--max-drop={text}", f"--metric={metric}")
        print(metric, text, products_in_float())
        assert held(got), metric
        assert held(full) == (not products_in_float()) and len(products_in_float()) < 6, metric


def refused():
    for text, *options in (("add --quantize=int8 and --calibrate", "--max-drop=1%"),
                           ("add --quantize=int8 and --calibrate", "--max-drop=1%", "--quantize=int8"),
                           ("such as 20dB", "--max-drop=20", "--metric=sqnr", "--quantize=int8", "--calibrate=samples"),
                           ("from 0 to 1", "--max-drop=2", "--quantize=int8", "--calibrate=samples"),
                           ("cosine, sqnr, top1 or accuracy", "--max-drop=1%", "--metric=top5", "--quantize=int8", "--calibrate=samples")):
        assert text in run("net.onnx", "-o", "bad.o", *options, code=2), options
        assert not os.path.exists("bad.o")


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    write_network("net.onnx")
    refused()
    one_bad_layer()
    digits()
finally:
    shutil.rmtree(folder)
