"""Steps of what came late or is rare: the same bits as another dtype, floats of 8 bits and integers of 4 or 2, attention with a state in place of
scores, convolutions that go on from call to call, n-grams, LSTMs whose weights are codes; and numbers that an operator draws, of which only what
holds for any of them is compared: their dims, their range, that reading them twice gives the same."""
import math
import numpy as np
from .elementwise import within
from .maker import NUMBER, NUMPY, SMALL, Value, int_range, is_float
from .networks import closed, full
from .movement import signed

# What a value may become while it has few bits: (name, number, largest finite, finest step, first opset of its Cast)
CODES = [("f8e4m3", 17, 448, 2.0 ** -9, 19), ("f8e4m3z", 18, 240, 2.0 ** -10, 19), ("f8e5m2", 19, 57344, 2.0 ** -16, 19), ("f8e5m2z", 20, 57344, 2.0 ** -17, 19)]
PACKED = [("u4", 21, 0, 15, 21), ("i4", 22, -8, 7, 21), ("u2", 25, 0, 3, 25), ("i2", 26, -2, 1, 25)]
TWINS = {"f32": ("i32", "u32"), "f64": ("i64", "u64"), "f16": ("i16", "u16")}


def exact(m, op, ins, dims, lo, hi, kind, step=0.0, **attrs):
    """A result of dtype `kind` that is not rounded; attrs may name a dtype too"""
    return m.emit(op, ins, [Value("", kind, dims, lo, hi, 0, step)], **attrs)[0]


def hidden(m, op, ins, dims, lo, hi, kind, **attrs):
    """A value that is no output of the model, nor an input of a smaller one: of a dtype that numpy lacks, or drawn"""
    v = exact(m, op, ins, dims, lo, hi, kind, **attrs)
    v.hidden = True
    return v


def moved(m, v):
    """Another order or shape of the same elements, or as it is"""
    kind = m.one("no", "Transpose", "Reshape", "Identity") if v.rank and m.opset >= 21 else "no"  # before, movement knew no such dtypes
    if kind == "Transpose":
        perm = m.dice.sample(range(v.rank), v.rank)
        w = m.like("Transpose", [v], dims=[v.dims[p] for p in perm], perm=perm)
    elif kind == "Reshape":
        m.need(closed(v))  # a 0 in the shape would stand for the dim that is there
        w = m.like("Reshape", [v, m.ints(math.prod(d[0] for d in v.dims))], dims=[m.dim(math.prod(d[0] for d in v.dims))])
    elif kind == "Identity":
        w = m.like("Identity", [v])
    else:
        return v
    w.hidden = v.hidden
    return w


# ---- few bits ----
def small_floats(m):
    """Rounded to a float of 8 bits, moved, and back: exact values alone, since rounding jumps"""
    name, number, most, finest, since = m.dice.choice(CODES)
    m.need(m.opset >= since)
    x = m.pick(lambda v: v.dtype in ("f32", "f16") and v.exact and v.mag <= most)
    y = moved(m, hidden(m, "Cast", [x], x.dims, x.lo, x.hi, name, to=number, saturate=m.one(None, 1)))
    to = m.one("f32", "f32", "f16")
    m.need(to == "f32" or x.mag < 6e4)
    grown = min(x.mag * 1.125, most)  # as far as rounding goes
    m.keep(exact(m, "Cast", [y], y.dims, -grown if x.lo < 0 else 0, grown, to, min(x.step, 1) if x.step >= finest else 0, to=NUMBER[to]))


def small_codes(m):
    """As small_floats does, by QuantizeLinear with a scale that is a power of two"""
    name, number, most, finest, _ = m.dice.choice(CODES[::2])
    m.need(m.opset >= 21)
    scale = 2.0 ** -m.dice.randint(0, 4)
    x = m.pick(lambda v: v.dtype == "f32" and v.exact and v.mag / scale <= most)
    s = m.constant(np.float32(scale))
    y = moved(m, hidden(m, "QuantizeLinear", [x, s], x.dims, x.lo / scale, x.hi / scale, name, output_dtype=number))
    grown = min(x.mag * 1.125, most * scale)
    m.keep(m.node("DequantizeLinear", [y, s], y.dims, -grown, grown, 0, min(x.step, scale) * finest if x.step else 0, "f32", exactly=True))


def packed_integers(m):
    name, number, lo, hi, since = m.dice.choice(PACKED)
    m.need(m.opset >= since)
    x = m.pick(lambda v: v.dtype in ("f32", "i32", "i64", "u8", "i8") and v.exact and v.lo >= lo and v.hi <= hi and (not is_float(v.dtype) or v.step % 1 == 0 < v.step))
    y = moved(m, hidden(m, "Cast", [x], x.dims, x.lo, x.hi, name, to=number))
    to = m.one(x.dtype, "f32")
    m.keep(m.node("Cast", [y], y.dims, x.lo, x.hi, 0, 1, to, exactly=True, to=NUMBER[to]))


def bit_cast(m):
    """Integers as those of the other sign; floats as integers, bits taken away there, and back. The sign of a zero is nobody's word: it goes too,
    unless the numbers come as they were given."""
    m.need(m.opset >= 26)
    kind = m.one("whole", "float", "float")
    if kind == "whole":
        x = m.pick(lambda v: v.dtype in ("u8", "i8", "u16", "i16", "i32", "u32", "b"))
        to = {"b": "u8"}.get(x.dtype) or ("i" if x.dtype[0] == "u" else "u") + x.dtype[1:]
        lo, hi = (x.lo, x.hi) if x.lo >= 0 and x.hi <= int_range(to)[1] else int_range(to)
        return m.keep(m.node("BitCast", [x], x.dims, lo, hi, 0, 1, to, to=NUMBER[to]))
    x = m.pick(lambda v: v.dtype in TWINS and v.exact)
    to, wide = m.dice.choice(TWINS[x.dtype]), int(x.dtype[1:])
    plain = x in m.inputs or x.fixed is not None
    y = moved(m, hidden(m, "BitCast", [x], x.dims, 0, 1, to, to=NUMBER[to]))
    magnitude = not plain or m.chance(0.5)
    if magnitude:
        mask = m.constant(np.array(2 ** (wide - 1) - 1, NUMPY[to]))
        y = hidden(m, "BitwiseAnd", [y, mask], y.dims, 0, 1, to)
    elif to[0] == "u" and to != "u16" and m.chance(0.5):  # fewer digits, towards 0
        gone = m.constant(np.array(wide // 4, NUMPY[to]))
        for direction in ("RIGHT", "LEFT"):
            y = hidden(m, "BitShift", [y, gone], y.dims, 0, 1, to, direction=direction)
        return m.keep(m.node("BitCast", [y], y.dims, x.lo, x.hi, 0, x.step / 64, x.dtype, exactly=True, to=NUMBER[x.dtype]))
    lo = 0 if magnitude else x.lo
    m.keep(m.node("BitCast", [y], y.dims, lo, x.mag if magnitude else x.hi, 0, x.step, x.dtype, exactly=True, to=NUMBER[x.dtype]))


# ---- with a state ----
def linear_attention(m):
    m.need(m.opset >= 27)
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and v.size(2) and full(v) and v.mag <= 8 and v.err <= 1e-3)
    hidden_size, (batch, steps) = x.size(2), x.dims[:2]
    heads = m.dice.choice([h for h in (1, 2, 3, 4) if hidden_size % h == 0])
    kept = m.dice.choice([h for h in range(1, heads + 1) if heads % h == 0])
    depth, wide, rule = hidden_size // heads, m.one(1, 3, 4), m.one("linear", "gated", "delta", "gated_delta")
    named = all(len(set(d)) == 1 or d in m.named for d in (batch, steps))
    m.need(named and max(steps) <= 24)
    k = m.tensor("f32", [batch, steps, m.dim(kept * depth)], -0.5, 0.5)
    v = m.tensor("f32", [batch, steps, m.dim(kept * wide)])
    state = [batch, m.dim(kept), m.dim(depth), m.dim(wide)]
    past = m.tensor("f32", state, -1, 1) if m.chance(0.5) else None
    decay = m.tensor("f32", [batch, steps, m.dim(m.one(kept, kept * depth))], -1, 0) if rule[0] == "g" else None
    beta = m.tensor("f32", [batch, steps, m.dim(m.one(1, kept))], 0, 0.5) if "delta" in rule else None
    if beta is not None:  # |1 - beta k kᵀ| stays within 1
        k = m.node("Mul", [k, m.number(2.0 ** -math.ceil(math.log2(max(depth, 1)) / 2), k)], k.dims, -0.5, 0.5, 0, k.step / 16)
    ins = [x, k, v, past, decay, beta]
    while ins[-1] is None:
        ins.pop()
    scale = m.one(None, 0.5, 1.0)
    held = (1 if past is not None else 0) + 2 * 0.5 * max(steps) * (2 if beta is not None else 1)
    most = depth * x.mag * held * (scale or 1 / math.sqrt(depth))
    results = [Value("", "f32", [batch, steps, m.dim(heads * wide)], -most, most, depth * held * x.err + 4e-6 * most),
               Value("", "f32", state, -held, held, 4e-6 * held)]
    for r in m.emit("LinearAttention", ins, results, q_num_heads=heads, kv_num_heads=kept, update_rule=rule, scale=scale):
        m.keep(r)


def causal_conv(m):
    m.need(m.opset >= 27)
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and v.size(1) and full(v) and v.mag <= 40)
    batch, channels, taps = x.dims[0], x.size(1), m.one(2, 2, 3, 4)
    w = m.constant(m.draw("f32", [channels, 1, taps], -1, 1))
    bias = m.tensor("f32", [m.dim(channels)]) if m.chance(0.5) else None
    m.need(len(set(batch)) == 1 or batch in m.named)
    past = m.tensor("f32", [batch, m.dim(channels), m.dim(taps - 1)]) if m.chance(0.5) else None
    ins = [x, w, bias, past]
    while ins[-1] is None:
        ins.pop()
    mag = max(x.mag, 2)
    most, dims = taps * mag + 2, [batch, m.dim(channels), m.dim(taps - 1)]
    results = [Value("", "f32", x.dims, -most, most, 1.2 * taps * x.err + 2e-6 * most), Value("", "f32", dims, -mag, mag, x.err, x.step)]
    for r in m.emit("CausalConvWithState", ins, results, activation=m.one(None, "none", "silu", "swish")):
        m.keep(r)


def dynamic_lstm(m):
    """ONNX Runtime rounds x and the state to bytes, mcc does not: up to half a step of each times the weights that read it"""
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and v.size(2) and full(v) and v.mag <= 4 and v.err < 1e-4)
    direction = m.one("forward", "reverse", "bidirectional")
    ways, size, wide = 2 if direction == "bidirectional" else 1, m.one(1, 4, 8), x.size(2)
    steps, batch = x.dims[:2]
    m.need(max(steps) <= 12)
    w, r = (m.constant(m.draw("i8", [ways, n, 4 * size], -127, 127)) for n in (wide, size))
    scales = [m.constant(np.full(ways, 2.0 ** -math.ceil(math.log2(127 * 8 * math.sqrt(n))), np.float32)) for n in (wide, size)]
    zeros = [m.constant(m.draw("i8", [ways], -2, 2)) for _ in range(2)]
    bias = m.constant(np.float32(m.numbers.standard_normal((ways, 8 * size)) / 4)) if m.chance(0.7) else None
    ins = [x, w, r, bias, None, None, None, None, scales[0], zeros[0], scales[1], zeros[1]]
    state = [m.dim(ways), batch, m.dim(size)]
    results = [Value("", "f32", [steps, m.dim(ways), batch, m.dim(size)], -1, 1, 0.01)]
    if m.chance(0.5):
        results.append(Value("", "f32", state, -1, 1, 0.01))
    for v in m.emit("DynamicQuantizeLSTM", ins, results, hidden_size=size, direction=direction, domain="com.microsoft"):
        m.keep(v)


# ---- n-grams ----
def n_grams(m):
    x = m.pick(lambda v: v.dtype in ("i32", "i64") and v.rank in (1, 2) and closed(v) and v.size(v.rank - 1) >= 1)
    longest, shortest, skip = m.one(1, 2, 3), 1, m.one(0, 0, 1, 3)
    shortest = m.dice.randint(1, longest)
    pool, starts = [], []
    lo = m.dice.randint(-2, 2)
    for n in range(1, longest + 1):
        starts.append(len(pool))
        grams = sorted({tuple(int(k) for k in m.numbers.integers(lo, lo + 4, n)) for _ in range(m.one(1, 2, 5))})
        pool += [k for g in grams for k in g]
    count = sum((b - a) // (n + 1) for n, (a, b) in enumerate(zip(starts, starts[1:] + [len(pool)])))
    places = [int(k) for k in m.numbers.permutation(count)]
    mode = m.one("TF", "IDF", "TFIDF")
    weights = [float(k) for k in m.draw("f32", [count], 0.25, 2)] if mode != "TF" or m.chance(0.3) else None
    most = x.size(x.rank - 1) * (skip + 1) * 2
    m.keep(m.node("TfIdfVectorizer", [x], [*x.dims[:-1], m.dim(count)], 0, most, 0, 1 / 64, "f32", mode=mode, max_gram_length=longest,
                  min_gram_length=shortest, max_skip_count=skip, ngram_counts=starts, ngram_indexes=places, pool_int64s=pool, weights=weights))


# ---- drawn ----
def always(m, drawn, lo, hi):
    """What holds of numbers that are drawn: within bounds, and the same wherever they are read"""
    dims, low, high = drawn.dims, m.number(lo, drawn), m.number(hi, drawn)
    if m.chance(0.5):
        inside = [m.node("GreaterOrEqual", [drawn, low], dims, 0, 1, 0, 1, "b"), m.node("LessOrEqual", [drawn, high], dims, 0, 1, 0, 1, "b")]
        return m.keep(m.node("And", inside, dims, 0, 1, 0, 1))
    twice = [drawn, moved_back(m, drawn)]
    m.keep(m.node("Sub", twice, dims, 0, 0, 0, 1, exactly=True))


def moved_back(m, v):
    """The same numbers by another way"""
    if not v.rank:
        return hidden(m, "Identity", [v], v.dims, v.lo, v.hi, v.dtype)
    perm = m.dice.sample(range(v.rank), v.rank)
    there = hidden(m, "Transpose", [v], [v.dims[p] for p in perm], v.lo, v.hi, v.dtype, perm=perm)
    return hidden(m, "Transpose", [there], v.dims, v.lo, v.hi, v.dtype, perm=[perm.index(i) for i in range(v.rank)])


def drawn_numbers(m):
    kind, to = m.one("Uniform", "Normal"), m.one(None, "f32", "f64", "f16")
    seed = m.one(None, float(m.dice.randrange(1000)))
    attrs = dict(low=-1.5, high=2.0) if kind == "Uniform" else dict(mean=m.one(0.0, 1.0), scale=m.one(1.0, 0.25))
    lo, hi = (-1.5, 2) if kind == "Uniform" else (-20, 20)
    if m.chance(0.5):
        x = m.pick(lambda v: v.dtype in ("f32", "f64"))
        v = hidden(m, f"Random{kind}Like", [x], x.dims, lo, hi, to or x.dtype, dtype=NUMBER.get(to), seed=seed, **attrs)
    else:
        shape = [m.one(1, 2, 3, 5) for _ in range(m.one(1, 2, 3))]
        v = hidden(m, f"Random{kind}", [], [m.dim(n) for n in shape], lo, hi, to or "f32", shape=shape, dtype=NUMBER.get(to), seed=seed, **attrs)
    always(m, v, lo, hi)


def bernoulli(m):
    """Ones and zeros, however likely: of probability p ONNX Runtime makes 1 - p, as a body that ONNX once gave for the operator has it"""
    m.need(m.opset >= 15)
    x = m.pick(lambda v: v.dtype == "f32")
    to = m.one(None, "f32", "f64")
    likely = within(m, x, 0, 1)
    v = hidden(m, "Bernoulli", [likely], x.dims, 0, 1, to or "f32", dtype=NUMBER.get(to))
    square = hidden(m, "Mul", [v, v], x.dims, 0, 1, v.dtype)
    m.keep(m.node("Sub", [square, v], x.dims, 0, 0, 0, 1, exactly=True))


def multinomial(m):
    """One class of which the others are no match; or any, within their number"""
    batch, classes, count, to = m.one(1, 2, 3), m.one(1, 2, 5), m.one(1, 4), m.one(None, "i32", "i64")
    sure = m.chance(0.5)
    logits = m.draw("f32", [batch, classes], -2, 2)
    best = m.numbers.integers(0, classes, batch)
    if sure:
        logits[np.arange(batch), best] = 60
    x = m.constant(logits) if m.chance(0.5) else m.given("f32", [logits] * m.runs)
    dims = [m.dim(batch), m.dim(count)]
    attrs = dict(sample_size=count, dtype=NUMBER.get(to), seed=m.one(None, 3.0))
    if sure:
        return m.keep(exact(m, "Multinomial", [x], dims, 0, classes - 1, to or "i32", 1, **attrs))
    always(m, hidden(m, "Multinomial", [x], dims, 0, classes - 1, to or "i32", **attrs), 0, classes - 1)


CODES_INSIDE = [(dynamic_lstm, 1)]
CASTS = [(small_floats, 3), (small_codes, 1.5), (packed_integers, 2), (bit_cast, 4)]
STATES = [(linear_attention, 3), (causal_conv, 2)]
TEXT = [(n_grams, 1)]
DRAWN = [(drawn_numbers, 2), (bernoulli, 1), (multinomial, 1)]
