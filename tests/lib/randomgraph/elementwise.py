"""Steps that compute each element by itself, and casts between dtypes. PEER says for which dtypes ONNX Runtime's CPU provider has a kernel."""
import math
from .maker import FLOATS, NUMPY, Value, int_range, is_float

INTS = ["u8", "i8", "u16", "i16", "i32", "i64", "u32", "u64"]
NARROW = {"u8", "i8", "u16", "i16"}
REAL = {"f32", "f16", "f64"}
F = {"f32", "f16"}
ALL_BUT_BOOL = REAL | set(INTS)
PEER = {"Relu": REAL | {"i8", "i32"}, "Erf": F, "Tan": F, "Asin": F, "Acos": F, "Atan": F, "Sinh": F, "Cosh": F, "Asinh": F, "Acosh": F,
        "Atanh": F, "Softplus": F, "Softsign": F, "HardSwish": F, "Mish": F, "Gelu": F, "Celu": {"f32"}, "Elu": F, "HardSigmoid": F, "LeakyRelu": F,
        "Selu": F, "ThresholdedRelu": F, "PRelu": F, "Mean": F, "Max": ALL_BUT_BOOL - {"u16", "i16"}, "Min": ALL_BUT_BOOL - {"u16", "i16"},
        "Pow": REAL | {"i32", "i64"}, "BitShift": {"u8", "u32", "u64"}, "Where": REAL | {"u8", "i32", "i64"}, "Neg": REAL | {"i8", "i16", "i32", "i64"},
        "Equal": ALL_BUT_BOOL | {"b"}, "Clip": ALL_BUT_BOOL, "Shrink": ALL_BUT_BOOL, "Sign": ALL_BUT_BOOL}
EXACT = {"Relu", "Abs", "Neg", "Sign", "Ceil", "Floor", "Round"}


def fits(m, op, dtype):
    """Whether to draw this operator for this dtype. Opset 14 brought small integers to arithmetic and Relu."""
    if m.opset < 14 and dtype in NARROW and op in ("Add", "Sub", "Mul", "Div", "Relu") or m.opset < 14 and op == "Relu" and not is_float(dtype):
        return False
    return m.wild or dtype in PEER.get(op, ALL_BUT_BOOL)


def broadcast(m, a, b):
    """The dims of both, broadcast."""
    rank = max(len(a), len(b))
    a, b = [m.dim(1)] * (rank - len(a)) + list(a), [m.dim(1)] * (rank - len(b)) + list(b)
    for x, y in zip(a, b):
        m.need(x == y or set(x) == {1} or set(y) == {1})
    return [y if set(x) == {1} else x for x, y in zip(a, b)]


def broadcasts(m, a, b):
    rank = min(len(a), len(b))
    return all(x == y or set(x) == {1} or set(y) == {1} for x, y in zip(a[len(a) - rank:], b[len(b) - rank:]))


def partner(m, x, lo=-2.0, hi=2.0):
    """An operand for x: another value of the pool, a number, a constant or input of some of its dims."""
    if m.chance(0.4):
        fitting = [v for v in m.pool if v.dtype == x.dtype and broadcasts(m, v.dims, x.dims) and lo <= v.lo and v.hi <= hi]
        if fitting:
            return m.dice.choice(fitting)
    kind = m.dice.randrange(4)
    if kind == 0 or x.rank == 0:
        return m.tensor(x.dtype, [m.dim(1)] * m.one(0, 0, 1), lo, hi)
    axis = m.dice.randrange(x.rank)
    dims = [d if kind == 1 or (kind == 2 and i == axis) or (kind == 3 and m.chance(0.6)) else m.dim(1) for i, d in enumerate(x.dims)]
    if any(len(set(d)) > 1 and d not in m.named for d in dims):
        dims = [m.dim(1)] * x.rank
    first = m.dice.randrange(x.rank + 1)
    if all(set(d) == {1} for d in dims[:first]) and m.chance(0.7):
        dims = dims[first:]
    return m.tensor(x.dtype, dims, lo, hi)


def within(m, x, lo, hi):
    """x, brought into an interval by a Clip or a Sigmoid unless it is there."""
    if lo <= x.lo and x.hi <= hi:
        return x
    if x.dtype == "bf16" or (hi < 1e4 and m.chance(0.4)):
        s = m.node("Sigmoid", [x], x.dims, 0, 1, growth=0.25)
        width, foot = m.number(hi - lo, x), m.number(lo, x)
        s = m.node("Mul", [s, width], x.dims, 0, hi - lo, s.err * (hi - lo))
        return m.node("Add", [s, foot], x.dims, lo, hi, s.err)
    return m.node("Clip", [x, m.number(lo, x), m.number(hi, x)], x.dims, max(lo, min(x.lo, hi)), min(hi, max(x.hi, lo)), exactly=True,
                  step=x.step if x.step and lo % x.step == 0 and hi % x.step == 0 else 0)


def interval(f, x, *more):
    ends = [f(x.lo), f(x.hi), *more]
    return min(ends), max(ends)


def sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v > -60 else 0.0


def softplus(v):
    return math.log1p(math.exp(v)) if v < 30 else v


def elu(alpha):
    return lambda v: v if v > 0 else alpha * math.expm1(v)


# name: (domain or None, bounds, most growth of an error)
SMOOTH = {
    "Sigmoid": (None, lambda x: interval(sigmoid, x), 0.25), "Tanh": (None, lambda x: interval(math.tanh, x), 1),
    "Erf": (None, lambda x: interval(math.erf, x), 1.2), "Softplus": (None, lambda x: interval(softplus, x), 1),
    "Softsign": (None, lambda x: interval(lambda v: v / (1 + abs(v)), x), 1), "Atan": (None, lambda x: interval(math.atan, x), 1),
    "Asinh": (None, lambda x: interval(math.asinh, x), 1), "HardSwish": (None, lambda x: (-0.375, max(x.hi, 0)), 1.5),
    "Mish": (None, lambda x: (-0.31, max(x.hi, 0)), 1.1), "Gelu": (None, lambda x: (-0.171, max(x.hi, 0)), 1.13),
    "Sin": (None, lambda x: (-1, 1), 1), "Cos": (None, lambda x: (-1, 1), 1), "Tan": ((-1.2, 1.2), lambda x: interval(math.tan, x), 8),
    "Exp": ((-80, 4), lambda x: interval(math.exp, x), 55), "Log": ((0.125, 1e4), lambda x: interval(math.log, x), 8),
    "Sqrt": ((0.0625, 1e4), lambda x: interval(math.sqrt, x), 2), "Reciprocal": ((0.25, 1e4), lambda x: interval(lambda v: 1 / v, x), 16),
    "Asin": ((-0.875, 0.875), lambda x: interval(math.asin, x), 2.1), "Acos": ((-0.875, 0.875), lambda x: interval(math.acos, x), 2.1),
    "Atanh": ((-0.875, 0.875), lambda x: interval(math.atanh, x), 4.3), "Acosh": ((1.25, 1e4), lambda x: interval(math.acosh, x), 1.4),
    "Sinh": ((-3, 3), lambda x: interval(math.sinh, x), 10.1), "Cosh": ((-3, 3), lambda x: interval(math.cosh, x, 1), 10.1)}
SINCE = {"Gelu": 20, "Mish": 18, "HardSwish": 14}


def smooth(m):
    op = m.dice.choice([k for k in SMOOTH if SINCE.get(k, 0) <= m.opset])
    domain, bounds, growth = SMOOTH[op]
    x = m.pick(lambda v: is_float(v.dtype) and fits(m, op, v.dtype))
    if domain:
        x = within(m, x, *domain)
    attrs = {"approximate": m.one(None, "none", "tanh")} if op == "Gelu" else {}
    lo, hi = bounds(x)
    # the standard says 1/6; ONNX Runtime expands the function, where it is a float
    err = growth * x.err + abs(1 / 6 - 0.1666666716337204) * x.mag ** 2 if op == "HardSwish" and x.dtype == "f64" else None
    return m.keep(m.node(op, [x], x.dims, lo, hi, err, growth=growth, **attrs))


def parametric(m):
    op = m.one("Elu", "Celu", "LeakyRelu", "Selu", "HardSigmoid")
    x, alpha = m.pick(lambda v: is_float(v.dtype) and (v.dtype == "f32" if op == "Celu" else fits(m, op, v.dtype))), m.one(0.125, 0.5, 1.0, 1.5)
    if op == "HardSigmoid":
        return m.keep(m.node(op, [x], x.dims, 0, 1, growth=alpha, alpha=alpha, beta=m.one(0.5, 0.25)))
    if op == "LeakyRelu":
        return m.keep(m.node(op, [x], x.dims, *interval(lambda v: v if v > 0 else alpha * v, x), growth=max(1, alpha), alpha=alpha,
                             step=x.step * 0.125))
    if op == "Selu":
        lo, hi = interval(elu(alpha), x)
        return m.keep(m.node(op, [x], x.dims, 1.25 * lo, 1.25 * hi, growth=1.25 * max(1, alpha), alpha=alpha, gamma=1.25))
    return m.keep(m.node(op, [x], x.dims, *interval(elu(alpha) if op == "Elu" else elu(alpha), x, 0), growth=max(1, alpha), alpha=alpha))


def stepped(m):
    """Relu, Abs, Neg keep errors; Sign, Ceil, Floor, Round want none."""
    op = m.dice.choice(sorted(EXACT))
    jumps, floats = op in ("Sign", "Ceil", "Floor", "Round"), op in ("Ceil", "Floor", "Round")
    x = m.pick(lambda v: v.dtype != "b" and fits(m, op, v.dtype) and (v.exact or not jumps) and (not floats or is_float(v.dtype)))
    m.need(op not in ("Relu", "Neg") or is_float(x.dtype) or int_range(x.dtype)[0] < 0)
    m.need(op != "Abs" or is_float(x.dtype) or x.lo > int_range(x.dtype)[0] or x.lo >= 0)
    f = {"Relu": lambda v: max(v, 0), "Abs": abs, "Neg": lambda v: -v, "Sign": lambda v: (v > 0) - (v < 0)}.get(op)
    lo, hi = interval(f, x, *([0] if op == "Abs" else [])) if f else (math.floor(x.lo), math.ceil(x.hi))
    return m.keep(m.node(op, [x], x.dims, lo, hi, err=0 if jumps else None, step=1 if jumps else x.step, exactly=True))


def jump(m):
    """Shrink and ThresholdedRelu on exact values; IsNaN, IsInf"""
    op = m.one("Shrink", "ThresholdedRelu", "IsNaN", "IsInf")
    x = m.pick(lambda v: v.exact and is_float(v.dtype) and fits(m, op, v.dtype))
    if op[:2] == "Is":
        m.need(m.opset >= 20 or x.dtype in ("f32", "f64") or (op == "IsNaN" and x.dtype == "f16"))
        return m.keep(m.node(op, [x], x.dims, 0, 1, 0, 1, dtype="b"))
    if op == "Shrink":
        return m.keep(m.node(op, [x], x.dims, x.lo - 0.5, x.hi + 0.5, 0, min(x.step, 0.25), lambd=m.one(0.5, 1.0), bias=m.one(0.0, 0.25)))
    return m.keep(m.node(op, [x], x.dims, min(0, x.lo), max(0, x.hi), 0, x.step, alpha=m.one(0.5, 1.0)))


def arithmetic(m):
    op = m.one("Add", "Sub", "Mul", "Add", "Mul", "Max", "Min")
    x = m.pick(lambda v: v.dtype != "b" and fits(m, op, v.dtype))
    y = x if m.chance(0.06) else partner(m, x)
    if m.chance(0.3):
        x, y = y, x
    dims = broadcast(m, x.dims, y.dims)
    if op in ("Max", "Min"):
        f = max if op == "Max" else min
        return m.keep(m.node(op, [x, y], dims, f(x.lo, y.lo), f(x.hi, y.hi), step=min(x.step, y.step), exactly=True))
    if op == "Mul":
        ends = [a * b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
        lo, hi, err, step = min(ends), max(ends), x.mag * y.err + y.mag * x.err, x.step * y.step
    else:
        lo, hi = (x.lo + y.lo, x.hi + y.hi) if op == "Add" else (x.lo - y.hi, x.hi - y.lo)
        err, step = x.err + y.err, min(x.step, y.step)
    if not is_float(x.dtype) and int_range(x.dtype)[0] == 0 and (lo < 0 or hi > int_range(x.dtype)[1]):
        lo, hi = int_range(x.dtype)
        m.need(x.dtype in ("u8", "u16", "u32"))  # it wraps
    return m.keep(m.node(op, [x, y], dims, lo, hi, err, step))


def quotient(m):
    x = m.pick(lambda v: v.dtype != "b" and (m.wild or v.dtype != "bf16") and fits(m, "Div", v.dtype))
    if is_float(x.dtype):
        y = within(m, partner(m, x), 0.5, 16) if m.chance(0.5) else partner(m, x, 0.5, 4)
        m.need(y.lo > 0)
        dims = broadcast(m, x.dims, y.dims)
        most = x.mag / y.lo
        if m.chance(0.3) and x.lo > 0.25:
            return m.keep(m.node("Div", [y, x], dims, 0, y.hi / x.lo, y.err / x.lo + y.hi * x.err / x.lo ** 2))
        return m.keep(m.node("Div", [x, y], dims, -most, most, x.err / y.lo + most * y.err / y.lo))
    y = partner(m, x, 1, 7)
    m.need(y.lo >= 1)
    dims = broadcast(m, x.dims, y.dims)
    if m.chance(0.5):
        return m.keep(m.node("Div", [x, y], dims, min(x.lo, 0), max(x.hi, 0)))
    fmod = m.one(0, 1)
    return m.keep(m.node("Mod", [x, y], dims, -y.hi if fmod and x.lo < 0 else 0, y.hi, fmod=fmod))


def remainder(m):
    x = m.pick(lambda v: v.exact and v.dtype in ("f32", "f64") and v.step)
    y = partner(m, x, 0.5, 3)
    m.need(y.exact and y.step and y.lo > 0)
    return m.keep(m.node("Mod", [x, y], broadcast(m, x.dims, y.dims), -y.hi, y.hi, 0, min(x.step, y.step), fmod=1))


def power(m):
    x = m.pick(lambda v: v.dtype in ("f32", "f64", "i32", "i64") or v.dtype == "f16")
    if not is_float(x.dtype):
        m.need(x.mag <= 30)
        return m.keep(m.node("Pow", [x, m.number(m.one(1, 2, 3), x)], x.dims, -(x.mag ** 3), x.mag ** 3))
    e = m.one(2.0, 3.0, 1.0, 0.5, 1.5, -1.0, 4.0)
    if e not in (1, 2, 3, 4):
        x = within(m, x, 0.25, 16)
    m.need(x.mag <= 20)
    most = max(x.mag ** e, x.lo ** e if x.lo > 0 else 0)
    growth = abs(e) * max(x.mag ** (e - 1), x.lo ** (e - 1) if x.lo > 0 else 0)
    return m.keep(m.node("Pow", [x, m.number(e, x)], x.dims, -most if x.lo < 0 else 0, most, x.err * growth, x.step ** e if e >= 1 and e == int(e) else 0))


def prelu(m):
    x = m.pick(lambda v: is_float(v.dtype) and fits(m, "PRelu", v.dtype))
    slope = partner(m, x)
    m.need(broadcast(m, x.dims, slope.dims) == list(x.dims))
    most = x.mag * max(1, slope.mag)
    return m.keep(m.node("PRelu", [x, slope], x.dims, -most, most, x.err * max(1, slope.mag) + slope.err * x.mag, min(x.step, x.step * slope.step)))


def several(m):
    op = m.one("Max", "Min", "Sum", "Mean")
    x = m.pick(lambda v: is_float(v.dtype) and fits(m, op, v.dtype))
    xs = [x] + [partner(m, x) for _ in range(m.one(0, 1, 2, 3))]
    dims = x.dims
    for y in xs[1:]:
        dims = broadcast(m, dims, y.dims)
    err = sum(v.err for v in xs)
    if op in ("Max", "Min"):
        f = max if op == "Max" else min
        return m.keep(m.node(op, xs, dims, f(v.lo for v in xs), f(v.hi for v in xs), err, min(v.step for v in xs), exactly=True))
    return m.keep(m.node(op, xs, dims, min(0, sum(v.lo for v in xs)), max(0, sum(v.hi for v in xs)), err))


def compare(m):
    op = m.one("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    x = m.pick(lambda v: v.exact and fits(m, op, v.dtype) and (v.dtype != "b" or op == "Equal"))
    y = partner(m, x)
    m.need(y.exact)
    return m.keep(m.node(op, [x, y], broadcast(m, x.dims, y.dims), 0, 1, dtype="b"))


def logic(m):
    x = m.pick(lambda v: v.dtype == "b")
    if m.chance(0.25):
        return m.keep(m.node("Not", [x], x.dims, 0, 1))
    y = partner(m, x)
    return m.keep(m.node(m.one("And", "Or", "Xor"), [x, y], broadcast(m, x.dims, y.dims), 0, 1))


def bits(m):
    x = m.pick(lambda v: v.dtype in INTS)
    lo, hi = int_range(x.dtype)
    if m.chance(0.3):
        m.need(fits(m, "BitShift", x.dtype) and lo == 0)
        right = m.chance(0.6)
        y = partner(m, x, 0, 3)
        m.need(y.lo >= 0 and (right or x.hi * 2 ** y.hi <= hi))
        return m.keep(m.node("BitShift", [x, y], broadcast(m, x.dims, y.dims), 0, x.hi if right else x.hi * 2 ** y.hi,
                             direction="RIGHT" if right else "LEFT"))
    m.need(m.opset >= 18 and hi < 2 ** 40)
    if m.chance(0.25):
        return m.keep(m.node("BitwiseNot", [x], x.dims, lo, hi))
    y = partner(m, x)
    return m.keep(m.node(m.one("BitwiseAnd", "BitwiseOr", "BitwiseXor"), [x, y], broadcast(m, x.dims, y.dims), lo, hi))


def where(m):
    c = m.pick(lambda v: v.dtype == "b")
    x = m.pick(lambda v: fits(m, "Where", v.dtype) and broadcasts(m, v.dims, c.dims))
    y = partner(m, x)
    if m.chance(0.4):
        x, y = y, x
    dims = broadcast(m, broadcast(m, c.dims, x.dims), y.dims)
    return m.keep(m.node("Where", [c, x, y], dims, min(x.lo, y.lo), max(x.hi, y.hi), step=min(x.step, y.step), exactly=True, dtype=x.dtype))


def clip(m):
    x = m.pick(lambda v: v.dtype != "b" and fits(m, "Clip", v.dtype))
    lo, hi = m.one(None, 0, -1), m.one(None, 1, 6, 1.5 if is_float(x.dtype) else 2)
    m.need(lo is None or is_float(x.dtype) or lo >= int_range(x.dtype)[0])
    low, high = x.lo if lo is None else max(lo, x.lo), x.hi if hi is None else min(hi, x.hi)
    low, high = min(low, high if hi is None else hi), max(low, high)
    ins = [x, None if lo is None else m.number(lo, x), None if hi is None else m.number(hi, x)]
    while ins[-1] is None:
        ins.pop()
    return m.keep(m.node("Clip", ins, x.dims, low, high, step=min(x.step, 0.5), exactly=True))


def cast(m):
    x = m.pick()
    to = m.dice.choice(sorted(NUMPY) if m.wild else sorted(set(NUMPY) - {"bf16"}))
    if to == "b":
        m.need(x.exact)
        return m.keep(m.node("Cast", [x], x.dims, 0, 1, 0, 1, dtype="b", to=9))
    number = {"f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "f16": 10, "f64": 11, "u32": 12, "u64": 13, "bf16": 16}[to]
    if is_float(to):
        return m.keep(m.node("Cast", [x], x.dims, x.lo, x.hi, step=x.step, dtype=to, exactly=to == "f64" and is_float(x.dtype), to=number))
    m.need(x.exact and x.lo >= int_range(to)[0] and x.hi <= int_range(to)[1])
    if is_float(x.dtype) and x.dtype != "bf16" and m.chance(0.5):
        return m.keep(m.node("CastLike", [x, m.number(1, Value("", to, [], 0, 1))], x.dims, math.floor(x.lo), math.ceil(x.hi), 0, 1, dtype=to)) if m.opset >= 15 else None
    return m.keep(m.node("Cast", [x], x.dims, math.floor(x.lo), math.ceil(x.hi), 0, 1, dtype=to, to=number))


STEPS = [(smooth, 5), (parametric, 1), (stepped, 2), (jump, 1), (arithmetic, 9), (quotient, 2), (remainder, 0.5), (power, 1), (prelu, 0.7),
         (several, 1), (compare, 2), (logic, 1), (bits, 1), (where, 2), (clip, 2), (cast, 2)]
