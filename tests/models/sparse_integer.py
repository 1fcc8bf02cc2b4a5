#!/usr/bin/env python3
"""Quantized convolutions and products whose weights have zeros in blocks of four channels, or anyhow: as straight-line code they give
the bits of the dense form, whatever the window, the zero points, the types, and what follows. Needs the onnx package.
sparse_integer.py SEED runs one case."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
except ImportError:
    sys.exit(77)

MCC = os.environ["MCC"]
CASES = 400 if os.environ.get("MCC_TEST_ALL") else 40


def has_code():
    with open("/proc/cpuinfo") as f:
        return " avx512_vnni" in f.read()


def weights(rng, rows, channels, kernel):
    """s8 [rows, channels, kernel…], many of them zeros"""
    w = rng.integers(-127, 128, [rows, channels, *kernel]).astype(np.int8)
    zeros = rng.choice([0.5, 0.8, 0.95])
    if rng.random() < 0.7:
        quads = -(-channels // 4)
        keep = (rng.random([rows, quads, 1, *kernel]) >= zeros).repeat(4, 2).reshape(rows, 4 * quads, *kernel)[:, :channels]
    else:
        keep = rng.random(w.shape) >= zeros
    return w * keep


class Net:
    """Layers between bytes, as QLinear operators."""

    def __init__(self, rng):
        self.rng, self.nodes, self.constants, self.names = rng, [], [], 0

    def name(self):
        self.names += 1
        return "v%d" % self.names

    def constant(self, value):
        name = self.name()
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op, inputs, domain="", **attrs):
        out = self.name()
        self.nodes.append(helper.make_node(op, inputs, [out], domain=domain, **attrs))
        return out

    def zero(self, dtype):
        z = self.rng.choice([0, 3, 128, 200, 255]) if dtype == np.uint8 else self.rng.choice([0, -128, 5, 127])
        return self.constant(np.array(z, dtype))

    def conv(self, x, shape, dtype):
        """A convolution and what follows; returns its output, shape, type and whether code can be had for it."""
        rng, n, space = self.rng, shape[0], shape[2:]
        rows, channels = int(rng.choice([16, 20, 33, 64, 100, 130])), shape[1]
        kernel = [int(k) for k in rng.choice([1, 1, 3, 5], len(space))]
        if rng.random() < 0.5:
            kernel = [1] * len(space)
        dilations = [int(rng.choice([1, 1, 2])) for _ in space]
        strides = [int(rng.choice([1, 1, 2, 3])) for _ in space]
        reach = [(k - 1) * d for k, d in zip(kernel, dilations)]
        begin = [r // 2 for r in reach]
        pads = begin + [r - b for r, b in zip(reach, begin)]
        w = self.constant(weights(rng, rows, channels, kernel))
        zx = self.zero(dtype)
        attrs = dict(kernel_shape=kernel, dilations=dilations, strides=strides, pads=pads)
        out = [n, rows, *[(s - 1) // t + 1 for s, t in zip(space, strides)]]
        depth = max(1, channels * np.prod(kernel) * 0.3)
        kind = rng.choice(["q", "q", "residual", "sums", "float", "swish"])
        if kind == "sums":
            return self.node("ConvInteger", [x, w, zx], **attrs), out, np.int32
        sx, sw, sy = (self.constant(np.float32(v)) for v in (0.02, 0.01, 0.02 * 0.01 * 5000 * np.sqrt(depth) / 100))
        per = self.constant((rng.random(rows) * 0.02 + 0.001).astype(np.float32))
        zw = self.constant(np.zeros(rows, np.int8))
        bias = self.constant(rng.integers(-5000, 5000, rows).astype(np.int32))
        to = np.uint8 if rng.random() < 0.6 else np.int8
        zy = self.zero(to)
        if kind in ("q", "residual"):
            y = self.node("QLinearConv", [x, sx, zx, w, per, zw, sy, zy, bias], **attrs)
        else:
            a = self.node("DequantizeLinear", [x, sx, zx])
            b = self.node("DequantizeLinear", [w, sw, self.constant(np.array(0, np.int8))])
            y = self.node("Conv", [a, b], **attrs)
            if kind == "float":
                return y, out, np.float32
            y = self.node("QuantizeLinear", [self.node("HardSwish", [self.node("DequantizeLinear", [self.node("QuantizeLinear", [y, sy, zy]), sy, zy])]), sy, zy])
        if kind == "residual":
            other = self.node("QLinearConv", [x, sx, zx, self.constant(weights(rng, rows, channels, kernel)), per, zw, sy, zy, bias], **attrs)
            a, b = (self.node("DequantizeLinear", [v, sy, zy]) for v in (y, other))
            y = self.node("QuantizeLinear", [self.node("Relu", [self.node("Add", [a, b])]), sy, zy])
        return y, out, to


def make_product(net, dtype):
    """A product of rows with what follows; returns its output, input and output dims, and the output's type."""
    rng = net.rng
    inner, cols = int(rng.choice([64, 70, 100, 256])), int(rng.choice([16, 23, 64, 100]))
    rows = [int(rng.choice([3, 16, 37])), int(rng.choice([2, 5]))][:int(rng.integers(1, 3))]
    w = net.constant(weights(rng, cols, inner, []).T.copy())
    zx, kind = net.zero(dtype), rng.choice(["q", "sums", "float"])
    if kind == "sums":
        return net.node("MatMulInteger", ["x", w, zx]), [*rows, inner], [*rows, cols], np.int32
    sx, zw = net.constant(np.float32(0.02)), net.constant(np.zeros(cols, np.int8))
    sw = net.constant((rng.random(cols) * 0.02 + 0.001).astype(np.float32))
    if kind == "q":
        sy, zy = net.constant(np.float32(0.3)), net.zero(dtype)
        return net.node("QLinearMatMul", ["x", sx, zx, w, sw, zw, sy, zy]), [*rows, inner], [*rows, cols], dtype
    a = net.node("DequantizeLinear", ["x", sx, zx])
    b = net.node("DequantizeLinear", [w, sw, zw], axis=1)
    y = net.node("Add", [net.node("MatMul", [a, b]), net.constant(rng.normal(size=cols).astype(np.float32))])
    return net.node("Relu", [y]), [*rows, inner], [*rows, cols], np.float32


ONNX = {np.uint8: 2, np.int8: 3, np.int32: 6, np.float32: 1}


def make(path, rng):
    net = Net(rng)
    space = [int(rng.integers(1, 40))] if rng.random() < 0.2 else [int(v) for v in rng.choice([1, 3, 7, 14, 17, 28], 2)]
    dtype = np.uint8 if rng.random() < 0.6 else np.int8
    dims = shape = [int(rng.choice([1, 1, 2])), int(rng.choice([4, 9, 16, 24, 48, 70])), *space]
    first, x = dtype, "x"
    if rng.random() < 0.25:
        x, dims, shape, dtype = make_product(net, dtype)
    else:
        for _ in range(int(rng.integers(1, 4))):
            if dtype in (np.uint8, np.int8):
                x, shape, dtype = net.conv(x, shape, dtype)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(net.nodes, "g", [info("x", ONNX[first], dims)], [info(x, ONNX[dtype], shape)], net.constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7), path)
    span = (0, 256) if first == np.uint8 else (-128, 128)
    return rng.integers(*span, dims).astype(first)


def mcc(*args):
    p = subprocess.run([MCC, *args], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stderr


def result(path, x, folder, *flags):
    out = os.path.join(folder, "out")
    mcc("run", path, "--input", "x=" + x, "--output-dir", out, *flags)
    file, = os.listdir(out)
    y = np.load(os.path.join(out, file))
    os.remove(os.path.join(out, file))
    return y


def check(seed, folder):
    path, x = os.path.join(folder, "m.onnx"), os.path.join(folder, "x.npy")
    os.makedirs(os.path.join(folder, "out"), exist_ok=True)
    np.save(x, make(path, np.random.default_rng(seed)))
    dense = result(path, x, folder, "--sparse=off")
    sparse = result(path, x, folder, "--sparse=always", *(["--threads=openmp"] if seed % 3 == 0 else []))
    if dense.tobytes() != sparse.tobytes():
        print("seed %d: %d of %d elements differ" % (seed, np.sum(dense != sparse), dense.size))
        return False
    mcc(path, "-mcpu=native", "--sparse=always", "-o", os.path.join(folder, "m.o"))
    with open(os.path.join(folder, "m.o"), "rb") as f:
        return b".text.mcc_sparse" in f.read()


def main():
    if not has_code():
        return 77
    seeds = [int(v) for v in sys.argv[1:]] or range(CASES)
    with tempfile.TemporaryDirectory() as folder:
        coded = [check(seed, folder) for seed in seeds]
    print("%d of %d cases: the same bits as code" % (sum(coded), len(coded)))
    return 0 if 10 * sum(coded) >= 8 * len(coded) else 1


sys.exit(main())
