"""Steps that sum: products, convolutions, pooling, normalisation, reductions, recurrence and resizing."""
import math
import numpy as np
from .elementwise import F, REAL, broadcast, within
from .maker import Value, is_float

SUMMED = REAL | {"i32", "i64"}


def floats(m, dtypes=F):
    return lambda v: is_float(v.dtype) and (m.wild or v.dtype in dtypes)


def product_of(m, op, ins, dims, terms, growth, mag, **attrs):
    """A sum of products: growth and mag are the largest sum of |weights| and of |products|; `terms` of them."""
    x, w = ins[:2]
    err = growth * x.err + (w.err * x.mag * terms)
    exact = x.exact and w.exact and all(v is None or v.exact for v in ins[2:])
    step = x.step * w.step if exact and op in ("MatMul", "Gemm") else 0
    return m.node(op, ins, dims, -mag, mag, err, step, growth=0, **attrs)


def heaviest(m, w, axes):
    """The largest sum of |w| along axes; where w is no constant, by its bounds."""
    if w.fixed is not None and w.dtype != "bf16":
        return float(np.abs(w.fixed.astype(np.float64)).sum(axis=axes).max()) if w.fixed.size else 0.0
    return w.mag * math.prod(max(w.dims[a]) for a in axes)


def matmul(m):
    x = m.pick(lambda v: v.rank >= 1 and (m.wild and is_float(v.dtype) or v.dtype in SUMMED | {"u32", "u64"}) and v.mag < 1000)
    k = x.size(x.rank - 1)
    if m.chance(0.25) or not k:  # two values of the pool
        y = m.pick(lambda v: v.dtype == x.dtype and v.rank >= 2 and v.dims[-2] == x.dims[-1])
    else:
        n = m.one(1, 2, 3, 5, 8, 16, 17, 32, 40, 64, 70)
        shape = m.one([k], [k, n], [k, n], [k, n], [k, n], [*[1] * m.dice.randrange(3), k, n])
        if x.rank >= 3 and m.chance(0.3) and len(shape) == 2:
            shape = [d[0] if len(set(d)) == 1 else 1 for d in x.dims[:-2]][-1:] + shape
        if is_float(x.dtype) and m.chance(0.7):
            y = m.weights(x.dtype, shape, k)
        else:
            y = m.tensor(x.dtype, [m.dim(d) for d in shape], -2 if is_float(x.dtype) or x.lo < 0 else 0, 2)
    depth = max(x.dims[-1])
    if y.rank == 1:
        dims = x.dims[:-1]
    else:
        dims = broadcast(m, x.dims[:-2], y.dims[:-2]) + ([x.dims[-2]] if x.rank > 1 else []) + [y.dims[-1]]
    growth = heaviest(m, y, (y.rank - 2,) if y.rank > 1 else (0,))
    mag = min(growth * x.mag, 1e30)
    if not is_float(x.dtype) and x.lo >= 0 and y.lo >= 0:
        return m.keep(m.node("MatMul", [x, y], dims, 0, mag))
    return m.keep(product_of(m, "MatMul", [x, y], dims, depth, growth, mag))


def gemm(m):
    x = m.pick(lambda v: v.rank == 2 and is_float(v.dtype) and (m.wild or v.dtype in REAL))
    ta, tb = m.one(0, 0, 1), m.one(0, 1)
    rows, k = x.dims[::-1] if ta else x.dims
    m.need(len(set(k)) == 1)
    n, k = m.one(1, 3, 8, 16, 33, 64), k[0]
    w = m.weights(x.dtype, [n, k] if tb else [k, n], k) if m.chance(0.8) else m.tensor(x.dtype, [m.dim(n), m.dim(k)] if tb else [m.dim(k), m.dim(n)])
    alpha, beta = m.one(None, 0.5, 2.0), m.one(None, 0.5, 2.0)
    beta = beta if k else None  # ONNX Runtime forgets it where nothing is summed
    ins, growth = [x, w], heaviest(m, w, (1,) if tb else (0,)) * (alpha or 1)
    mag = growth * x.mag
    if m.chance(0.75):
        c = m.tensor(x.dtype, m.one([], [m.dim(n)], [m.dim(1), m.dim(n)], [m.dim(1), m.dim(1)], [rows, m.dim(1)], [rows, m.dim(n)]))
        ins.append(c)
        mag += c.mag * (beta or 1)
    y = product_of(m, "Gemm", ins, [rows, m.dim(n)], k, growth, mag, transA=ta or None, transB=tb or None, alpha=alpha, beta=beta)
    return m.keep(y)


def window(m, dims, kernel, strides, dilations, pads, auto_pad, ceil=False):
    """The spatial dims that a window leaves."""
    out = []
    half = len(kernel)
    for i, d in enumerate(dims):
        span = dilations[i] * (kernel[i] - 1) + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            m.need(span >= strides[i])  # ONNX Runtime's pads would be negative
            out.append(tuple(-(-n // strides[i]) for n in d))
            continue
        lo, hi = (0, 0) if auto_pad == "VALID" else (pads[i], pads[half + i])
        sizes = []
        for n in d:
            room = n + lo + hi - span
            m.need(room >= 0)
            size = (-(-room // strides[i]) if ceil else room // strides[i]) + 1
            if ceil and (size - 1) * strides[i] >= n + lo:
                size -= 1
            sizes.append(size)
        out.append(tuple(sizes))
    m.need(all(n >= 1 for d in out for n in d))
    return out


def geometry(m, spatial):
    """kernel, strides, dilations, pads, auto_pad: mostly the common kinds, sometimes any"""
    n, kind = spatial, m.dice.randrange(8)
    if kind < 3:
        k = m.one(1, 3, 3, 3, 5)
        return [k] * n, [m.one(1, 1, 1, 2)] * n, [1] * n, [k // 2] * 2 * n, None
    kernel = [m.one(1, 2, 3, 3, 4, 5) for _ in range(n)]
    strides, dilations = [m.one(1, 1, 2, 3) for _ in range(n)], [m.one(1, 1, 1, 2) for _ in range(n)]
    if kind == 3:
        return kernel, strides, [1] * n, [0] * 2 * n, m.one("SAME_UPPER", "SAME_LOWER", "VALID")
    return kernel, strides, dilations, [m.dice.randrange(k) if m.chance(0.6) else 0 for k in kernel * 2], None


def listed(m, kernel, strides, dilations, pads, auto_pad):
    attrs = {"kernel_shape": kernel, "auto_pad": auto_pad}
    if set(strides) != {1} or m.chance(0.3):
        attrs["strides"] = strides
    if set(dilations) != {1} or m.chance(0.3):
        attrs["dilations"] = dilations
    if auto_pad is None and (any(pads) or m.chance(0.3)):
        attrs["pads"] = pads
    return attrs


def image(m, dtypes=F, of=lambda v: True):
    return m.pick(lambda v: 3 <= v.rank <= 5 and is_float(v.dtype) and (m.wild or v.dtype in dtypes) and v.size(1) and of(v) and
                  all(n >= 1 for d in v.dims for n in d))


def conv_from(m, x, out_channels=None, kind=None, place=None, bias=None):
    c = x.size(1)
    kind = kind or m.one("dense", "dense", "dense", "pointwise", "depthwise", "grouped")
    group = c if kind == "depthwise" else m.dice.choice([g for g in range(1, c + 1) if c % g == 0]) if kind == "grouped" else 1
    channels = out_channels or (c * m.one(1, 1, 1, 2) if kind == "depthwise" else group * m.dice.randrange(1, 4) if kind == "grouped" else
                                m.one(1, 3, 4, 7, 8, 16, 16, 17, 24, 32, 40))
    kernel, strides, dilations, pads, auto = place or geometry(m, x.rank - 2)
    if kind == "pointwise":
        kernel, pads, auto = [1] * (x.rank - 2), [0] * 2 * (x.rank - 2), None
    dims = window(m, x.dims[2:], kernel, strides, dilations, pads, auto)
    taps = c // group * math.prod(kernel)
    shape = [channels, c // group, *kernel]
    w = m.weights(x.dtype, shape, taps) if m.chance(0.93) else m.input(x.dtype, [m.dim(n) for n in shape], -0.5, 0.5)
    growth = heaviest(m, w, tuple(range(1, x.rank)))
    ins, mag = [x, w], growth * x.mag
    if m.chance(0.7) if bias is None else bias:
        ins.append(m.tensor(x.dtype, [m.dim(channels)]))
        mag += ins[2].mag
    rounding = 4e-6 * mag if x.dtype == "f32" else 0  # Winograd's sums
    y = m.node("Conv", ins, [x.dims[0], m.dim(channels), *dims], -mag, mag, growth * x.err + w.err * x.mag * taps + rounding,
               group=group if group > 1 else None, **listed(m, kernel, strides, dilations, pads, auto))
    return y


def conv(m):
    return m.keep(conv_from(m, image(m)))


def conv_transpose(m):
    x = image(m)
    n, c = x.rank - 2, x.size(1)
    group = m.dice.choice([g for g in range(1, c + 1) if c % g == 0]) if m.chance(0.3) else 1
    each = m.one(1, 2, 3, 8, 16)
    k = m.one(1, 2, 2, 3, 4)
    stride, dilation = m.one(1, k, 2), m.one(1, 1, 1, 2)
    extra = m.dice.randrange(stride) if m.chance(0.3) else 0
    pads = [m.dice.randrange(dilation * (k - 1) + 1) if m.chance(0.4) else 0 for _ in range(2 * n)]
    dims = [tuple((s - 1) * stride + dilation * (k - 1) + 1 + extra - pads[i] - pads[n + i] for s in d) for i, d in enumerate(x.dims[2:])]
    m.need(all(s >= 1 for d in dims for s in d) and extra < max(stride, dilation))
    shape = [c, each, *[k] * n]
    w = m.weights(x.dtype, shape, c // group * k ** n)
    growth = float(np.abs(w.fixed.astype(np.float64)).sum(axis=tuple(range(2, x.rank))).max()) * (c // group) if w.dtype != "bf16" else w.mag * c * k ** n
    ins, mag = [x, w], growth * x.mag
    if m.chance(0.6):
        ins.append(m.tensor(x.dtype, [m.dim(each * group)]))
        mag += ins[2].mag
    return m.keep(m.node("ConvTranspose", ins, [x.dims[0], m.dim(each * group), *dims], -mag, mag, growth * x.err, kernel_shape=[k] * n,
                         strides=[stride] * n, dilations=[dilation] * n if dilation > 1 else None, group=group if group > 1 else None,
                         pads=pads if any(pads) else None, output_padding=[extra] * n if extra else None))


def pool(m):
    op = m.one("MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool")
    x = image(m, F | {"f64"} if op == "MaxPool" else F, lambda v: op != "LpPool" or v.mag < 30)
    kernel, strides, dilations, pads, auto = geometry(m, x.rank - 2)
    if op != "MaxPool":
        dilations = [1] * len(kernel)
    pads = [min(p, (k - 1) // 2 if op == "MaxPool" else k - 1) for p, k in zip(pads, kernel * 2)]
    ceil = op != "LpPool" and auto is None and m.chance(0.25)
    dims = window(m, x.dims[2:], kernel, strides, dilations, pads, auto, ceil)
    attrs = listed(m, kernel, strides, dilations, pads, auto)
    if op != "MaxPool":
        attrs.pop("dilations", None)
    attrs["ceil_mode"] = 1 if ceil else None
    dims = [*x.dims[:2], *dims]
    if op == "MaxPool":
        return m.keep(m.like("MaxPool", [x], dims=dims, **attrs))
    if op == "AveragePool":
        counted = m.one(None, 0, 1)
        return m.keep(m.node(op, [x], dims, min(x.lo, 0), max(x.hi, 0), count_include_pad=counted, **attrs))
    taps = math.prod(kernel)
    p = m.one(None, 1, 2, 3)
    most = x.mag * taps ** (1 / (p or 2))
    x = within(m, x, 0.25, 1e4) if p == 3 else x
    return m.keep(m.node(op, [x], dims, 0, max(most, x.mag * taps), growth=taps, p=p, **attrs))


def global_pool(m):
    op = m.one("GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    x = image(m)
    dims = [*x.dims[:2], *[m.dim(1)] * (x.rank - 2)]
    if op == "GlobalMaxPool":
        return m.keep(m.like(op, [x], dims=dims))
    n = max(math.prod(d[k] for d in x.dims[2:]) for k in range(m.runs))
    most = x.mag * math.sqrt(n)
    return m.keep(m.node(op, [x], dims, -x.mag, x.mag) if op == "GlobalAveragePool" else
                  m.node(op, [x], dims, 0, most, growth=math.sqrt(n), p=m.one(None, 2)))


# ---- normalisation ----
def batch_norm_from(m, x):
    c, t = x.size(1), x.dtype
    m.need(c and t != "bf16")
    scale, bias, mean = (m.constant(m.draw(t, [c])) for _ in range(3))
    var = m.constant(m.draw(t, [c], 0.5, 2)) if m.chance(0.85) else m.input(t, [m.dim(c)], 0.5, 2)
    most = (x.mag + mean.mag) * scale.mag / math.sqrt(0.5) + bias.mag
    return m.node("BatchNormalization", [x, scale, bias, mean, var], x.dims, -most, most, growth=1.5 * scale.mag,
                  epsilon=m.one(None, 1e-3, 1e-5))


def batch_norm(m):
    return m.keep(batch_norm_from(m, m.pick(lambda v: v.rank >= 2 and v.dtype in REAL and v.size(1))))


def epsilon(m):
    """What a norm adds to the variance, and by how much it may grow an error then"""
    e = m.one(1e-5, 1e-2, 1e-2, 0.125, 0.125)
    return e, 1 / math.sqrt(e)


def layer_norm(m):
    x = m.pick(lambda v: v.rank >= 1 and floats(m, REAL)(v))
    m.need(m.opset >= 17 and (x.dtype in ("f32", "f64") or m.wild))
    axis = m.dice.randrange(x.rank) if m.chance(0.3) else x.rank - 1
    tail = x.dims[axis:]
    m.need(not any(0 in d for d in tail) and all(len(set(d)) == 1 for d in tail))
    scale = m.tensor(x.dtype, tail)
    ins = [x, scale] + ([m.tensor(x.dtype, tail)] if m.chance(0.7) else [])
    n, (e, growth) = math.prod(d[0] for d in tail), epsilon(m)
    most = math.sqrt(n) * scale.mag + (ins[2].mag if len(ins) > 2 else 0)
    err = growth * scale.mag * (x.err + 1e-6 * x.mag if x.dtype == "f32" else x.err + 2e-3 * x.mag)
    return m.keep(m.node("LayerNormalization", ins, x.dims, -most, most, err, axis=m.one(axis, axis - x.rank), epsilon=e))


def instance_norm(m):
    x = image(m, {"f32"})
    m.need(x.dtype == "f32")
    c, (e, growth) = x.size(1), epsilon(m)
    scale, bias = m.constant(m.draw("f32", [c])), m.constant(m.draw("f32", [c]))
    n = max(math.prod(d[k] for d in x.dims[2:]) for k in range(m.runs))
    most = math.sqrt(n) * scale.mag + bias.mag
    return m.keep(m.node("InstanceNormalization", [x, scale, bias], x.dims, -most, most, growth * scale.mag * (x.err + 1e-6 * x.mag), epsilon=e))


def lrn(m):
    x = image(m, of=lambda v: v.rank == 4)
    return m.keep(m.node("LRN", [x], x.dims, x.lo, x.hi, growth=3, size=m.one(1, 3, 5), alpha=m.one(None, 0.01), beta=m.one(None, 0.5), bias=m.one(None, 2.0)))


def softmax(m):
    op = m.one("Softmax", "Softmax", "LogSoftmax")
    x = m.pick(lambda v: v.rank >= 1 and floats(m, REAL)(v))
    axis = m.dice.randrange(x.rank) if m.chance(0.4) else x.rank - 1
    m.need(not any(0 in d for d in x.dims))
    axis_attr = m.one(axis, axis - x.rank) if axis != x.rank - 1 or m.chance(0.7) else None
    if op == "Softmax":
        return m.keep(m.node(op, [x], x.dims, 0, 1, growth=2, axis=axis_attr))
    return m.keep(m.node(op, [x], x.dims, x.lo - x.hi - math.log(max(x.dims[axis])), 0, growth=2, axis=axis_attr))


# ---- reductions ----
def reduce_node(m, op, x, axes, keepdims, lo, hi, err, **extra):
    """axes None: all. An attribute up to opset 17 (ReduceSum: 12), an input from then on."""
    gone = range(x.rank) if axes is None else axes
    dims = [m.dim(1) if i in gone else d for i, d in enumerate(x.dims) if keepdims or i not in gone]
    ins, attrs = [x], {"keepdims": m.one(None, 1) if keepdims else 0}
    if axes is not None:
        listed_axes = [a - x.rank if m.chance(0.3) else a for a in axes]
        if m.opset >= 18 or op == "ReduceSum":
            ins.append(m.ints(*listed_axes))
        else:
            attrs["axes"] = listed_axes
    return m.node(op, ins, dims, lo, hi, err, **extra, **attrs)


def reduce(m):
    op = m.one("Max", "Min", "Sum", "Mean", "Sum", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    ints = {"i32", "i64"} if op in ("Sum", "Max", "Min", "SumSquare", "Prod", "L1") else set()
    x = m.pick(lambda v: v.rank >= 1 and v.dtype != "b" and (v.dtype in REAL | ints or m.wild and is_float(v.dtype)) and not any(0 in d for d in v.dims))
    axes = None if m.chance(0.15) else sorted(m.dice.sample(range(x.rank), m.dice.randrange(1, min(x.rank, 3) + 1)))
    n = max(math.prod(d[k] for i, d in enumerate(x.dims) if axes is None or i in axes) for k in range(m.runs))
    if op == "LogSum":
        x = within(m, x, 0.25, 1e4)
    if op == "Prod":
        m.need(n <= 8 and x.mag <= 4)
    if op in ("L1", "L2", "SumSquare", "LogSumExp"):
        m.need(x.mag < 40)
    lo, hi, growth, step = {
        "Max": (x.lo, x.hi, 1, x.step), "Min": (x.lo, x.hi, 1, x.step), "Sum": (min(n * x.lo, x.lo), max(n * x.hi, x.hi), n, x.step), "Mean": (x.lo, x.hi, 1, 0),
        "Prod": (-max(x.mag, 1) ** n, max(x.mag, 1) ** n, n * max(x.mag, 1) ** n, x.step ** n), "L1": (0, n * x.mag, n, x.step),
        "L2": (0, math.sqrt(n) * x.mag, math.sqrt(n), 0), "LogSum": (math.log(max(x.lo, 0.25)), math.log(n * max(x.hi, 0.25)), 4, 0),
        "LogSumExp": (x.lo, x.hi + math.log(n), 1, 0), "SumSquare": (0, n * x.mag ** 2, 2 * n * x.mag, x.step ** 2)}[op]
    err = growth * x.err
    if op == "L2" and x.err:
        err += math.sqrt(1e-6) * x.err
    exactly = op in ("Max", "Min")
    return m.keep(reduce_node(m, "Reduce" + op, x, axes, m.chance(0.5), lo, hi, err, step=step, exactly=exactly))


def arg(m):
    op = m.one("ArgMax", "ArgMin")
    x = m.pick(lambda v: v.rank >= 1 and v.exact and v.dtype in REAL | {"u8", "i8", "i32", "i64"} and not any(0 in d for d in v.dims))
    axis, keep = m.dice.randrange(x.rank), m.chance(0.5)
    dims = [m.dim(1) if i == axis else d for i, d in enumerate(x.dims) if keep or i != axis]
    return m.keep(m.node(op, [x], dims, 0, max(x.dims[axis]) - 1, 0, 1, dtype="i64", axis=m.one(axis, axis - x.rank), keepdims=int(keep),
                         select_last_index=m.one(None, 0, 1)))


def cumsum(m):
    x = m.pick(lambda v: v.rank >= 1 and v.dtype in ("f32", "f64", "i32", "i64"))
    axis = m.dice.randrange(x.rank)
    n = max(x.dims[axis])
    return m.keep(m.node("CumSum", [x, m.constant(m.draw("i64", [], axis, axis))], x.dims, min(n * x.lo, 0), max(n * x.hi, 0), growth=n, step=x.step,
                         exclusive=m.one(None, 1), reverse=m.one(None, 1)))


# ---- recurrence ----
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(m):
    op = m.one("LSTM", "GRU", "RNN", "LSTM", "GRU")
    x = m.pick(lambda v: v.rank == 3 and v.dtype in ("f32",) and v.size(2) and not any(0 in d for d in v.dims) and v.mag <= 30)
    direction = m.one("forward", "reverse", "bidirectional")
    ways, hidden, wide, gates = 2 if direction == "bidirectional" else 1, m.one(1, 3, 8, 16, 20), x.size(2), GATES[op]
    steps, batch = x.dims[:2]
    ins = [x, m.weights("f32", [ways, gates * hidden, wide], wide), m.weights("f32", [ways, gates * hidden, hidden], 4 * hidden)]
    b = m.chance(0.7)
    ins.append(m.constant(m.draw("f32", [ways, 2 * gates * hidden], -1, 1)) if b else None)
    lengths = m.chance(0.2) and len(set(batch)) == 1 and len(set(steps)) == 1
    ins.append(m.tensor("i32", [batch], 1, min(steps)) if lengths else None)
    state = [m.dim(ways), batch, m.dim(hidden)]
    if m.chance(0.4) and (len(set(batch)) == 1 or batch in m.named):
        ins.append(m.tensor("f32", state, -1, 1))
        if op == "LSTM":
            ins.append(m.tensor("f32", state, -1, 1))
    while ins[-1] is None:
        ins.pop()
    err = 2e-5 + 4 * x.err
    attrs = {"hidden_size": hidden, "direction": direction if ways == 2 or direction == "reverse" or m.chance(0.5) else None}
    if op == "GRU":
        attrs["linear_before_reset"] = m.one(None, 1)
    if op == "LSTM" and m.chance(0.1):
        attrs["input_forget"] = 1
    cell = max(steps) + 1
    results = [Value("", "f32", [steps, m.dim(ways), batch, m.dim(hidden)], -1, 1, err) if m.chance(0.8) else None,
               Value("", "f32", state, -1, 1, err) if m.chance(0.6) else None,
               Value("", "f32", state, -cell, cell, err * 4) if op == "LSTM" and m.chance(0.5) else None]
    if op != "LSTM":
        results.pop()
    m.need(any(results))
    while results[-1] is None:
        results.pop()
    for r in m.emit(op, ins, results, **attrs):
        if r is not None:
            m.keep(r)


# ---- resizing ----
def resize(m):
    mode = m.one("nearest", "nearest", "linear", "linear", "cubic")
    x = m.pick(lambda v: v.rank == 4 and v.dtype == "f32" and not any(0 in d for d in v.dims))
    how = m.one("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    scales = [1, 1, m.one(1, 2, 2, 3, 0.5), m.one(1, 2, 2, 3, 0.5)]
    dims = [tuple(math.floor(n * s) for n in d) for d, s in zip(x.dims, scales)]
    m.need(all(n >= 1 for d in dims for n in d))
    # ONNX's tests take the length before it is rounded there, ONNX Runtime the one after
    m.need(how not in ("align_corners", "pytorch_half_pixel") or all(n * s % 1 == 0 for d, s in zip(x.dims, scales) for n in d))
    if m.chance(0.5) or any(len(set(d)) > 1 for d in dims):
        ins = [x, None, m.constant(np.array(scales, np.float32))]
    else:
        ins = [x, None, None, m.ints(*[d[0] for d in dims])]
    attrs = {"mode": mode, "coordinate_transformation_mode": how}
    if mode == "nearest":
        attrs["nearest_mode"] = m.one("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
        return m.keep(m.like("Resize", ins, dims=dims, **attrs))
    most = x.mag * (1 if mode == "linear" else 3)
    return m.keep(m.node("Resize", ins, dims, -most, most, growth=1 if mode == "linear" else 3, **attrs))


PRODUCTS = [(matmul, 6), (gemm, 2), (recurrent, 1)]
IMAGES = [(conv, 8), (conv_transpose, 2), (pool, 4), (global_pool, 1), (batch_norm, 3), (instance_norm, 1), (lrn, 0.5), (resize, 2)]
REDUCTIONS = [(reduce, 5), (arg, 1), (cumsum, 1), (softmax, 2), (layer_norm, 2)]
