"""Forms and types of operators that no test of ONNX's has, against numpy: those of opset 1 and 7 that later ones dropped, types that are computed in
others, MaxRoiPool, DeformConv along one and three axes. One model an opset; what goes in and comes out is float64."""
import itertools
import os
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from model import Model

F8, F4, E8M0, INT4 = 17, 23, 24, 22
rng = np.random.default_rng(3)


class Cases:
    """Nodes side by side in one model"""
    def __init__(self, opset):
        self.opset, self.nodes, self.inputs, self.arrays, self.constants, self.outputs, self.want = opset, [], [], [], [], [], []

    def given(self, a, kind):
        """a, float64 in the model's inputs, as `kind`"""
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, a.shape))
        self.arrays.append(np.asarray(a, np.float64))
        to = "DOUBLE FLOAT".split()[kind == TensorProto.FLOAT] if self.opset < 6 else kind
        self.nodes.append(helper.make_node("Cast", [name], [name + "c"], to=to))
        return name + "c"

    def constant(self, a):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(a), name))
        return name

    def add(self, op, inputs, want, **attrs):
        """inputs: names, or arrays with their element types"""
        names = [i if isinstance(i, str) else self.given(np.asarray(i[0]), i[1]) for i in inputs]
        out = f"y{len(self.want)}"
        self.nodes.append(helper.make_node(op, names, [out], **attrs))
        self.nodes.append(helper.make_node("Cast", [out], [out + "d"], to="DOUBLE" if self.opset < 6 else TensorProto.DOUBLE))
        self.outputs.append(helper.make_tensor_value_info(out + "d", TensorProto.DOUBLE, None))
        self.want.append((op, attrs, np.asarray(want, np.float64)))

    def check(self, folder):
        model = helper.make_model(helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants),
                                  opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 3 if self.opset < 9 else 13
        stem = os.path.join(folder, f"opset{self.opset}")
        if self.opset < 9:  # where constants are inputs too
            model.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.constants)
        with open(stem + ".onnx", "wb") as f:
            f.write(model.SerializeToString())
        subprocess.run([os.environ["MCC"], stem + ".onnx", "--emit=shared", "--name=m", "-Wno-opset", "-o", stem + ".so"], check=True)
        got = Model(stem + ".so", "m").run(self.arrays)
        for (op, attrs, w), g in zip(self.want, got):
            assert g.shape == w.shape and np.allclose(g, w, 1e-5, 1e-5), (op, attrs, g, w)
        return len(self.want)


def old():
    c, x = Cases(1), rng.standard_normal((2, 3, 4))
    number = lambda v: c.constant(np.array([v], np.float32))
    c.add("Tile", [(x, TensorProto.FLOAT), number(3), number(1)], np.tile(x, (1, 3, 1)))
    c.add("Tile", [(x, TensorProto.FLOAT), number(1), number(0)], x)
    yield c
    c, x = Cases(7), rng.standard_normal((2, 3, 4))
    scale, bias, mean, spread = (rng.uniform(0.5, 2, (3, 4)) for _ in range(4))
    c.add("BatchNormalization", [(a, TensorProto.FLOAT) for a in (x, scale, bias, mean, spread)], (x - mean) / np.sqrt(spread + 1e-5) * scale + bias, spatial=0)
    yield c


def max_roi_pool(x, rois, rows, cols, scale):
    y = np.zeros((len(rois), x.shape[1], rows, cols))
    away = lambda v: int(np.floor(abs(v) + 0.5) * np.sign(v))
    for r, roi in enumerate(rois):
        left, top, right, bottom = (away(v * scale) for v in roi[1:])
        height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i, j in itertools.product(range(rows), range(cols)):
            a, b = (min(max(k + top, 0), x.shape[2]) for k in (i * height // rows, -(-(i + 1) * height // rows)))
            p, q = (min(max(k + left, 0), x.shape[3]) for k in (j * width // cols, -(-(j + 1) * width // cols)))
            if a < b and p < q:
                y[r, :, i, j] = x[int(roi[0]), :, a:b, p:q].max((1, 2))
    return y


def deform_conv(x, w, offset, bias, strides, pads):
    axes, kernel, size = x.ndim - 2, w.shape[2:], x.shape[2:]
    out = offset.shape[2:]
    y = np.zeros((x.shape[0], w.shape[0]) + out)
    for b, o, (t, k) in itertools.product(range(len(x)), np.ndindex(*out), enumerate(np.ndindex(*kernel))):
        at = [o[a] * strides[a] - pads[a] + k[a] + offset[(b, t * axes + a) + o] for a in range(axes)]
        taps = np.zeros(x.shape[1])
        for corner in itertools.product((0, 1), repeat=axes):
            place = [int(np.floor(at[a])) + corner[a] for a in range(axes)]
            if all(0 <= place[a] < size[a] for a in range(axes)):
                taps += x[(b, slice(None)) + tuple(place)] * np.prod([1 - abs(at[a] - place[a]) for a in range(axes)])
        y[(b, slice(None)) + o] += w[(slice(None), slice(None)) + k] @ taps
    return y + bias.reshape(-1, *[1] * axes)


def sampled(c):
    x, f32 = rng.standard_normal((2, 3, 7, 9)), TensorProto.FLOAT
    rois = np.array([[0, 1, 1, 12, 9], [1, 3, 0, 3, 6], [1, -5, 2, 9, 40], [0, 30, 30, 40, 40], [0, 8, 8, 2, 2]])
    c.add("MaxRoiPool", [(x, f32), (rois, f32)], max_roi_pool(x, rois, 3, 2, 0.5), pooled_shape=[3, 2], spatial_scale=0.5)
    for size, kernel, strides in (((8,), (3,), [2]), ((4, 5, 3), (2, 1, 2), [1, 2, 1])):
        n, pads = len(size), [1] * len(size)
        out = [(size[a] + 2 - kernel[a]) // strides[a] + 1 for a in range(n)]
        x, w, bias = rng.standard_normal((2, 2) + size), rng.standard_normal((3, 2) + kernel), rng.standard_normal(3)
        offset = rng.uniform(-2, 2, (2, n * int(np.prod(kernel)), *out))
        c.add("DeformConv", [(a, f32) for a in (x, w, offset, bias)], deform_conv(x, w, offset, bias, strides, pads), strides=strides, pads=2 * pads)


def computed_in_others(c):
    f32, f16, x = TensorProto.FLOAT, TensorProto.FLOAT16, rng.integers(-40, 40, (3, 4)) / 4
    quantized = np.clip(np.rint(x * 2), 0, 255)
    c.add("QuantizeLinear", [(x * 8, f32), (np.array(4), TensorProto.INT32)], quantized)
    c.add("QuantizeLinear", [(x, f32), (np.array(0.5), E8M0)], quantized)
    c.add("DequantizeLinear", [(quantized, TensorProto.UINT8), (np.array([0.5, 1, 2, 4]), E8M0)], quantized * [0.5, 1, 2, 4], output_dtype=f32, axis=1)
    a, b = rng.integers(-2, 3, (3, 4)), rng.integers(-2, 3, (4, 5))
    one, zero = lambda t: (np.array(1), t), (np.array(0), F8)
    c.add("QLinearMatMul", [(a, F8), one(f16), zero, (b, F8), (np.array([1, 2, 1, 0.5, 1]), f16), (np.zeros(5), F8), one(f16), zero], a @ b * [1, 2, 1, 0.5, 1])
    half = (x != 0).astype(float)
    c.add("Resize", [(half[None, None], TensorProto.BOOL), "", c.constant(np.float32([1, 1, 2, 2]))], half.repeat(2, 0).repeat(2, 1)[None, None])
    scale = rng.integers(1, 8, 4) / 4
    norm = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale
    c.add("RMSNormalization", [(x, f16), (scale, f32)], norm)
    q = rng.standard_normal((1, 2, 3, 4))
    mask = rng.integers(-2, 3, (3, 3))
    s = q @ q.swapaxes(2, 3) / 2 + mask
    p = np.exp(s - s.max(-1, keepdims=True))
    c.add("Attention", [(q, f32)] * 3 + [(mask, TensorProto.INT8)], p / p.sum(-1, keepdims=True) @ q)
    fill = TensorProto(data_type=INT4, dims=[1], raw_data=b"\x0d")
    c.add("ConstantOfShape", [c.constant(np.array([2, 3]))], np.full((2, 3), -3), value=fill)


def main():
    new = Cases(25)
    sampled(new)
    computed_in_others(new)
    with tempfile.TemporaryDirectory() as folder:
        print("%d nodes agree" % sum(c.check(folder) for c in [*old(), new]))


sys.exit(main())
