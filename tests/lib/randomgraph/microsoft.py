"""Steps of com.microsoft: the operators that ONNX Runtime's own tools write."""
import math
import numpy as np
from .elementwise import interval
from .maker import NUMPY, Value, int_range
from .networks import blurred, closed, full, known_tail
from .quantized import scale_number, zero_of
from .sums import conv_from, heaviest

OWN = dict(domain="com.microsoft")


def wide(m, most=20):
    return m.pick(lambda v: v.rank >= 1 and v.dtype == "f32" and known_tail(v) and full(v) and v.mag < most)


def gelu(m):
    op = m.one("Gelu", "FastGelu", "BiasGelu", "QuickGelu")
    x = wide(m)
    ins, mag = [x], x.mag
    if op == "BiasGelu" or op == "FastGelu" and m.chance(0.5):
        ins.append(m.tensor("f32", [x.dims[-1]]))
        mag += ins[1].mag
    alpha = m.one(None, 1.0, 0.5) if op == "QuickGelu" else None
    m.keep(m.node(op, ins, x.dims, -mag, mag, 1.2 * x.err + 2e-6 * mag, alpha=alpha, **OWN))


def skip_norm(m):
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and known_tail(v) and full(v) and v.mag < 20)
    n, simple = x.size(2), m.chance(0.4)
    others = [v for v in m.pool if v.dtype == "f32" and v.dims == x.dims and v.mag < 20]
    ins = [x, m.dice.choice(others), m.tensor("f32", [m.dim(n)])]
    mag, err = x.mag + ins[1].mag, x.err + ins[1].err
    if not simple:
        ins.append(m.tensor("f32", [m.dim(n)]) if m.chance(0.7) else None)
    if m.chance(0.4):
        ins.append(m.tensor("f32", [m.dim(n)]))
        mag += ins[-1].mag
    while ins[-1] is None:
        ins.pop()
    e, scale = m.one(1e-2, 0.125), ins[2].mag
    most = math.sqrt(n) * scale + 2
    results = [Value("", "f32", x.dims, -most, most, scale / math.sqrt(e) * (err + 1e-6 * mag) + 1e-6 * most)]
    if m.chance(0.5):
        results += [None, None, Value("", "f32", x.dims, -mag, mag, err + 1e-6 * mag)]
    for r in m.emit("SkipSimplifiedLayerNormalization" if simple else "SkipLayerNormalization", ins, results, epsilon=e, **OWN):
        if r is not None:
            m.keep(r)


def simplified(m):
    x = wide(m)
    n, e = x.size(x.rank - 1), m.one(1e-2, 0.125)
    scale = m.tensor("f32", [m.dim(n)])
    most = math.sqrt(n) * scale.mag
    m.keep(m.node("SimplifiedLayerNormalization", [x, scale], x.dims, -most, most, scale.mag / math.sqrt(e) * (x.err + 1e-6 * x.mag), axis=-1, epsilon=e, stash_type=1))


def fused_matmul(m):
    x = m.pick(lambda v: v.rank >= 2 and v.dtype == "f32" and closed(v) and v.mag < 50)
    ta, tb, alpha, n = m.one(0, 1), m.one(0, 1), m.one(None, 0.5, 2.0), m.one(1, 3, 8, 17)
    k, rows = (x.size(x.rank - 2), x.dims[-1]) if ta else (x.size(x.rank - 1), x.dims[-2])
    w = m.weights("f32", [n, k] if tb else [k, n], k)
    growth = heaviest(m, w, (1,) if tb else (0,)) * (alpha or 1)
    m.keep(m.node("FusedMatMul", [x, w], [*x.dims[:-2], rows, m.dim(n)], -growth * x.mag, growth * x.mag, growth * (x.err + 1e-6 * x.mag), transA=ta or None,
                  transB=tb or None, alpha=alpha, **OWN))


def fused_conv(m):
    x = m.pick(lambda v: v.rank == 4 and v.dtype == "f32" and v.size(1) and full(v) and v.mag < 50)
    y = conv_from(m, x, bias=True)
    node = m.nodes[-1]
    kind = m.one("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid")
    params = {"LeakyRelu": [0.125], "Clip": [-0.5, 0.75], "HardSigmoid": [0.25, 0.5]}.get(kind)
    node.op_type, node.domain = "FusedConv", "com.microsoft"
    from onnx import helper
    node.attribute.append(helper.make_attribute("activation", kind))
    if params:
        node.attribute.append(helper.make_attribute("activation_params", params))
    y.lo, y.hi = {"Relu": (0, y.hi), "LeakyRelu": (y.lo, y.hi), "Clip": (-0.5, 0.75), "Tanh": (-1, 1)}.get(kind, (0, 1))
    m.keep(y)


def fused_gemm(m):
    x = m.pick(lambda v: v.rank == 2 and v.dtype == "f32" and closed(v) and v.mag < 50)
    n, k, kind = m.one(1, 3, 8, 17), x.size(1), m.one("Relu", "Tanh", "Sigmoid", "LeakyRelu")
    w, c = m.weights("f32", [n, k], k), m.tensor("f32", [m.dim(n)])
    growth = heaviest(m, w, (1,))
    mag = growth * x.mag + c.mag
    lo, hi = {"Relu": (0, mag), "LeakyRelu": (-mag, mag), "Tanh": (-1, 1)}.get(kind, (0, 1))
    m.keep(m.node("FusedGemm", [x, w, c], [x.dims[0], m.dim(n)], lo, hi, growth * x.err + 2e-6 * mag, transB=1, activation=kind,
                  activation_alpha=0.25 if kind == "LeakyRelu" else None, **OWN))


def n_bits(m):
    x = wide(m)
    m.need(x.rank >= 2)
    k, n, block = x.size(x.rank - 1), m.one(1, 3, 8, 17), m.one(16, 32)
    parts = -(-k // block)
    codes = m.constant(m.numbers.integers(0, 256, (n, parts, block // 2)).astype(np.uint8))
    scales = m.constant(np.float32(m.numbers.uniform(0.2, 1, n * parts) / (8 * math.sqrt(k))))
    ins = [x, codes, scales] + ([m.constant(m.numbers.integers(0, 256, n * ((parts + 1) // 2)).astype(np.uint8))] if m.chance(0.4) else [])
    mag = k * 15 * scales.hi * x.mag
    y = m.node("MatMulNBits", ins, [*x.dims[:-1], m.dim(n)], -mag, mag, k * 15 * scales.hi * x.err + 2e-6 * mag, K=k, N=n, bits=4, block_size=block, **OWN)
    m.keep(y)


# ---- integers with scales ----
def codes_of(m, of=full):
    """(integers, their scale and zero point as constants): of the pool's own, with scales that are powers of two"""
    q = m.pick(lambda v: v.dtype in ("u8", "i8") and v.exact and of(v) and v.rank >= 1)
    return q, m.constant(np.float32(2.0 ** -m.dice.randint(3, 6))), zero_of(m, q.dtype)


def held(m, mag, dtype):
    return m.constant(np.float32(scale_number(m, mag, dtype, False))), zero_of(m, dtype)


def reach(q, s, z):
    return max(abs(e - int(z.fixed)) for e in (q.lo, q.hi)) * float(s.fixed)


def code_result(m, op, ins, dtype, dims, err, **attrs):
    """Codes that may be `err` steps off: what follows reads them only through DequantizeLinear"""
    lo, hi = int_range(dtype)
    y = m.emit(op, ins, [Value("", dtype, dims, lo, hi, err, 1)], **attrs, **OWN)[0]
    if not err:
        m.keep(y)
    s = m.constant(np.float32(2.0 ** -6))
    m.keep(m.node("DequantizeLinear", [y, s, m.constant(np.zeros((), NUMPY[dtype]))], dims, lo / 64, hi / 64, err / 64, 2.0 ** -6, "f32", exactly=True))


def binary_codes(m):
    op = m.one("QLinearAdd", "QLinearMul")
    a, sa, za = codes_of(m)
    b = m.dice.choice([v for v in m.pool if v.dtype == a.dtype and v.dims == a.dims and v.exact])
    sb, zb = m.constant(np.float32(2.0 ** -m.dice.randint(3, 6))), zero_of(m, a.dtype)
    x, y = reach(a, sa, za), reach(b, sb, zb)
    sc, zc = held(m, x + y if op == "QLinearAdd" else x * y, a.dtype)
    code_result(m, op, [a, sa, za, b, sb, zb, sc, zc], a.dtype, a.dims, 1)  # ONNX Runtime rounds ties with the zero point


def unary_codes(m):
    op = m.one("QLinearSigmoid", "QLinearLeakyRelu")
    a, sa, za = codes_of(m)
    x = reach(a, sa, za)
    sc, zc = held(m, 1 if op == "QLinearSigmoid" else x, a.dtype)
    code_result(m, op, [a, sa, za, sc, zc], a.dtype, a.dims, 1, alpha=0.125 if op == "QLinearLeakyRelu" else None)


def joined_codes(m):
    a, sa, za = codes_of(m)
    axis = m.dice.randrange(a.rank)
    b = m.dice.choice([v for v in m.pool if v.dtype == a.dtype and v.exact and v.rank == a.rank and
                       all(i == axis or p == q for i, (p, q) in enumerate(zip(a.dims, v.dims)))])
    sb, zb = m.constant(np.float32(2.0 ** -m.dice.randint(3, 6))), zero_of(m, a.dtype)
    sc, zc = held(m, max(reach(a, sa, za), reach(b, sb, zb)), a.dtype)
    dims = [tuple(i + j for i, j in zip(p, q)) if i == axis else p for i, (p, q) in enumerate(zip(a.dims, b.dims))]
    code_result(m, "QLinearConcat", [sc, zc, a, sa, za, b, sb, zb], a.dtype, dims, 1, axis=axis)


def pooled_codes(m):
    a, sa, za = codes_of(m, lambda v: v.rank == 4 and full(v))
    sc, zc = held(m, reach(a, sa, za), a.dtype)
    code_result(m, "QLinearGlobalAveragePool", [a, sa, za, sc, zc], a.dtype, [*a.dims[:2], m.dim(1), m.dim(1)], 1, channels_last=m.one(None, 0))


def integer_product(m):
    a, sa, za = codes_of(m, lambda v: v.rank == 2 and known_tail(v) and full(v))
    k, n = a.size(1), m.one(1, 3, 8, 17)
    dtype = m.one("u8", "i8") if a.dtype == "u8" else "i8"
    w = m.constant(m.draw(dtype, [k, n], *int_range(dtype)))
    sb, zb = m.constant(np.float32(2.0 ** -m.dice.randint(5, 8))), zero_of(m, dtype)
    mag = reach(a, sa, za) * k * reach(w, sb, zb)
    bias = m.tensor("f32", [m.dim(n)]) if m.chance(0.5) else None
    ins = [a, w, sa, sb, za, zb] + ([bias] if bias is not None else [])
    mag += 2
    m.keep(m.node("MatMulIntegerToFloat", ins, [a.dims[0], m.dim(n)], -mag, mag, 2e-6 * mag, dtype="f32", **OWN))


def dynamic_product(m):
    x = m.pick(lambda v: v.rank >= 2 and v.dtype == "f32" and v.exact and known_tail(v) and full(v) and v.fixed is None)
    k, n = x.size(x.rank - 1), m.one(1, 3, 8, 17)
    w = m.constant(m.draw("i8", [k, n], -127, 127))
    s, z = m.constant(np.float32(2.0 ** -m.dice.randint(6, 9))), m.constant(np.zeros((), np.int8))
    mag = k * 127 * float(s.fixed) * x.mag + 2
    ins = [x, w, s, z] + ([m.tensor("f32", [m.dim(n)])] if m.chance(0.5) else [])
    m.keep(m.node("DynamicQuantizeMatMul", ins, [*x.dims[:-1], m.dim(n)], -mag, mag, 6e-6 * mag, **OWN))


def gemm_codes(m):
    a, sa, za = codes_of(m, lambda v: v.rank == 2 and known_tail(v) and full(v))
    k, n = a.size(1), m.one(1, 3, 8, 17)
    w = m.constant(m.draw("i8", [n, k], -127, 127))
    sb, zb = m.constant(np.float32(2.0 ** -m.dice.randint(5, 8))), m.constant(np.zeros((), np.int8))
    mag = reach(a, sa, za) * k * 127 * float(sb.fixed)
    ins = [a, sa, za, w, sb, zb, m.constant(m.numbers.integers(-500, 500, n).astype(np.int32)) if m.chance(0.6) else None]
    if m.chance(0.5):
        return m.keep(m.node("QGemm", ins, [a.dims[0], m.dim(n)], -2 * mag - 9, 2 * mag + 9, 2e-6 * mag, dtype="f32", transB=1, **OWN))
    sc, zc = held(m, mag, a.dtype)
    code_result(m, "QGemm", [*ins, sc, zc], a.dtype, [a.dims[0], m.dim(n)], 1, transB=1)


def reduced_codes(m):
    """QLinearReduceMean, QLinearAveragePool, QLinearSoftmax, QLinearWhere"""
    op = m.one("QLinearReduceMean", "QLinearAveragePool", "QLinearSoftmax", "QLinearWhere")
    a, sa, za = codes_of(m, lambda v: full(v) and (v.rank == 4 and min(v.dims[2]) > 1 and min(v.dims[3]) > 1 or op != "QLinearAveragePool"))
    sc, zc = held(m, 1 if op == "QLinearSoftmax" else reach(a, sa, za), a.dtype)
    if op == "QLinearWhere":
        b = m.dice.choice([v for v in m.pool if v.dtype == a.dtype and v.dims == a.dims and v.exact])
        sb, zb = m.constant(np.float32(2.0 ** -m.dice.randint(3, 6))), zero_of(m, a.dtype)
        return code_result(m, op, [m.tensor("b", a.dims, 0, 1), a, sa, za, b, sb, zb, sc, zc], a.dtype, a.dims, 1)
    if op == "QLinearSoftmax":
        m.need(m.opset >= 13)
        return code_result(m, op, [a, sa, za, sc, zc], a.dtype, a.dims, 1, axis=a.rank - 1, opset=13)
    if op == "QLinearReduceMean":
        axis = m.dice.randrange(a.rank)
        dims = [m.dim(1) if i == axis else d for i, d in enumerate(a.dims)]
        return code_result(m, op, [a, sa, za, sc, zc], a.dtype, dims, 1, axes=[axis], keepdims=1)
    dims = [*a.dims[:2], *[tuple(n - 1 for n in d) for d in a.dims[2:]]]
    return code_result(m, op, [a, sa, za, sc, zc], a.dtype, dims, 1, kernel_shape=[2, 2])


def embed(m):
    batch, length, n, words = m.one(1, 2), m.one(1, 3, 5), m.one(8, 16), 9
    segments = m.chance(0.5)
    ids = lambda most: m.tensor("i32", [m.dim(batch), m.dim(length)], 0, most - 1)
    table = lambda k: m.constant(m.draw("f32", [k, n]))
    ins = [ids(words), ids(2) if segments else None, table(words), table(7), table(2) if segments else None, m.constant(m.draw("f32", [n])),
           m.constant(m.draw("f32", [n]))]
    if m.chance(0.5):
        ins.append(m.constant(np.stack([np.arange(length) < m.numbers.integers(1, length + 1) for _ in range(batch)]).astype(np.int32)))
    dims, most = [m.dim(batch), m.dim(length), m.dim(n)], 2 * math.sqrt(n) + 2
    results = [Value("", "f32", dims, -most, most, 1e-4), Value("", "i32", [m.dim(batch)], 0, length, 0, 1)]
    m.keep(m.emit("EmbedLayerNormalization", ins, results, epsilon=1e-2, **OWN)[0])


def rotary(m):
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and closed(v) and v.size(2) % 4 == 0)
    batch, length, depth = x.size(0), x.size(1), x.size(2)
    heads = m.dice.choice([h for h in (1, 2) if depth % (4 * h) == 0])
    most, half = length + 3, depth // heads // 2
    at = m.constant(m.draw("i64", [batch, length], 0, most - 1)) if m.chance(0.5) else m.ints(m.dice.randrange(4))
    tables = [m.tensor("f32", [m.dim(most), m.dim(half)], -1, 1) for _ in range(2)]
    m.keep(m.node("RotaryEmbedding", [x, at, *tables], x.dims, -2 * x.mag, 2 * x.mag, growth=2, interleaved=m.one(0, 1), num_heads=heads, **OWN))


# ---- attention ----
def multi_head(m):
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and known_tail(v) and full(v) and v.mag < 8)
    hidden = x.size(2)
    heads = m.dice.choice([h for h in (1, 2, 3, 4) if hidden % h == 0])
    others = [v for v in m.pool if v.rank == 3 and v.dtype == "f32" and v.dims[0] == x.dims[0] and v.dims[2] == x.dims[2] and v.mag < 8 and full(v)]
    z = m.dice.choice(others) if m.chance(0.4) else x
    ins, extra = [x, z, z], 0
    if m.chance(0.4):
        ins.append(m.tensor("f32", [m.dim(3 * hidden)], -1, 1))
        extra = 1
    depth, mag = hidden // heads, max(x.mag, z.mag) + extra
    err = blurred(max(x.err, z.err) + 1e-6 * mag * extra, mag, depth, 1 / math.sqrt(depth), z.err, z.mag + extra)
    m.keep(m.node("MultiHeadAttention", ins, x.dims, -mag, mag, err, num_heads=heads, unidirectional=1 if z is x and m.chance(0.3) else None, **OWN))


def projected(m):
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and known_tail(v) and full(v) and v.mag < 8)
    heads, depth, n = m.one(1, 2, 3), m.one(4, 8), x.size(2)
    w, b = m.weights("f32", [n, 3 * heads * depth], n), m.constant(m.draw("f32", [3 * heads * depth], -1, 1))
    growth = heaviest(m, w, (0,))
    mag = growth * x.mag + 1
    m.need(mag < 40)
    e = growth * x.err + 2e-6 * mag
    m.keep(m.node("Attention", [x, w, b], [*x.dims[:2], m.dim(heads * depth)], -mag, mag, blurred(e, mag, depth, 1 / math.sqrt(depth), e, mag), num_heads=heads,
                  unidirectional=m.one(None, 0, 1), **OWN))


def group_query(m):
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and closed(v) and v.size(2) % 8 == 0 and v.mag < 8 and v.size(1) > 0)
    batch, length, hidden = x.size(0), x.size(1), x.size(2)
    heads = m.dice.choice([h for h in (1, 2, 4) if hidden % (8 * h) == 0])
    grouped = m.dice.choice([g for g in range(1, heads + 1) if heads % g == 0])
    depth = hidden // heads
    k = x if grouped == heads else m.like("Slice", [x, m.ints(0), m.ints(grouped * depth), m.ints(2)], dims=[*x.dims[:2], m.dim(grouped * depth)])
    last, total = m.constant(np.full(batch, length - 1, np.int32)), m.constant(np.array([length], np.int32))
    dims = [m.dim(batch), m.dim(grouped), m.dim(length), m.dim(depth)]
    err = blurred(x.err, x.mag, depth, 1 / math.sqrt(depth), x.err, x.mag)
    results = [Value("", "f32", x.dims, x.lo, x.hi, err), Value("", "f32", dims, x.lo, x.hi, x.err, x.step), Value("", "f32", dims, x.lo, x.hi, x.err, x.step)]
    for r in m.emit("GroupQueryAttention", [x, k, k, None, None, last, total], results, num_heads=heads, kv_num_heads=grouped,
                    local_window_size=m.one(None, 2), softcap=m.one(None, 4.0), **OWN):
        m.keep(r)


FLOATS = [(gelu, 3), (skip_norm, 3), (simplified, 1), (fused_matmul, 2), (fused_conv, 1.5), (fused_gemm, 1), (n_bits, 1.5), (multi_head, 2), (projected, 1.5),
          (group_query, 1.5), (dynamic_product, 1), (embed, 1), (rotary, 1)]
INTEGERS = [(binary_codes, 3), (unary_codes, 2), (joined_codes, 2), (pooled_codes, 1.5), (integer_product, 2), (gemm_codes, 1.5), (reduced_codes, 3)]
