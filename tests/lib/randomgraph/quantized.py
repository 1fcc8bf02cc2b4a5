"""Steps on quantized numbers: Q and DQ of every type and form of scale, products between them, operators on integers. Most scales are powers of
two, so that products are exact as floats as well as in whole numbers and every right evaluation has the same bits; others are odd, where a
rounding more decides a tie: what they make may be one step off (err 1), and is only read by DQ."""
import math
import numpy as np
from .maker import NUMPY, PACKED, SMALL, Value, int_range
from .sums import geometry, listed, window

BYTES = ("u8", "i8")


def narrow_types(m):
    return BYTES if m.opset < 21 or m.chance(0.8) else ("u16", "i16")


def zero_of(m, dtype, shape=()):
    lo, hi = int_range(dtype)
    pick = lambda: m.one(0, 0, lo, hi, m.dice.randint(lo, hi), m.dice.randint(-3, 3) if lo < 0 else 128 if hi == 255 else 1)
    return m.constant(np.array([max(lo, min(hi, pick())) for _ in range(math.prod(shape))], NUMPY[dtype]).reshape(shape))


def power_near(x):
    return 2.0 ** round(math.log2(max(x, 2.0 ** -20)))


def scale_number(m, mag, dtype, odd):
    """A scale at which mag takes about the type's range, or more than that"""
    lo, hi = int_range(dtype)
    s = max(mag, SMALL) * m.one(0.7, 1, 1, 2) / ((hi - lo) / 2)
    return s if odd else power_near(s)


def as_scale(m, v):
    """A constant, now and then computed from one"""
    c = m.constant(np.asarray(v, np.float32))
    if m.chance(0.1):
        c = m.like(m.one("Identity", "Abs"), [c])
    return c


def is_power(s):
    return bool(np.all(np.frexp(np.asarray(s, np.float64))[0] == 0.5))


def step_of(s):
    return float(np.min(s)) if is_power(s) else 0.0


def quantize(m, x, dtype, s, z, axis=None, tie=False):
    """q of x; s, z: arrays of one number or a list; tie: right evaluations may differ in the last bit of x / s"""
    m.need(x.dtype == "f32" and (x.exact or x.err < 0.3 * float(np.min(s))))
    lo, hi = int_range(dtype)
    zero, ends = z.fixed.astype(np.float64), [x.lo, x.hi]
    low = min(float(np.min(np.floor(e / s + zero))) for e in ends) - 1
    high = max(float(np.max(np.ceil(e / s + zero))) for e in ends) + 1
    low, high = min(max(low, lo), hi), max(min(high, hi), lo)
    ins = [x, as_scale(m, s)] + ([z] if dtype != "u8" or zero.any() or zero.size > 1 or m.chance(0.5) else [])
    return m.emit("QuantizeLinear", ins, [Value("", dtype, x.dims, low, high, 0 if x.exact and not tie else 1, 1)], axis=axis)[0]


def dequantize(m, q, s, z, axis=None):
    count = max(np.size(s), z.fixed.size)
    each = zip(np.broadcast_to(np.ravel(s), count), np.broadcast_to(np.ravel(z.fixed), count))
    numbers = [(e - int(k)) * float(v) for v, k in each for e in (q.lo, q.hi)]
    err = q.err * float(np.max(s))
    ins = [q, as_scale(m, s)] + ([z] if z.fixed.any() or z.fixed.size > 1 or m.chance(0.5) else [])
    return m.node("DequantizeLinear", ins, q.dims, min(numbers), max(numbers), err, step_of(s) if q.exact else 0, "f32", exactly=True, axis=axis)


def one_scale(m, x, dtype=None, odd=None):
    """(dtype, scale, zero point) for x"""
    dtype = dtype or m.dice.choice(narrow_types(m))
    odd = m.chance(0.25) if odd is None else odd
    return dtype, np.float32(scale_number(m, x.mag, dtype, odd)), zero_of(m, dtype)


def floats(m, of=lambda v: True):
    return m.pick(lambda v: v.dtype == "f32" and v.err <= max(v.mag, SMALL) * 1e-3 and v.fixed is None and of(v))


def pair(m):
    """Q, DQ: one scale, or one an index of an axis; other scales at times"""
    x = floats(m)
    dtype, s, z = one_scale(m, x)
    axis = None
    if x.rank and m.opset >= 13 and m.chance(0.25):
        axis = m.dice.randrange(x.rank)
        n = x.size(axis)
        m.need(n)
        s, z = np.float32([scale_number(m, x.mag, dtype, m.chance(0.2)) for _ in range(n)]), zero_of(m, dtype, (n,))
        axis -= x.rank if m.chance(0.3) else 0
    q = quantize(m, x, dtype, s, z, axis)
    if q.exact and m.chance(0.3):
        m.keep(q)
    y = dequantize(m, q, s, z, axis)
    m.keep(y)
    if m.chance(0.2) and y.exact and axis is None:
        m.keep(dequantize(m, q, np.float32(scale_number(m, x.mag, dtype, False)), z))


def integers(m):
    """DQ of integers that are there, int32 among them"""
    q = m.pick(lambda v: v.dtype in ("u8", "i8", "i32") + (("u16", "i16") if m.opset >= 21 else ()) and v.exact and v.mag < 2 ** 24)
    s = np.float32(scale_number(m, 1, "u8", m.chance(0.3)))
    z = m.constant(np.zeros((), np.int32)) if q.dtype == "i32" else zero_of(m, q.dtype)
    m.keep(dequantize(m, q, s, z))


# ---- products ----
def activation(m, of, dtypes=BYTES):
    """A float of the pool through Q and DQ: (its integers, what DQ gives, scale, zero point)"""
    x = floats(m, of)
    dtype, s, z = one_scale(m, x, m.dice.choice(dtypes), False)
    q = quantize(m, x, dtype, s, z)
    m.need(q.exact)
    return q, s, z


def weights(m, shape, axis, inner, listed_scales=True):
    """(constant integers, scales, zero points, largest sum of |weights| over the axes `inner` in numbers, in steps)"""
    dtype = m.one("i8", "i8", "u8")
    codes = m.constant(m.draw(dtype, shape, *(m.one((-128, 127), (-8, 7)) if dtype == "i8" else m.one((0, 255), (0, 15)))), dtype)
    n = shape[axis]
    many = listed_scales and m.chance(0.6)
    s = np.float32([2.0 ** -m.dice.randint(6, 9) for _ in range(n)]) if many else np.float32(2.0 ** -m.dice.randint(6, 9))
    z = zero_of(m, dtype, (n,) if many else ()) if m.chance(0.3) else m.constant(np.zeros((n,) if many else (), NUMPY[dtype]))
    wide = lambda v: np.asarray(v, np.float64).reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))]) if np.ndim(v) else float(v)
    whole = codes.fixed.astype(np.float64) - wide(z.fixed)
    return codes, s, z, float(np.abs(whole * wide(s)).sum(axis=inner).max()), float(np.abs(whole).sum(axis=inner).max())


def dequantized_weights(m, codes, s, z, axis):
    if m.chance(0.2) and np.abs(codes.fixed.astype(np.int64)).max() < 128:  # as training leaves them: floats under a Q
        shape = [-1 if i == axis % codes.rank else 1 for i in range(codes.rank)]
        wide = lambda v: v.reshape(shape) if v.ndim else v
        real = m.constant(np.float32((codes.fixed.astype(np.float32) - wide(z.fixed.astype(np.float32))) * wide(np.asarray(s))))
        codes = quantize(m, real, codes.dtype, s, z, axis)
    elif m.chance(0.2):
        axis -= codes.rank
    return m.emit("DequantizeLinear", [codes, as_scale(m, s), z], [Value("", "f32", codes.dims, -1e3, 1e3, 0, step_of(s))], axis=axis)[0]


def bias_of(m, step, channels):
    """A bias of whole steps: DQ of int32, or floats"""
    whole = m.numbers.integers(-500, 500, channels).astype(np.int32)
    steps = np.broadcast_to(np.float32(step), (channels,)).astype(np.float32)
    if m.chance(0.4):
        return m.constant(np.float32(whole * steps)), float(np.abs(whole * steps).max())
    b = m.emit("DequantizeLinear", [m.constant(whole), as_scale(m, steps)], [Value("", "f32", [m.dim(channels)], -1e3, 1e3, 0, step_of(steps))], axis=0)[0]
    return b, float(np.abs(whole * steps).max())


def finish(m, y):
    """Relu or Clip, Q, DQ, any of them; the product itself at times"""
    if m.chance(0.35):
        kind = m.one("Relu", "Clip", "Clip")
        hi = m.one(6.0, 1.0, y.mag / 2)
        lo = m.one(0.0, 0.0, -y.mag / 4)
        if kind == "Relu":
            y = m.node("Relu", [y], y.dims, 0, max(y.hi, 0), step=y.step, exactly=True)
        else:
            lo, hi = power_near(hi) * -1.0 if lo < 0 else 0.0, power_near(hi)
            y = m.node("Clip", [y, m.number(lo, y), m.number(hi, y)], y.dims, lo, hi, y.err, y.step if hi >= y.step else 0, exactly=True)
    if m.chance(0.2):
        return m.keep(y)
    dtype, s, z = one_scale(m, y, m.dice.choice(BYTES))
    q = quantize(m, y, dtype, s, z, tie=not is_power(s))
    if q.exact and m.chance(0.3):
        m.keep(q)
    return m.keep(dequantize(m, q, s, z))


def conv_place(m, q):
    c = q.size(1)
    group = m.dice.choice([g for g in (1, 1, 1, c, 2, 4) if c % g == 0])
    channels = group * m.one(1, 2, 3, 4, 8) if group > 1 else m.one(1, 3, 8, 16, 17, 32)
    kernel, strides, dilations, pads, auto = geometry(m, q.rank - 2)
    dims = window(m, q.dims[2:], kernel, strides, dilations, pads, auto)
    attrs = {"group": group if group > 1 else None, **listed(m, kernel, strides, dilations, pads, auto)}
    return [channels, c // group, *kernel], [q.dims[0], m.dim(channels), *dims], attrs


def image_like(v):
    return 3 <= v.rank <= 5 and v.size(1) and all(n >= 1 for d in v.dims for n in d)


def conv(m):
    q, sx, z = activation(m, image_like)
    shape, dims, attrs = conv_place(m, q)
    codes, sw, zw, heavy, _ = weights(m, shape, 0, tuple(range(1, len(shape))))
    x = dequantize(m, q, sx, z)
    ins, mag, step = [x, dequantized_weights(m, codes, sw, zw, 0)], heavy * x.mag, np.float32(sx * sw)
    if m.chance(0.6):
        b, more = bias_of(m, step, shape[0])
        ins, mag = ins + [b], mag + more
    finish(m, m.node("Conv", ins, dims, -mag, mag, 0, step_of(step), **attrs))


def rows(v):
    return v.rank >= 2 and v.size(v.rank - 1) and all(n >= 1 for d in v.dims for n in d)


def matmul(m):
    q, sx, z = activation(m, rows)
    k, n = q.size(q.rank - 1), m.one(1, 3, 8, 17, 32)
    flat, turned = q.rank > 2 and m.chance(0.3), m.chance(0.4)
    gemm = (flat or q.rank == 2) and m.chance(0.7)
    codes, sw, zw, heavy, _ = weights(m, [n, k] if turned else [k, n], 0 if turned else 1, (1,) if turned else (0,))
    x, w, step = dequantize(m, q, sx, z), dequantized_weights(m, codes, sw, zw, 0 if turned else 1), np.float32(sx * sw)
    if flat:
        x = m.like("Flatten", [x], dims=[tuple(math.prod(d[i] for d in x.dims[:-1]) for i in range(m.runs)), x.dims[-1]], axis=m.one(-1, x.rank - 1))
    dims, mag = [*x.dims[:-1], m.dim(n)], heavy * x.mag
    if not gemm:
        w = m.like("Transpose", [w], dims=w.dims[::-1], perm=[1, 0]) if turned else w
        return finish(m, m.node("MatMul", [x, w], dims, -mag, mag, 0, step_of(step)))
    ins = [x, w]
    if m.chance(0.6):
        b, more = bias_of(m, step, n)
        ins, mag = ins + [b], mag + more
    return finish(m, m.node("Gemm", ins, dims, -mag, mag, 0, step_of(step), transB=int(turned) or None))


def together(m):
    """Two quantized operands of the same dims: Add, Mul, Concat, MatMul"""
    q, s, z = activation(m, lambda v: v.rank >= 2)
    other = floats(m, lambda v: v.dims == q.dims)
    dtype, t, y = one_scale(m, other, m.dice.choice(BYTES), False)
    r = quantize(m, other, dtype, t, y)
    m.need(r.exact)
    a, b = dequantize(m, q, s, z), dequantize(m, r, t, y)
    op = m.one("Add", "Mul", "Sub", "Concat")
    if op == "Concat":
        v = m.emit(op, [a, b], [Value("", "f32", [tuple(2 * n for n in d) if i == q.rank - 1 else d for i, d in enumerate(q.dims)], min(a.lo, b.lo), max(a.hi, b.hi), 0, min(a.step, b.step))], axis=q.rank - 1)[0]
    elif op == "Mul":
        v = m.node(op, [a, b], q.dims, -a.mag * b.mag, a.mag * b.mag, 0, a.step * b.step)
    else:
        v = m.node(op, [a, b], q.dims, -a.mag - b.mag, a.mag + b.mag, 0, min(a.step, b.step))
    finish(m, v)


# ---- operators on integers ----
def conv_integer(m):
    q, _, z = activation(m, image_like, ("u8",))
    shape, dims, attrs = conv_place(m, q)
    codes, _, zw, _, heavy = weights(m, shape, 0, tuple(range(1, len(shape))), listed_scales=False)
    m.need(heavy * 255 < 2 ** 31)
    ins = [q, codes, z, zw] if zw.fixed.any() or m.chance(0.4) else [q, codes, z] if z.fixed.any() or m.chance(0.4) else [q, codes]
    y = m.emit("ConvInteger", ins, [Value("", "i32", dims, -heavy * 255, heavy * 255, 0, 1)], **attrs)[0]
    scaled(m, y)


def scaled(m, y):
    y = m.node("Cast", [y], y.dims, y.lo, y.hi, 0, 1, "f32", exactly=True, to=1)
    s = power_near(1 / max(y.mag, 1))
    m.keep(m.node("Mul", [y, m.constant(np.float32(s))], y.dims, y.lo * s, y.hi * s, y.err * s, s if y.exact else 0))


def matmul_integer(m):
    q, _, z = activation(m, rows)
    k, n = q.size(q.rank - 1), m.one(1, 3, 8, 17, 32)
    codes, _, zw, _, heavy = weights(m, [k, n], 1, (0,))
    m.need(heavy * 255 < 2 ** 31)
    y = m.emit("MatMulInteger", [q, codes, z, zw], [Value("", "i32", [*q.dims[:-1], m.dim(n)], -heavy * 255, heavy * 255, 0, 1)])[0]
    scaled(m, y)


def qlinear(m):
    """QLinearConv, QLinearMatMul"""
    is_conv = m.chance(0.6)
    q, sx, z = activation(m, image_like if is_conv else rows)
    if is_conv:
        shape, dims, attrs = conv_place(m, q)
    else:
        n = m.one(1, 3, 8, 17)
        shape, dims, attrs = [q.size(q.rank - 1), n], [*q.dims[:-1], m.dim(n)], {}
    codes, sw, zw, heavy, whole = weights(m, shape, 0 if is_conv else 1, tuple(range(1, len(shape))) if is_conv else (0,), listed_scales=is_conv)
    m.need(whole * 255 < 2 ** 23)
    dtype, mag = q.dtype, heavy * 255 * float(sx)
    s, zy = np.float32(scale_number(m, mag, dtype, False)), zero_of(m, dtype)
    ins = [q, as_scale(m, sx), z, codes, as_scale(m, sw), zw, as_scale(m, s), zy]
    if is_conv and m.chance(0.5):
        ins.append(m.constant(m.numbers.integers(-500, 500, shape[0]).astype(np.int32)))
    lo, hi = int_range(dtype)
    y = m.emit("QLinearConv" if is_conv else "QLinearMatMul", ins, [Value("", dtype, dims, lo, hi, 0, 1)], **attrs)[0]
    m.keep(y)
    m.keep(dequantize(m, y, s, zy))


def dynamic(m):
    """DynamicQuantizeLinear, MatMulInteger, both scales"""
    x = m.pick(lambda v: rows(v) and v.dtype == "f32" and v.exact and v.fixed is None)
    q, s, z = m.emit("DynamicQuantizeLinear", [x], [Value("", "u8", x.dims, 0, 255, 0, 1), Value("", "f32", [], 0, 2 * x.mag / 255 + 1, 0), Value("", "u8", [], 0, 255, 0, 1)])
    k, n = x.size(x.rank - 1), m.one(1, 3, 8, 17, 32)
    codes, sw, zw, heavy, whole = weights(m, [k, n], 1, (0,))
    m.need(whole * 255 < 2 ** 24 and x.mag > SMALL)
    y = m.emit("MatMulInteger", [q, codes, z, zw], [Value("", "i32", [*x.dims[:-1], m.dim(n)], -whole * 255, whole * 255, 0, 1)])[0]
    y = m.node("Cast", [y], y.dims, y.lo, y.hi, 0, 1, "f32", exactly=True, to=1)
    both = m.node("Mul", [s, as_scale(m, sw)], [m.dim(n)] if np.ndim(sw) else [], 0, (2 * x.mag / 255 + 1) * float(np.max(sw)), 1e-7)
    most = heavy * x.mag * 2
    m.keep(m.node("Mul", [y, both], y.dims, -most, most, 4e-6 * most))


def blocks(m):
    """Weights by blocks, of 4 bits or 8, in front of a product of floats"""
    m.need(m.opset >= 21)
    x = floats(m, rows)
    k, n, dtype = x.size(x.rank - 1), m.one(1, 3, 8, 17, 32), m.one("u4", "i4", "u8", "i8")
    block = m.dice.choice([d for d in (1, 2, 4, 8, 16, 32, k) if k % d == 0])
    lo, hi = {"u4": (0, 15), "i4": (-8, 7), "u8": (0, 255), "i8": (-128, 127)}[dtype]
    put = lambda shape: m.constant(m.numbers.integers(lo, hi + 1, shape).astype({**NUMPY, **PACKED}[dtype]), dtype)
    codes, s = put((k, n)), np.float32(m.numbers.uniform(0.2, 1, (k // block, n)) / (hi * math.sqrt(k)))
    zero = put(s.shape) if m.chance(0.5) else None
    whole = np.abs(codes.fixed.astype(np.float64) - (0 if zero is None else zero.fixed.astype(np.float64).repeat(block, 0)))
    heavy = float((whole * s.repeat(block, 0)).sum(0).max())
    ins = [codes, m.constant(s)] + ([zero] if zero is not None else [])
    w = m.emit("DequantizeLinear", ins, [Value("", "f32", [m.dim(k), m.dim(n)], -10, 10, 0)], axis=m.one(0, -2), block_size=block)[0]
    mag = heavy * x.mag
    m.keep(m.node("MatMul", [x, w], [*x.dims[:-1], m.dim(n)], -mag, mag, heavy * x.err + 4e-6 * mag))


def rms_norm(m):
    m.need(m.opset >= 23)
    x = floats(m, rows)
    n, e = x.size(x.rank - 1), m.one(1e-5, 1e-2, 0.125)
    scale = m.tensor("f32", [m.dim(n)])
    most = math.sqrt(n) * scale.mag
    m.keep(m.node("RMSNormalization", [x, scale], x.dims, -most, most, scale.mag / math.sqrt(e) * (x.err + 1e-6 * x.mag), axis=m.one(-1, x.rank - 1), epsilon=e))


STEPS = [(pair, 5), (integers, 1), (conv, 5), (matmul, 5), (together, 3), (conv_integer, 1), (matmul_integer, 1), (qlinear, 3), (dynamic, 1), (blocks, 2),
         (rms_norm, 1)]
