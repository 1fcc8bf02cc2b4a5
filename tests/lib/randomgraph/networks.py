"""Steps that the standard gives as one operator and mcc mostly takes apart: normalisations, attention, sums over named axes, losses; recurrence with
all it can be told."""
import math
import numpy as np
from .maker import ROUNDING, SMALL, Value
from .sums import epsilon, image

NORMED = ("f32", "f64")


def closed(v):
    return not v.open() and not any(0 in d for d in v.dims)


def known_tail(v, n=1):
    return v.rank >= n and all(len(set(d)) == 1 and d[0] > 0 for d in v.dims[v.rank - n:])


def full(v):
    return not any(0 in d for d in v.dims)


# ---- normalisations ----
def group_norm(m):
    m.need(m.opset >= 21)  # 18 had a scale for each group, which ONNX took back
    x = image(m, {"f32"}, lambda v: v.rank >= 3)
    m.need(x.dtype == "f32")
    c, (e, growth) = x.size(1), epsilon(m)
    groups = m.dice.choice([g for g in range(1, c + 1) if c % g == 0])
    scale, bias = (m.constant(m.draw("f32", [c])) for _ in range(2))
    n = c // groups * max(math.prod(d[k] for d in x.dims[2:]) for k in range(m.runs))
    most = math.sqrt(n) * scale.mag + bias.mag
    m.keep(m.node("GroupNormalization", [x, scale, bias], x.dims, -most, most, growth * scale.mag * (x.err + 1e-6 * x.mag), num_groups=groups, epsilon=e))


def rms_norm(m):
    m.need(m.opset >= 23)
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in NORMED and known_tail(v))
    axis = m.dice.randrange(x.rank) if m.chance(0.3) else x.rank - 1
    m.need(known_tail(x, x.rank - axis))
    scale, (e, growth) = m.tensor(x.dtype, x.dims[axis:]), epsilon(m)
    most = math.sqrt(math.prod(d[0] for d in x.dims[axis:])) * scale.mag
    m.keep(m.node("RMSNormalization", [x, scale], x.dims, -most, most, growth * scale.mag * (x.err + 1e-6 * x.mag), axis=m.one(axis, axis - x.rank), epsilon=e))


def mean_variance(m):
    """Of what is there alone: nothing is added to the variance, which must not be small"""
    x = m.pick(lambda v: v in m.inputs and v.dtype == "f32" and v.rank >= 2 and closed(v) and v.hi - v.lo >= 2)
    axes = sorted(m.dice.sample(range(x.rank), m.dice.randrange(1, x.rank + 1)))
    n = math.prod(x.size(a) for a in axes)
    m.need(n >= 12)
    given = None if axes == [0, 2, 3] and m.chance(0.7) else axes
    m.keep(m.node("MeanVarianceNormalization", [x], x.dims, -math.sqrt(n), math.sqrt(n), 2e-4, axes=given))


def lp_norm(m):
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in NORMED and full(v))
    axis, p = m.dice.randrange(x.rank), m.one(None, 1, 2)
    x = m.node("Add", [m.node("Abs", [x], x.dims, 0, x.mag, step=x.step, exactly=True), m.number(0.5, x)], x.dims, 0.5, x.mag + 0.5, step=min(x.step, 0.5))
    m.keep(m.node("LpNormalization", [x], x.dims, 0, 1, 6 * x.err, p=p, axis=m.one(axis, axis - x.rank)))


def hardmax(m):
    x = m.pick(lambda v: v.rank >= 1 and v.exact and v.dtype in NORMED and full(v))
    axis = m.dice.randrange(x.rank)
    m.keep(m.node("Hardmax", [x], x.dims, 0, 1, 0, 1, exactly=True, axis=m.one(axis, axis - x.rank)))


# ---- products ----
def einsum(m):
    """One operand with any dims, others of constants; letters of each result drawn"""
    x = m.pick(lambda v: 1 <= v.rank <= 4 and v.dtype in ("f32", "f64", "i64", "i32") and full(v) and v.mag < 100)
    letters = list("abcd"[:x.rank])
    sizes = dict(zip(letters, x.dims))
    terms, operands = ["".join(letters)], [x]
    if x.rank == 2 and x.dims[0] == x.dims[1] and m.chance(0.2):
        terms, letters = ["aa"], ["a"]
    for k in range(m.one(0, 1, 1, 1, 2)):
        shared = [c for c in m.dice.sample(letters, m.dice.randrange(1, len(letters) + 1)) if len(set(sizes[c])) == 1]
        new = m.one("", "x", "y") if k == 0 else m.one("", "x", "z")
        for c in new:
            if c not in sizes:
                sizes[c] = m.dim(m.one(1, 2, 3, 8))
            shared.append(c)
        shared = [c for c in dict.fromkeys(shared)]
        m.need(shared)
        m.dice.shuffle(shared)
        terms.append("".join(shared))
        operands.append(m.tensor(x.dtype, [sizes[c] for c in shared], -1, 1))
    used = list(dict.fromkeys("".join(terms)))
    out = m.dice.sample(used, m.dice.randrange(0, len(used) + 1))
    summed = [c for c in used if c not in out]
    terms_n = max(math.prod(sizes[c][k] for c in summed) for k in range(m.runs))
    mag = terms_n * math.prod(v.mag for v in operands)
    err = terms_n * x.err * math.prod(v.mag for v in operands[1:])
    equation = ",".join(terms) + "->" + "".join(out)
    if m.chance(0.2):
        implied = sorted(c for c in used if "".join(terms).count(c) == 1)
        m.need(implied == out)
        equation = ",".join(terms)
    if m.chance(0.2):
        equation = equation.replace(",", " , ").replace("->", " -> ")
    step = math.prod(v.step for v in operands)
    m.keep(m.node("Einsum", operands, [sizes[c] for c in out], -mag, mag, err, step, equation=equation))


def determinant(m):
    n, lead = m.one(1, 2, 3, 4), m.one([], [3], [2, 2])
    x = m.tensor("f32", [*[m.dim(k) for k in lead], m.dim(n), m.dim(n)])
    most = math.factorial(n) * 2.0 ** n
    m.keep(m.node("Det", [x], x.dims[:-2], -most, most, 1e-5 * most))


def loss(m):
    op = m.one("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
    x = m.pick(lambda v: v.rank >= 2 and v.dtype == "f32" and closed(v) and v.size(1) >= 2)
    n, c, more = x.size(0), x.size(1), x.dims[2:]
    labels = m.numbers.integers(0, c, [n, *[d[0] for d in more]]).astype(m.one(np.int64, np.int64, np.int32))
    how, ignored = m.one("none", "sum", "mean", None), None
    if m.chance(0.4) and labels.size > 1:
        ignored = int(labels.flat[0])
        labels.flat[-1] = (ignored + 1) % c
    where = m.constant(labels) if m.chance(0.5) else m.given({np.dtype(np.int64): "i64", np.dtype(np.int32): "i32"}[labels.dtype], [labels] * m.runs)
    ins = [x, where] + ([m.tensor("f32", [m.dim(c)], 0.25, 2)] if m.chance(0.5) else [])
    dims, count = ([x.dims[0], *more], 1) if how == "none" else ([], labels.size)
    heavy = 2 if len(ins) > 2 else 1
    each = heavy * (x.mag if op[0] == "N" else 2 * x.mag + math.log(c))
    most = each * (count if how == "sum" else 1) * (4 if how in ("mean", None) else 1)
    err = (8 if heavy == 2 else 2) * (count if how == "sum" else 1) * (x.err + 1e-6 * each)
    results = [Value("", "f32", dims, -most, most, err)]
    if op[0] == "S" and m.chance(0.5):
        results.append(Value("", "f32", x.dims, -2 * x.mag - math.log(c), 0, 2 * x.err + 1e-6 * (2 * x.mag + 3)))
    for r in m.emit(op, ins, results, reduction=how, ignore_index=ignored):
        m.keep(r)


# ---- attention ----
def blurred(x_err, x_mag, depth, scale, v_err, v_mag):
    """What softmax(q kᵀ scale) v may be off by"""
    scores = depth * 2 * x_mag * x_err * scale + ROUNDING["f32"] * max(depth * x_mag ** 2 * scale, 1)
    return v_err + 2 * v_mag * (2 * scores + 1e-6) + 1e-6 * max(v_mag, SMALL)


def attention(m):
    m.need(m.opset >= 23)
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and known_tail(v) and full(v) and v.mag < 8)
    hidden, (batch, length) = x.size(2), x.dims[:2]
    heads = m.dice.choice([h for h in (1, 2, 3, 4) if hidden % h == 0])
    depth = hidden // heads
    others = [v for v in m.pool if v.rank == 3 and v.dtype == "f32" and v.dims[0] == batch and v.dims[2] == x.dims[2] and v.mag < 8 and full(v)]
    z = m.dice.choice(others) if m.chance(0.4) else x
    grouped = m.dice.choice([g for g in range(1, heads + 1) if heads % g == 0]) if m.chance(0.3) else heads
    k = v = z
    if grouped < heads:
        k = v = m.like("Slice", [z, m.ints(0), m.ints(grouped * depth), m.ints(2)], dims=[*z.dims[:2], m.dim(grouped * depth)])
    q, attrs, flat = x, {}, m.chance(0.6)
    if flat:
        attrs.update(q_num_heads=heads, kv_num_heads=grouped)
        dims = x.dims
    else:
        def spread(t, h):
            y = m.like("Reshape", [t, m.ints(0, 0, h, depth)], dims=[*t.dims[:2], m.dim(h), m.dim(depth)])
            return m.like("Transpose", [y], dims=[y.dims[i] for i in (0, 2, 1, 3)], perm=[0, 2, 1, 3])
        q, k = spread(x, heads), spread(k, grouped)
        v = k
        dims = [batch, m.dim(heads), length, m.dim(depth)]
    scale = m.one(None, 0.25, 0.5)
    ins, keys = [q, k, v], z.dims[1]
    if m.chance(0.4) and all(len(set(d)) == 1 or d in m.named for d in (length, keys)):
        ins.append(m.tensor("f32", m.one([length, keys], [m.dim(1), m.dim(1), length, keys], [m.dim(heads), length, keys])))
    if m.chance(0.3):
        attrs["softcap"] = m.one(2.0, 8.0)
    if m.chance(0.3) and z is x:
        attrs["is_causal"] = 1
    err = blurred(max(x.err, z.err), max(x.mag, z.mag), depth, scale or 1 / math.sqrt(depth), z.err, z.mag)
    m.keep(m.node("Attention", ins, dims, z.lo, z.hi, err, scale=scale, **attrs))


def rotary(m):
    m.need(m.opset >= 23)
    x = m.pick(lambda v: v.rank in (3, 4) and v.dtype == "f32" and closed(v) and v.size(v.rank - 1) % 2 == 0)
    heads, depth = None, x.size(x.rank - 1)
    if x.rank == 3:
        heads = m.dice.choice([h for h in (1, 2, 4) if depth % (2 * h) == 0])
        depth //= heads
    batch, length = x.size(0), x.size(1 if x.rank == 3 else 2)
    turned = m.one(None, depth // 2) if depth % 4 == 0 else None
    half = (turned or depth) // 2
    if m.chance(0.5):
        most = length + m.one(0, 3)
        at = m.constant(m.draw("i64", [batch, length], 0, most - 1))
        ins = [x, m.tensor("f32", [m.dim(most), m.dim(half)], -1, 1), m.tensor("f32", [m.dim(most), m.dim(half)], -1, 1), at]
    else:
        ins = [x] + [m.tensor("f32", [m.dim(batch), m.dim(length), m.dim(half)], -1, 1) for _ in range(2)]
    m.keep(m.node("RotaryEmbedding", ins, x.dims, -2 * x.mag, 2 * x.mag, growth=2, interleaved=m.one(None, 0, 1), num_heads=heads, rotary_embedding_dim=turned))


# ---- recurrence ----
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
BOUNDED = ["Sigmoid", "Tanh", "HardSigmoid", "Softsign"]


def recurrent(m):
    """Activations of any kind that stays bounded, peepholes, clip, lengths, states"""
    op = m.one("LSTM", "GRU", "RNN")
    x = m.pick(lambda v: v.rank == 3 and v.dtype == "f32" and v.size(2) and full(v) and v.mag <= 8)
    direction = m.one("forward", "reverse", "bidirectional")
    ways, hidden, wide, gates = 2 if direction == "bidirectional" else 1, m.one(1, 3, 4, 8, 17), x.size(2), GATES[op]
    steps, batch = x.dims[:2]
    small = lambda *shape: m.constant(np.float32(m.numbers.standard_normal(shape) / (4 * math.sqrt(shape[-1]))))
    ins = [x, small(ways, gates * hidden, wide), small(ways, gates * hidden, hidden), small(ways, 2 * gates * hidden) if m.chance(0.7) else None]
    named = all(len(set(d)) == 1 or d in m.named for d in (batch, steps))
    lengths = m.chance(0.4) and len(set(batch)) == 1 and len(set(steps)) == 1
    ins.append(m.tensor("i32", [batch], 1, min(steps)) if lengths else None)
    state = [m.dim(ways), batch, m.dim(hidden)]
    started = m.chance(0.5) and named
    ins.append(m.tensor("f32", state, -1, 1) if started else None)
    if op == "LSTM":
        ins.append(m.tensor("f32", state, -1, 1) if started and m.chance(0.7) else None)
        ins.append(small(ways, 3 * hidden) if m.chance(0.4) else None)
    while ins[-1] is None:
        ins.pop()
    attrs = {"hidden_size": hidden, "direction": direction}
    if m.chance(0.5):
        each = {"LSTM": 3, "GRU": 2, "RNN": 1}[op]
        attrs["activations"] = [m.dice.choice(BOUNDED if i % each == 0 and op != "RNN" else ["Tanh", "Softsign", "Sigmoid"]) for i in range(each * ways)]
        if op == "LSTM":  # gates between 0 and 1
            attrs["activations"] = [m.one("Sigmoid", "HardSigmoid") if i % 3 == 0 else a for i, a in enumerate(attrs["activations"])]
        if op == "GRU":
            attrs["activations"] = [m.one("Sigmoid", "HardSigmoid") if i % 2 == 0 else a for i, a in enumerate(attrs["activations"])]
    if m.chance(0.3) and op != "LSTM":  # ONNX Runtime does not clip a cell before the activation that reads it
        attrs["clip"] = m.one(0.5, 2.0)
    if op == "GRU":
        attrs["linear_before_reset"] = m.one(None, 0, 1)
    cell = max(steps) + 1
    err = 5e-5 + 8 * x.err
    results = [Value("", "f32", [steps, m.dim(ways), batch, m.dim(hidden)], -1, 1, err), Value("", "f32", state, -1, 1, err) if m.chance(0.6) else None,
               Value("", "f32", state, -cell, cell, 4 * err) if op == "LSTM" and m.chance(0.5) else None]
    while results[-1] is None:
        results.pop()
    for r in m.emit(op, ins, results, **attrs):
        if r is not None:
            m.keep(r)


# ---- opset 24 and later ----
def swish(m):
    m.need(m.opset >= 24)
    x, alpha = m.pick(lambda v: v.dtype in ("f32", "f16")), m.one(None, 0.5, 1.0, 2.0)
    m.keep(m.node("Swish", [x], x.dims, -x.mag, max(x.hi, 0), growth=1.2, alpha=alpha))


def dropout(m):
    x = m.pick(lambda v: v.dtype in ("f32", "f64"))
    m.keep(m.like(m.one("Dropout", "Identity"), [x]))


NORMS = [(group_norm, 2), (rms_norm, 2), (mean_variance, 1), (lp_norm, 2), (hardmax, 1)]
OTHERS = [(einsum, 4), (determinant, 0.7), (loss, 1.5), (swish, 0.7), (dropout, 0.5)]
ATTENTION = [(attention, 3), (rotary, 2), (recurrent, 3)]
