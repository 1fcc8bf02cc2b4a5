#!/usr/bin/python3
"""Writes int8 twins of networks, for timing: the same graph with integers where a quantizer puts them.

    bench/quantize_models.py FROM TO [NAME …]      (default: those of bench/models.txt under int8/ and dynamic/)

static, TO/int8/NAME.onnx: QuantizeLinear and DequantizeLinear around what ONNX Runtime computes on integers; weights are s8, one scale
an output channel, biases int32, activations u8. dynamic, TO/dynamic/NAME.onnx: DynamicQuantizeLinear and MatMulInteger for products
with constant weights. Scales of activations are a guess, since times do not depend on them; `mcc --quantize` is what calibrates."""
import argparse
import pathlib

import numpy
import onnx
from onnx import helper, numpy_helper

INTEGER = {"Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape"}
POSITIVE = {"Relu", "Clip"}
RANGE = {False: (16 / 255, 128), True: (6 / 255, 0)}  # by: never negative. 6: the types' own ends then do what a ReLU6 does


class Quantizer:
    """Rewrites a graph node by node, in order."""

    def __init__(self, graph):
        self.graph, self.nodes, self.made = graph, [], {}
        self.constants = {t.name: t for t in graph.initializer}
        for node in list(graph.node):
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
        self.makers = {out: node for node in graph.node for out in node.output}

    def constant(self, name, array):
        if name not in self.made:
            self.made[name] = name
            self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op, inputs, outputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs[0]

    def array(self, name):
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def activation(self, name):
        """name through Q and DQ"""
        if name not in self.made:
            maker = self.makers.get(name)
            scale, zero = RANGE[maker is not None and maker.op_type in POSITIVE]
            numbers = [self.constant(f"scale_{zero}", numpy.float32(scale)), self.constant(f"zero_{zero}", numpy.uint8(zero))]
            self.add("QuantizeLinear", [name, *numbers], [name + "_q"])
            self.made[name] = self.add("DequantizeLinear", [name + "_q", *numbers], [name + "_dq"])
        return self.made[name]

    def integers(self, name, axis):
        """(codes, scales) of constant weights as names, one scale an index of the axis"""
        w = self.array(name)
        scales = numpy.abs(w).max(tuple(i for i in range(w.ndim) if i != axis)) / 127 + numpy.float32(1e-9)
        shape = [-1 if i == axis else 1 for i in range(w.ndim)]
        codes = numpy.clip(numpy.rint(w / scales.reshape(shape)), -127, 127).astype(numpy.int8)
        return self.constant(name + "_codes", codes), self.constant(name + "_scales", scales.astype(numpy.float32)), scales

    def product(self, node):
        """Conv, Gemm or MatMul with constant weights"""
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else 1
        codes, names, scales = self.integers(node.input[1], axis)
        zeros = self.constant(f"zeros_{len(scales)}", numpy.zeros(len(scales), numpy.int8))
        inputs = [self.activation(node.input[0]), node.input[1] + "_dq"]
        if inputs[1] not in self.made:
            self.made[inputs[1]] = self.add("DequantizeLinear", [codes, names, zeros], [inputs[1]], axis=axis)
        if len(node.input) > 2:
            inputs.append(self.bias(node, scales))
        self.nodes.append(helper.make_node(node.op_type, inputs, node.output, node.name))
        self.nodes[-1].attribute.extend(node.attribute)

    def bias(self, node, scales):
        maker = self.makers.get(node.input[0])
        steps = (numpy.float32(RANGE[maker is not None and maker.op_type in POSITIVE][0]) * scales).astype(numpy.float32)
        codes = numpy.rint(self.array(node.input[2]) / steps).astype(numpy.int32)
        name, zeros = node.output[0] + "_bias", self.constant(f"zeros32_{len(scales)}", numpy.zeros(len(scales), numpy.int32))
        return self.add("DequantizeLinear", [self.constant(name, codes), self.constant(name + "_steps", steps), zeros], [name + "_dq"], axis=0)

    def static(self, node):
        weights = self.array(node.input[1]) if len(node.input) > 1 else None
        biased = len(node.input) > 2 and node.input[2] not in self.constants
        if node.op_type in ("Conv", "Gemm", "MatMul") and weights is not None and (node.op_type == "Conv" or weights.ndim == 2) and not biased:
            self.product(node)
        elif node.op_type in INTEGER and not any(name in self.constants for name in node.input[:2]) or node.op_type in ("Flatten", "Reshape"):
            inputs = [self.activation(node.input[0]), *node.input[1:]]
            if node.op_type in ("Add", "Mul", "Concat"):
                inputs = [self.activation(name) for name in node.input]
            self.nodes.append(helper.make_node(node.op_type, inputs, node.output, node.name))
            self.nodes[-1].attribute.extend(node.attribute)
        else:
            self.nodes.append(node)

    def dynamic(self, node):
        weights = self.array(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
        plain = not any(a.name == "transA" and a.i or a.name in ("alpha", "beta") and a.f != 1 for a in node.attribute)
        if weights is None or weights.ndim != 2 or not plain or node.input[0] in self.constants:
            self.nodes.append(node)
            return
        if any(a.name == "transB" and a.i for a in node.attribute):
            turned = node.input[1] + "_t"
            self.constants[turned] = numpy_helper.from_array(numpy.ascontiguousarray(weights.T), turned)
            node.input[1] = turned
        x, y = node.input[0], node.output[0]
        if x + "_q" not in self.made:
            self.made[x + "_q"] = self.add("DynamicQuantizeLinear", [x], [x + "_q", x + "_s", x + "_z"])
        largest = self.constant(node.input[1] + "_scale", numpy.float32(numpy.abs(weights).max() / 127))
        w = self.array(node.input[1])
        codes = self.constant(node.input[1] + "_codes", numpy.rint(w / (numpy.abs(w).max() / 127)).astype(numpy.int8))
        self.add("MatMulInteger", [x + "_q", codes, x + "_z"], [y + "_sum"])
        self.add("Cast", [y + "_sum"], [y + "_float"], to=1)
        self.add("Mul", [x + "_s", largest], [y + "_scale"])
        biased = len(node.input) > 2
        self.add("Mul", [y + "_float", y + "_scale"], [y + "_product" if biased else y])
        if biased:
            self.add("Add", [y + "_product", node.input[2]], [y])


def write(source, target, how):
    model = onnx.load(str(source))
    quantizer = Quantizer(model.graph)
    for node in list(model.graph.node):
        getattr(quantizer, how)(node)
    del model.graph.node[:]
    model.graph.node.extend(quantizer.nodes)
    used = {name for node in model.graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(target))


def wanted():
    for line in (pathlib.Path(__file__).parent / "models.txt").read_text().splitlines():
        words = line.split()
        kind, _, name = words[1].partition("/") if words and not words[0].startswith("#") else ("", "", "")
        if kind in ("int8", "dynamic"):
            yield kind, name


def main():
    parser = argparse.ArgumentParser(description="writes int8 twins of networks")
    parser.add_argument("source", type=pathlib.Path, metavar="FROM")
    parser.add_argument("target", type=pathlib.Path, metavar="TO")
    parser.add_argument("names", nargs="*", metavar="KIND/NAME.onnx")
    options = parser.parse_args()
    for kind, name in [tuple(n.split("/")) for n in options.names] or wanted():
        target = options.target / kind / name
        if not target.exists() and (options.source / name).exists():
            write(options.source / name, target, "static" if kind == "int8" else "dynamic")
            print(target)


if __name__ == "__main__":
    main()
