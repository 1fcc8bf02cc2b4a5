#!/usr/bin/python3
"""--equalize on networks whose channels differ by factors of up to 1000: it gains many decibels, by the weights or by samples, in
convolutions, depthwise ones, sums, concatenations and behind a LayerNormalization; the float network keeps every bit;
a saved plan gives the same object, one with other numbers is refused."""
import os, shutil, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from model import Model

MCC = os.environ["MCC"]
N = helper.make_node
loaded = 0


def mcc(*options, code=0):
    done = subprocess.run([MCC, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != code:
        sys.exit(f"mcc {' '.join(options)}: exit {done.returncode}, want {code}\n{done.stdout}")
    return done.stdout


class Network:
    """Weights whose output channels are made `spread` times apart, which the weights behind them undo"""

    def __init__(self, seed):
        self.rng, self.nodes, self.constants = np.random.default_rng(seed), [], {}

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, np.float32)
        return name

    def add(self, op, *inputs, **attributes):
        names = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        self.nodes.append(N(op, names, [f"v{len(self.nodes)}"], f"{op.lower()}{len(self.nodes)}", **attributes))
        return self.nodes[-1].output[0]

    def normal(self, *shape):
        return self.rng.standard_normal(shape)

    def factors(self, n, spread):
        return spread ** self.rng.permutation(np.linspace(0, 1, n))

    def save(self, path, x, y):
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
                                  [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
                                  [numpy_helper.from_array(v, k) for k, v in self.constants.items()])
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def mobile(path):
    """Inverted residuals with Relu; a concatenation, pooling, and a Gemm at the end"""
    n, c, wide = Network(3), 16, 48
    f = lambda k: n.factors(k, 300.0)
    stem, a, b, second, last = f(c), f(wide), f(wide), f(c), f(2 * c)
    x = n.add("Conv", "x", n.normal(c, 3, 3, 3) * stem[:, None, None, None], n.normal(c) * stem, pads=[1] * 4)
    y = n.add("Conv", x, n.normal(wide, c, 1, 1) / stem[:, None, None] * a[:, None, None, None], n.normal(wide) * a)
    y = n.add("Relu", y)
    y = n.add("Conv", y, n.normal(wide, 1, 3, 3) * (b / a)[:, None, None, None], n.normal(wide) * b, pads=[1] * 4, group=wide)
    y = n.add("LeakyRelu", y, alpha=0.1)
    y = n.add("Conv", y, n.normal(c, wide, 1, 1) / b[:, None, None] * stem[:, None, None, None] / 8)
    x = n.add("MaxPool", n.add("Add", x, y), kernel_shape=[2, 2], strides=[2, 2])
    z = n.add("Relu", n.add("Conv", x, n.normal(c, c, 1, 1) / stem[:, None, None] * second[:, None, None, None]))
    x = n.add("Concat", x, z, axis=1)
    both = np.concatenate([stem, second])
    x = n.add("Conv", x, n.normal(2 * c, 2 * c, 1, 1) / both[:, None, None] * last[:, None, None, None])
    x = n.add("Flatten", n.add("GlobalAveragePool", n.add("Relu", x)))
    y = n.add("Gemm", x, n.normal(40, 2 * c) / last, n.normal(40), transB=1)
    n.save(path, (1, 3, 16, 16), y)
    return lambda: n.normal(1, 3, 16, 16)


def transformer(path):
    """A normalisation whose gains differ, read by products; a linear layer read through a Relu"""
    n, c = Network(4), 48
    gain, wide = n.factors(c, 200.0), n.factors(2 * c, 200.0)
    x = n.add("LayerNormalization", "x", gain, gain * 0.1, axis=-1)
    q = n.add("Add", n.add("MatMul", x, n.normal(c, c) / gain[:, None]), n.normal(c))
    k = n.add("MatMul", x, n.normal(c, c) / gain[:, None])
    y = n.add("Add", n.add("MatMul", n.add("Mul", q, k), n.normal(c, 2 * c) * wide / c), n.normal(2 * c) * wide)
    y = n.add("MatMul", n.add("Relu", y), n.normal(2 * c, c) / wide[:, None])
    n.save(path, (1, 20, c), n.add("Add", y, "x"))
    return lambda: n.normal(1, 20, c)


def bounded(path):
    """Inverted residuals with Clip at 6, which cuts the channels that are large, and no others"""
    n, c, wide = Network(5), 16, 48
    f = lambda k: n.factors(k, 1 / 300)
    a, b, last = f(wide), f(wide), f(2 * c)
    relu6 = lambda v: n.add("Clip", v, np.array(0.0), np.array(6.0))
    x = n.add("Conv", "x", n.normal(c, 3, 3, 3) / 3, n.normal(c), pads=[1] * 4)
    y = relu6(n.add("Conv", x, n.normal(wide, c, 1, 1) * a[:, None, None, None], n.normal(wide) * a))
    y = n.add("Conv", y, n.normal(wide, 1, 3, 3) * (b / a)[:, None, None, None], n.normal(wide) * b, pads=[1] * 4, group=wide)
    y = n.add("Conv", relu6(y), n.normal(c, wide, 1, 1) / b[:, None, None] / 16)
    x = n.add("AveragePool", n.add("Add", x, y), kernel_shape=[2, 2], strides=[2, 2])
    x = relu6(n.add("Conv", x, n.normal(2 * c, c, 1, 1) * last[:, None, None, None] / 4))
    y = n.add("Gemm", n.add("Flatten", n.add("GlobalAveragePool", x)), n.normal(40, 2 * c) / last, n.normal(40), transB=1)
    n.save(path, (1, 3, 16, 16), y)
    return lambda: n.normal(1, 3, 16, 16)


def post_norm(path):
    """Layers whose normalised sums are read by products and by the next sum; an activation read by products"""
    n, c = Network(6), 48
    x = "x"
    for i in range(2):
        gain, wide = n.factors(c, 100.0), n.factors(2 * c, 100.0)
        x = n.add("LayerNormalization", x, gain, gain * 0.1, axis=-1)
        y = n.add("Add", n.add("MatMul", x, n.normal(c, 2 * c) / gain[:, None] * wide / 7), n.normal(2 * c))
        y = n.add("Mul", y, n.add("Sigmoid", y))
        x = n.add("Add", n.add("MatMul", y, n.normal(2 * c, c) / wide[:, None]), x)
    x = n.add("LayerNormalization", x, np.ones(c), np.zeros(c), axis=-1)
    n.save(path, (1, 20, c), n.add("MatMul", x, n.normal(c, 8)))
    return lambda: n.normal(1, 20, c)


def outputs(inputs, *options):
    global loaded
    loaded += 1
    out = f"./m{loaded}.so"
    mcc("m.onnx", "--emit=shared", "-o", out, *options)
    made = Model(out, f"m{loaded}")
    return np.array([made.run([x])[0] for x in inputs])


def sqnr(got, want):
    noise = np.sum((got.astype(float) - want) ** 2)
    return 10 * np.log10(np.sum(want.astype(float) ** 2) / noise) if noise else np.inf


def check(make, gains):
    draw = make("m.onnx")
    shutil.rmtree("samples", ignore_errors=True)
    os.mkdir("samples")
    for i in range(16):
        np.save(f"samples/{i:02}.npy", draw().astype(np.float32))
    inputs = [draw().astype(np.float32) for _ in range(8)]
    want = outputs(inputs)
    floats = ["--quantize=int8", "--calibrate=samples"] + [f"--quantize-skip={op}" for op in ("Conv", "Gemm", "MatMul")]
    for kind, by in gains.items():
        quantize = [f"--quantize={kind}"]
        off = sqnr(outputs(inputs, *quantize, "--equalize=off", *["--calibrate=samples"][:kind == "int8"]), want)
        for how, gain in by.items():
            options = quantize + [f"--equalize={how}"] + ["--calibrate=samples"][:kind == "int8" or how[:3] == "sam"]
            got = sqnr(outputs(inputs, *options), want)
            print(f"{make.__name__} {kind} --equalize={how}: {off:.1f} -> {got:.1f} dB")
            assert got >= off + gain, (kind, how, gain)
            text = mcc("m.onnx", "-o", "one.o", "-v", *options)
            assert "mcc: equalized: " in text, text
            first = open("one.o", "rb").read()
            mcc("m.onnx", "-o", "one.o", *options)
            assert open("one.o", "rb").read() == first, "not deterministic"
            if kind != "int8":
                continue
            assert (outputs(inputs, *floats, f"--equalize={how}") == want).all(), "the float network has changed"
            mcc("m.onnx", "-o", "one.o", *options, "--save-plan=plan.txt")
            assert "\nequalize " in open("plan.txt").read()
            mcc("m.onnx", "-o", "one.o", *quantize, "--plan=plan.txt")
            assert open("one.o", "rb").read() == first, "the saved plan gives another object"


def refused():
    text = open("plan.txt").read()
    line = next(l for l in text.split("\n") if l.startswith("equalize "))
    for other, why in ((line + " 1", "more numbers than channels"), (line.rsplit(" ", 1)[0], "a number from -20 to 20"),
                       (line + "\n" + line.rsplit(" ", 1)[0] + " 19", "otherwise in a line before"),
                       ("equalize nothing 1 2", "no such tensor"), ("equalize x 1", "cannot be scaled"), ("equalize", "wanted: equalize NAME")):
        open("bad.txt", "w").write(text.replace(line, other))
        said = mcc("m.onnx", "-o", "bad.o", "--quantize=int8", "--plan=bad.txt", code=1)
        assert why in said and "bad.txt:" in said, said
    mcc("m.onnx", "-o", "one.o", "--quantize=int8", "--calibrate=samples", "--max-drop=0.0001", "--save-plan=plan.txt")
    first = open("one.o", "rb").read()
    mcc("m.onnx", "-o", "one.o", "--quantize=int8", "--plan=plan.txt")
    assert open("one.o", "rb").read() == first, "after a search the plan gives another object"
    for text, *options in (("needs --calibrate", "--quantize=int8", "--equalize=samples"), ("in integers", "--quantize=w8", "--equalize=weights"),
                           ("not a value", "--quantize=int8", "--equalize=samples:2"), ("in integers", "--equalize=weights")):
        assert text in mcc("m.onnx", "-o", "bad.o", *options, code=2), options
    assert not os.path.exists("bad.o")


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    check(transformer, {"int8": {"samples": 10, "weights": 10, "samples:0.75": 10}, "dynamic": {"samples": 10}})
    check(bounded, {"int8": {"samples": 20, "weights": 20}})
    check(post_norm, {"int8": {"samples": 3}, "dynamic": {"samples": 6}})
    check(mobile, {"int8": {"samples": 10, "weights": 10}})
    refused()
finally:
    shutil.rmtree(folder)
