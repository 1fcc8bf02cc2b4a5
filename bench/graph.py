"""How many multiply-adds an ONNX graph asks for: those of its convolutions, matrix products and recurrences."""
import math
import re

import onnx
from onnx import shape_inference

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INTEGER = {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}


def is_quantized(path):
    """Does it compute on integers of 8 bits?"""
    return any(node.op_type in INTEGER for node in onnx.load(str(path), load_external_data=False).graph.node)


def attribute(node, name, otherwise):
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), otherwise)


def set_shapes(model, shapes):
    """Gives inputs the dims that shapes (name → list) has for them; all else that is open becomes 1."""
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes.get(value.name, [])):
            dim.dim_value = size
        for dim in dims:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for value in list(model.graph.output) + list(model.graph.value_info):
        value.type.tensor_type.ClearField("shape")


def known_dims(graph):
    """The dims of each value that has them all."""
    found = {t.name: list(t.dims) for t in graph.initializer}
    for value in list(graph.input) + list(graph.output) + list(graph.value_info):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(d.HasField("dim_value") for d in dims):
                found[value.name] = [d.dim_value for d in dims]
    for node in graph.node:
        if node.op_type == "Constant" and attribute(node, "value", None) is not None:
            found[node.output[0]] = list(attribute(node, "value", None).dims)
    return found


def node_macs(node, dims):
    """The multiply-adds of one node; KeyError where a shape that counts is not known."""
    op = node.op_type
    if op in ("Conv", "ConvInteger"):
        weights = dims[node.input[1]]
        return math.prod(dims[node.output[0]]) * math.prod(weights[1:])
    if op == "ConvTranspose":
        return math.prod(dims[node.input[0]]) * math.prod(dims[node.input[1]][1:])
    if op in ("MatMul", "MatMulInteger"):
        return math.prod(dims[node.output[0]]) * dims[node.input[0]][-1]
    if op == "Gemm":
        left = dims[node.input[0]]
        return math.prod(dims[node.output[0]]) * left[0 if attribute(node, "transA", 0) else 1]
    if op in GATES:
        steps, batch = dims[node.input[0]][:2]
        directions, rows, inputs = dims[node.input[1]]
        return steps * batch * directions * rows * (inputs + rows // GATES[op])
    return 0


def listed_dims(listing):
    """The dims of the values that `mcc --emit=graph` prints: '  %y: float32[1, 10], … = Op(…)'."""
    found = {}
    for line in listing.splitlines():
        results = line.partition(" = ")[0]
        for name, dims in re.findall(r"%(.+?): \w+\[([\d, ]*)\]", results):
            found[name] = [int(d) for d in dims.split(",") if d.strip()]
    return found


def count_macs(path, shapes, listing=""):
    """The multiply-adds of one run; None where a shape stays unknown. The listing is mcc's graph before any pass, which
    knows shapes that onnx does not infer."""
    model = onnx.load(str(path))
    set_shapes(model, shapes)
    try:
        model = shape_inference.infer_shapes(model, data_prop=True)
        dims = {**listed_dims(listing), **known_dims(model.graph)}
        return sum(node_macs(node, dims) for node in model.graph.node)
    except (KeyError, onnx.onnx_cpp2py_export.shape_inference.InferenceError):
        return None
