"""Quantized models that cannot be computed: scales that are no numbers to divide by, zero points of other types, lists of the wrong length.
One clear message that names the node, exit 1, no object; and what is odd but has a meaning compiles."""
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w

MCC = os.environ["MCC"]
KIND = {"float32": w.FLOAT, "float16": w.FLOAT16, "uint8": w.UINT8, "int8": w.INT8, "uint16": w.UINT16, "int32": w.INT32, "int64": w.INT64}
F = np.float32


class Maker:
    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, v):
        name = "c%d" % len(self.constants)
        v = np.asarray(v)
        self.constants.append(w.tensor(name, KIND[str(v.dtype)], v.shape, v.tobytes()))
        return name

    def node(self, op, *inputs, domain=None, **attrs):
        name = "n%d" % len(self.nodes)
        ins = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        self.nodes.append(w.node(op, ins, [name], *[w.attr(k, v) for k, v in attrs.items()], name="the " + op, domain=domain))
        return name

    def model(self, y, version):
        graph = w.graph(self.nodes, [w.value("x", w.FLOAT, (1, 4, 6, 6))], [w.value(y, dims=None, type=b"")], self.constants)
        return w.model(graph, version, 10, w.opset(1, "com.microsoft"))


def quantize(scale, zero=np.uint8(3), **attrs):
    return lambda m: m.node("QuantizeLinear", "x", scale, zero, **attrs)


def dequantize(scale, zero=np.uint8(3), **attrs):
    return lambda m: m.node("DequantizeLinear", m.node("QuantizeLinear", "x", F(1), np.uint8(3)), scale, zero, **attrs)


def conv(sx=F(0.1), zx=np.uint8(1), sw=F(0.1), zw=np.int8(0), sy=F(1), zy=np.uint8(9), bias=np.zeros(2, np.int32)):
    codes = np.ones((2, 4, 1, 1), np.int8)
    return lambda m: m.node("QLinearConv", m.node("QuantizeLinear", "x", F(0.1), np.uint8(1)), sx, zx, codes, sw, zw, sy, zy, bias)


def add(sa=F(0.1), za=np.uint8(1), sy=F(0.1), zy=np.uint8(1)):
    def build(m):
        q = m.node("QuantizeLinear", "x", F(0.1), np.uint8(1))
        return m.node("QLinearAdd", q, sa, za, q, F(0.2), np.uint8(1), sy, zy, domain="com.microsoft")
    return build


def computed(scale):
    return lambda m: m.node("QuantizeLinear", "x", m.node("Mul", scale, F(1)), np.uint8(0))


def narrow(n=8, k=6, codes=(8, 1, 8), scales=8, dtype=F, **attrs):
    attrs = {"bits": 4, "block_size": 16, **attrs}
    return lambda m: m.node("MatMulNBits", "x", np.zeros(codes, np.uint8), np.ones(scales, dtype), domain="com.microsoft", N=n, K=k, **attrs)


REFUSED = [
    ("scale 0 of input 1 is nan, must be finite and positive", quantize(F("nan"))), ("is inf, must be finite", quantize(F("inf"))),
    ("is 0, must be finite and positive", quantize(F(0))), ("is -1, must be finite and positive", quantize(F(-1))),
    ("scale 2 of input 1 is -0.5, must be", quantize(F([1, 1, -0.5, 1]), np.zeros(4, np.uint8))), ("is 0, must be", computed(F(0))),
    ("'the DequantizeLinear' (DequantizeLinear-1): scale 0 of input 1 is nan, must be finite", dequantize(F("nan"))),
    ("is -inf, must be finite", dequantize(F("-inf"))), ("is nan, must be finite", dequantize(np.float16("nan"))),
    ("scale 1 of input 4 is nan", conv(sw=F([1, "nan"]))), ("scale 0 of input 1 is 0", conv(sx=F(0))), ("scale 0 of input 6 is inf", conv(sy=F("inf"))),
    ("is nan, must be finite", add(sa=F("nan"))), ("is 0, must be finite and positive", add(sy=F(0))),
    ("input 2 is int8, input 0 is uint8", dequantize(F(1), np.int8(0))), ("quantizes to int64", quantize(F(1), np.int64(0))),
    ("input 2 is int8, input 0 is uint8", conv(zx=np.int8(0))), ("input 5 is uint8, input 3 is int8", conv(zw=np.uint8(0))),
    ("input 8 is float32, must be int32", conv(bias=np.zeros(2, F))), ("input 1 is int64", quantize(np.int64(1))),
    ("output_dtype is int8, the zero points are uint8", quantize(F(1), output_dtype=3)), ("output_dtype is 99", quantize(F(1), output_dtype=99)),
    ("the number of scales and the size of the axis", quantize(F([1, 2, 3]), np.zeros(3, np.uint8))),
    ("the numbers of scales and of zero points", quantize(F([1, 2, 3, 4]), np.zeros(3, np.uint8))),
    ("the scales have shape [4], the zero points []", quantize(F([1, 2, 3, 4]))), ("axis 4 is outside of", quantize(F([1, 2, 3, 4]), np.zeros(4, np.uint8), axis=4)),
    ("the scales have shape [2, 2], must be one, a list, or come with a block_size", quantize(F([[1, 2], [3, 4]]), np.zeros((2, 2), np.uint8))),
    ("block_size is -1", dequantize(F(1), block_size=-1)), ("the numbers of output channels and of their parameters", conv(sw=F([1, 2, 3]))),
    ("the lengths of the bias and of the output's channels", conv(bias=np.zeros(3, np.int32))),
    ("are not of 2, 4 or 8 bits", narrow(bits=3)), ("K, N or block_size is out of range", narrow(k=0)), ("block_size is out of range", narrow(block_size=24)),
    ("its weights do not have the size", narrow(codes=(8, 1, 7))), ("its scales do not have the type", narrow(scales=7)),
    ("its scales do not have the type", narrow(dtype=np.int32)), ("its weights do not have the size", narrow(n=2**40, k=2**40)),
]
TAKEN = [("negative blocks", dequantize(F([[[[-1]]]] * 1) * np.ones((1, 1, 6, 6), F), np.zeros((1, 1, 6, 6), np.uint8), axis=1, block_size=4)),
         ("a scale of 0 that multiplies", dequantize(F(0))), ("a narrow product", narrow()), ("an addition", add()), ("a convolution", conv())]


def compiled(build, folder):
    m, path = Maker(), os.path.join(folder, "m.onnx")
    y = build(m)
    with open(path, "wb") as f:
        f.write(m.model(y, 21))
    out = os.path.join(folder, "m.o")
    if os.path.exists(out):
        os.remove(out)
    done = subprocess.run([MCC, path, "-o", out], capture_output=True, text=True, timeout=60)
    return done, os.path.exists(out)


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for text, build in REFUSED:
            done, written = compiled(build, folder)
            if done.returncode != 1 or text not in done.stderr or written or "'the " not in done.stderr or done.stderr.count("error:") != 1:
                failed += 1
                print("wanted '%s': exit %d, %s" % (text, done.returncode, done.stderr))
        for what, build in TAKEN:
            done, written = compiled(build, folder)
            if done.returncode or not written:
                failed += 1
                print("%s: exit %d, %s" % (what, done.returncode, done.stderr))
    print("%d refused, %d taken, %d wrong" % (len(REFUSED), len(TAKEN), failed))
    return failed > 0


sys.exit(main())
