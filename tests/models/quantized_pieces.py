"""What each QuantizeLinear of a network makes, piece by piece against the definition (tests/lib/definition.py): products of integers
and what only moves have its bits at every level of optimisation; elsewhere at most 0.1 % of a network's elements are one step off, whose
float32 arithmetic may round otherwise. ONNX Runtime is judged by the same rule: where it computes on integers its bits are those too, and where it
leaves a convolution in float32, or sums a mean in another order, it departs, and its logits with it.

usage: quantized_pieces.py [MODEL.onnx…]: of QDQ form, instead of the networks made here"""
import collections
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import definition
import peer
import quantize_models  # bench/, which peer has put on the path
from model import Model

N = helper.make_node


class Network:
    """Convolutions and what stands between them, in float32; random weights"""

    def __init__(self, seed):
        self.rng, self.nodes, self.constants = np.random.default_rng(seed), [], []

    def constant(self, array):
        name = "c%d" % len(self.constants)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, *inputs, **attrs):
        name = "%s%d" % (op, len(self.nodes))
        self.nodes.append(N(op, list(inputs), [name], name, **attrs))
        return name

    def normal(self, *shape):
        return self.constant(np.float32(self.rng.standard_normal(shape) * 3 / np.sqrt(np.prod(shape[1:]) or 1)))

    def conv(self, x, cin, cout, k=3, group=1, stride=1):
        w, b = self.normal(cout, cin // group, k, k), self.normal(cout)
        return self.node("Conv", x, w, b, group=group, strides=[stride] * 2, pads=[k // 2] * 4, kernel_shape=[k, k])

    def hard_swish(self, x):
        return self.node("Mul", x, self.node("HardSigmoid", x, alpha=1 / 6))

    def norm(self, x, channels):
        positive = self.constant(np.float32(self.rng.uniform(0.5, 2, channels)))
        return self.node("Relu", self.node("BatchNormalization", x, positive, self.normal(channels), self.normal(channels), positive))

    def model(self, y, dims):
        graph = helper.make_graph(self.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
                                  [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def mobile(seed):
    """Depthwise convolutions, HardSwish, squeeze and excite, residuals"""
    n = Network(seed)
    x = n.hard_swish(n.conv("x", 3, 16, stride=2))
    for _ in range(2):
        y = n.hard_swish(n.conv(x, 16, 40, 1))
        y = n.hard_swish(n.conv(y, 40, 40, 5, group=40))
        s = n.node("Relu", n.conv(n.node("GlobalAveragePool", y), 40, 8, 1))
        y = n.node("Mul", y, n.node("HardSigmoid", n.conv(s, 8, 40, 1)))
        x = n.node("Add", x, n.conv(y, 40, 16, 1))
    y = n.node("Flatten", n.node("GlobalAveragePool", x))
    y = n.node("Relu", n.node("Gemm", y, n.normal(33, 16), n.normal(33), transB=1))
    return n.model(n.node("Gemm", y, n.normal(10, 33), n.normal(10), transB=1), (1, 3, 40, 36))


def dense(seed):
    """Growing concatenations, norms in front of convolutions, pooling of each kind"""
    n = Network(seed)
    x, channels = n.node("MaxPool", n.conv("x", 3, 24, 7, stride=2), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 24
    for block in range(2):
        for _ in range(3):
            y = n.conv(n.norm(x, channels), channels, 32, 1)
            x, channels = n.node("Concat", x, n.conv(n.norm(y, 32), 32, 8), axis=1), channels + 8
        x = n.conv(n.norm(x, channels), channels, channels // 2, 1)
        x, channels = n.node("AveragePool", x, kernel_shape=[2 + block] * 2, strides=[2, 2]), channels // 2
    y = n.node("Flatten", n.node("GlobalAveragePool", n.norm(x, channels)))
    return n.model(n.node("Gemm", y, n.normal(10, channels), n.normal(10), transB=1), (1, 3, 64, 72))


def quantized(model):
    q = quantize_models.Quantizer(model.graph)
    for node in list(model.graph.node):
        q.static(node)
    del model.graph.node[:]
    model.graph.node.extend(q.nodes)
    return model


def exposed(model):
    """All that a QuantizeLinear makes is an output, behind the model's own first"""
    del model.graph.output[1:]
    constants = definition.Model(model).constants
    for n in model.graph.node:
        if n.op_type == "QuantizeLinear" and n.input[0] not in constants:
            zero = constants[n.input[2]] if len(n.input) > 2 else np.zeros((), np.uint8)
            dtype = numpy_helper.from_array(zero).data_type
            model.graph.output.append(helper.make_tensor_value_info(n.output[0], dtype, None))
    return model


def judge(who, model, given, on_integers):
    """on_integers(name): it must have the definition's bits"""
    sizes, wrong = collections.Counter(), collections.Counter()
    for op, name, kind, want in definition.pieces(model, given):
        apart = np.abs(want.astype(int) - given[name].astype(int))
        exact = kind == "moved" or (kind == "product" and on_integers(name))
        assert apart.max(initial=0) <= (not exact), (who, op, name, kind, int((apart > 0).sum()), apart.size, int(apart.max()))
        sizes[op] += apart.size
        wrong[op] += int((apart > 0).sum())
    share = sum(wrong.values()) / sum(sizes.values())
    assert share <= 0.001, (who, wrong, sizes)
    print("  %s: %d pieces' elements, %d one step off (%s)" % (who, sum(sizes.values()), sum(wrong.values()),
                                                              ", ".join("%s %d of %d" % (k, v, sizes[k]) for k, v in wrong.items() if v) or "none"))


def check(name, model, folder, library):
    path, model = os.path.join(folder, "model.onnx"), exposed(model)
    onnx.save(model, path)
    graph, names = model.graph, [o.name for o in model.graph.output]
    rng = np.random.default_rng(3)
    feed = {i.name: rng.standard_normal([d.dim_value for d in i.type.tensor_type.shape.dim]).astype(np.float32) for i in graph.input
            if i.name not in {t.name for t in graph.initializer}}
    print(name)
    for i, flags in enumerate((["-mcpu=native"], ["-mcpu=x86-64-v3"], ["-O0"])):
        if i == 2 and name.endswith(".onnx"):
            continue  # minutes
        library_path = os.path.join(folder, "m%d.so" % i)
        subprocess.run([os.environ["MCC"], path, "-o", library_path, "--emit=shared", "--name=m", "-Wno-quant-fallback", *flags], check=True)
        made = Model(library_path, "m").run(list(feed.values()))
        judge("mcc " + " ".join(flags), model, {**feed, **dict(zip(names, made))}, lambda name: True)
    if library:
        session = peer.ort.Session(library, path, written=os.path.join(folder, "optimised.onnx"))
        integers = {o for n in onnx.load(os.path.join(folder, "optimised.onnx")).graph.node
                    for o in n.output if n.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")}
        assert integers, "ONNX Runtime computes nothing on integers"
        made = session.run([feed[n.decode()] for n in session.inputs])
        judge("ONNX Runtime", model, {**feed, **dict(zip(names, made))}, lambda name: name in integers)


def main():
    try:
        library = peer.onnxruntime()
    except SystemExit:
        library = None
    models = [(path, onnx.load(path)) for path in sys.argv[1:]] or [(f.__name__, quantized(f(seed))) for seed in (1, 2) for f in (mobile, dense)]
    for name, model in models:
        with tempfile.TemporaryDirectory() as folder:
            check(name, model, folder, library)


main()
