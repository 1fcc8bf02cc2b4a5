"""Quantized models with random sizes, scales and zero points: what mcc emits has the bits of the definition (qdqnet.py) at
every level of optimisation that keeps it, and agrees with ONNX Runtime where that is installed.

$MCC_TEST_SEED, $MCC_TEST_COUNT (40)"""
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
import peer
from model import Model
from qdqnet import F, Net, dequantize, quantize

MCC = os.environ["MCC"]
NARROW = [np.uint8, np.int8, np.uint16, np.int16]


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


def random_scale(rng, shape=()):
    """Now and then a power of two: such scales make ties."""
    if rng.random() < 0.4:
        return F(2.0 ** rng.integers(-6, -1, shape))
    return F(np.exp(rng.uniform(-6, 0, shape)))


def random_zero(rng, dtype):
    info = np.iinfo(dtype)
    return dtype(pick(rng, [0, info.min, info.max, int(rng.integers(info.min, info.max + 1))]))


def random_numbers(rng, shape, scale):
    """Multiples of half a scale, which are ties, or anything; some not finite."""
    x = F(rng.standard_normal(shape) * 20 * scale)
    if rng.random() < 0.5:
        x = F(rng.integers(-600, 600, shape) * F(scale) / 2)
    if x.size > 4 and rng.random() < 0.5:
        x.flat[:4] = np.nan, np.inf, -np.inf, -0.0
    return x


def elementwise(rng):
    """Q and DQ of every dtype among elementwise operators, one scale or one an index of an axis."""
    net = Net(rng)
    shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 5)))
    dtype, axis = pick(rng, NARROW), int(rng.integers(len(shape)))
    many = (shape[axis],) if rng.random() < 0.3 else ()
    s = random_scale(rng, many)
    z = np.array([random_zero(rng, dtype) for _ in range(many[0])], dtype) if many else random_zero(rng, dtype)
    x = net.input(random_numbers(rng, shape, F(np.mean(s))))
    if rng.random() < 0.3:
        x = net.node("Neg", [x], -x.data)
    q = net.quantize(x, s, z, axis)
    if rng.random() < 0.3:
        net.output(q)
    y = net.dequantize(q, s, z, axis)
    if rng.random() < 0.7:
        t, u = random_scale(rng), random_zero(rng, np.uint8)
        other = net.input(rng.integers(0, 256, shape, np.uint8))
        y = net.node("Add", [y, b := net.dequantize(other, t, u)], y.data + b.data)
        y = net.node("Relu", [y], np.where(y.data < 0, F(0), y.data))
        y = net.quantize(y, F(2 * t), u)
        if rng.random() < 0.5:
            y = net.dequantize(y, random_scale(rng), u)
    net.output(y)
    return net, None


def wide(rng):
    """int32 in and out of the integers: DQ with a zero point, Q of whole numbers."""
    net = Net(rng)
    x = net.input(rng.integers(-2**31, 2**31, (3, 17), np.int32))
    y = net.dequantize(x, random_scale(rng), np.int32(rng.integers(-2**31, 2**31)))
    net.output(y)
    return net, None


# ---- contractions ----


def whole(t):
    """The integers under a DQ, less their zero points."""
    return t.codes.astype(np.int64) - np.asarray(t.zero).astype(np.int64)


def input_codes(net, rng, shape, dtype):
    info = np.iinfo(dtype)
    q = net.input(rng.integers(info.min, info.max + 1, shape).astype(dtype))
    s, z = random_scale(rng), random_zero(rng, dtype)
    x = net.dequantize(q, s, z)
    x.codes, x.scale, x.zero = q.data, s, z
    return x


def conv_sums(x, w, strides, pads, dilations, group):
    """Cross-correlation of whole numbers, NCHW."""
    x = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[i + 2]) for i in range(2)])
    kh, kw = w.shape[2:]
    oh, ow = ((x.shape[2 + i] - dilations[i] * (w.shape[2 + i] - 1) - 1) // strides[i] + 1 for i in range(2))
    y = np.zeros((x.shape[0], w.shape[0], oh, ow), np.int64)
    cin, cout = w.shape[1], w.shape[0] // group
    for g in range(group):
        for r in range(kh):
            for c in range(kw):
                at = [slice(dilations[i] * k, dilations[i] * k + (n - 1) * strides[i] + 1, strides[i])
                      for i, (k, n) in enumerate(((r, oh), (c, ow)))]
                part = x[:, g * cin:(g + 1) * cin, at[0], at[1]]
                y[:, g * cout:(g + 1) * cout] += np.einsum("nchw,mc->nmhw", part, w[g * cout:(g + 1) * cout, :, r, c])
    return y


def finish(net, rng, y, acc, step, spatial, bias):
    """What stands behind a contraction: maybe Relu or Clip, and mostly Q; the numbers by the definition. acc is without the
    bias, which is whole steps, and floats that are added where no Q follows, or None."""
    wide = lambda v: np.reshape(v, (-1,) + (1,) * spatial) if np.ndim(v) else v
    limits, chain = (-np.inf, np.inf), y
    kind = rng.random()
    steps, floats = bias
    total = acc + wide(steps)
    chain.data = F(total) * wide(step) if floats is None else F(acc) * wide(step) + wide(floats)
    room = float(np.abs(chain.data).max()) + 1e-3
    if kind < 0.3:
        chain, limits = net.node("Relu", [chain], np.maximum(chain.data, 0)), (0, np.inf)
    elif kind < 0.5:
        limits = (F(-room / 3), F(room / 4))
        chain = net.node("Clip", [chain, net.constant(F(limits[0])), net.constant(F(limits[1]))], np.clip(chain.data, *limits))
    if rng.random() < 0.15:
        net.output(chain)
        return
    dtype = pick(rng, [np.uint8, np.int8])
    sy, zy = F(room / pick(rng, [100, 128, 255, 300])), random_zero(rng, dtype)
    q = net.quantize(chain, sy, zy)
    info = np.iinfo(dtype)
    ends = [quantize(F([v]), sy, zy)[0] if np.isfinite(v) else e for v, e in zip(limits, (info.min, info.max))]
    v = np.rint(F(total) * wide(F(step / sy))).astype(np.float64) + int(zy)
    q.data = np.clip(v, *[int(e) for e in ends]).astype(dtype)
    if rng.random() < 0.3:
        q = net.node("Transpose", [q], q.data.transpose(*reversed(range(q.data.ndim))), perm=list(reversed(range(q.data.ndim))))
    if rng.random() < 0.3:
        q = net.dequantize(q, sy, zy)
    net.output(q)


def product_scales(rng, channels):
    many = rng.random() < 0.6
    return random_scale(rng, (channels,) if many else ())


def product_bias(net, rng, channels, step, kind):
    """None; whole steps under a DQ of int32; or floats, of which only whole steps count."""
    whole_bias = rng.integers(-3000, 3000, channels).astype(np.int32)
    many = np.broadcast_to(step, (channels,)).astype(F)
    if kind == "none":
        return None, (np.zeros(channels, np.int64), None)
    if kind == "whole":
        return net.dequantize(net.constant(whole_bias), many, np.zeros(channels, np.int32), 0), (whole_bias.astype(np.int64), None)
    numbers = F(rng.standard_normal(channels) * 500 * many)
    return net.constant(numbers), (np.rint(numbers / many).astype(np.int64), numbers)


def weight_zero(rng, scales, dtype):
    if dtype == np.int8 and rng.random() < 0.7:
        return np.zeros(np.shape(scales), dtype)
    if np.shape(scales) and rng.random() < 0.3:
        return np.array([random_zero(rng, dtype) for _ in range(len(scales))], dtype)
    return np.full(np.shape(scales), random_zero(rng, dtype), dtype)


def conv(rng):
    net = Net(rng)
    group = int(pick(rng, [1, 1, 1, 2, 4]))
    cin, cout = group * int(rng.integers(1, 9)), group * int(rng.integers(1, 9))
    if rng.random() < 0.2:
        group, cout = cin, cin
    kernel, dilations = [int(k) for k in rng.integers(1, 4, 2)], [int(d) for d in rng.integers(1, 3, 2)]
    strides, pads = [int(s) for s in rng.integers(1, 3, 2)], [int(p) for p in rng.integers(0, 3, 4)]
    x = input_codes(net, rng, (int(rng.integers(1, 3)), cin, 9, 11), pick(rng, [np.uint8, np.int8]))
    scales, dtype = product_scales(rng, cout), pick(rng, [np.int8, np.int8, np.uint8])
    w = net.weights((cout, cin // group, *kernel), 0, scales, dtype, weight_zero(rng, scales, dtype))
    step = F(x.scale * F(w.scale))
    bias, b = product_bias(net, rng, cout, step, pick(rng, ["none", "whole", "floats"]))
    zw = whole(w) if w.zero.ndim == 0 else w.codes.astype(np.int64) - w.zero.astype(np.int64).reshape(-1, 1, 1, 1)
    acc = conv_sums(whole(x), zw, strides, pads, dilations, group)
    y = net.node("Conv", [x, w] + [bias] * (bias is not None), None, strides=strides, pads=pads, dilations=dilations,
                 group=group, kernel_shape=kernel)
    finish(net, rng, y, acc, step, 2, b)
    return net, 0


def transposed(rng):
    """ConvTranspose, whose phases are channels of a convolution on the integers."""
    net = Net(rng)
    group, (kh, kw), dilations = int(rng.integers(1, 3)), rng.integers(1, 5, 2), rng.integers(1, 3, 2)
    cin, cout, stride = group * int(rng.integers(1, 10)), int(rng.integers(1, 9)), int(rng.integers(1, 4))
    x = input_codes(net, rng, (1, cin, 5, 6), pick(rng, [np.uint8, np.int8]))
    scales, dtype = product_scales(rng, cout), pick(rng, [np.int8, np.int8, np.uint8])
    wt = net.weights((cin, cout, kh, kw), 1, scales, dtype, weight_zero(rng, scales, dtype))
    zw = whole(wt) if wt.zero.ndim == 0 else wt.codes.astype(np.int64) - wt.zero.astype(np.int64).reshape(1, -1, 1, 1)
    reach = [4 * stride + int(dilations[0]) * (int(kh) - 1) + 1, 5 * stride + int(dilations[1]) * (int(kw) - 1) + 1]
    acc = np.zeros((1, group * cout, *reach), np.int64)
    for g in range(group):
        own, of = slice(g * cin // group, (g + 1) * cin // group), slice(g * cout, (g + 1) * cout)
        for r in range(kh):
            for c in range(kw):
                top, left = r * int(dilations[0]), c * int(dilations[1])
                part = np.einsum("nchw,cm->nmhw", whole(x)[:, own], zw[own, :, r, c])
                acc[:, of, top:top + 4 * stride + 1:stride, left:left + 5 * stride + 1:stride] += part
    pads = [int(rng.integers(0, min(3, n))) for n in reach * 2]
    acc = acc[:, :, pads[0]:reach[0] - pads[2], pads[1]:reach[1] - pads[3]]
    step = np.tile(F(x.scale * F(wt.scale)), group) if wt.scale.ndim else F(x.scale * F(wt.scale))
    bias, b = product_bias(net, rng, group * cout, step, pick(rng, ["none", "whole", "floats"]))
    y = net.node("ConvTranspose", [x, wt] + [bias] * (bias is not None), None, strides=[stride] * 2, kernel_shape=[int(kh), int(kw)],
                 dilations=[int(d) for d in dilations], pads=pads, group=group)
    finish(net, rng, y, acc, step, 2, b)
    return net, 0.01


def two_activations(rng):
    """A product of which neither side is known; long ones do not fit float32."""
    net = Net(rng)
    rows, columns = (int(n) for n in rng.integers(1, 20, 2))
    depth = int(pick(rng, [3, 64, 200, 600]))
    a = input_codes(net, rng, (2, rows, depth), pick(rng, [np.uint8, np.int8]))
    b = input_codes(net, rng, (2, depth, columns), pick(rng, [np.uint8, np.int8]))
    y = net.node("MatMul", [a, b], None)
    finish(net, rng, y, whole(a) @ whole(b), F(a.scale * b.scale), 0, (np.int64(0), None))
    return net, 0


def matmul(rng):
    net = Net(rng)
    rows, depth, columns = (int(n) for n in rng.integers(1, 40, 3))
    gemm, trans_b = rng.random() < 0.5, rng.random() < 0.5
    batch = () if gemm else tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 3)))
    trans_a = gemm and rng.random() < 0.2
    x = input_codes(net, rng, (depth, rows) if trans_a else (*batch, rows, depth), pick(rng, [np.uint8, np.int8]))
    scales, dtype = product_scales(rng, columns), pick(rng, [np.int8, np.int8, np.uint8])
    zero, axis = weight_zero(rng, scales, dtype), 0 if trans_b else 1
    w = net.weights((columns, depth) if trans_b else (depth, columns), axis, scales, dtype, zero)
    zw = w.codes.astype(np.int64) - (zero.astype(np.int64).reshape((-1, 1) if trans_b else (1, -1)) if zero.ndim else int(zero))
    a, zw = whole(x).T if trans_a else whole(x), zw.T if trans_b else zw
    step, attrs = F(x.scale * F(w.scale)), {}
    if not gemm and trans_b:
        w = net.node("Transpose", [w], None, perm=[1, 0])
    bias, b = product_bias(net, rng, columns, step, pick(rng, ["none", "whole", "floats"]) if gemm else "none")
    if gemm:
        attrs = {"transA": int(trans_a), "transB": int(trans_b)}
    acc = a @ zw
    y = net.node("Gemm" if gemm else "MatMul", [x, w] + [bias] * (bias is not None), None, **attrs)
    finish(net, rng, y, acc, step, 0, b)
    return net, 0


# ---- what is between DQ and Q in float32, or moves ----


def two_inputs(net, rng, shape):
    return [input_codes(net, rng, shape, pick(rng, [np.uint8, np.int8])) for _ in range(2)]


def requantize(net, rng, x):
    dtype = pick(rng, [np.uint8, np.int8])
    room = float(np.abs(x.data).max()) + 1e-3
    net.output(net.quantize(x, F(room / pick(rng, [100, 127, 255])), random_zero(rng, dtype)))


def arithmetic(rng):
    net = Net(rng)
    shape = tuple(int(n) for n in rng.integers(4, 20, 3))
    a, b = two_inputs(net, rng, shape)
    op = pick(rng, ["Add", "Mul"])
    y = net.node(op, [a, b], a.data + b.data if op == "Add" else a.data * b.data)
    if rng.random() < 0.3:
        y = net.node("Relu", [y], np.maximum(y.data, 0))
    requantize(net, rng, y)
    return net, 0.001


def activation(rng):
    """Not to the last bit: exponentials differ."""
    net = Net(rng)
    x = input_codes(net, rng, (3, 50, 10), pick(rng, [np.uint8, np.int8]))
    v = x.data.astype(np.float64)
    with np.errstate(over="ignore"):
        made = {"Sigmoid": 1 / (1 + np.exp(-v)), "Tanh": np.tanh(v), "LeakyRelu": np.where(v < 0, F(0.01) * x.data, v),
                "HardSwish": v * np.clip(v / 6 + 0.5, 0, 1), "HardSigmoid": np.clip(F(0.2) * v + 0.5, 0, 1)}
    op = pick(rng, list(made))
    requantize(net, rng, net.node(op, [x], F(made[op])))
    net.steps = 0.001
    return net, 0.001


def mean(rng):
    """Not to the last bit: the order of sums is not fixed."""
    net = Net(rng)
    x = input_codes(net, rng, (2, 300, 7, 7), pick(rng, [np.uint8, np.int8]))
    if rng.random() < 0.5:
        y = net.node("GlobalAveragePool", [x], F(x.data.astype(np.float64).mean((2, 3), keepdims=True)))
    else:
        v = x.data.astype(np.float64)
        y = F((v[:, :, :6:2, :6:2] + v[:, :, 1::2, :6:2] + v[:, :, :6:2, 1::2] + v[:, :, 1::2, 1::2]) / 4)
        y = net.node("AveragePool", [x], y, kernel_shape=[2, 2], strides=[2, 2])
    requantize(net, rng, y)
    net.steps = 0.004
    return net, 0.004


def movement(rng):
    """Concat of other scales, and a few operators that move or select, with their own Q and DQ or none."""
    net = Net(rng)
    x, other = two_inputs(net, rng, (2, 4, 6, 8))
    for _ in range(int(rng.integers(1, 5))):
        op, d = pick(rng, ["Transpose", "Slice", "MaxPool", "Pad", "Concat", "Relu", "Clip", "Resize", "Gather"]), x.data
        if op == "Transpose":
            x = net.node(op, [x], d.transpose(0, 1, 3, 2), perm=[0, 1, 3, 2])
        elif op == "Slice":
            ends = [net.constant(np.array(v, np.int64)) for v in ([1], [1000], [3])]
            x = net.node(op, [x, *ends], d[:, :, :, 1:])
        elif op == "MaxPool":
            wide = np.pad(d, [(0, 0), (0, 0), (0, 1), (0, 0)], constant_values=-np.inf)
            x = net.node(op, [x], np.maximum(wide[:, :, :-1], wide[:, :, 1:]), kernel_shape=[2, 1], pads=[0, 0, 1, 0])
        elif op == "Pad":
            x = net.node(op, [x, net.constant(np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64))], np.pad(d, [(0, 0), (0, 0), (1, 0), (0, 2)]))
        elif op == "Concat" and other.data.shape == d.shape:
            x = net.node(op, [x, other], np.concatenate([d, other.data], 1), axis=1)
        elif op == "Relu":
            x = net.node(op, [x], np.maximum(d, 0))
        elif op == "Clip":
            lo, hi = F(0), F(rng.uniform(0, 20))
            x = net.node(op, [x, net.constant(lo), net.constant(hi)], np.clip(d, lo, hi))
        elif op == "Resize":
            scales = net.constant(F([1, 1, 2, 1]))
            x = net.node(op, [x, None, scales], d.repeat(2, 2), mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")
        elif op == "Gather":
            at = rng.integers(0, d.shape[1], 3)
            x = net.node(op, [x, net.constant(at.astype(np.int64))], d[:, at], axis=1)
    requantize(net, rng, x)
    return net, 0.001


def qlinear(rng):
    """Operators on integers: the standard's, and those that ONNX Runtime's quantizer writes."""
    net = Net(rng)
    op = pick(rng, ["Conv", "MatMul", "Gemm", "Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "GlobalAveragePool", "Softmax"])
    dtype, shape = pick(rng, [np.uint8, np.int8]), (2, 8, 5, 6)

    def operand():
        info = np.iinfo(dtype)
        q, s, z = rng.integers(info.min, info.max + 1, shape).astype(dtype), random_scale(rng), random_zero(rng, dtype)
        return [net.input(q), net.constant(s), net.constant(z)], dequantize(q, s, z)

    if op in ("Conv", "MatMul", "Gemm"):
        return qlinear_product(net, rng, op, dtype)
    net.steps = 0 if op in ("Add", "Mul", "Concat") else 0.004
    x, a = operand()
    v = a.astype(np.float64)
    if op in ("Add", "Mul", "Concat"):
        other, b = operand()
        y = a + b if op == "Add" else a * b if op == "Mul" else np.concatenate([a, b], 1)
        x = x + other
    else:
        e = np.exp(v - v.max(-1, keepdims=True))
        y = F({"Sigmoid": 1 / (1 + np.exp(-v)), "LeakyRelu": np.where(v < 0, F(0.01) * a, v), "Softmax": e / e.sum(-1, keepdims=True),
               "GlobalAveragePool": v.mean((2, 3), keepdims=True)}[op])
    s, z = F((float(np.abs(y).max()) + 1e-3) / 127), random_zero(rng, dtype)
    if op == "Softmax":
        s, z = F(1 / 256), dtype(np.iinfo(dtype).min)
    out, data = [net.constant(s), net.constant(z)], quantize(y, s, z)
    attrs = {"Concat": {"axis": 1}, "Softmax": {"axis": -1, "opset": 13}, "LeakyRelu": {"alpha": 0.01}}.get(op, {})
    ins = out + x if op == "Concat" else x + out
    net.output(net.node("QLinear" + op, ins, data, domain="com.microsoft", **attrs))
    return net, 0.004


def qlinear_product(net, rng, op, dtype):
    sx, zx, sy, zy = random_scale(rng), random_zero(rng, dtype), random_scale(rng), random_zero(rng, dtype)
    info, channels = np.iinfo(dtype), int(rng.integers(1, 12))
    scales = product_scales(rng, channels) if op != "MatMul" else random_scale(rng)
    zeros = np.zeros(np.shape(scales) if rng.random() < 0.5 or op == "Gemm" else (), np.int8)
    x = rng.integers(info.min, info.max + 1, (2, 6, 7, 7) if op == "Conv" else (9, 14)).astype(dtype)
    w = rng.integers(-128, 128, (channels, 6, 3, 3) if op == "Conv" else (14, channels)).astype(np.int8)
    bias = rng.integers(-1000, 1000, channels).astype(np.int32) * (op != "MatMul")
    whole_x = x.astype(np.int64) - int(zx)
    if op == "Conv":
        acc, up = conv_sums(whole_x, w.astype(np.int64), [1, 1], [0] * 4, [1, 1], 1), (-1, 1, 1)
    else:
        acc, up = whole_x @ w.astype(np.int64), (-1,)
    sy = F(np.abs(acc).max() * np.max(F(sx * scales)) / 120)
    m = F(F(sx * scales) / sy)
    v = np.rint(F(acc + bias.reshape(up)) * (m.reshape(up) if m.ndim else m)).astype(np.int64) + int(zy)
    y, c = np.clip(v, info.min, info.max).astype(dtype), net.constant
    first = [net.input(x), c(sx), c(zx), c(w), c(F(scales)), c(zeros)]
    if op == "Gemm":
        net.output(net.node("QGemm", first + [c(bias), c(sy), c(zy)], y, domain="com.microsoft"))
    else:
        net.output(net.node("QLinear" + op, first + [c(sy), c(zy)] + [c(bias)] * (op == "Conv"), y))
    return net, 0


def dynamic(rng):
    """A product as ONNX Runtime's dynamic quantizer writes it."""
    net = Net(rng)
    rows, depth, columns = (int(n) for n in rng.integers(1, 70, 3))
    x = net.input(F(rng.standard_normal((rows, depth)) * 3 + rng.uniform(-2, 2)))
    lo, hi = min(F(0), x.data.min()), max(F(0), x.data.max())
    s = F(F(hi - lo) / F(255)) if hi > lo else F(1)
    z = np.uint8(np.clip(np.rint(F(0 - lo) / s), 0, 255))
    made = net.node("DynamicQuantizeLinear", [x], None, more=2)
    codes = quantize(x.data, s, z)
    scales = product_scales(rng, columns)
    weights = rng.integers(-127, 128, (depth, columns)).astype(np.int8)
    zero = np.int8(0) if rng.random() < 0.5 else np.int8(rng.integers(-5, 6))
    acc = ((codes.astype(np.int64) - int(z)) @ (weights.astype(np.int64) - int(zero))).astype(np.int32)
    y = net.node("MatMulInteger", [made[0], net.constant(weights), made[2], net.constant(zero)], acc)
    y = net.node("Cast", [y], F(acc), to=1)
    both = net.node("Mul", [made[1], net.constant(F(scales))], F(s * scales))
    y = net.node("Mul", [y, both], y.data * both.data)
    bias = net.constant(F(rng.standard_normal(columns)))
    net.output(net.node("Add", [y, bias], y.data + bias.data))
    return net, 0


def zero_points(rng):
    """Products of integers whose zero points are inputs, or far from what they belong to; also of two inputs."""
    net = Net(rng)
    number = lambda dtype, dims=(): rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, dims).astype(dtype)
    known = lambda data: (net.constant if rng.random() < 0.4 else net.input)(data)
    dtype, w_dtype = pick(rng, [np.uint8, np.int8]), pick(rng, [np.uint8, np.int8])
    cin, cout, group = int(rng.integers(1, 24)), int(rng.integers(1, 40)), 1
    zx = number(dtype)
    if rng.random() < 0.6:
        if rng.random() < 0.4:
            group = int(rng.integers(2, 9))
            cin, cout = pick(rng, [(group, group), (4 * group, 2 * group), (3 * group, group)])
        x, w_, zw = number(dtype, (2, cin, 7, 9)), number(w_dtype, (cout, cin // group, 3, 2)), number(w_dtype)
        pads, strides = [int(n) for n in rng.integers(0, 3, 4)], [int(n) for n in rng.integers(1, 3, 2)]
        acc = conv_sums(x.astype(np.int64) - int(zx), w_.astype(np.int64) - int(zw), strides, pads, [1, 1], group)
        y = net.node("ConvInteger", [net.input(x), net.constant(w_), known(zx), known(zw)], acc.astype(np.int32),
                     strides=strides, pads=pads, group=group)
        factor = (rng.random((cout, 1, 1)) + 0.5).astype(F)
    else:
        x, w_ = number(dtype, (2, 5, cin)), number(w_dtype, (cin, cout))
        zw = number(w_dtype, pick(rng, [(), (cout,)]))
        acc = (x.astype(np.int64) - int(zx)) @ (w_.astype(np.int64) - zw.astype(np.int64))
        w_ = net.input(w_) if zw.ndim == 0 and rng.random() < 0.3 else net.constant(w_)
        y = net.node("MatMulInteger", [net.input(x), w_, known(zx), known(zw)], acc.astype(np.int32))
        factor = (rng.random(cout) + 0.5).astype(F)
    net.output(y)
    wide = net.node("Cast", [y], F(y.data), to=1)
    net.output(net.node("Mul", [wide, net.constant(factor)], wide.data * factor))
    return net, None


def network(rng):
    """A small residual network: convolutions, one of them of each channel by itself, a sum, a mean, a classifier."""
    net = Net(rng)

    def convolved(x, channels, group, relu):
        scales = random_scale(rng, (channels,)) / 32
        w = net.weights((channels, x.codes.shape[1] // group, 3, 3), 0, scales)
        step = F(x.scale * w.scale)
        bias, (whole_bias, _) = product_bias(net, rng, channels, step, "whole")
        acc = conv_sums(whole(x), w.codes.astype(np.int64), [1, 1], [1, 1, 1, 1], [1, 1], group) + whole_bias.reshape(1, -1, 1, 1)
        y = net.node("Conv", [x, w, bias], F(acc) * step.reshape(-1, 1, 1), pads=[1, 1, 1, 1], group=group)
        y = net.node("Relu", [y], np.maximum(y.data, 0)) if relu else y
        scale, zero = F(np.abs(y.data).max() / (255 if relu else 127)), np.uint8(0 if relu else 128)
        q = net.quantize(y, scale, zero)
        v = np.rint(F(acc) * F(step / scale).reshape(-1, 1, 1)).astype(np.int64) + int(zero)
        q.data = np.clip(v, 0, 255).astype(np.uint8)
        net.output(q)
        made = net.dequantize(q)
        made.codes, made.scale, made.zero = q.data, scale, zero
        return made

    x = input_codes(net, rng, (1, 3, 10, 12), np.uint8)
    a = convolved(x, 8, 1, True)
    b = convolved(convolved(a, 8, 8, True), 8, 1, False)
    y = net.node("Add", [a, b], a.data + b.data)
    y = net.node("Relu", [y], np.maximum(y.data, 0))
    y = net.quantize(y, F(y.data.max() / 255), np.uint8(0))
    net.output(y)
    return net, 0.01


FORMS = [conv, matmul, elementwise, conv, matmul, wide, arithmetic, activation, mean, movement, movement, network,
         qlinear, qlinear, dynamic, transposed, two_activations, zero_points, zero_points]


def bits(a):
    return np.where(np.isnan(a), F(0), a).tobytes() if a.dtype == F else a.tobytes()


def compare(net, got, who, off_by_one=0.0, peer=False):
    """The same bits; whole numbers of which at most that part is one step off; a peer's floats within some roundings."""
    for g, t in zip(got, net.outputs):
        assert g.dtype == t.data.dtype and g.shape == t.data.shape, (who, g.dtype, g.shape, t.data.dtype, t.data.shape)
        if bits(g) == bits(t.data):
            continue
        apart = np.abs(g.astype(np.float64) - t.data.astype(np.float64))
        bad = np.nonzero(~(apart == 0))
        said = (who, t.name, len(bad[0]), g.size, g[bad][:4], t.data[bad][:4])
        if g.dtype == F and peer:
            assert apart.max() <= 2e-6 * np.abs(t.data).max(), said
        else:
            assert g.dtype != F and apart.max() <= 1 and len(bad[0]) <= max(1, off_by_one * g.size) * (off_by_one > 0), said


def emitted(net, folder, name, options):
    path = os.path.join(folder, name)
    with open(path + ".onnx", "wb") as f:
        f.write(net.model())
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m", *options], check=True)
    return Model(path + ".so", "m").check(net.feed)


def ort_library():
    try:
        return peer.onnxruntime()
    except SystemExit:
        return None


def residual_model(rng):
    """Three convolutions around a sum, each value quantized, read twice as integers and once as floats"""
    number = lambda name, v: w.tensor(name, w.FLOAT, (), np.float32(v).tobytes())
    constants, nodes = [number("s", 0.05), w.tensor("z", w.UINT8, (), b"\x03"), number("ws", 0.01)], []

    def quantized(x):
        nodes.append(w.node("QuantizeLinear", [x, "s", "z"], [x + "_q"]))
        nodes.append(w.node("DequantizeLinear", [x + "_q", "s", "z"], [x + "_d"]))
        return x + "_d"

    def convolved(x, y):
        constants.append(w.tensor(y + "_w", w.INT8, (32, 32, 1, 1), rng.integers(-127, 128, 1024).astype(np.int8).tobytes()))
        nodes.append(w.node("DequantizeLinear", [y + "_w", "ws"], [y + "_f"]))
        nodes.append(w.node("Conv", [x, y + "_f"], [y]))
        return quantized(y)

    first = convolved(quantized("x"), "a")
    second = convolved(first, "b")
    nodes.append(w.node("Add", [first, second], ["sum"]))
    nodes.append(w.node("Relu", ["sum"], ["r"]))
    convolved(quantized("r"), "y")
    nodes[-1:] = [w.node("DequantizeLinear", ["y_q", "s", "z"], ["out"])]
    dims = (1, 32, 9, 9)
    return w.model(w.graph(nodes, [w.value("x", w.FLOAT, dims)], [w.value("out", w.FLOAT, dims)], constants), version=13)


def check_fallback(folder):
    """What stays in float32 is named, with the reason; and may be made an error."""
    net = Net(np.random.default_rng(1))
    x = input_codes(net, net.rng, (4, 6), np.uint8)
    w_ = net.weights((6, 5), 1, F(0.5) + np.zeros(5, F))
    y = net.node("Gemm", [x, w_], None, alpha=2.0)
    y.data = np.zeros((4, 5), F)
    net.output(net.quantize(y, F(1), np.uint8(0)))
    path = os.path.join(folder, "fallback.onnx")
    with open(path, "wb") as f:
        f.write(net.model())
    for options, code, said in ([[], 0, True], [["-Wno-quant-fallback"], 0, False], [["-Werror=quant-fallback"], 1, True]):
        ran = subprocess.run([MCC, path, "-o", path + ".o", *options], capture_output=True, text=True)
        assert ran.returncode == code and ("alpha or beta is not 1" in ran.stderr) == said, (options, ran)
        assert not said or ("(Gemm-" in ran.stderr and y.name in ran.stderr), ran.stderr


def check_means(folder):
    """Means of integers are none of floats: not a word about them, unless their sums leave what float32 holds."""
    for size, said in ((7, False), (300, True)):
        net = Net(np.random.default_rng(1))
        x = input_codes(net, net.rng, (1, 2, size, size), np.uint8)
        y = net.node("GlobalAveragePool", [x], x.data.mean((2, 3), keepdims=True, dtype=F))
        net.output(net.quantize(y, F(0.5), np.uint8(3)))
        path = os.path.join(folder, "mean.onnx")
        with open(path, "wb") as f:
            f.write(net.model())
        ran = subprocess.run([MCC, path, "-o", path + ".o", "-Werror=quant-fallback"], capture_output=True, text=True)
        assert (ran.returncode == 1) == said == ("GlobalAveragePool has no form" in ran.stderr), (size, ran)


def check_traffic(folder):
    """What convolutions leave for others are integers, and a sum is part of the one before it."""
    path = os.path.join(folder, "residual.onnx")
    with open(path, "wb") as f:
        f.write(residual_model(np.random.default_rng(1)))
    graph = subprocess.run([MCC, path, "--emit=graph", "-mcpu=znver4"], check=True, capture_output=True, text=True).stdout
    made = [line for line in graph.splitlines() if line.startswith("  %") and "mcc.BlockConv(" in line]
    reads = [line.split("(")[1].split(")")[0] for line in made]
    assert len(made) == 3 and all(": uint8[" in line for line in made) and reads[1].count("%") == 2, graph


def peer_session(library, path):
    """None where it trips over a QuantizeLinear that it has added itself, which mixes int8 with uint8."""
    try:
        return peer.ort.Session(library, path)
    except RuntimeError as e:
        if "_q) Op (QuantizeLinear)" not in str(e):
            raise
    return None


def main():
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "40"))
    library, compared = ort_library(), 0
    with tempfile.TemporaryDirectory() as folder:
        check_traffic(folder)
        check_fallback(folder)
        check_means(folder)
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            form = FORMS[i % len(FORMS)]
            net, in_ort = form(rng)
            options = pick(rng, [[], ["-mcpu=native"], ["-mcpu=native"], ["-O0"]])
            what = "%s, seed %d, model %d, %s" % (form.__name__, seed, i, options)
            compare(net, emitted(net, folder, "m%d" % i, options), what, net.steps)
            session = library and in_ort is not None and peer_session(library, os.path.join(folder, "m%d.onnx" % i))
            if session:
                compare(net, session.run(net.feed), what + ", ONNX Runtime", in_ort, True)
                compared += 1
    print("seed %d: %d models agree with the definition, %d of them in ONNX Runtime too" % (seed, count, compared))


sys.exit(main())
