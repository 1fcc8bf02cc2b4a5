"""Steps that choose elements by their values, or put them where indices say. What a result's size depends on data for, is summed at the end of
the same step: the pool holds values of known dims alone."""
import math
import numpy as np
from .elementwise import REAL
from .maker import NUMBER, Value, int_range, is_float
from .movement import indices, signed

WHOLE = {"u8", "i8", "i32", "i64"}
SCATTERED = {"f32", "f64", "i32", "i64", "u8", "i8", "f16"}


def filled(v):
    return not any(0 in d for d in v.dims)


def exact(m, rank=1, dtypes=("f32", "f64", "i32", "i64"), of=filled):
    return m.pick(lambda v: v.exact and v.rank >= rank and v.dtype in dtypes and of(v))


def top_k(m):
    x = exact(m, dtypes=("f32", "f64", "i32", "i64"))
    axis = m.dice.randrange(x.rank)
    n = min(x.dims[axis])
    k = m.dice.randrange(0 if m.chance(0.05) else 1, n + 1)
    many = m.ints(k) if m.chance(0.7) else m.given("i64", [np.array([k], np.int64)] * m.runs)
    dims = [m.dim(k) if i == axis else d for i, d in enumerate(x.dims)]
    results = [Value("", x.dtype, dims, x.lo, x.hi, 0, x.step), Value("", "i64", dims, 0, max(x.dims[axis]), 0, 1)]
    for r in m.emit("TopK", [x, many], results, axis=signed(m, axis, x.rank), largest=m.one(None, 0, 1)):
        if k and many.given is None:
            m.keep(r)


def summed(m, v, places):
    """Where a size of v is known only when it runs: an elementwise operator or two, then sums over these axes"""
    numeric = v
    if v.dtype != "f32":
        numeric = m.node("Cast", [v], v.dims, v.lo, v.hi, step=v.step, dtype="f32", exactly=v.mag < 2 ** 24, to=NUMBER["f32"])
        numeric.unsized = True
    for _ in range(m.one(0, 0, 1, 2)):
        op = m.one("Relu", "Abs", "Neg", "Add", "Mul")
        if op in ("Relu", "Abs", "Neg"):
            hi = numeric.mag
            numeric = m.node(op, [numeric], numeric.dims, -hi, hi, step=numeric.step, exactly=True)
        else:
            c = m.number(m.one(0.5, 2.0), numeric)
            numeric = m.node(op, [numeric, c], numeric.dims, -2 * numeric.mag - 2, 2 * numeric.mag + 2, 2 * numeric.err, numeric.step * 0.5)
        numeric.unsized = True
    n = max(math.prod(d[k] for i, d in enumerate(v.dims) if i in places) for k in range(m.runs))
    keep = m.chance(0.5)
    dims = [m.dim(1) if i in places else d for i, d in enumerate(v.dims) if keep or i not in places]
    y = m.node("ReduceSum", [numeric, m.ints(*places)], dims, min(n * numeric.lo, 0), max(n * numeric.hi, 0), n * numeric.err, numeric.step, keepdims=int(keep))
    m.keep(y)


def unsized(m, op, ins, results, **attrs):
    """Results with a dim (its place; its bound is given) that the data decides"""
    made = m.emit(op, ins, results, **attrs)
    for r in made:
        if r is not None:
            r.unsized = True
    m.bound_by(*[r.dims for r in made if r is not None])
    return made


def nonzero(m):
    x = m.pick(lambda v: v.exact and v.rank >= 1 and v.dtype in ("f32", "b", "i32", "i64", "u8") and filled(v))
    most = tuple(math.prod(d[k] for d in x.dims) for k in range(m.runs))
    at, = unsized(m, "NonZero", [x], [Value("", "i64", [m.dim(x.rank), most], 0, max(max(d) for d in x.dims), 0, 1)])
    if m.chance(0.4):
        return summed(m, at, [1])
    rows = m.like("Transpose", [at], dims=[most, m.dim(x.rank)], perm=[1, 0])
    rows.unsized = True
    source = m.pick(lambda v: v.dims[:x.rank] == x.dims and v.dtype in ("f32", "f64", "i32", "i64"))
    picked = m.like("GatherND", [source, rows], dims=[most, *source.dims[x.rank:]])
    picked.unsized = True
    summed(m, picked, [0])


def compress(m):
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in REAL | WHOLE and filled(v) and all(len(set(d)) == 1 for d in v.dims))
    axis = m.dice.randrange(x.rank) if m.chance(0.7) else None
    n = x.size(axis) if axis is not None else math.prod(d[0] for d in x.dims)
    holds = m.dice.randrange(1, n + 1)
    which = m.tensor("b", [m.dim(holds)], 0, 1)
    dims = [m.dim(holds)] if axis is None else [m.dim(holds) if i == axis else d for i, d in enumerate(x.dims)]
    y, = unsized(m, "Compress", [x, which], [Value("", x.dtype, dims, x.lo, x.hi, x.err, x.step)], axis=None if axis is None else signed(m, axis, x.rank))
    summed(m, y, [axis or 0])


def unique(m):
    x = exact(m, 1, ("f32", "i64", "i8", "f64"))
    axis = m.dice.randrange(x.rank) if m.chance(0.4) else None
    total = x.dims[axis] if axis is not None else tuple(math.prod(d[k] for d in x.dims) for k in range(m.runs))
    dims = [total] if axis is None else [total if i == axis else d for i, d in enumerate(x.dims)]
    more = [Value("", "i64", [total], 0, max(total), 0, 1) if m.chance(0.6) else None for _ in range(3)]
    results = [Value("", x.dtype, dims, x.lo, x.hi, 0, x.step), *more]
    while results[-1] is None:
        results.pop()
    made = unsized(m, "Unique", [x], results, axis=axis, sorted=m.one(None, 0, 1))
    summed(m, made[0], [axis or 0])
    if len(made) > 2 and made[2] is not None and axis is None:
        made[2].unsized = False  # a place for each element
        m.keep(made[2])


def non_max_suppression(m):
    batch, n, classes = m.one(1, 2), m.one(3, 6, 12), m.one(1, 2)
    boxes, scores = m.tensor("f32", [m.dim(batch), m.dim(n), m.dim(4)], 0, 2), m.tensor("f32", [m.dim(batch), m.dim(classes), m.dim(n)], 0, 1)
    ins = [boxes, scores, m.ints(m.one(1, 2, 5, 100)), m.constant(np.array([m.one(0.317, 0.513, 0.713)], np.float32))]
    if m.chance(0.5):
        ins.append(m.constant(np.array([m.one(0.1033, 0.3777)], np.float32)))
    many = m.dim(batch * classes * n)
    y, = unsized(m, "NonMaxSuppression", ins, [Value("", "i64", [many, m.dim(3)], 0, max(n, batch, classes), 0, 1)], center_point_box=m.one(None, 0, 1))
    summed(m, y, [0])


def one_hot(m):
    dtype = m.one("i64", "i64", "i32", "f32")
    x = m.pick(lambda v: v.exact and v.dtype == dtype and 1 <= v.rank <= 4 and (dtype != "f32" or v.step % 1 == 0))
    depth, out = m.one(2, 3, 5), m.one("f32", "i64") if dtype == "i64" else m.one("f32", "i32") if dtype == "i32" else "f32"
    low, high = m.one((0, 1), (-1, 2), (3, 0))
    values = m.constant(np.array([low, high], np.float32 if out == "f32" else np.int64 if out == "i64" else np.int32))
    axis = m.dice.randrange(x.rank + 1)
    dims = list(x.dims)
    dims.insert(axis, m.dim(depth))
    many = m.constant(np.array(depth, {"i64": np.int64, "i32": np.int32, "f32": np.float32}[dtype]))
    m.need(dtype != "i32" or out == "f32" or m.wild)
    m.keep(m.emit("OneHot", [x, many, values], [Value("", out, dims, min(low, high), max(low, high), 0, 1)], axis=signed(m, axis, x.rank + 1))[0])


def reverse_sequence(m):
    x = m.pick(lambda v: v.rank >= 2 and v.dtype in REAL | WHOLE and all(len(set(d)) == 1 for d in v.dims[:2]) and filled(v))
    time = m.one(0, 1)
    lengths = m.tensor("i64", [x.dims[1 - time]], 1, x.size(time))
    m.keep(m.like("ReverseSequence", [x, lengths], time_axis=time, batch_axis=1 - time))


def eye_like(m):
    x = m.pick(lambda v: v.rank == 2 and v.dtype in REAL | {"i32", "i64", "u8"})
    to = m.one("f32", "f64", "i32", "i64", None)
    m.keep(m.emit("EyeLike", [x], [Value("", to or x.dtype, x.dims, 0, 1, 0, 1)], dtype=NUMBER.get(to), k=m.one(None, 0, 1, -1, 3))[0])


def distinct(m, n, many):
    """Some of the places 0 … n - 1, each once, some counted from the end"""
    at = m.numbers.permutation(n)[:many]
    return np.where(m.numbers.random(at.shape) < 0.3, at - n, at).astype(np.int64)


def reduction(m, x):
    how = m.one(None, "none", "add", "mul", "max", "min") if m.opset >= 16 else None
    m.need(how not in ("max", "min") or m.opset >= 18)
    m.need(how not in ("mul", "add", "max", "min") or x.dtype in ("f32", "f64", "i32", "i64"))
    return how


def met(m, op, x, picked, updates, how, most, **attrs):
    """A scatter's result; up to `most` updates meet at one place"""
    lo, hi, err, step = min(x.lo, updates.lo), max(x.hi, updates.hi), max(x.err, updates.err), min(x.step, updates.step)
    if how == "add":
        lo, hi, err = x.lo + most * min(updates.lo, 0), x.hi + most * max(updates.hi, 0), x.err + most * updates.err
    if how == "mul":
        m.need(most <= 4 and updates.mag <= 4)
        mag = x.mag * max(updates.mag, 1) ** most
        lo, hi, err, step = -mag, mag, (x.err + most * updates.err * x.mag) * max(updates.mag, 1) ** most, x.step * updates.step ** most
    if how in ("add", "mul") and not (x.exact and updates.exact and step):
        err, step = err + 1e-6 * max(abs(lo), abs(hi)) * most if is_float(x.dtype) else err, 0
    m.keep(m.emit(op, [x, picked, updates], [Value("", x.dtype, x.dims, lo, hi, err, step if err == 0 else 0)], reduction=how, **attrs)[0])


def scatter_elements(m):
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in SCATTERED and filled(v) and not v.open())
    how, axis = reduction(m, x), m.dice.randrange(x.rank)
    shape, n = [m.dice.randrange(1, x.size(i) + 1) for i in range(x.rank)], x.size(axis)
    if how in ("add", "mul", "max", "min"):
        shape[axis] = m.dice.randrange(1, 5)
        picked = indices(m, shape, n)
    else:  # no two updates at one place
        lines = np.stack([distinct(m, n, shape[axis]) for _ in range(math.prod(shape) // shape[axis])])
        rest = [k for i, k in enumerate(shape) if i != axis]
        picked = m.constant(np.ascontiguousarray(np.moveaxis(lines.reshape(*rest, shape[axis]), -1, axis)))
    met(m, "ScatterElements", x, picked, m.tensor(x.dtype, [m.dim(k) for k in shape], *ends(x)), how, shape[axis], axis=signed(m, axis, x.rank))


def ends(x):
    return (-2, 2) if is_float(x.dtype) or int_range(x.dtype)[0] < 0 else (0, 3)


def scatter_nd(m):
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in SCATTERED and filled(v) and not v.open())
    how, depth = reduction(m, x), m.dice.randrange(1, x.rank + 1)
    total = math.prod(x.size(i) for i in range(depth))
    many = m.dice.randrange(1, min(total, 5) + 1)
    flat = m.numbers.integers(0, total, many) if how in ("add", "mul", "max", "min") else m.numbers.permutation(total)[:many]
    at = np.stack(np.unravel_index(flat, [x.size(i) for i in range(depth)]), -1).astype(np.int64)
    picked = m.constant(at) if m.chance(0.6) else m.given("i64", [at] * m.runs)
    met(m, "ScatterND", x, picked, m.tensor(x.dtype, [m.dim(many), *x.dims[depth:]], *ends(x)), how, many)


def gather_nd(m):
    """With leading axes in common"""
    x = m.pick(lambda v: v.rank >= 2 and v.dtype in REAL | WHOLE and not v.open() and filled(v))
    batch = m.dice.randrange(1, x.rank)
    depth = m.dice.randrange(1, x.rank - batch + 1)
    lead, middle = [x.size(i) for i in range(batch)], m.one([], [2], [3, 1])
    at = np.stack([m.numbers.integers(-x.size(batch + i), x.size(batch + i), lead + middle) for i in range(depth)], -1).astype(np.int64)
    picked = m.constant(at) if m.chance(0.6) else m.given("i64", [at] * m.runs)
    m.keep(m.like("GatherND", [x, picked], dims=[*x.dims[:batch], *[m.dim(n) for n in middle], *x.dims[batch + depth:]], batch_dims=batch))


def center_crop_pad(m):
    m.need(m.opset >= 18)
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in REAL | {"i32", "i64"} and not v.open() and filled(v))
    axes = m.dice.sample(range(x.rank), m.dice.randrange(1, x.rank + 1))
    sizes = [m.dice.randrange(1, x.size(a) + 3) for a in axes]
    dims = [m.dim(sizes[axes.index(i)]) if i in axes else d for i, d in enumerate(x.dims)]
    m.keep(m.node("CenterCropPad", [x, m.ints(*sizes)], dims, min(x.lo, 0), max(x.hi, 0), step=x.step, exactly=True,
                  axes=[signed(m, a, x.rank) for a in axes]))


def tensor_scatter(m):
    m.need(m.opset >= 24)
    x = m.pick(lambda v: v.rank in (3, 4) and v.dtype == "f32" and not v.open() and filled(v))
    n, room = m.dice.randrange(1, x.size(x.rank - 2) + 1), x.size(x.rank - 2)
    ring = m.chance(0.4)
    updates = m.tensor("f32", [*x.dims[:-2], m.dim(n), x.dims[-1]])
    at = m.constant(m.draw("i64", [x.size(0)], 0, room - 1 if ring else room - n))
    m.keep(m.node("TensorScatter", [x, updates, at], x.dims, min(x.lo, updates.lo), max(x.hi, updates.hi), step=min(x.step, updates.step), exactly=True,
                  mode="circular" if ring else m.one(None, "linear")))


def cum_prod(m):
    m.need(m.opset >= 26)
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in ("f32", "f64", "i32", "i64") and v.mag <= 2)
    axis = m.dice.randrange(x.rank)
    n = max(x.dims[axis])
    m.need(n <= 8)
    most = max(x.mag, 1) ** n
    m.keep(m.node("CumProd", [x, m.constant(m.draw("i64", [], axis, axis))], x.dims, -most, most, growth=n * most, step=x.step ** n,
                  exclusive=m.one(None, 1), reverse=m.one(None, 1)))


def size_of(m):
    x = m.pick()
    y = m.node("Size", [x], [], 0, 2 ** 20, 0, 1, dtype="i64")
    if m.chance(0.5) and x.rank >= 1:
        start = m.dice.randrange(x.rank)
        y = m.node("Shape", [x], [m.dim(x.rank - start)], 0, 2 ** 20, dtype="i64", start=m.one(start, start - x.rank)) if m.opset >= 15 else y
    m.keep(m.node("Cast", [y], y.dims, 0, 2 ** 20, 0, 1, dtype="f32", exactly=True, to=1))


STEPS = [(top_k, 3), (nonzero, 2), (compress, 2), (unique, 2), (non_max_suppression, 0.7), (one_hot, 2), (reverse_sequence, 1.5), (eye_like, 1),
         (scatter_elements, 3), (scatter_nd, 3), (gather_nd, 2), (center_crop_pad, 1), (tensor_scatter, 1), (cum_prod, 0.7), (size_of, 0.5)]
