"""Quantized models with random parameters, built node by node together with what they compute: every tensor carries its
numbers, by the definition that mcc keeps (float32 throughout, no fused multiply-add, ties to even):

    Q: clamp(rint(x / s) + z)        DQ: (q - z) * s
    a contraction between DQ and Q: clamp(rint(f32(acc + bias) * f32(f32(sx * sw) / sy)) + z), acc in whole numbers"""
import numpy as np
import onnx_wire as w

F = np.float32
KIND = {"float32": w.FLOAT, "uint8": w.UINT8, "int8": w.INT8, "uint16": w.UINT16, "int16": w.INT16, "int32": w.INT32, "int64": w.INT64}


class Tensor:
    def __init__(self, name, data):
        self.name, self.data = name, data


def along(values, rank, axis):
    """One number, or a list along an axis, to broadcast."""
    values = np.asarray(values)
    return values if values.ndim == 0 else values.reshape([-1 if i == axis else 1 for i in range(rank)])


def quantize(x, scale, zero, axis=1):
    zero = np.asarray(zero)
    info, rank = np.iinfo(zero.dtype), x.ndim
    with np.errstate(all="ignore"):
        v = np.rint(x.astype(F) / along(F(scale), rank, axis))
    v = np.where(np.isnan(v), F(0), v).astype(np.float64) + along(zero, rank, axis)
    return np.clip(v, info.min, info.max).astype(zero.dtype)


def dequantize(q, scale, zero, axis=1):
    whole = q.astype(np.int64) - along(np.asarray(zero), q.ndim, axis).astype(np.int64)
    return whole.astype(F) * along(F(scale), q.ndim, axis)


class Net:
    def __init__(self, rng, version=21):
        self.rng, self.version = rng, version
        self.nodes, self.inputs, self.constants, self.outputs, self.feed = [], [], [], [], []
        self.steps = 0  # the part of the results that may be one step off

    def name(self):
        return "t%d" % (len(self.nodes) + len(self.inputs) + len(self.constants))

    def input(self, data):
        t = Tensor(self.name(), data)
        self.inputs.append(w.value(t.name, KIND[str(data.dtype)], data.shape))
        self.feed.append(data)
        return t

    def constant(self, data):
        data = np.asarray(data)
        t = Tensor(self.name(), data)
        self.constants.append(w.tensor(t.name, KIND[str(data.dtype)], data.shape, data.tobytes()))
        return t

    def node(self, op, inputs, data, domain=None, more=0, **attrs):
        """The result of a node, whose numbers the caller knows; or, with `more`, the list of its results."""
        t = Tensor(self.name(), data)
        rest = [Tensor("%s_%d" % (t.name, i), None) for i in range(more)]
        names = [i.name if i else "" for i in inputs]
        self.nodes.append(w.node(op, names, [t.name] + [r.name for r in rest], *[w.attr(k, v) for k, v in attrs.items()], name=t.name, domain=domain))
        return [t] + rest if rest else t

    def quantize(self, x, scale, zero, axis=1):
        made = self.node("QuantizeLinear", [x, self.constant(F(scale)), self.constant(zero)],
                         quantize(x.data, scale, zero, axis), axis=axis)
        made.scale, made.zero = scale, np.asarray(zero)
        return made

    def dequantize(self, q, scale=None, zero=None, axis=1):
        scale, zero = (q.scale, q.zero) if scale is None else (scale, zero)
        return self.node("DequantizeLinear", [q, self.constant(F(scale)), self.constant(zero)],
                         dequantize(q.data, scale, zero, axis), axis=axis)

    def weights(self, shape, axis, scales, dtype=np.int8, zero=None):
        """Random constant integers under a DQ: (what it gives, integers, scales, zero points)."""
        info = np.iinfo(dtype)
        q = self.rng.integers(info.min, info.max + 1, shape).astype(dtype)
        zero = np.zeros(np.shape(scales), dtype) if zero is None else zero
        if self.rng.random() < 0.2:  # as quantization-aware training leaves them: floats under a Q
            codes = self.quantize(self.constant(dequantize(q, scales, zero, axis)), scales, zero, axis)
        else:
            codes = self.constant(q)
        made = self.dequantize(codes, scales, zero, axis)
        made.codes, made.scale, made.zero = q, np.asarray(scales, F), np.asarray(zero)
        return made

    def output(self, t):
        self.outputs.append(t)

    def model(self):
        outs = [w.value(t.name, KIND[str(t.data.dtype)], None) for t in self.outputs]
        return w.model(w.graph(self.nodes, self.inputs, outs, self.constants), self.version, 10, w.opset(1, "com.microsoft"))
