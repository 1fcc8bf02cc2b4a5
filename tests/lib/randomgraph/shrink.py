"""A failing model made small: one output, the earliest that fails; then inner values become inputs with the values they had, while
it still fails in the same way. And a model as text."""
import numpy as np
import onnx
from onnx import helper, numpy_helper
from .maker import NUMBER

NAMES = {number: name for name, number in NUMBER.items()}


def pruned(model, outputs, inputs=()):
    """A copy with these outputs (names), where these values (ValueInfo) are inputs, without what is not needed then."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    g, cut, needed, kept = m.graph, {v.name for v in inputs}, set(outputs), []
    for n in reversed(model.graph.node):
        if (set(n.output) - cut) & needed:
            kept.insert(0, n)
            needed |= set(n.input)
    del g.node[:], g.output[:], g.input[:], g.initializer[:]
    g.node.extend(kept)
    known = {o.name: o for o in model.graph.output}
    g.output.extend(known.get(name) or helper.make_tensor_value_info(name, 1, None) for name in outputs)
    g.input.extend([v for v in [*model.graph.input, *inputs] if v.name in needed])
    g.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    return m


def smaller(model, infos, examine):
    """infos: {name: ValueInfo} of all inner values. examine(model) says how it fails, or None; the smallest model found."""
    kind = examine(model)
    if kind is None:
        return model
    made = [o for n in model.graph.node for o in n.output if o and o in infos]

    def fails(candidate):
        return bool(candidate.graph.node) and examine(candidate) == kind

    for name in made:  # the earliest value that is wrong
        candidate = pruned(with_infos(model, infos), [name])
        if fails(candidate):
            model = candidate
            break
    else:
        for o in model.graph.output:
            candidate = pruned(model, [o.name])
            if fails(candidate):
                model = candidate
                break
    again = True
    while again:
        again = False
        outputs = [o.name for o in model.graph.output]
        for name in [o for n in reversed(model.graph.node) for o in n.output if o in infos and o not in outputs]:
            candidate = pruned(model, outputs, [infos[name]])
            if len(candidate.graph.node) < len(model.graph.node) and fails(candidate):
                model, again = candidate, True
                break
    return model


def with_infos(model, infos):
    """A copy whose outputs are all inner values."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    del m.graph.output[:]
    m.graph.output.extend(infos.values())
    return m


def dims_text(value):
    t = value.type.tensor_type
    dims = ",".join(d.dim_param or str(d.dim_value) for d in t.shape.dim) if t.HasField("shape") else "?"
    return f"{NAMES[t.elem_type]}[{dims}]"


def attribute_text(a):
    v = helper.get_attribute_value(a)
    return f"{a.name}={v.decode() if isinstance(v, bytes) else 'tensor' if isinstance(v, onnx.TensorProto) else v}"


def text(model):
    """Line by line: inputs, nodes with their constants, outputs"""
    g, lines, constants = model.graph, [], {}
    for t in g.initializer:
        a = numpy_helper.to_array(t) if t.data_type not in (16, 21, 22) else np.zeros(t.dims)
        constants[t.name] = f"{NAMES[t.data_type]}{list(a.shape) if a.ndim else ''}" + (f"={a.tolist()}" if a.size <= 8 else "")
    lines.append("opset " + str(model.opset_import[0].version))
    lines += [f"input {v.name}: {dims_text(v)}" for v in g.input]
    for n in g.node:
        ins = ", ".join(constants.get(i, i or "-") for i in n.input)
        attrs = " ".join(attribute_text(a) for a in n.attribute)
        lines.append(f"{', '.join(o or '-' for o in n.output)} = {n.op_type}({ins}) {attrs}".rstrip())
    lines.append("output " + ", ".join(o.name for o in g.output))
    return "\n".join("  " + line for line in lines)
