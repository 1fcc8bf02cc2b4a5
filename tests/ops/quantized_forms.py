"""The forms in which PyTorch, TensorFlow, ONNX Runtime's quantizer, NNCF, Brevitas and Olive write the same quantized product. Each must be
computed on integers, with no -Wquant-fallback, and have the bits of the definition (qdqnet.py).

$MCC_TEST_SEED; usage: quantized_forms.py [FORM…]"""
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
from model import Model
from qdqnet import F, Net, Tensor, dequantize, quantize

MCC = os.environ["MCC"]
REFERENCE = ["--emit=graph", "-O0"]  # where lower_quantized has nothing to do
SX, ZX, SY, ZY = F(0.037), np.uint8(119), F(0.29), np.uint8(83)


class Problem(Net):
    """A product of a float input behind Q and DQ. Forms replace its parts: each method writes one."""

    def __init__(self, seed, kind="conv"):
        super().__init__(np.random.default_rng(seed))
        self.kind, self.channels, rng = kind, 5, self.rng
        shape = (1, 4, 6, 7) if kind == "conv" else (3, 16)
        self.x = self.input(F(rng.standard_normal(shape) * 2))
        self.codes = rng.integers(-127, 128, (5, 4, 3, 3) if kind == "conv" else (5, 16)).astype(np.int8)
        self.scales = F(rng.uniform(0.001, 0.01, self.channels))
        self.whole = rng.integers(-300, 300, self.channels).astype(np.int32)
        self.lo, self.hi = -np.inf, np.inf
        self.zx, self.zy, self.zw = ZX, ZY, 0
        self.reaches, self.shown = ["ConvInteger", "MatMulInteger"], ["--dump-after=lower_quantized", "-Werror=quant-fallback"]
        self.close, self.twin = 0, None  # how far floats may be apart; the model whose bits are wanted

    up = property(lambda self: (-1, 1, 1) if self.kind == "conv" else (-1,))

    # ---- the definition ----
    def acc(self):
        x = quantize(self.x.data, SX, self.zx).astype(np.int64) - int(self.zx)
        wx = self.codes.astype(np.int64) - self.zw
        if self.kind != "conv":
            return x @ wx.T
        x, y = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]), np.zeros((1, 5, 6, 7), np.int64)
        for r in range(3):
            for c in range(3):
                y += np.einsum("nchw,mc->nmhw", x[:, :, r:r + 6, c:c + 7], wx[:, :, r, c])
        return y

    def want(self, bias=True):
        total = self.acc() + (self.whole.reshape(self.up) if bias else 0)
        v = np.rint(F(total) * F(F(SX * self.scales) / SY).reshape(self.up)).astype(np.int64) + int(self.zy)
        ends = [quantize(F([e]), SY, self.zy)[0] if np.isfinite(e) else d for e, d in zip((self.lo, self.hi), (0, 255))]
        return np.clip(v, *[int(e) for e in ends]).astype(np.uint8)

    # ---- parts ----
    def half(self, v):
        t, v = Tensor(self.name(), None), np.asarray(v, np.float16)
        self.constants.append(w.tensor(t.name, w.FLOAT16, v.shape, v.tobytes()))
        return t

    def op(self, name, inputs, **attrs):
        return self.node(name, inputs, None, **attrs)

    def q(self, x, s, z=None, **attrs):
        return self.op("QuantizeLinear", [x, self.as_tensor(s), self.as_tensor(z)], **attrs)

    def dq(self, x, s, z=None, **attrs):
        return self.op("DequantizeLinear", [self.as_tensor(x), self.as_tensor(s), self.as_tensor(z)], **attrs)

    def as_tensor(self, v):
        return v if v is None or isinstance(v, Tensor) else self.constant(v)

    def activation(self):
        return self.dq(self.q(self.x, SX, self.zx), SX, self.zx)

    def weights(self, axis=0):
        return self.dq(self.codes, self.scales, np.zeros(5, np.int8), axis=axis)

    def bias(self):
        return self.dq(self.whole, F(SX * self.scales), np.zeros(5, np.int32), axis=0)

    def product(self, x=None, weights=None, bias=True, **attrs):
        inputs = [x or self.activation(), weights or self.weights()]
        if bias is not False:
            inputs.append(self.bias() if bias is True else bias)
        if self.kind == "conv":
            return self.op("Conv", inputs, pads=[1, 1, 1, 1], **attrs)
        return self.op("Gemm", inputs, transB=1, **attrs)

    def finish(self, y, bias=True, want=None):
        """Q behind it; the integers are what is compared."""
        q = self.q(y, SY, self.zy)
        q.data = self.want(bias) if want is None else want
        self.output(q)
        return self


# ---- weights ----
def plain(p):
    return p.finish(p.product())


def without_bias(p):
    return p.finish(p.product(bias=False), bias=False)


def float_weights(p):
    """PyTorch's FakeQuantize, NNCF: floats under a Q"""
    w_ = p.constant(dequantize(p.codes, p.scales, np.zeros(5, np.int8), 0))
    z = p.constant(np.zeros(5, np.int8))
    s = p.constant(p.scales)
    return p.finish(p.product(weights=p.dq(p.q(w_, s, z, axis=0), s, z, axis=0)))


def negative_axis(p):
    return p.finish(p.product(weights=p.weights(axis=-4 if p.kind == "conv" else -2)))


def weights_without_zero(p):
    return p.finish(p.product(weights=p.dq(p.codes, p.scales, axis=0)))


def clipped_weights(p):
    """Brevitas: Q, Clip to the narrow range, DQ"""
    w_ = p.constant(dequantize(p.codes, p.scales, np.zeros(5, np.int8), 0))
    q = p.q(w_, p.scales, np.zeros(5, np.int8), axis=0)
    q = p.op("Clip", [q, p.constant(np.int8(-127)), p.constant(np.int8(127))])
    return p.finish(p.product(weights=p.dq(q, p.scales, np.zeros(5, np.int8), axis=0)))


def unsigned_weights(p):
    """TensorFlow Lite of old: u8 around 128"""
    p.zw, p.codes = 128, (p.codes.astype(np.int16) + 128).astype(np.uint8)
    return p.finish(p.product(weights=p.dq(p.codes, p.scales, np.full(5, 128, np.uint8), axis=0)))


def one_scale(p):
    p.scales = np.full(5, p.scales[0])
    return p.finish(p.product(weights=p.dq(p.codes, p.scales[0], np.int8(0))))


def scale_in_list(p):
    """Lists of one number, for activations as well"""
    p.scales = np.full(5, p.scales[0])
    x = p.dq(p.q(p.x, np.array([SX]), np.array([ZX])), np.array([SX]), np.array([ZX]))
    y = p.product(x, p.dq(p.codes, p.scales[:1], np.zeros(1, np.int8)))
    q = p.q(y, np.array([SY]), np.array([ZY]))
    q.data = p.want()
    p.output(q)
    return p


def turned_weights(p):
    """tf2onnx: weights lie as HWIO (or in, out) behind DQ and are turned"""
    if p.kind == "conv":
        codes = np.ascontiguousarray(p.codes.transpose(2, 3, 1, 0))
        w_ = p.op("Transpose", [p.dq(codes, p.scales, np.zeros(5, np.int8), axis=3)], perm=[3, 2, 0, 1])
    else:
        w_ = p.op("Transpose", [p.dq(np.ascontiguousarray(p.codes.T), p.scales, np.zeros(5, np.int8), axis=1)], perm=[1, 0])
    return p.finish(p.product(weights=w_))


def turned_float_weights(p):
    """The same, as floats under Q and DQ, with the Transpose in front"""
    z, axis = np.zeros(5, np.int8), 0
    real = dequantize(p.codes, p.scales, z, axis)
    perm = [2, 3, 1, 0] if p.kind == "conv" else [1, 0]
    back = [3, 2, 0, 1] if p.kind == "conv" else [1, 0]
    w_ = p.op("Transpose", [p.constant(np.ascontiguousarray(real.transpose(perm)))], perm=back)
    return p.finish(p.product(weights=p.dq(p.q(w_, p.scales, z, axis=0), p.scales, z, axis=0)))


def reshaped_weights(p):
    """A Reshape behind DQ that leaves the channels' axis alone"""
    shape = p.codes.shape
    w_ = p.dq(p.codes.reshape(5, -1), p.scales, np.zeros(5, np.int8), axis=0)
    return p.finish(p.product(weights=p.op("Reshape", [w_, p.constant(np.array(shape, np.int64))])))


def split_axis_weights(p):
    """A Reshape that moves the channels' axis: [1, channels, …]"""
    w_ = p.dq(p.codes[None], p.scales, np.zeros(5, np.int8), axis=1)
    return p.finish(p.product(weights=p.op("Squeeze", [w_, p.constant(np.array([0], np.int64))])))


def shared_weights(p):
    """One DQ read twice"""
    x, w_ = p.activation(), p.weights()
    b = p.bias()
    p.finish(p.product(x, w_, b))
    return p.finish(p.product(x, w_, b))


def cast_weights(p):
    """Float weights of a model stored in halves: Cast, Q, DQ"""
    z = np.zeros(5, np.int8)
    p.scales = F(2.0 ** -np.arange(6, 11))
    real = dequantize(p.codes, p.scales, z, 0)
    w_ = p.op("Cast", [p.half(real)], to=1)
    return p.finish(p.product(weights=p.dq(p.q(w_, p.scales, z, axis=0), p.scales, z, axis=0)))


# ---- scales and zero points ----
def computed_scales(p):
    """Through Identity, Cast, Reshape, Mul, Constant"""
    sx = p.op("Identity", [p.constant(SX)])
    zx = p.op("Cast", [p.constant(np.int32(ZX))], to=2)
    x = p.dq(p.q(p.x, sx, zx), sx, zx)
    sw = p.op("Reshape", [p.constant(p.scales.reshape(5, 1)), p.constant(np.array([-1], np.int64))])
    w_ = p.dq(p.codes, sw, p.op("Identity", [p.constant(np.zeros(5, np.int8))]), axis=0)
    b = p.dq(p.whole, p.op("Mul", [sx, sw]), p.constant(np.zeros(5, np.int32)), axis=0)
    return p.finish(p.product(x, w_, b))


def zero_absent(p):
    """u8 without a zero point, for input and output"""
    p.zx = p.zy = np.uint8(0)
    x = p.dq(p.q(p.x, SX), SX)
    q = p.q(p.product(x), SY)
    q.data = p.want()
    p.output(q)
    return p


def zero_absent_dtype(p):
    """The type of the integers by output_dtype (opset 21)"""
    p.zx = p.zy = np.uint8(0)
    x = p.dq(p.q(p.x, SX, output_dtype=2), SX)
    q = p.q(p.product(x), SY, output_dtype=2)
    q.data = p.want()
    p.output(q)
    return p


def opset_23(p):
    """precision, saturate, block_size 0, output_dtype of DQ"""
    p.version = 23
    x = p.dq(p.q(p.x, SX, ZX, precision=1, saturate=1, block_size=0), SX, ZX, output_dtype=1, block_size=0)
    q = p.q(p.product(x), SY, ZY, precision=1, saturate=0)
    q.data = p.want()
    p.output(q)
    return p


def opset_10(p):
    p.version = 10
    p.scales = np.full(5, p.scales[0])
    x = p.op("DequantizeLinear", [p.op("QuantizeLinear", [p.x, p.constant(SX), p.constant(ZX)]), p.constant(SX), p.constant(ZX)])
    w_ = p.op("DequantizeLinear", [p.constant(p.codes), p.constant(p.scales[0]), p.constant(np.int8(0))])
    b = p.op("DequantizeLinear", [p.constant(p.whole), p.constant(F(SX * p.scales[0]))])
    q = p.op("QuantizeLinear", [p.product(x, w_, b), p.constant(SY), p.constant(ZY)])
    q.data = p.want()
    p.output(q)
    return p


def half_range(p):
    """PyTorch's reduce_range: Q, Clip of the integers to 7 bits, DQ"""
    q = p.op("Clip", [p.q(p.x, SX, np.uint8(60)), p.constant(np.uint8(0)), p.constant(np.uint8(127))])
    p.zx = np.uint8(60)
    kept = p.x.data
    low, high = F(0 - 60) * SX, F(127 - 60) * SX
    p.x.data = np.clip(kept, low, high)  # for the definition; both ends stand on steps
    want = p.want()
    p.x.data = kept
    return p.finish(p.product(p.dq(q, SX, np.uint8(60))), want=want)


def clipped_before(p):
    """Clip and Relu in front of the first Q: of floats, and exact"""
    kept, low, high = p.x.data, F(-1), F(2)
    x = p.op("Clip", [p.x, p.constant(low), p.constant(high)])
    p.x.data = np.clip(kept, low, high)
    want = p.want()
    p.x.data = kept
    return p.finish(p.product(p.dq(p.q(x, SX, ZX), SX, ZX)), want=want)


# ---- bias ----
def float_bias(p):
    return p.finish(p.product(bias=p.constant(F(p.whole * F(SX * p.scales)))))


def bias_of_other_scale(p):
    """int32 of one scale for all channels: in steps of the product, rounded to even"""
    other = F(0.0017)
    b = p.dq(p.whole, other, np.int32(0))
    p.whole = np.rint(F(p.whole.astype(F) * other) / F(SX * p.scales)).astype(np.int32)
    return p.finish(p.product(bias=b))


def bias_of_bytes(p):
    codes, s = p.rng.integers(-128, 128, 5).astype(np.int8), F(0.01)
    b = p.dq(codes, s, np.int8(3))
    p.whole = np.rint(F((codes.astype(F) - 3) * s) / F(SX * p.scales)).astype(np.int32)
    return p.finish(p.product(bias=b))


def bias_under_q(p):
    """Brevitas and NNCF: floats, Q to bytes, DQ"""
    s, z = F(0.02), np.int8(0)
    real = F(p.rng.standard_normal(5))
    codes = quantize(real, s, z)
    p.whole = np.rint(F(codes.astype(F) * s) / F(SX * p.scales)).astype(np.int32)
    return p.finish(p.product(bias=p.dq(p.q(p.constant(real), s, z), s, z)))


def bias_added(p):
    """tf2onnx: a product without bias, an Add of floats by channel. float32 between, so that a tie may go otherwise."""
    b = F(p.whole * F(SX * p.scales))
    y = p.op("Add", [p.product(bias=False), p.constant(b.reshape(p.up) if p.kind == "conv" else b)])
    real = F(p.acc()) * F(SX * p.scales).reshape(p.up) + b.reshape(p.up)
    return p.finish(y, want=quantize(real, SY, ZY))


def bias_added_quantized(p):
    b = p.dq(p.whole.reshape(p.up), F(SX * p.scales[0]), np.int32(0))
    p.scales = np.full(5, p.scales[0])
    y = p.op("Add", [p.product(weights=p.dq(p.codes, p.scales[0], np.int8(0)), bias=False), b])
    real = F(p.acc()) * F(SX * p.scales[0]) + F(p.whole).reshape(p.up) * F(SX * p.scales[0])
    return p.finish(y, want=quantize(real, SY, ZY))


# ---- what follows ----
def relu_behind(p):
    p.lo = 0
    return p.finish(p.op("Relu", [p.product()]))


def relu6_behind(p):
    p.lo, p.hi = F(0), F(6)
    return p.finish(p.op("Clip", [p.product(), p.constant(F(0)), p.constant(F(6))]))


def relu_and_relu6(p):
    p.lo, p.hi = F(0), F(6)
    return p.finish(p.op("Clip", [p.op("Relu", [p.product()]), p.constant(F(-3)), p.constant(F(6))]))


def relu_quantized_again(p):
    """Q, DQ, Relu, Q, DQ of one scale each"""
    y = p.dq(p.q(p.product(), SY, ZY), SY, ZY)
    p.lo = 0
    return p.finish(p.op("Relu", [y]))


def no_q_behind(p):
    y = p.product()
    y.data = F(p.acc() + p.whole.reshape(p.up)) * F(SX * p.scales).reshape(p.up)
    p.output(y)
    return p


def norm_behind(p):
    """Training with norms: DQ, Conv, BatchNormalization, Relu, Q"""
    if p.kind != "conv":
        return None
    one, none = p.constant(np.ones(5, F)), p.constant(np.zeros(5, F))
    y = p.op("BatchNormalization", [p.product(bias=False), one, none, none, p.constant(np.full(5, 1 - 1e-5, F))])
    y = p.op("Relu", [y])
    p.lo = 0
    p.steps = 0.02
    return p.finish(y, bias=False)


def channels_last(p):
    """tf2onnx: Q and DQ on NHWC, a Transpose on either side of Conv"""
    if p.kind != "conv":
        return None
    kept = p.x.data
    p.x.data = kept.transpose(0, 2, 3, 1)
    p.inputs[0], p.feed[0] = w.value(p.x.name, w.FLOAT, p.x.data.shape), np.ascontiguousarray(p.x.data)
    x = p.op("Transpose", [p.dq(p.q(p.x, SX, ZX), SX, ZX)], perm=[0, 3, 1, 2])
    y = p.op("Transpose", [p.product(x)], perm=[0, 2, 3, 1])
    p.x.data = kept
    return p.finish(y, want=p.want().transpose(0, 2, 3, 1))


def one_dimension(p):
    """A convolution along one axis, through Unsqueeze and Squeeze"""
    if p.kind != "conv":
        return None
    p.inputs[0], p.feed[0] = w.value(p.x.name, w.FLOAT, (1, 4, 42)), np.ascontiguousarray(p.x.data.reshape(1, 4, 42))
    kept, p.x.data = p.x.data, p.x.data.reshape(1, 4, 42)
    x = p.dq(p.q(p.x, SX, ZX), SX, ZX)
    x = p.op("Unsqueeze", [x, p.constant(np.array([2], np.int64))])
    codes, p.codes = p.codes, np.zeros((5, 4, 3, 3), np.int8)
    p.codes[:, :, 1] = codes[:, :, 1]
    y = p.op("Conv", [x, p.dq(np.ascontiguousarray(codes[:, :, 1:2]), p.scales, np.zeros(5, np.int8), axis=0), p.bias()], pads=[0, 1, 0, 1])
    y = p.op("Squeeze", [y, p.constant(np.array([2], np.int64))])
    flat = np.pad(quantize(kept, SX, ZX).astype(np.int64).reshape(1, 4, 42) - int(ZX), [(0, 0), (0, 0), (1, 1)])
    acc = sum(np.einsum("ncw,mc->nmw", flat[:, :, k:k + 42], codes[:, :, 1, k].astype(np.int64)) for k in range(3))
    v = np.rint(F(acc + p.whole.reshape(-1, 1)) * F(F(SX * p.scales) / SY).reshape(-1, 1)).astype(np.int64) + int(ZY)
    return p.finish(y, want=np.clip(v, 0, 255).astype(np.uint8))


def two_readers(p):
    """The result's Q feeds two DQ, of which one comes back to it"""
    q = p.q(p.product(), SY, ZY)
    q.data = p.want()
    a, b = p.dq(q, SY, ZY), p.dq(q, SY, ZY)
    y = p.op("Add", [p.op("Relu", [a]), b])
    real = dequantize(q.data, SY, ZY)
    back = p.q(y, SY, ZY)
    back.data = quantize(np.maximum(real, 0) + real, SY, ZY)
    p.output(q)
    p.output(back)
    return p


# ---- products ----
def matmul_of_transposed(p):
    """PyTorch's exporters: weights [out, in] turned behind DQ, MatMul, Add"""
    if p.kind != "gemm":
        return None
    w_ = p.op("Transpose", [p.weights()], perm=[1, 0])
    return p.finish(p.op("MatMul", [p.activation(), w_]), bias=False)


def batched_matmul(p):
    if p.kind != "gemm":
        return None
    x = p.op("Unsqueeze", [p.activation(), p.constant(np.array([0], np.int64))])
    w_ = p.dq(np.ascontiguousarray(p.codes.T)[None], p.scales, np.zeros(5, np.int8), axis=2)
    return p.finish(p.op("MatMul", [x, w_]), want=p.want(False)[None])


# ---- other ways to write them ----
def microsoft_domain(p):
    """Q and DQ of com.microsoft"""
    d = "com.microsoft"
    x = p.dq(p.q(p.x, SX, ZX, domain=d), SX, ZX, domain=d)
    q = p.q(p.product(x, p.dq(p.codes, p.scales, np.zeros(5, np.int8), axis=0, domain=d)), SY, ZY, domain=d)
    q.data = p.want()
    p.output(q)
    return p


def qlinear(p):
    """QLinearConv, QGemm"""
    c, z = p.constant, np.zeros(5, np.int8)
    first = [p.q(p.x, SX, ZX), c(SX), c(ZX)]
    if p.kind == "conv":
        y = p.op("QLinearConv", first + [c(p.codes), c(p.scales), c(z), c(SY), c(ZY), c(p.whole)], pads=[1, 1, 1, 1])
    else:
        y = p.op("QGemm", first + [c(p.codes), c(p.scales), c(z), c(p.whole), c(SY), c(ZY)], domain="com.microsoft", transB=1)
    y.data = p.want()
    p.output(y)
    return p


def halves(p, cast=False):
    """A model in float16: scales and all that is between them; or (TensorRT's quantizer) Q and DQ in float32 between Casts. Sums are whole, and not
    rounded to halves in front of Q."""
    sx, sy, scales = (F(np.float16(v)) for v in (SX, SY, p.scales))
    put = p.constant if cast else p.half
    x = p.op("Cast", [p.x], to=10)
    codes = quantize(F(np.float16(p.x.data)), sx, ZX)
    if cast:
        x = p.op("Cast", [x], to=1)
    else:  # the first Q divides in halves, in a loop of its own: numbers that no rounding can move
        p.shown = p.shown[:1]
        p.feed[0] = p.x.data = F((codes.astype(int) - int(ZX)) * sx)
    x, w_ = p.dq(p.q(x, put(sx), ZX), put(sx), ZX), p.dq(p.codes, put(scales), np.zeros(5, np.int8), axis=0)
    if cast:
        x, w_ = p.op("Cast", [x], to=10), p.op("Cast", [w_], to=10)
    bias = F(np.float16(p.rng.standard_normal(5)))
    y = p.op("Clip", [p.product(x, w_, p.half(bias)), p.half(0), None])
    q = p.q(p.op("Cast", [y], to=1) if cast else y, put(sy), ZY)
    p.x.data = dequantize(codes, SX, ZX)
    total = F(p.acc() + np.rint(bias / F(sx * scales)).reshape(p.up))
    v = np.rint(total * F(F(sx * scales) / sy).reshape(p.up)).astype(np.int64) + int(ZY)
    q.data = np.clip(v, int(ZY), 255).astype(np.uint8)
    p.output(q)
    return p


def halves_between_casts(p):
    return halves(p, True)


def four_bit_weights(p):
    """Weights of 4 bits, one scale a channel: bytes for the integer kernels"""
    p.codes = (p.codes >> 4).astype(np.int8)
    t = Tensor(p.name(), None)
    flat = np.append(p.codes.reshape(-1), np.zeros(p.codes.size % 2, np.int8)).astype(np.int64) & 15
    p.constants.append(w.tensor(t.name, 22, p.codes.shape, (flat[::2] | flat[1::2] << 4).astype(np.uint8).tobytes()))
    return p.finish(p.product(weights=p.dq(t, p.scales, axis=0)))


# ---- ONNX Runtime's own products ----
def nibbles(codes, bits):
    """Rows of codes as bytes, low bits first, each row by itself"""
    each = 8 // bits
    codes = np.pad(codes, [(0, 0), (0, -codes.shape[1] % each)]).astype(np.int64)
    return sum(codes[:, i::each] << bits * i for i in range(each)).astype(np.uint8)


def narrow(bits, size, inner, zeros, biased=False, order=False, half=False):
    """MatMulNBits, as ONNX Runtime's and Olive's 4-bit quantizers write it: one product, which keeps its weights packed"""
    def form(p):
        if p.kind != "gemm":
            return None
        rng, rows, blocks = p.rng, 24, -(-inner // size)
        codes, scales = rng.integers(0, 1 << bits, (rows, blocks * size)), F(rng.uniform(0.01, 0.1, (rows, blocks)) * rng.choice([-1, 1], (rows, blocks)))
        scales = F(np.float16(scales))
        zero = {"absent": np.full((rows, blocks), 1 << bits - 1), "packed": rng.integers(0, 1 << bits, (rows, blocks)),
                "floats": F(np.float16(rng.uniform(0, 1 << bits, (rows, blocks))))}[zeros]
        put = (lambda v: p.half(v)) if half else p.constant
        p.inputs[0], p.feed[0] = w.value(p.x.name, w.FLOAT, (2, inner)), F(np.float16(rng.standard_normal((2, inner))))
        of = rng.integers(0, blocks, inner).astype(np.int32) if order else np.arange(inner) // size
        bias = F(np.float16(rng.standard_normal(rows)))
        ins = [p.op("Cast", [p.x], to=10) if half else p.x, p.constant(nibbles(codes, bits).reshape(rows, blocks, -1)), put(scales.reshape(-1))]
        ins.append(None if zeros == "absent" else put(zero) if zeros == "floats" else p.constant(nibbles(zero, bits).reshape(-1)))
        ins += [p.constant(of) if order else None, put(bias) if biased else None]
        y = p.op("MatMulNBits", ins, domain="com.microsoft", K=inner, N=rows, bits=bits, block_size=size)
        y = p.op("Cast", [y], to=1) if half else y
        real = (codes[:, :inner] - zero[:, of]) * scales[:, of].astype(np.float64)
        y.data = F(p.feed[0].astype(np.float64) @ real.T + (bias if biased else 0))
        p.close = (1e-3 if half else 4e-6) * float(np.abs(real).sum(1).max())
        p.reaches, p.shown = (["MatMul"], REFERENCE) if zeros == "floats" or order else (["mcc.NarrowMatMul"], ["--dump-after=lower_narrow"])
        p.output(y)
        return p

    form.__name__ = "_".join(str(v) for v in ("narrow", bits, size, inner, zeros, *["bias"] * biased, *["order"] * order, *["half"] * half))
    return form


def dynamic_parts(p):
    """(integers, scale, zero point) of x by its own range"""
    x = p.x.data
    lo, hi = min(F(0), x.min()), max(F(0), x.max())
    s = F(F(hi - lo) / F(255))
    z = np.uint8(np.clip(np.rint(F(0 - lo) / s), 0, 255))
    return quantize(x, s, z), s, z


def dynamic_product(p, to_float=False):
    """DynamicQuantizeMatMul, or MatMulIntegerToFloat behind DynamicQuantizeLinear"""
    if p.kind != "gemm":
        return None
    codes, s, z = dynamic_parts(p)
    bias = p.constant(F(p.rng.standard_normal(5)))
    zero = np.array([3, -1, 0, 7, -5], np.int8)
    w_, scales, zeros = p.constant(np.ascontiguousarray(p.codes.T)), p.constant(p.scales), p.constant(zero)
    if to_float:
        q = p.node("DynamicQuantizeLinear", [p.x], None, more=2)
        y = p.op("MatMulIntegerToFloat", [q[0], w_, q[1], scales, q[2], zeros, bias], domain="com.microsoft")
    else:
        y = p.op("DynamicQuantizeMatMul", [p.x, w_, scales, zeros, bias], domain="com.microsoft")
    acc = (codes.astype(np.int64) - int(z)) @ (p.codes.T.astype(np.int64) - zero)
    y.data, p.shown = F(acc) * F(s * p.scales) + bias.data, REFERENCE
    p.output(y)
    return p


def product_to_float(p):
    return dynamic_product(p, True)


def recurrent(p):
    """DynamicQuantizeLSTM: the bits of the LSTM of the same weights as floats"""
    if p.kind != "gemm":
        return None
    rng, hidden, wide = p.rng, 8, 6
    p.inputs[0], p.feed[0] = w.value(p.x.name, w.FLOAT, (4, 2, wide)), F(rng.standard_normal((4, 2, wide)))
    w_, r = (rng.integers(-127, 128, (2, n, 4 * hidden)).astype(np.int8) for n in (wide, hidden))
    sw, sr = F(rng.uniform(0.001, 0.01, (2, 4 * hidden))), F(rng.uniform(0.001, 0.01, 2))
    zw, zr = rng.integers(-3, 4, (2, 4 * hidden)).astype(np.int8), rng.integers(-3, 4, 2).astype(np.int8)
    b, c = F(rng.standard_normal((2, 8 * hidden))), p.constant
    y = p.op("DynamicQuantizeLSTM", [p.x, c(w_), c(r), c(b), None, None, None, None, c(sw), c(zw), c(sr), c(zr)], domain="com.microsoft",
             hidden_size=hidden, direction="bidirectional")
    twin = Net(np.random.default_rng(1))
    x = twin.input(p.feed[0])
    real = [((v.astype(F) - F(z)) * s).transpose(0, 2, 1).copy() for v, z, s in
            ((w_, zw[:, None], sw[:, None]), (r, zr[:, None, None], sr[:, None, None]))]
    t = twin.node("LSTM", [x, twin.constant(real[0]), twin.constant(real[1]), twin.constant(b)], None, hidden_size=hidden, direction="bidirectional")
    t.data = np.zeros((4, 2, 2, hidden), F)
    twin.output(t)
    y.data, p.twin, p.reaches, p.shown = t.data, twin, ["LSTM"], REFERENCE
    p.output(y)
    return p


def where(p):
    """QLinearWhere"""
    x, s, z = quantize(p.x.data, SX, ZX), F(0.05), np.uint8(7)
    pick = p.rng.random(x.shape) < 0.5
    other = p.rng.integers(0, 256, x.shape).astype(np.uint8)
    flag = Tensor(p.name(), None)
    p.constants.append(w.tensor(flag.name, w.BOOL, pick.shape, pick.tobytes()))
    c = p.constant
    y = p.op("QLinearWhere", [flag, p.q(p.x, SX, ZX), c(SX), c(ZX), c(other), c(s), c(z), c(SY), c(ZY)], domain="com.microsoft")
    y.data = quantize(np.where(pick, dequantize(x, SX, ZX), dequantize(other, s, z)), SY, ZY)
    p.reaches, p.shown = ["Where"], REFERENCE
    p.output(y)
    return p


def reduce_mean(p):
    """QLinearReduceMean: a mean of whole numbers"""
    x, c = quantize(p.x.data, SX, ZX), p.constant
    y = p.op("QLinearReduceMean", [p.q(p.x, SX, ZX), c(SX), c(ZX), c(SY), c(ZY)], domain="com.microsoft", axes=[-1], keepdims=0)
    y.data = quantize(F((x.astype(np.int64) - int(ZX)).mean(-1)) * SX, SY, ZY)
    p.reaches, p.shown = ["ReduceMean"], REFERENCE
    p.output(y)
    return p


FORMS = [plain, without_bias, float_weights, negative_axis, weights_without_zero, clipped_weights, unsigned_weights, one_scale, scale_in_list,
         turned_weights, turned_float_weights, reshaped_weights, split_axis_weights, shared_weights, cast_weights, computed_scales, zero_absent,
         zero_absent_dtype, opset_23, opset_10, half_range, clipped_before, float_bias, bias_of_other_scale, bias_of_bytes, bias_under_q, bias_added,
         bias_added_quantized, relu_behind, relu6_behind, relu_and_relu6, relu_quantized_again, no_q_behind, norm_behind, channels_last,
         one_dimension, two_readers, matmul_of_transposed, batched_matmul, microsoft_domain, qlinear, halves, halves_between_casts, four_bit_weights,
         narrow(4, 32, 128, "absent"), narrow(4, 16, 80, "packed"), narrow(4, 64, 100, "packed", biased=True), narrow(8, 32, 64, "packed"),
         narrow(2, 32, 96, "packed"), narrow(2, 16, 48, "absent", biased=True), narrow(4, 32, 64, "floats"), narrow(4, 32, 96, "packed", order=True),
         narrow(4, 32, 96, "floats", order=True), narrow(4, 32, 128, "packed", biased=True, half=True), dynamic_product, product_to_float, recurrent,
         where, reduce_mean]


def mcc(*options):
    done = subprocess.run([MCC, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout + done.stderr


def compiled(net, path, *options):
    with open(path + ".onnx", "wb") as f:
        f.write(net.model())
    mcc(path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m", *options)
    results = Model(path + ".so", "m").check(net.feed)
    os.remove(path + ".so")
    return results


def check_kernels(p, path):
    """The operators that are wanted are there, and no product is left as floats."""
    graph = mcc(path + ".onnx", *p.shown, *([] if p.shown is REFERENCE else ["-o", path + ".o"]))
    has = lambda op: " = %s(" % op in graph
    assert any(has(op) for op in p.reaches), "none of %s in\n%s" % (p.reaches, graph)
    assert not any(has(op) for op in ("Conv", "Gemm", "MatMul") if op not in p.reaches), graph


def check(p, folder, name):
    path = os.path.join(folder, name)
    for options in (["-mcpu=native"] if len(name) % 2 else [], ["-O0"]):
        wanted = compiled(p.twin, path + "_twin", *options) if p.twin else [t.data for t in p.outputs]
        for got, want in zip(compiled(p, path, *options), wanted):
            assert got.dtype == want.dtype and got.shape == want.shape, (options, got.dtype, got.shape, want.shape)
            apart = np.abs(got.astype(np.float64) - want.astype(np.float64))
            wrong = int((apart > p.close).sum())
            assert wrong <= p.steps * got.size and (wrong == 0 or apart.max() <= 1), (options, wrong, got.size, apart.max(), p.close)
    check_kernels(p, path)


def main():
    seed, failed, count = int(os.environ.get("MCC_TEST_SEED", "1")), [], 0
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            for kind in ("conv", "gemm"):
                if sys.argv[1:] and form.__name__ not in sys.argv[1:]:
                    continue
                p = form(Problem(seed, kind))
                if p is None:
                    continue
                count += 1
                try:
                    check(p, folder, form.__name__ + "_" + kind)
                except (AssertionError, RuntimeError, subprocess.CalledProcessError) as e:
                    failed.append(form.__name__ + " " + kind)
                    print("FAILED %s: %s" % (failed[-1], e))
    print("%d of %d forms are computed on integers with the definition's bits" % (count - len(failed), count), *failed, sep="\n  ")
    return bool(failed)


sys.exit(main())
