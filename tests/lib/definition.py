"""The definition of quantized models (docs/internals.md, "Quantized operators"), evaluated in numpy over any QDQ model, piece by
piece: what a QuantizeLinear makes is computed from the integers that were made before it, as they are given. So each piece is
judged by itself, and what one rounds otherwise is not blamed on the next.

    pieces(model, given) yields (node, name, kind, want): kind "product" for a contraction of quantized numbers, which has one
    right answer; "moved" for integers that are only moved or selected; else "float"."""
import collections
import numpy as np
from onnx import helper, numpy_helper

F = np.float32
PRODUCTS = ("Conv", "Gemm", "MatMul")
MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")  # of whole numbers; then times the scale
MOVES = ("MaxPool", "Reshape", "Flatten", "Transpose", "Identity", "Squeeze", "Unsqueeze")


def along(values, rank, axis):
    values = np.asarray(values)
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)]) if values.size > 1 else values.reshape(())


def rounded(v, zero, axis):
    info = np.iinfo(zero.dtype)
    v = np.where(np.isnan(v), F(0), v).astype(np.float64) + along(zero, v.ndim, axis).astype(np.float64)
    return np.clip(v, info.min, info.max).astype(zero.dtype)


def windows(x, kernel, strides, dilations):
    """A view [N, C, out…, kernel…] of NCHW"""
    out = [(x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    steps = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[:2], *out, *kernel),
        (*steps[:2], *(steps[2 + i] * strides[i] for i in range(2)), *(steps[2 + i] * dilations[i] for i in range(2))))


def two(attrs, name, default):
    return list(attrs.get(name, default))


def sums_of_conv(x, w, attrs):
    """Σ x·w of whole numbers below 2**53 in float64, exactly"""
    pads, group = two(attrs, "pads", [0] * 4), attrs.get("group", 1)
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0)] + [(pads[i], pads[i + 2]) for i in range(2)])
    view = windows(x, w.shape[2:], two(attrs, "strides", [1, 1]), two(attrs, "dilations", [1, 1]))
    parts = []
    for g in range(group):
        cin, cout = w.shape[1], w.shape[0] // group
        rows = np.ascontiguousarray(view[:, g * cin:(g + 1) * cin].transpose(0, 2, 3, 1, 4, 5))
        y = rows.reshape(-1, cin * w.shape[2] * w.shape[3]) @ w[g * cout:(g + 1) * cout].reshape(cout, -1).T.astype(np.float64)
        parts.append(y.reshape(x.shape[0], *view.shape[2:4], cout).transpose(0, 3, 1, 2))
    return np.concatenate(parts, 1)


def pool(x, attrs, fill, combine):
    pads, kernel, strides = two(attrs, "pads", [0] * 4), attrs["kernel_shape"], two(attrs, "strides", [1, 1])
    if attrs.get("ceil_mode"):
        for i in range(2):
            room = x.shape[2 + i] + pads[i] + pads[i + 2] - kernel[i]
            pads[i + 2] += -room % strides[i] if -(-room // strides[i]) * strides[i] < x.shape[2 + i] + pads[i] else 0
    x = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[i + 2]) for i in range(2)], constant_values=fill)
    return combine(windows(x, kernel, strides, two(attrs, "dilations", [1, 1])), axis=(4, 5))


class Model:
    def __init__(self, model):
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.makers = {out: n for n in model.graph.node for out in n.output}
        for n in model.graph.node:
            if n.op_type == "Constant" and n.attribute[0].name == "value":
                self.constants[n.output[0]] = numpy_helper.to_array(n.attribute[0].t)
        self.nodes = model.graph.node
        self.reads = collections.Counter(i for n in model.graph.node for i in n.input) + collections.Counter(o.name for o in model.graph.output)
        self.known = {}

    def attrs(self, n):
        return {a.name: helper.get_attribute_value(a) for a in n.attribute}

    def of(self, name):
        """The value by this name, from what is known"""
        if name in self.constants:
            return self.constants[name]
        if name not in self.known:
            self.known[name] = self.compute(self.makers[name])
        return self.known[name]

    def quantized(self, name):
        """(codes less zero, scale, axis) of what a DequantizeLinear gives, or None"""
        n = self.makers.get(name)
        if n is None or n.op_type != "DequantizeLinear":
            return None
        codes, axis = self.of(n.input[0]), self.attrs(n).get("axis", 1)
        zero = self.of(n.input[2]) if len(n.input) > 2 and n.input[2] else np.zeros((), codes.dtype)
        return codes.astype(np.int64) - along(zero, codes.ndim, axis).astype(np.int64), self.of(n.input[1]), axis

    def product(self, n):
        """(acc, step to broadcast, bias in whole steps or None, bias in floats or None) of a contraction, or None"""
        a, b = self.quantized(n.input[0]), self.quantized(n.input[1]) if n.op_type in PRODUCTS else None
        if n.op_type not in PRODUCTS or a is None or b is None:
            return None
        attrs = self.attrs(n)
        if n.op_type == "Conv":
            acc, wide = sums_of_conv(a[0], b[0], attrs), (-1, 1, 1)
        else:
            left = a[0].T if attrs.get("transA") else a[0]
            acc, wide = left.astype(np.float64) @ (b[0].T if attrs.get("transB") else b[0]).astype(np.float64), (-1,)
        step = np.atleast_1d(F(a[1]) * F(b[1])).astype(F)
        whole = floats = None
        if len(n.input) > 2 and n.input[2]:
            bias = self.quantized(n.input[2])
            floats = self.of(n.input[2])
            whole = bias[0] if bias is not None and bias[0].dtype == np.int64 else np.rint(floats / step)
        return acc, step.reshape(wide) if step.size > 1 else step.reshape(()), whole, floats, wide

    def chain(self, name):
        """What is behind Relu and Clip, which all are read by nobody else, and their bounds"""
        lo, hi, n = -np.inf, np.inf, self.only(name)
        acts = []
        while n is not None and n.op_type in ("Relu", "Clip"):
            acts.append(n)
            n = self.only(n.input[0])
        for act in reversed(acts):
            low, high = self.bounds(act)
            lo, hi = np.clip(lo, low, high), np.clip(hi, low, high)
        return n, F(lo), F(hi)

    def only(self, name):
        return self.makers.get(name) if self.reads[name] == 1 else None

    def bounds(self, n):
        if n.op_type == "Relu":
            return 0, np.inf
        attrs, ins = self.attrs(n), list(n.input) + ["", ""]
        return (self.of(ins[1]) if ins[1] else attrs.get("min", -np.inf)), (self.of(ins[2]) if ins[2] else attrs.get("max", np.inf))

    def requantized(self, n):
        """What a QuantizeLinear makes: (kind, integers)"""
        scale, axis = F(self.of(n.input[1])), self.attrs(n).get("axis", 1)
        zero = self.of(n.input[2]) if len(n.input) > 2 and n.input[2] else np.zeros((), np.uint8)
        maker, lo, hi = self.chain(n.input[0])
        made = maker is not None and scale.size == 1 and self.product(maker)
        if made:
            acc, step, whole, _, wide = made
            total = acc if whole is None else acc + np.reshape(whole, wide)
            v = np.rint(F(total) * F(step / scale)).astype(np.float64) + int(zero)
            ends = [rounded(F([e / scale if np.isinf(e) else np.rint(F(e) / scale)]), zero, 0)[0] for e in (lo, hi)]
            return "product", np.clip(v, *[int(e) for e in ends]).astype(zero.dtype)
        moved = self.makers.get(n.input[0])
        while moved is not None and moved.op_type in MOVES:
            moved = self.makers.get(moved.input[0])
        x = self.of(n.input[0])
        with np.errstate(all="ignore"):
            codes = rounded(np.rint(x / along(scale, x.ndim, axis)), zero, axis)
        return "moved" if moved is not None and moved.op_type == "DequantizeLinear" and moved.input[1] == n.input[1] else "float", codes

    def compute(self, n):
        if n.op_type == "QuantizeLinear":
            return self.requantized(n)[1]
        if n.op_type == "DequantizeLinear":
            whole, scale, axis = self.quantized(n.output[0])
            return whole.astype(F) * along(F(scale), whole.ndim, axis)
        made = self.product(n)
        if made:
            acc, step, whole, floats, wide = made
            bias = self.quantized(n.input[2]) if len(n.input) > 2 and n.input[2] else None
            if bias is not None:
                return F(acc + np.reshape(whole, wide)) * step
            return F(acc) * step + (np.reshape(floats, wide) if floats is not None else F(0))
        if n.op_type in MEANS:
            x = self.quantized(n.input[0])
            if x is not None and x[1].size == 1:
                return OPERATORS[n.op_type](self.attrs(n), F(x[0]), *[self.of(i) for i in n.input[1:]]) * F(x[1])
        return OPERATORS[n.op_type](self.attrs(n), *[self.of(i) if i else None for i in n.input])


def concat(attrs, *parts):
    return np.concatenate(parts, attrs["axis"])


def batch_norm(attrs, x, scale, bias, mean, var):
    up = lambda v: v.reshape([-1 if i == 1 else 1 for i in range(x.ndim)]).astype(np.float64)
    return F((x - up(mean)) / np.sqrt(up(var) + attrs.get("epsilon", 1e-5)) * up(scale) + up(bias))


def mean_of(x, axes):
    return F(x.astype(np.float64).mean(axes, keepdims=True))


def pad(attrs, x, pads=None, value=None):
    ends = [int(p) for p in (attrs["pads"] if pads is None else pads)]
    return np.pad(x, [(ends[i], ends[i + x.ndim]) for i in range(x.ndim)], constant_values=0 if value is None else value)


def reshape(attrs, x, shape):
    return x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(shape)])


OPERATORS = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "Relu": lambda a, x: np.where(x < 0, F(0), x),
    "Clip": lambda a, x, lo=None, hi=None: np.clip(x, a.get("min", -np.inf) if lo is None else lo, a.get("max", np.inf) if hi is None else hi),
    "Sigmoid": lambda a, x: F(1 / (1 + np.exp(-x.astype(np.float64)))), "Tanh": lambda a, x: F(np.tanh(x.astype(np.float64))),
    "HardSigmoid": lambda a, x: np.clip(F(a.get("alpha", 0.2)) * x + F(a.get("beta", 0.5)), F(0), F(1)),
    "HardSwish": lambda a, x: F(x * np.clip(x.astype(np.float64) / 6 + 0.5, 0, 1)),
    "LeakyRelu": lambda a, x: np.where(x < 0, x * F(a.get("alpha", 0.01)), x),
    "MaxPool": lambda a, x: pool(x, a, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min, np.max),
    "AveragePool": lambda a, x: F(pool(x.astype(np.float64), a, 0, np.mean)),
    "GlobalAveragePool": lambda a, x: mean_of(x, (2, 3)), "ReduceMean": lambda a, x, axes=None: mean_of(x, tuple(a["axes"] if axes is None else axes)),
    "Concat": concat, "BatchNormalization": batch_norm, "Reshape": reshape, "Identity": lambda a, x: x,
    "Flatten": lambda a, x: x.reshape(int(np.prod(x.shape[:a.get("axis", 1)])), -1),
    "Pad": pad,
    "Transpose": lambda a, x: x.transpose(a["perm"]),
    "Squeeze": lambda a, x, axes=None: x.squeeze(tuple(int(i) for i in (a.get("axes") if axes is None else axes))),
    "Unsqueeze": lambda a, x, axes=None: np.expand_dims(x, tuple(int(i) for i in (a.get("axes") if axes is None else axes))),
}


def pieces(model, given):
    """Of each QuantizeLinear that is not of a constant, in order; given: {name: array} of the graph's inputs and of all they make."""
    m = Model(model)
    for n in m.nodes:
        if n.op_type != "QuantizeLinear" or n.output[0] not in given:
            continue
        m.known = dict(given)
        kind, want = m.requantized(n)
        maker = m.makers.get(n.input[0])
        while maker is not None and maker.op_type in ("Relu", "Clip"):
            maker = m.makers.get(maker.input[0])
        yield maker.op_type if maker is not None else "input", n.output[0], kind, want
