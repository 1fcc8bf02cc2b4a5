"""A failing model made small: one output, the earliest that fails; then inner values become inputs with the values they had, while
it still fails in the same way. And a model as text."""
import numpy as np
import onnx
from onnx import helper, numpy_helper
from .maker import NUMBER, all_nodes, bodies_of, read_names

NAMES = {number: name for name, number in NUMBER.items()}


def pruned(model, outputs, inputs=()):
    """A copy with these outputs (names), where these values (ValueInfo) are inputs, without what is not needed then."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    g, cut, needed, kept = m.graph, {v.name for v in inputs}, set(outputs), []
    for n in reversed(model.graph.node):
        if (set(n.output) - cut) & needed:
            kept.insert(0, n)
            needed |= set(read_names(n))
    del g.node[:], g.output[:], g.input[:], g.initializer[:]
    g.node.extend(kept)
    known = {o.name: o for o in model.graph.output}
    g.output.extend(known.get(name) or helper.make_tensor_value_info(name, 1, None) for name in outputs)
    g.input.extend([v for v in [*model.graph.input, *inputs] if v.name in needed])
    g.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    return m


def smaller(model, infos, examine, zeros=None):
    """infos: {name: ValueInfo} of all inner values. examine(model) says how it fails, or None; the smallest model found.
    zeros: {value of a body or function: a tensor in its place}"""
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
    return plainer(model, zeros or {}, fails)


def plainer(model, zeros, fails):
    """Nodes of bodies and functions give way to constants, the last first, as long as it fails."""
    tried, again = set(), True
    while again:
        again = False
        lists = all_nodes(list(model.graph.node), model.functions)
        for name in [o for nodes in list(lists)[1:] for n in reversed(nodes) if n.op_type != "Constant" for o in n.output]:
            if name in tried or name not in zeros:
                continue
            tried.add(name)
            candidate = onnx.ModelProto()
            candidate.CopyFrom(model)
            replace_node(candidate, name, zeros[name])
            if fails(candidate):
                model, again = candidate, True
                break
    return model


def replace_node(model, name, tensor):
    """The node that makes `name` makes this constant; what only it read goes."""
    for nodes in list(all_nodes(model.graph.node, model.functions))[1:]:
        for n in nodes:
            if list(n.output) == [name]:
                n.CopyFrom(helper.make_node("Constant", [], [name], value=tensor))
    for holder in [*[g for nodes in all_nodes(model.graph.node, model.functions) for n in nodes for g in bodies_of(n)], *model.functions]:
        outs = {o if isinstance(o, str) else o.name for o in holder.output}
        for n in reversed(list(holder.node)):
            read = {name for k in holder.node for name in read_names(k)} | outs
            if not set(n.output) & read:
                holder.node.remove(n)


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
    if isinstance(v, onnx.GraphProto):
        return f"{a.name}:\n" + "\n".join("    " + line for line in graph_lines(v))
    if a.ref_attr_name:
        return f"{a.name}=@{a.ref_attr_name}"
    return f"{a.name}={v.decode() if isinstance(v, bytes) else 'tensor' if isinstance(v, onnx.TensorProto) else v}"


def graph_lines(g):
    """Inputs, nodes with their constants, outputs"""
    lines, constants = [], {}
    for t in g.initializer:
        a = numpy_helper.to_array(t) if t.data_type not in (16, 21, 22) else np.zeros(t.dims)
        constants[t.name] = f"{NAMES[t.data_type]}{list(a.shape) if a.ndim else ''}" + (f"={a.tolist()}" if a.size <= 8 else "")
    lines += [f"input {v.name}: {dims_text(v)}" for v in g.input]
    lines += [f"{name} = {text}" for name, text in constants.items() if len(g.node) > 1 and any(bodies_of(n) for n in g.node)]
    lines += [line for n in g.node for line in node_text(n, constants).split("\n")]
    return lines + ["output " + ", ".join(o.name for o in g.output)]


def node_text(n, constants):
    ins = ", ".join(constants.get(i, i or "-") for i in n.input)
    attrs = " ".join(attribute_text(a) for a in n.attribute)
    return f"{', '.join(o or '-' for o in n.output)} = {n.domain + '.' if n.domain else ''}{n.op_type}({ins}) {attrs}".rstrip()


def text(model):
    """Line by line: functions, then the graph"""
    lines = ["opset " + str(model.opset_import[0].version)]
    for f in model.functions:
        lines.append(f"function {f.name}({', '.join(f.input)}; {', '.join(f.attribute)}):")
        lines += ["    " + line for n in f.node for line in node_text(n, {}).split("\n")] + ["    output " + ", ".join(f.output)]
    return "\n".join("  " + line for line in lines + graph_lines(model.graph))
