#!/usr/bin/python3
"""--quantize=int8 without samples: ranges come from BatchNormalization and LayerNormalization, near to what samples give, with a
warning; what nothing is known of stays in float and is named; a model without normalisations is refused; --input-range
and --input-norm say what inputs hold; the plan gives the same object."""
import os, shutil, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from model import Model

MCC = os.environ["MCC"]
N = helper.make_node
rng = np.random.default_rng(11)
loaded = 0


def mcc(*options, code=0):
    done = subprocess.run([MCC, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != code:
        sys.exit(f"mcc {' '.join(options)}: exit {done.returncode}, want {code}\n{done.stdout}")
    return done.stdout


class Network:
    """Layers whose BatchNormalization has the statistics of what is before it, over `batch`"""

    def __init__(self, batch):
        self.nodes, self.constants, self.now = [], {}, {"x": batch}

    def add(self, op, *inputs, **attributes):
        names = []
        for i in inputs:
            if isinstance(i, np.ndarray):
                self.constants[f"c{len(self.constants)}"] = i.astype(np.float32)
                i = f"c{len(self.constants) - 1}"
            names.append(i)
        self.nodes.append(N(op, names, [f"v{len(self.nodes)}"], f"{op.lower()}{len(self.nodes)}", **attributes))
        return self.nodes[-1].output[0]

    def save(self, path, shape, y):
        info = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        graph = helper.make_graph(self.nodes, "g", [info("x", shape)], [info(y, None)],
                                  [numpy_helper.from_array(v, k) for k, v in self.constants.items()])
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)

    def value(self, name, shape):
        """Of the whole batch"""
        self.save("part.onnx", shape, name)
        return np.concatenate(outputs("part.onnx", self.now["x"]))

    def normalised(self, y, channels, shape):
        v = self.value(y, shape)
        return self.add("BatchNormalization", y, np.abs(rng.normal(1, 0.4, channels)), rng.normal(0, 1, channels), v.mean((0, 2, 3)), v.var((0, 2, 3)))


def outputs(model, inputs, *options):
    global loaded
    loaded += 1
    out = f"./m{loaded}.so"
    mcc(model, "--emit=shared", "-o", out, *options)
    made = Model(out, f"m{loaded}")
    return [made.run([x])[0] for x in inputs]


def sqnr(got, want):
    got, want = np.array(got, float), np.array(want, float)
    return 10 * np.log10(np.sum(want ** 2) / np.sum((got - want) ** 2))


def draw():
    return rng.uniform(-1, 1, (1, 3, 20, 20)).astype(np.float32)


def convolutions(path):
    shape, n, c = (1, 3, 20, 20), Network([draw() for _ in range(8)]), 16
    conv = lambda x, o, i, k, **a: n.add("Conv", x, rng.normal(0, 1, (o, i, k, k)) / np.sqrt(i * k * k), pads=[k // 2] * 4, **a)
    x = n.add("Relu", n.normalised(conv("x", c, 3, 3), c, shape))
    y = n.add("Clip", n.normalised(conv(x, 3 * c, c, 1), 3 * c, shape), np.array(0.0), np.array(6.0))
    y = n.add("HardSwish", n.normalised(conv(y, 3 * c, 1, 3, group=3 * c), 3 * c, shape))
    x = n.add("Add", x, n.normalised(conv(y, c, 3 * c, 1), c, shape))
    g = n.add("GlobalAveragePool", x)
    g = n.add("Sigmoid", conv(n.add("Relu", conv(g, 8, c, 1)), c, 8, 1))
    x = n.add("Mul", x, g)
    x = n.add("Concat", x, n.add("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4), axis=1)
    x = n.add("Relu", n.normalised(conv(x, 32, 2 * c, 3), 32, shape))
    y = n.add("Gemm", n.add("Flatten", n.add("GlobalAveragePool", x)), rng.normal(0, 1, (10, 32)), transB=1)
    n.save(path, shape, y)


def check():
    convolutions("m.onnx")
    os.mkdir("samples")
    for i in range(16):
        np.save(f"samples/{i:02}.npy", draw())
    inputs = [draw() for _ in range(8)]
    want = outputs("m.onnx", inputs)
    sampled = sqnr(outputs("m.onnx", inputs, "--quantize=int8", "--calibrate=samples"), want)
    free = sqnr(outputs("m.onnx", inputs, "--quantize=int8", "--input-range=-1:1"), want)
    print(f"with samples {sampled:.1f} dB, without {free:.1f} dB")
    assert free >= 20 and free >= sampled - 12

    said = mcc("m.onnx", "-o", "one.o", "--quantize=int8", "--input-range=-1:1", "--save-plan=plan.txt")
    assert "without samples ranges come from 5 normalisations, and from inputs of -1 to 1" in said, said
    scale = next(float(l.split()[3]) for l in open("plan.txt") if l.startswith("tensor x u8"))
    assert 0.9 * 2 / 255 < scale < 1.01 * 2 / 255, scale
    assert not any(l.startswith("node conv") and " f32 " in l for l in open("plan.txt")), "a convolution stayed in float"
    first = open("one.o", "rb").read()
    mcc("m.onnx", "-o", "one.o", "--quantize=int8", "--plan=plan.txt")
    assert open("one.o", "rb").read() == first, "the plan gives another object"
    assert "inputs of -3 to 3" in mcc("m.onnx", "-o", "one.o", "--quantize=int8")
    assert "inputs of -2 to 2" in mcc("m.onnx", "-o", "one.o", "--quantize=int8", "--input-norm=0.5:0.25")
    assert "inputs of -1 to 1" in mcc("m.onnx", "-o", "two.o", "--quantize=int8", "--input-range=-1:1", "-Werror=calibration", code=1)
    assert not os.path.exists("two.o")
    assert "is not a value of --input-range" in mcc("m.onnx", "-o", "two.o", "--quantize=int8", "--input-range=1:1", code=2)


def partly_known():
    """A chain of guesses ends in float, and says so; what follows a LayerNormalization is quantized again"""
    n = Network([])
    w = lambda: rng.normal(0, 1, (24, 24)) / 5
    x = n.add("MatMul", n.add("MatMul", n.add("MatMul", n.add("MatMul", "x", w()), w()), w()), w())
    x = n.add("LayerNormalization", n.add("Softmax", x), rng.normal(1, 0.3, 24), rng.normal(0, 1, 24))
    n.save("chain.onnx", (6, 24), n.add("MatMul", x, w()))
    said = mcc("chain.onnx", "-o", "one.o", "--quantize=int8", "--save-plan=plan.txt")
    assert said.count("stays in float32: without samples nothing is known of its input") == 1, said
    kinds = [l.split()[2] for l in open("plan.txt") if l.startswith("node matmul")]
    assert kinds == ["int8", "int8", "int8", "f32", "int8"], kinds
    n = Network([])
    n.save("bare.onnx", (6, 24), n.add("MatMul", n.add("Relu", n.add("MatMul", "x", w())), w()))
    assert "no normalisation to take ranges from" in mcc("bare.onnx", "-o", "two.o", "--quantize=int8", code=1)


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    check()
    partly_known()
finally:
    shutil.rmtree(folder)
