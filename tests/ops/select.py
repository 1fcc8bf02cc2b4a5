"""Operators that select and scatter, on random tensors of every dtype: the object that mcc writes gives what numpy does, bit for bit,
between pages that cannot be touched, whatever the workspace holds. Then indices that name nothing: MCC_E_INDEX, or what the standard says.

$MCC_TEST_SEED, $MCC_TEST_COUNT (3)"""
import os
import sys
import tempfile
import numpy as np
from onnx import TensorProto
from net import Net

E_INDEX = 7
TYPES = [np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
NUMBERS = TYPES[:-1]
REDUCE = {"none": lambda a, b: b, "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "max": max, "min": min}
BOOL_REDUCE = {"none": lambda a, b: b, "add": lambda a, b: a or b, "mul": lambda a, b: a and b, "max": max, "min": min}


def random_array(rng, dtype, shape):
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if np.dtype(dtype).kind == "f":
        return rng.integers(-8, 9, shape).astype(dtype)  # sums and products of these are exact
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -100), min(info.max, 100), shape, endpoint=True).astype(dtype)


def scatter_elements(x, indices, updates, axis, how):
    y = x.copy()
    meet = (BOOL_REDUCE if x.dtype == np.bool_ else REDUCE)[how]
    for at in np.ndindex(indices.shape):
        to = at[:axis] + (int(indices[at]),) + at[axis + 1:]
        y[to] = meet(y[to], updates[at])
    return y


def scatter_nd(x, indices, updates, how):
    y = x.copy()
    meet = (BOOL_REDUCE if x.dtype == np.bool_ else REDUCE)[how]
    for at in np.ndindex(indices.shape[:-1]):
        to, slot = tuple(indices[at]), updates[at]
        y[to] = np.vectorize(meet, otypes=[x.dtype])(y[to], slot) if y[to].size else y[to]
    return y


def add_scatter(net, rng, dtype):
    shape = tuple(rng.integers(1, 6, rng.integers(1, 4)))
    axis, how = int(rng.integers(0, len(shape))), str(rng.choice(list(REDUCE)))
    x = random_array(rng, dtype, shape)
    small = tuple(int(rng.integers(1, n + 1)) if i != axis else int(rng.integers(0, 7)) for i, n in enumerate(shape))
    indices = rng.integers(-shape[axis], shape[axis], small).astype(rng.choice([np.int32, np.int64]))
    updates = random_array(rng, dtype, small)
    net.add("ScatterElements", [x, indices, updates], [scatter_elements(x, indices, updates, axis, how)], axis=axis - len(shape), reduction=how)
    depth = int(rng.integers(1, len(shape) + 1))
    tuples = tuple(rng.integers(0, 4, rng.integers(0, 3)))
    indices = np.stack([rng.integers(-n, n, tuples) for n in shape[:depth]], -1).astype(np.int64)
    updates = random_array(rng, dtype, tuples + shape[depth:])
    net.add("ScatterND", [x, indices, updates], [scatter_nd(x, indices, updates, how)], reduction=how)


def add_selections(net, rng, dtype):
    shape = tuple(rng.integers(0, 6, rng.integers(1, 4)))
    axis = int(rng.integers(0, len(shape)))
    x = random_array(rng, dtype, shape)
    holds = rng.integers(0, 2, int(rng.integers(0, shape[axis] + 1))).astype(np.bool_)
    net.add("Compress", [x, holds], [np.compress(holds, x, axis)], axis=axis - len(shape))
    holds = rng.integers(0, 2, int(rng.integers(0, x.size + 1))).astype(np.bool_)
    net.add("Compress", [x, holds], [np.compress(holds, x)])
    net.add("NonZero", [x], [np.array(np.nonzero(x), np.int64)])
    if len(shape) > 1:
        time = int(rng.integers(0, 2))
        lens = rng.integers(0, shape[time] + 1, shape[1 - time])
        y = x.copy()
        for b, n in enumerate(lens):
            place = [slice(None)] * 2
            place[1 - time], place[time] = b, slice(0, n)
            y[tuple(place)] = np.flip(x[tuple(place)], 0)
        net.add("ReverseSequence", [x, lens], [y], batch_axis=1 - time, time_axis=time)


def first_occurrences(x, axis, ordered):
    y, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(-1)
    if ordered:
        return y, first, inverse, counts
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return np.take(y, order, axis or 0), first[order], rank[inverse], counts[order]


def add_unique(net, rng, dtype):
    shape = tuple(rng.integers(1, 5, rng.integers(1, 4)))
    x = rng.integers(0, 3, shape).astype(dtype)
    axis = int(rng.integers(0, len(shape))) if rng.random() < 0.5 else None
    ordered = int(rng.integers(0, 2))
    wants = list(first_occurrences(x, axis, ordered))
    for i in range(1, 4):
        if rng.random() < 0.3:
            wants[i] = None
    attrs = {} if axis is None else {"axis": axis - len(shape)}
    net.add("Unique", [x], wants, sorted=ordered, **attrs)


def top_k(x, k, axis, largest):
    rank = np.unique(x, return_inverse=True)[1].reshape(x.shape)  # places of NaN: the last
    order = np.argsort(-rank if largest else rank, axis, kind="stable").take(np.arange(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def add_top_k(net, rng, dtype):
    shape = [int(n) for n in rng.integers(1, 5, rng.integers(1, 4))]
    axis, largest = int(rng.integers(0, len(shape))), int(rng.integers(0, 2))
    shape[axis] = int(rng.choice([1, 5, 20, 60]))
    x = random_array(rng, dtype, shape)
    if x.dtype.kind == "f":
        x[rng.random(shape) < 0.1] = np.nan
    k = int(rng.integers(0, shape[axis] + 1))
    known = rng.random() < 0.5
    net.add("TopK", [x, np.array([k], np.int64)], top_k(x, k, axis, largest), constant=(1,) if known else (), axis=axis, largest=largest)


def add_one_hot(net, rng, dtype):
    shape = tuple(rng.integers(1, 4, rng.integers(0, 3)))
    depth = int(rng.integers(0, 6))
    indices = rng.integers(-8, 9, shape).astype(dtype) if np.dtype(dtype).kind != "u" else rng.integers(0, 9, shape).astype(dtype)
    axis = int(rng.integers(0, len(shape) + 1))
    values = random_array(rng, rng.choice(TYPES), 2)
    whole = indices.astype(np.int64)
    whole = np.where(whole < 0, whole + depth, whole)
    hot = np.expand_dims(whole, axis) == np.arange(depth).reshape([-1 if i == axis else 1 for i in range(len(shape) + 1)])
    net.add("OneHot", [indices, np.array(depth, rng.choice(NUMBERS[3:])), values], [np.where(hot, values[1], values[0])], axis=axis)


def overlap(a, b):
    wide = np.maximum(np.float32(0), np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))
    inside = np.float32(wide[0] * wide[1])
    area = lambda c: np.float32((c[2] - c[0]) * (c[3] - c[1]))
    return inside / (area(a) + area(b) - inside) if inside > 0 else np.float32(0)


def add_suppression(net, rng):
    batches, classes, n = (int(v) for v in rng.integers(1, 4, 3) * [1, 1, 12])
    low = rng.random((batches, n, 2), np.float32)
    boxes = np.concatenate([low, low + rng.random((batches, n, 2), np.float32)], -1)
    scores = (rng.integers(0, 10, (batches, classes, n)) / 10).astype(np.float32)  # many are equal
    most, limit, least = int(rng.integers(0, n)), np.float32(rng.random() * 0.7), np.float32(0.25)
    want = []
    for b in range(batches):
        for c in range(classes):
            taken = []
            for i in np.argsort(-scores[b, c], kind="stable"):
                if len(taken) < most and scores[b, c, i] > least and all(overlap(boxes[b, i], boxes[b, j]) <= limit for j in taken):
                    taken.append(i)
            want += [(b, c, i) for i in taken]
    flipped = boxes[..., [2, 3, 0, 1]] if rng.random() < 0.5 else boxes
    net.add("NonMaxSuppression", [flipped, scores, np.array([most], np.int64), np.array([limit]), np.array([least])],
            [np.array(want, np.int64).reshape(-1, 3)])


def check_random(folder, seed):
    rng = np.random.default_rng(seed)
    net = Net()
    for dtype in TYPES:
        add_scatter(net, rng, dtype)
        add_selections(net, rng, dtype)
        add_unique(net, rng, dtype)
    for dtype in NUMBERS:
        add_top_k(net, rng, dtype)
        add_one_hot(net, rng, dtype)
    add_suppression(net, rng)
    net.check(folder)


def check_hostile(folder):
    """One node a model; (what it takes, what it gives or the code it returns)"""
    x, none = np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros((0,), np.float32)
    bad = [np.iinfo(np.int64).min, np.iinfo(np.int64).max, 1 << 32, 3, -4]
    i64 = lambda *v: np.array(v, np.int64)
    for op, make, attrs in [
            ("Gather", lambda v: [x, i64(v)], {}), ("GatherElements", lambda v: [x, i64(v).reshape(1, 1)], {}),
            ("GatherND", lambda v: [x, i64(v)], {}), ("ScatterElements", lambda v: [x, i64(v).reshape(1, 1), x[:1, :1]], {}),
            ("ScatterND", lambda v: [x, i64(v), x[0]], {}), ("TopK", lambda v: [x, i64(v)], {"axis": 0}),
            ("ReverseSequence", lambda v: [x, i64(0, 1, 2, 3 if v == 3 else v)], {"batch_axis": 1, "time_axis": 0})]:
        n_out = 2 if op == "TopK" else 1
        net = Net()
        net.add(op, make(0), [none] * n_out, **attrs)
        if op == "TopK":
            net.outputs[1].type.tensor_type.elem_type = TensorProto.INT64
        model = net.compile(folder)
        model.check(make(0))
        for v in bad:
            if (op, v) in (("TopK", 3), ("ReverseSequence", 3)):  # all of it
                model.check(make(v))
                continue
            for at_end in (True, False):
                try:
                    model.run(make(v), at_end)
                except RuntimeError as e:
                    assert str(e) == f"run returned {E_INDEX}", (op, v, e)
                else:
                    raise AssertionError((op, v, "ran"))
    # what has no place is left out, by the standard
    far = i64(*bad[:3], 1)
    net = Net()
    net.add("OneHot", [far, i64(3)[0], np.array([0, 1], np.float32)], [np.float32([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]])])
    net.add("Slice", [x, i64(bad[0], bad[1]), i64(bad[1], bad[0])], [x[:, 4:]])
    net.check(folder)


def main():
    np.seterr(over="ignore")
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "3"))
    with tempfile.TemporaryDirectory() as folder:
        check_hostile(folder)
        for s in range(seed, seed + count):
            print("seed", s, flush=True)
            check_random(folder, s)
    return 0


sys.exit(main())
