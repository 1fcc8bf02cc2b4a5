"""Steps that make several nodes at once: what exporters write and passes recognise, each with room to deviate."""
import math
from .elementwise import fits, within
from .sums import batch_norm_from, conv_from, epsilon, image, reduce_node


def real(m, op="Add"):
    return m.pick(lambda v: v.dtype in ("f32", "f64", "f16") and fits(m, op, v.dtype))


def bounded(m, op, a, b, lo, hi, err=None):
    """A binary node whose bounds are known better than from its operands"""
    ins = [a, b] if m.chance(0.8) or op in ("Sub", "Div") else [b, a]
    dims = a.dims if a.rank >= b.rank else b.dims
    return m.node(op, ins, dims, lo, hi, a.err + b.err if err is None else err)


def act(m, x):
    """x through an activation, whole or in parts"""
    kind = m.one("Relu", "hard_swish", "swish", "gelu", "gelu_tanh", "mish", "relu6", "Sigmoid", "hard_sigmoid", "softplus", "leaky", "sigmoid")
    hi, lo = max(x.hi, 0), min(x.lo, 0)
    n = lambda v: m.number(v, x)
    if kind in ("Relu",):
        return m.node(kind, [x], x.dims, max(x.lo, 0), hi, step=x.step, exactly=True)
    if kind == "Sigmoid":
        return m.node(kind, [x], x.dims, 0, 1)
    if kind == "relu6":
        return m.node("Clip", [x, n(0), n(6)], x.dims, 0, min(6, hi), exactly=True, step=min(x.step, 0.5))
    if kind in ("hard_swish", "hard_sigmoid"):
        y = bounded(m, "Add", x, n(3), x.lo + 3, x.hi + 3)
        if m.chance(0.5):
            y = m.node("Clip", [y, n(0), n(6)], x.dims, 0, 6, exactly=True)
        else:
            y = m.node("Relu", [y], x.dims, 0, max(y.hi, 0), exactly=True)
            y = m.node("Min", [y, n(6)], x.dims, 0, 6, exactly=True)
        if kind == "hard_swish" and m.chance(0.5):
            y = bounded(m, "Mul", x, y, 6 * lo, 6 * hi, 6 * x.err + x.mag * y.err)
        most = max(abs(y.lo), abs(y.hi)) / 6
        y = bounded(m, "Div", y, n(6), -most, most) if m.chance(0.5) else bounded(m, "Mul", y, n(1 / 6), -most, most)
        return bounded(m, "Mul", x, y, -x.mag, x.mag, x.err + x.mag * y.err) if kind == "hard_swish" and most <= 1 else y
    if kind in ("swish", "sigmoid"):
        if m.chance(0.6):
            g = m.node("Sigmoid", [x], x.dims, 0, 1)
        else:
            x = within(m, x, -30, 30)
            e = m.node("Exp", [m.node("Neg", [x], x.dims, -x.hi, -x.lo, exactly=True)], x.dims, math.exp(-x.hi), math.exp(-x.lo), math.exp(-x.lo) * x.err)
            e = bounded(m, "Add", e, n(1), 1, 1 + e.hi)
            g = m.node("Reciprocal", [e], x.dims, 0, 1, x.err + 1e-6) if m.chance(0.5) else m.node("Div", [n(1), e], x.dims, 0, 1, x.err + 1e-6)
        return bounded(m, "Mul", x, g, -0.3, hi, 1.1 * x.err + x.mag * g.err) if kind == "swish" else g
    if kind == "gelu":
        m.need(x.dtype == "f32")
        h = bounded(m, "Div", x, n(math.sqrt(2)), x.lo, x.hi) if m.chance(0.5) else bounded(m, "Mul", x, n(math.sqrt(0.5)), x.lo, x.hi)
        h = bounded(m, "Add", m.node("Erf", [h], x.dims, -1, 1, growth=1.13), n(1), 0, 2)
        y = bounded(m, "Mul", x, h, 2 * lo, 2 * hi, 2 * x.err + x.mag * h.err)
        return bounded(m, "Mul", y, n(0.5), lo, hi)
    if kind == "gelu_tanh":
        x = within(m, x, -8, 8)
        cube = m.node("Pow", [x, n(3)], x.dims, x.lo ** 3, x.hi ** 3, 192 * x.err)
        s = bounded(m, "Add", x, bounded(m, "Mul", cube, n(0.044715), -23, 23), -31, 31)
        t = m.node("Tanh", [bounded(m, "Mul", s, n(math.sqrt(2 / math.pi)), -25, 25)], x.dims, -1, 1)
        y = bounded(m, "Mul", x, bounded(m, "Add", t, n(1), 0, 2), -2 * x.mag, 2 * x.mag, 2 * x.err + x.mag * t.err)
        return bounded(m, "Mul", y, n(0.5), -x.mag, x.mag)
    if kind == "leaky":
        y = bounded(m, "Mul", x, n(0.125), x.lo / 8, x.hi / 8)
        return m.node("Max", [x, y], x.dims, min(0, x.lo / 8), hi, exactly=True)
    m.need(fits(m, "Softplus", x.dtype))
    if m.chance(0.4):
        x = within(m, x, -20, 10)
        e = m.node("Exp", [x], x.dims, 0, math.exp(x.hi), math.exp(x.hi) * x.err)
        s = m.node("Log", [bounded(m, "Add", e, n(1), 1, 1 + e.hi)], x.dims, 0, max(x.hi, 0) + 0.7, x.err + 1e-6)
    else:
        s = m.node("Softplus", [x], x.dims, 0, hi + 0.7)
    if kind == "softplus":
        return s
    t = m.node("Tanh", [s], x.dims, 0, 1)
    return bounded(m, "Mul", x, t, -0.31, hi, 1.1 * x.err + x.mag * t.err)


def activation(m):
    return m.keep(act(m, real(m)))


def block(m):
    """Conv, BatchNormalization, activation, residual; or an inverted residual with squeeze and excite"""
    x = image(m, of=lambda v: v.dtype == "f32")
    plain = [3] * (x.rank - 2), [1] * (x.rank - 2), [1] * (x.rank - 2), [1] * 2 * (x.rank - 2), None
    y = conv_from(m, x, place=plain if m.chance(0.7) else None)
    if m.chance(0.6):
        y = batch_norm_from(m, y)
    y = squashed(m, y)
    if m.chance(0.4):
        y = squashed(m, conv_from(m, y, kind="depthwise", place=plain))
        if m.chance(0.5):
            y = excited(m, y)
        y = conv_from(m, y, kind="pointwise", place=plain)
    same = [v for v in m.pool if v.dtype == y.dtype and v.dims == y.dims]
    if same and m.chance(0.8):
        r = m.dice.choice(same)
        y = bounded(m, "Add", y, r, y.lo + r.lo, y.hi + r.hi)
        if m.chance(0.5):
            y = m.node("Relu", [y], y.dims, 0, max(y.hi, 0), exactly=True)
    return m.keep(y)


def squashed(m, y):
    y = act(m, y) if m.chance(0.8) else y
    return within(m, y, -6, 6) if y.mag > 30 else y


def excited(m, x):
    n = x.rank - 2
    point = [1] * n, [1] * n, [1] * n, [0] * 2 * n, None
    dims = [*x.dims[:2], *[m.dim(1)] * n]
    if m.chance(0.5) or m.opset >= 18:
        g = m.node("GlobalAveragePool", [x], dims, x.lo, x.hi)
    else:
        g = reduce_node(m, "ReduceMean", x, list(range(2, x.rank)), True, x.lo, x.hi, x.err)
    g = conv_from(m, g, kind="pointwise", place=point, out_channels=m.one(1, 4, 8))
    g = m.node("Relu", [g], g.dims, 0, max(g.hi, 0), exactly=True)
    g = conv_from(m, g, kind="pointwise", place=point, out_channels=x.size(1))
    g = m.node(*m.one(("Sigmoid", [g]), ("HardSigmoid", [g])), g.dims, 0, 1)
    return bounded(m, "Mul", x, g, min(x.lo, 0), max(x.hi, 0), x.err + x.mag * g.err)


def shuffle(m):
    x = image(m, of=lambda v: v.rank == 4 and v.size(2) and v.size(3) and v.size(1) % 2 == 0)
    n, c, h, w = x.dims
    y = m.like("Reshape", [x, m.ints(0, 2, c[0] // 2, h[0], w[0])], dims=[n, m.dim(2), m.dim(c[0] // 2), h, w])
    y = m.like("Transpose", [y], dims=[n, y.dims[2], y.dims[1], h, w], perm=[0, 2, 1, 3, 4])
    return m.keep(m.like("Reshape", [y, m.ints(0, -1, h[0], w[0])], dims=x.dims))


def norm(m):
    """LayerNormalization or RMS norm in parts, along the last axis"""
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in ("f32", "f64") and v.size(v.rank - 1) and v.mag < 40)
    (e, growth), n, axis, rms = epsilon(m), x.size(x.rank - 1), [x.rank - 1], m.chance(0.4)
    d = x
    if not rms:
        mean = reduce_node(m, "ReduceMean", x, axis, True, x.lo, x.hi, x.err)
        d = bounded(m, "Sub", x, mean, x.lo - x.hi, x.hi - x.lo)
    square = m.node("Pow", [d, m.number(2, d)], d.dims, 0, d.mag ** 2, 2 * d.mag * d.err) if m.chance(0.6) else m.node("Mul", [d, d], d.dims, 0, d.mag ** 2, 2 * d.mag * d.err)
    var = reduce_node(m, "ReduceMean", square, axis, True, 0, square.hi, 2 * d.mag * d.err)
    shifted = m.node("Add", [var, m.number(e, x)], var.dims, e, var.hi + e)  # ONNX Runtime's fusion mistakes an epsilon on the left
    root = m.node("Sqrt", [shifted], var.dims, math.sqrt(e), math.sqrt(var.hi + e), growth * var.err)
    err, most = 2 * growth * (d.err + 1e-6 * x.mag), math.sqrt(n)
    if m.chance(0.6):
        y = bounded(m, "Div", d, root, -most, most, err)
    else:
        y = bounded(m, "Mul", d, m.node("Reciprocal", [root], root.dims, 0, growth, growth ** 2 * root.err), -most, most, err)
    for op in m.dice.sample(["Mul", "Add"], m.dice.randrange(3)) if m.chance(0.5) else ["Mul", "Add"]:
        w = m.tensor(x.dtype, [x.dims[-1]])
        y = bounded(m, op, y, w, -y.mag * w.mag, y.mag * w.mag, y.err * max(w.mag, 1)) if op == "Mul" else bounded(m, op, y, w, y.lo + w.lo, y.hi + w.hi)
    return m.keep(y)


def project(m, x, n):
    w = m.weights(x.dtype, [x.size(x.rank - 1), n], x.size(x.rank - 1))
    import numpy as np
    growth = float(np.abs(w.fixed).sum(axis=0).max())
    y = m.node("MatMul", [x, w], [*x.dims[:-1], m.dim(n)], -growth * x.mag, growth * x.mag, growth * x.err)
    if m.chance(0.7):
        b = m.tensor(x.dtype, [m.dim(n)])
        y = bounded(m, "Add", y, b, y.lo + b.lo, y.hi + b.hi)
    return y


def attention(m):
    """Heads of softmax(q kᵀ · scale + mask) v over one value or two"""
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and v.size(2) and v.mag < 20 and not any(0 in d for d in v.dims))
    others = [v for v in m.pool if v.rank == 3 and v.dtype == x.dtype and v.dims[0] == x.dims[0] and v.size(2) and v.mag < 20]
    z = m.dice.choice(others) if m.chance(0.25) else x
    heads, depth, wide = m.one(1, 2, 3), m.one(4, 8, 16), m.one(4, 8, 16)
    kept = lambda t, d: [t.dims[0], t.dims[1], m.dim(heads), m.dim(d)]

    def head(t, d, perm):
        y = project(m, t, heads * d)
        y = m.like("Reshape", [y, m.ints(0, 0, heads, d)], dims=kept(t, d))
        return m.like("Transpose", [y], dims=[y.dims[i] for i in perm], perm=perm)

    q, k, v = head(x, depth, [0, 2, 1, 3]), head(z, depth, [0, 2, 3, 1]), head(z, wide, [0, 2, 1, 3])
    scale = 1 / math.sqrt(depth)
    mag = depth * q.mag * k.mag
    s = m.node("MatMul", [q, k], [q.dims[0], q.dims[1], q.dims[2], k.dims[3]], -mag, mag, depth * (q.mag * k.err + k.mag * q.err))
    s = bounded(m, "Mul", s, m.number(scale, s), -mag * scale, mag * scale, s.err * scale) if m.chance(0.6) else \
        bounded(m, "Div", s, m.number(1 / scale, s), -mag * scale, mag * scale, s.err * scale)
    if m.chance(0.5) and (len(set(s.dims[2])) == 1 or s.dims[2] in m.named) and (len(set(s.dims[3])) == 1 or s.dims[3] in m.named):
        mask = m.tensor(x.dtype, m.one([s.dims[3]], [s.dims[2], s.dims[3]], [m.dim(1), m.dim(1), m.dim(1), s.dims[3]]))
        s = bounded(m, "Add", s, mask, s.lo - 2, s.hi + 2)
    p = m.node("Softmax", [s], s.dims, 0, 1, growth=2, axis=m.one(-1, 3))
    y = m.node("MatMul", [p, v], [*s.dims[:3], m.dim(wide)], v.lo, v.hi, v.err + 2 * v.mag * p.err)
    y = m.like("Transpose", [y], dims=[y.dims[0], y.dims[2], y.dims[1], y.dims[3]], perm=[0, 2, 1, 3])
    return m.keep(m.like("Reshape", [y, m.ints(0, 0, heads * wide)], dims=[*y.dims[:2], m.dim(heads * wide)]))


def feed_forward(m):
    x = m.pick(lambda v: v.rank >= 2 and v.dtype == "f32" and v.size(v.rank - 1) and v.mag < 20)
    y = squashed(m, project(m, x, m.one(16, 24, 48)))
    y = project(m, y, x.size(x.rank - 1))
    return m.keep(bounded(m, "Add", y, x, y.lo + x.lo, y.hi + x.hi))


ANY = [(activation, 3), (norm, 1)]
IMAGES = [(block, 6), (shuffle, 1)]
SEQUENCES = [(attention, 4), (feed_forward, 2), (norm, 2)]
