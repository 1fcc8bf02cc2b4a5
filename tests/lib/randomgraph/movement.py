"""Steps that move elements: views, slices, joins, gathers, padding, and shapes computed from shapes."""
import math
from .elementwise import REAL
from .maker import Value, is_float

NO_BOOL_16 = REAL | {"u8", "i8", "i32", "i64", "u32", "u64"}
FEW = REAL | {"u8", "i8"}


def any_value(m, rank=1, dtypes=None):
    return m.pick(lambda v: v.rank >= rank and (m.wild or dtypes is None or v.dtype in dtypes))


def product(m, dims):
    return tuple(math.prod(d[k] for d in dims) for k in range(m.runs))


def signed(m, axis, rank):
    return axis - rank if m.chance(0.3) else axis


def transpose(m):
    x = any_value(m, 0 if m.chance(0.05) else 2)
    perm = list(range(x.rank))
    m.dice.shuffle(perm)
    if m.chance(0.15):
        return m.keep(m.like("Transpose", [x], dims=x.dims[::-1]))
    return m.keep(m.like("Transpose", [x], dims=[x.dims[i] for i in perm], perm=perm))


def reshape(m):
    """Joins neighbours, splits dims of a constant size, keeps the others; one may be -1, kept ones 0."""
    x = any_value(m, 0)
    dims, i = [], 0
    while i < x.rank:
        n = x.size(i)
        if i + 1 < x.rank and m.chance(0.35):
            dims.append(product(m, x.dims[i:i + 2]))
            i += 2
            continue
        factors = [f for f in range(2, (n or 1)) if n % f == 0] if n else []
        if factors and m.chance(0.4):
            f = m.dice.choice(factors)
            dims += [m.dim(f), m.dim(n // f)]
        else:
            dims.append(x.dims[i])
        i += 1
    if m.chance(0.15):
        dims.insert(m.dice.randrange(len(dims) + 1), m.dim(1))
    spec = []
    for k, d in enumerate(dims):
        zero = k < x.rank and x.dims[k] == d and (len(set(d)) > 1 or m.chance(0.2))
        spec.append(0 if zero else d[0] if len(set(d)) == 1 else None)
    m.need(spec.count(None) <= 1 and not any(0 in d for d in x.dims))
    if None in spec:
        spec[spec.index(None)] = -1
    elif spec and m.chance(0.4):
        spec[m.dice.randrange(len(spec))] = -1
    return m.keep(m.like("Reshape", [x, m.ints(*spec)], dims=dims))


def flatten(m):
    x = any_value(m, 0)
    axis = m.dice.randrange(x.rank + 1)
    return m.keep(m.like("Flatten", [x], dims=[product(m, x.dims[:axis]), product(m, x.dims[axis:])], axis=axis))


def squeeze(m):
    x = any_value(m, 0)
    ones = [i for i in range(x.rank) if x.size(i) == 1]
    if ones and m.chance(0.6):
        gone = m.dice.sample(ones, m.dice.randrange(1, len(ones) + 1))
        return m.keep(m.like("Squeeze", [x, m.ints(*[signed(m, a, x.rank) for a in gone])], dims=[d for i, d in enumerate(x.dims) if i not in gone]))
    m.need(x.rank < 6)
    at, dims = m.dice.randrange(x.rank + 1), list(x.dims)
    dims.insert(at, m.dim(1))
    return m.keep(m.like("Unsqueeze", [x, m.ints(signed(m, at, x.rank + 1))], dims=dims))


def concat(m):
    x = any_value(m)
    axis = m.dice.randrange(x.rank)
    fitting = [v for v in m.pool if v.dtype == x.dtype and v.rank == x.rank and all(a == b or i == axis for i, (a, b) in enumerate(zip(v.dims, x.dims)))]
    parts = [m.dice.choice(fitting) for _ in range(m.one(1, 2, 2, 3))]
    if m.chance(0.3) and not x.open():
        parts[0] = m.tensor(x.dtype, x.dims)
    dims = list(x.dims)
    dims[axis] = tuple(sum(v.dims[axis][k] for v in parts) for k in range(m.runs))
    return m.keep(m.node("Concat", parts, dims, min(v.lo for v in parts), max(v.hi for v in parts), step=min(v.step for v in parts), exactly=True,
                         axis=signed(m, axis, x.rank)))


def split(m):
    x = any_value(m)
    axis = m.dice.choice([i for i in range(x.rank) if (x.size(i) or 0) >= 2] or [None])
    m.need(axis is not None)
    n = x.size(axis)
    if m.chance(0.5):
        parts = m.dice.choice([k for k in range(2, min(n, 4) + 1)])
        m.need(m.opset >= 18 or n % parts == 0)
        each = -(-n // parts)
        sizes = [each] * (parts - 1) + [n - each * (parts - 1)]
        m.need(sizes[-1] > 0)
        ins, attrs = [x], {"num_outputs": parts if m.opset >= 18 else None}
    else:
        first = m.dice.randrange(1, n)
        sizes = [first, n - first]
        ins, attrs = [x, m.ints(*sizes)], {}
    results = [Value("", x.dtype, [m.dim(s) if i == axis else d for i, d in enumerate(x.dims)], x.lo, x.hi, x.err, x.step) for s in sizes]
    for r in m.emit("Split", ins, results, axis=signed(m, axis, x.rank), **attrs):
        m.keep(r)


def slice_(m):
    x = any_value(m)
    axes = m.dice.sample(range(x.rank), m.dice.randrange(1, min(x.rank, 3) + 1))
    starts, ends, steps, dims = [], [], [], list(x.dims)
    for a in axes:
        least, n = min(x.dims[a]), x.size(a)
        m.need(least >= 1)
        step = m.one(1, 1, 1, 2, -1, 3, -2)
        if step > 0:
            start = m.dice.randrange(least)
            if n and m.chance(0.6):
                end = m.dice.randrange(start + 1, n + 1)
            elif least - start > 1 and m.chance(0.4):
                end = -m.dice.randrange(1, least - start)
            else:
                end = m.one(2 ** 63 - 1, 2 ** 31 - 1)
            dims[a] = tuple(-(-((k + end if end < 0 else min(end, k)) - start) // step) for k in x.dims[a])
        else:
            start, end = m.one(-1, 2 ** 31 - 1), m.one(-2 ** 63, -2 ** 31)
            dims[a] = tuple(-(-k // -step) for k in x.dims[a])
        starts.append(start), ends.append(end), steps.append(step)
    ins = [x, m.ints(*starts), m.ints(*ends), m.ints(*[signed(m, a, x.rank) for a in axes])]
    return m.keep(m.like("Slice", ins + ([m.ints(*steps)] if set(steps) != {1} or m.chance(0.5) else []), dims=dims))


def indices(m, shape, n):
    """Places along an axis of n, from either end: a constant or an input."""
    if m.chance(0.35):
        return m.input("i64", [m.dim(k) for k in shape], 0 if m.chance(0.3) else -n, n - 1)
    return m.constant(m.draw(m.one("i64", "i32"), shape, -n, n - 1))


def gather(m):
    x = any_value(m)
    axis = m.dice.randrange(x.rank)
    n = min(x.dims[axis])
    m.need(n >= 1)
    shape = m.one([], [1], [3], [2, 2], [n])
    picked = indices(m, shape, n)
    return m.keep(m.like("Gather", [x, picked], dims=[*x.dims[:axis], *picked.dims, *x.dims[axis + 1:]], axis=signed(m, axis, x.rank)))


def gather_elements(m):
    x = any_value(m)
    m.need(not x.open() and not any(0 in d for d in x.dims))
    axis = m.dice.randrange(x.rank)
    shape = [m.dice.randrange(1, x.size(i) + 1) for i in range(x.rank)]
    shape[axis] = m.dice.randrange(1, 5)
    picked = indices(m, shape, x.size(axis))
    return m.keep(m.like("GatherElements", [x, picked], dims=picked.dims, axis=signed(m, axis, x.rank)))


def gather_nd(m):
    x = any_value(m)
    depth = m.dice.randrange(1, min(x.rank, 3) + 1)
    n = min(min(d) for d in x.dims[:depth])
    m.need(n >= 1)
    picked = m.constant(m.draw("i64", [*m.one([], [2], [2, 3]), depth], -n, n - 1))
    return m.keep(m.like("GatherND", [x, picked], dims=[*picked.dims[:-1], *x.dims[depth:]]))


def scatter(m):
    """One row of x along an axis gives way to updates: no two of them meet."""
    x = any_value(m, 1, {"f32", "f64", "i32", "i64"})
    m.need(not x.open() and not any(0 in d for d in x.dims))
    if m.chance(0.5):
        axis = m.dice.randrange(x.rank)
        shape = [1 if i == axis else m.dice.randrange(1, x.size(i) + 1) for i in range(x.rank)]
        picked, updates = indices(m, shape, x.size(axis)), m.tensor(x.dtype, [m.dim(k) for k in shape])
        op, attrs = "ScatterElements", {"axis": signed(m, axis, x.rank)}
    else:
        picked = m.constant(m.draw("i64", [1, 1], -x.size(0), x.size(0) - 1))
        updates, op, attrs = m.tensor(x.dtype, [m.dim(1), *x.dims[1:]]), "ScatterND", {}
    m.need(m.opset >= 11)
    return m.keep(m.node(op, [x, picked, updates], x.dims, min(x.lo, updates.lo), max(x.hi, updates.hi), step=min(x.step, updates.step), exactly=True, **attrs))


def pad(m):
    x = any_value(m, 1, NO_BOOL_16)
    mode = m.one("constant", "constant", "reflect", "edge", "wrap" if m.opset >= 19 else "edge")
    least = [min(d) for d in x.dims]
    m.need(min(least) >= 1)
    most = [min(n - 1, 2) if mode == "reflect" else min(n, 2) if mode == "wrap" else 2 for n in least]
    before, after = ([m.dice.randrange(k + 1) if m.chance(0.5) else 0 for k in most] for _ in range(2))
    if mode == "constant" and m.chance(0.2):
        axis = m.dice.randrange(x.rank)
        if least[axis] > 2:
            before[axis] = -1
    dims = [tuple(n + b + a for n in d) for d, b, a in zip(x.dims, before, after)]
    ins, lo, hi, step = [x, m.ints(*before, *after)], x.lo, x.hi, x.step
    if mode == "constant":
        fill = m.one(0, 0, 1, 0.5 if is_float(x.dtype) else 1)
        if fill or m.chance(0.3):
            ins.append(m.number(fill, x))
        lo, hi, step = min(lo, fill), max(hi, fill), min(step, 0.5)
    return m.keep(m.node("Pad", ins, dims, lo, hi, step=step, exactly=True, mode=m.one(None, mode) if mode == "constant" else mode))


def expand(m):
    x = any_value(m, 0)
    m.need(x.dtype != "bf16" or m.wild)
    dims = [m.dim(m.dice.randrange(1, 5)) if set(d) == {1} and m.chance(0.7) else d for d in x.dims]
    if m.chance(0.4):
        dims.insert(0, m.dim(m.dice.randrange(1, 4)))
    spec = [d[0] if len(set(d)) == 1 else 1 for d in dims]
    return m.keep(m.like("Expand", [x, m.ints(*spec)], dims=dims))


def tile(m):
    x = any_value(m)
    m.need(x.dtype != "bf16" or m.wild)
    times = [m.one(1, 1, 2, 3) for _ in x.dims]
    return m.keep(m.like("Tile", [x, m.ints(*times)], dims=[tuple(n * t for n in d) for d, t in zip(x.dims, times)]))


def depth_to_space(m):
    x = any_value(m, 4, FEW)
    m.need(x.rank == 4)
    n, c, h, w = x.dims
    if m.chance(0.5) and x.size(1) and x.size(1) % 4 == 0:
        return m.keep(m.like("DepthToSpace", [x], dims=[n, m.dim(c[0] // 4), tuple(2 * k for k in h), tuple(2 * k for k in w)], blocksize=2,
                             mode=m.one(None, "DCR", "CRD")))
    m.need(all(k % 2 == 0 for k in h + w) and not x.open())
    return m.keep(m.like("SpaceToDepth", [x], dims=[n, tuple(4 * k for k in c), tuple(k // 2 for k in h), tuple(k // 2 for k in w)], blocksize=2))


def trilu(m):
    x = any_value(m, 2, REAL | {"i32", "i64", "b"})
    m.need(m.opset >= 14)
    ins = [x] + ([m.constant(m.draw("i64", [], -2, 2))] if m.chance(0.6) else [])
    return m.keep(m.node("Trilu", ins, x.dims, min(x.lo, 0), max(x.hi, 0), step=x.step, exactly=True, upper=m.one(None, 0, 1)))


# ---- shapes from shapes ----
def shape_of(m, x):
    return m.node("Shape", [x], [m.dim(x.rank)], 0, 2 ** 20, dtype="i64")


def reshape_by_shape(m):
    """[a, b, …] to [a, the rest] by Shape, Gather, Unsqueeze and Concat, as exporters write it"""
    x = any_value(m, 2)
    m.need(not any(0 in d for d in x.dims))
    sizes = shape_of(m, x)
    kept = m.node("Gather", [sizes, m.constant(m.draw("i64", [], 0, 0))], [], 0, 2 ** 20, axis=0)
    kept = m.node("Unsqueeze", [kept, m.ints(0)], [m.dim(1)], 0, 2 ** 20)
    spec = m.node("Concat", [kept, m.ints(-1)], [m.dim(2)], -1, 2 ** 20, axis=0)
    return m.keep(m.like("Reshape", [x, spec], dims=[x.dims[0], product(m, x.dims[1:])]))


def fill_by_shape(m):
    x = any_value(m)
    m.need(x.dtype != "bf16")
    sizes = shape_of(m, x)
    if m.chance(0.5):
        y = m.tensor(x.dtype, [m.dim(1)] * m.one(0, 1, x.rank))
        return m.keep(m.like("Expand", [y, sizes], dims=x.dims))
    import onnx
    value = onnx.helper.make_tensor("value", 1, [1], [1.5])
    return m.keep(m.node("ConstantOfShape", [sizes], x.dims, 1.5, 1.5, 0, 0.5, dtype="f32", value=value))


def places(m):
    """0, 1, … along an axis, as positions are made"""
    x = any_value(m)
    axis = m.dice.randrange(x.rank)
    n = m.node("Gather", [shape_of(m, x), m.constant(m.draw("i64", [], axis, axis))], [], 0, 2 ** 20, axis=0)
    zero, one = m.constant(m.draw("i64", [], 0, 0)), m.constant(m.draw("i64", [], 1, 1))
    return m.keep(m.node("Range", [zero, n, one], [x.dims[axis]], 0, max(x.dims[axis]), dtype="i64"))


STEPS = [(transpose, 3), (reshape, 4), (flatten, 1), (squeeze, 2), (concat, 3), (split, 2), (slice_, 3), (gather, 2), (gather_elements, 1),
         (gather_nd, 1), (scatter, 1), (pad, 2), (expand, 1.5), (tile, 1), (depth_to_space, 1), (trilu, 1), (reshape_by_shape, 1), (fill_by_shape, 1), (places, 0.7)]
