"""Functions of models, If, Loop and Scan through compiled objects: nested bodies that read outer values, branches of other sizes,
carried values that grow, turns that end early or never, what is refused. Every call is between unreadable pages, over
workspaces of 0x00 and 0xFF. What --emit=onnx writes of them reads as the same model, and gives the same in ONNX Runtime where that is here.
"""
import os
import subprocess
import sys
import numpy as np
from onnx import TensorProto, helper, numpy_helper
import peer
from model import Model

MCC, WORK = os.environ["MCC"], os.path.join(os.environ["BUILD"], "control")
F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
E_INDEX, E_TRIP, E_SHAPE = 7, 8, 3
info, node, graph = helper.make_tensor_value_info, helper.make_node, helper.make_graph
failed = 0


def const(name, values, dtype):
    return numpy_helper.from_array(np.array(values, dtype), name)


def save(name, g, functions=(), opset=17):
    domains = {f.domain for f in functions} | {n.domain for n in g.node} - {""}
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains])
    m.ir_version = 8
    m.functions.extend(functions)
    path = os.path.join(WORK, name + ".onnx")
    with open(path, "wb") as f:
        f.write(m.SerializeToString())
    return path


def compiled(name, *args, options=(), **more):
    path, shared = save(name, *args, **more), os.path.join(WORK, name + ".so")
    done = subprocess.run([MCC, path, "--emit=shared", "--name=m", "-o", shared, *options], capture_output=True, text=True)
    return (Model(shared, "m") if done.returncode == 0 else None), done.stderr


def expect(name, good, why=""):
    global failed
    failed += not good
    print("ok  " if good else "FAIL", name, "" if good else why)


def same(name, model, inputs, wants):
    model, text = model
    if not model:
        return expect(name, False, text)
    got = model.check(inputs)
    good = all(g.shape == np.shape(w) and np.allclose(g, w, 1e-5, 1e-6) for g, w in zip(got, wants))
    expect(name, good, f"got {got}, want {wants}")


def library():
    path = os.environ.get("ORT_LIB") or peer.npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")
    return peer.ort.Library(path) if path else None


def written(name, g, cases, options=(), opset=17):
    """cases: (inputs, wants)"""
    path, once, again = save(name + "_read", g, opset=opset), os.path.join(WORK, name + "_once.onnx"), os.path.join(WORK, name + "_again.onnx")
    for source, target in ((path, once), (once, again)):
        done = subprocess.run([MCC, source, "--emit=onnx", "-o", target, *options], capture_output=True, text=True)
        if done.returncode:
            return expect(f"{name} is written", False, done.stderr)
    expect(f"{name} is written", open(once, "rb").read() == open(again, "rb").read(), "written again it is another file")
    session = peer.ort.Session(PEER, once) if PEER else None
    for inputs, wants in cases if session else []:
        got = session.run([np.ascontiguousarray(x) for x in inputs])
        good = all(np.shape(x) == np.shape(w) and np.allclose(x, w, 1e-5, 1e-6) for x, w in zip(got, wants))
        expect(f"{name}, written, in ONNX Runtime", good, f"got {got}, want {wants}")


def status(name, model, inputs, want):
    model, text = model
    if not model:
        return expect(name, False, text)
    try:
        model.run(inputs)
        expect(name, False, "the call succeeded")
    except RuntimeError as e:
        expect(name, str(e) == f"run returned {want}", str(e))


def refused(name, says, *args, **more):
    model, text = compiled(name, *args, **more)
    expect(name, model is None and says in text, text)


# ---- functions ----

def call(op, ins, outs, overload=b"", **attrs):
    n = node(op, ins, outs, domain="f", **attrs)
    if overload:
        n.MergeFromString(bytes([8 << 3 | 2, len(overload)]) + overload)
    return n


def function(name, ins, outs, nodes, attributes=(), overload=b""):
    f = helper.make_function("f", name, ins, outs, nodes, [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)], list(attributes))
    if overload:
        f.MergeFromString(bytes([13 << 3 | 2, len(overload)]) + overload)
    return f


def referring(op, ins, outs, **refs):
    n = node(op, ins, outs)
    for name, (ref, kind) in refs.items():
        a = n.attribute.add()
        a.name, a.ref_attr_name, a.type = name, ref, kind
    return n


def check_functions():
    x = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
    io = [info("x", F, [2, 3])], [info("y", F, [2, 3])]
    leaky = function("Leaky", ["a"], ["b"], [referring("LeakyRelu", ["a"], ["b"], alpha=("slope", 1))], ["slope"])
    same("attribute", compiled("attribute", graph([call("Leaky", ["x"], ["y"], slope=0.5)], "g", *io), functions=[leaky]),
         [x], [np.where(x < 0, x * 0.5, x)])
    same("absent attribute", compiled("absent_attribute", graph([call("Leaky", ["x"], ["y"])], "g", *io), functions=[leaky]),
         [x], [np.where(x < 0, x * np.float32(0.01), x)])
    twice = function("Twice", ["x"], ["out"], [referring("Leaky", ["x"], ["y"], slope=("s", 1)), referring("Leaky", ["y"], ["out"], slope=("s", 1))], ["s"])
    for n in twice.node:
        n.domain = "f"
    same("nested calls, equal names", compiled("nested", graph([call("Twice", ["x"], ["t"], s=0.5), node("Neg", ["t"], ["y"])], "g", *io), functions=[leaky, twice]),
         [x], [-np.where(x < 0, x * 0.25, x)])
    one = function("Pick", ["a"], ["b"], [node("Neg", ["a"], ["b"])], overload=b"one")
    two = function("Pick", ["a"], ["b"], [node("Abs", ["a"], ["b"])], overload=b"two")
    same("overloads", compiled("overloads", graph([call("Pick", ["x"], ["t"], b"two"), call("Pick", ["t"], ["y"], b"one")], "g", *io), functions=[one, two]),
         [x], [-np.abs(x)])
    optional = function("Clamp", ["a", "lo", "hi"], ["b"], [node("Clip", ["a", "lo", "hi"], ["b"])])
    same("absent input", compiled("absent_input", graph([call("Clamp", ["x", "z"], ["y"])], "g", *io, [const("z", 0, np.float32)]), functions=[optional]),
         [x], [np.maximum(x, 0)])
    inside = graph([node("Mul", ["a", "a"], ["b"])], "then", [], [info("b", F, None)])
    other = graph([referring("LeakyRelu", ["a"], ["c"], alpha=("slope", 1))], "else", [], [info("c", F, None)])
    branchy = function("Branchy", ["a", "p"], ["r"], [node("If", ["p"], ["r"], then_branch=inside, else_branch=other)], ["slope"])
    g = graph([call("Branchy", ["x", "p"], ["y"], slope=0.5)], "g", [io[0][0], info("p", B, [])], io[1])
    for p in (True, False):
        same(f"a branch in a function, {p}", compiled("branchy", g, functions=[branchy]), [x, np.array(p)], [x * x if p else np.where(x < 0, x * 0.5, x)])
    ring = [function("A", ["a"], ["b"], [call("B", ["a"], ["b"])]), function("B", ["a"], ["b"], [call("A", ["a"], ["b"])])]
    refused("recursion", "calls itself", graph([call("A", ["x"], ["y"])], "g", *io), functions=ring)
    bomb = [function("F0", ["a"], ["b"], [node("Neg", ["a"], ["b"])])]
    for i in range(1, 29):
        bomb.append(function(f"F{i}", ["a"], ["b"], [call(f"F{i - 1}", ["a"], ["t"]), call(f"F{i - 1}", ["t"], ["b"])]))
    refused("bomb", "too many nodes", graph([call("F28", ["x"], ["y"])], "g", *io), functions=bomb)


# ---- If ----

def check_if():
    x, p = info("x", F, [2, 3]), info("p", B, [])
    v = np.arange(6, dtype=np.float32).reshape(2, 3)
    inner = [graph([node("Add", ["x", "s"], ["r1"])], "t2", [], [info("r1", F, None)]),
             graph([node("Mul", ["x", "s"], ["r2"])], "e2", [], [info("r2", F, None)])]
    then = graph([node("ReduceMax", ["x"], ["s"], keepdims=0), node("If", ["q"], ["r"], then_branch=inner[0], else_branch=inner[1])],
                 "t", [], [info("r", F, None)])
    other = graph([node("Identity", ["x"], ["o"])], "e", [], [info("o", F, None)])
    g = graph([node("If", ["p"], ["y"], then_branch=then, else_branch=other)], "g", [x, p, info("q", B, [1])], [info("y", F, [2, 3])])
    for a, b in ((1, 1), (1, 0), (0, 1)):
        for level in ("-O0", "-O2"):
            same(f"nested branches {a}{b} {level}", compiled(f"nested_if{level}", g, options=[level]), [v, np.array(bool(a)), np.array([bool(b)])],
                 [(v + 5 if b else v * 5) if a else v])
    written("nested_if", g, [([v, np.array(bool(a)), np.array([bool(b)])], [(v + 5 if b else v * 5) if a else v]) for a, b in ((1, 1), (1, 0), (0, 1))])
    small = graph([node("Slice", ["x", "zero", "one"], ["a"])], "t", [], [info("a", F, None)])
    full = graph([node("Concat", ["x", "x"], ["b"], axis=0)], "e", [], [info("b", F, None)])
    g = graph([node("If", ["p"], ["r"], then_branch=small, else_branch=full), node("Neg", ["r"], ["y"])], "g", [x, p], [info("y", F, [None, 3])],
              [const("zero", [0], np.int64), const("one", [1], np.int64)])
    same("branches of other sizes, small", compiled("sizes", g), [v, np.array(True)], [-v[:1]])
    same("branches of other sizes, large", compiled("sizes", g), [v, np.array(False)], [-np.concatenate([v, v])])
    written("sizes", g, [([v, np.array(True)], [-v[:1]]), ([v, np.array(False)], [-np.concatenate([v, v])])])
    norm = node("SkipLayerNormalization", ["x", "x", "k"], ["n", "", "", "s"], domain="com.microsoft")
    picked = graph([node("Neg", ["s"], ["a"])], "t", [], [info("a", F, None)])
    g = graph([norm, node("If", ["p"], ["y"], then_branch=picked, else_branch=graph([node("Abs", ["x"], ["b"])], "e", [], [info("b", F, None)]))], "g", [x, p],
              [info("y", F, [2, 3])], [const("k", [1, 1, 1], np.float32)])
    same("an output that a branch alone reads", compiled("read_inside", g), [v, np.array(True)], [-2 * v])
    wrong = graph([node("MatMul", ["x", "x"], ["m"])], "t", [], [info("m", F, None)])
    g = graph([node("If", ["p"], ["y"], then_branch=wrong, else_branch=other)], "g", [x, p], [info("y", F, [2, 3])])
    same("a branch that cannot run is not taken", compiled("wrong", g), [v, np.array(False)], [v])
    status("a branch that cannot run is taken", compiled("wrong", g), [v, np.array(True)], E_SHAPE)
    fixed = graph([node("If", ["c"], ["y"], then_branch=wrong, else_branch=other)], "g", [x], [info("y", F, [2, 3])], [const("c", False, bool)])
    same("a constant condition", compiled("fixed", fixed), [v], [v])


# ---- Loop, Scan ----

def loop_body(nodes, carried, stacked=()):
    return graph(nodes, "body", [info("i", I, []), info("c", B, [])] + [info(n, t, None) for n, t in carried],
                 [info("more", B, None)] + [info(n + "_next", t, None) for n, t in carried] + [info(n, t, None) for n, t in stacked])


def check_loop():
    m, x = info("m", I, []), info("x", F, [3])
    v = np.array([1, 2, 3], np.float32)
    body = loop_body([node("Identity", ["c"], ["more"]), node("Add", ["a", "x"], ["a_next"]), node("Mul", ["a_next", "x"], ["s"])], [("a", F)], [("s", F)])
    g = graph([node("Loop", ["m", "", "x"], ["y", "all"], body=body)], "g", [m, x], [info("y", F, [3]), info("all", F, ["n", 3])])
    for level in ("-O0", "-O2"):
        model = compiled(f"sums{level}", g, options=["--max-trip=8", level])
        for turns in (0, 1, 2, 7, 8):
            states = [v * (k + 2) for k in range(turns)]
            same(f"sums of {turns} turns {level}", model, [np.array(turns), v], [v * (turns + 1), np.array([s * v for s in states], np.float32).reshape(turns, 3)])
        status(f"too many turns {level}", model, [np.array(9), v], E_TRIP)
        same(f"negative turns {level}", model, [np.array(-2), v], [v, np.zeros((0, 3), np.float32)])
    written("sums", g, [([np.array(n), v], [v * (n + 1), np.array([v * (k + 2) * v for k in range(n)], np.float32).reshape(n, 3)]) for n in (0, 3)], ["--max-trip=8"])
    body = loop_body([node("ReduceSum", ["a"], ["t"], keepdims=0), node("Less", ["t", "limit"], ["more"]), node("Add", ["a", "a"], ["a_next"])], [("a", F)])
    g = graph([node("Loop", ["", "", "x"], ["y"], body=body)], "g", [x], [info("y", F, [3])], [const("limit", 20, np.float32)])
    same("while", compiled("while", g), [v], [v * 8])
    status("while without an end", compiled("while", g, options=["--max-trip=100"]), [v * 0], E_TRIP)
    body = loop_body([node("Identity", ["c"], ["more"]), node("Concat", ["a", "x"], ["a_next"], axis=0)], [("a", F)])
    g = graph([node("Loop", ["m", "", "x"], ["y"], body=body)], "g", [m, x], [info("y", F, [None])])
    grow = compiled("grow", g, options=["--max-trip=5"])
    for turns in (0, 1, 4, 5):
        same(f"a value that grows {turns} times", grow, [np.array(turns), v], [np.tile(v, turns + 1)])
    written("grow", g, [([np.array(n), v], [np.tile(v, n + 1)]) for n in (0, 3)], ["--max-trip=5"])
    body = loop_body([node("Identity", ["c"], ["more"]), node("Add", ["a", "k"], ["a_next"])], [("a", F)])
    g = graph([node("Loop", ["four", "", "k"], ["y"], body=body), node("Add", ["x", "y"], ["z"])], "g", [x], [info("z", F, [3])],
              [const("four", 4, np.int64), const("k", [2], np.float32)])
    same("a loop of constants", compiled("constant_loop", g), [v], [v + 10])
    inner = loop_body([node("Identity", ["c"], ["more"]), node("Add", ["b", "a"], ["b_next"])], [("b", F)])
    inner.input[0].name, inner.input[1].name, inner.node[0].input[0] = "j", "d", "d"
    body = loop_body([node("Identity", ["c"], ["more"]), node("Loop", ["m", "", "x"], ["a_next"], body=inner)], [("a", F)])
    g = graph([node("Loop", ["m", "", "x"], ["y"], body=body)], "g", [m, x], [info("y", F, [3])])
    want = v
    for _ in range(3):
        b = v
        for _ in range(3):
            b = b + want
        want = b
    written("nested_loop", g, [([np.array(3), v], [want])])
    same("a loop in a loop", compiled("nested_loop", g), [np.array(3), v], [want])


def check_scan():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    body = graph([node("Add", ["s", "e"], ["s_next"]), node("Mul", ["s_next", "k"], ["o"])], "body", [info("s", F, None), info("e", F, None)],
                 [info("s_next", F, None), info("o", F, None)])
    for back_in in (0, 1):
        for back_out in (0, 1):
            n = node("Scan", ["z", "x"], ["y", "all"], body=body, num_scan_inputs=1, scan_input_directions=[back_in], scan_output_directions=[back_out])
            g = graph([n], "g", [info("x", F, ["t", 3]), info("k", F, [1])], [info("y", F, [3]), info("all", F, ["t", 3])], [const("z", [0, 0, 0], np.float32)])
            sums = np.cumsum(x[::-1] if back_in else x, 0) * 2
            same(f"scan, directions {back_in} {back_out}", compiled(f"scan{back_in}{back_out}", g, options=["--max-dim=t=6"]), [x, np.array([2], np.float32)],
                 [x.sum(0), sums[::-1] if back_out else sums])


def check_scan_axes():
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    body = graph([node("Add", ["s", "e"], ["s_next"]), node("Transpose", ["s_next"], ["o"], perm=[1, 0])], "body",
                 [info("s", F, None), info("e", F, None)], [info("s_next", F, None), info("o", F, None)])
    for axis, out_axis, back in ((1, 1, 0), (-2, 2, 1), (1, -1, 0), (1, 0, 1)):
        n = node("Scan", ["z", "x"], ["y", "all"], body=body, num_scan_inputs=1, scan_input_axes=[axis], scan_output_axes=[out_axis], scan_input_directions=[back])
        g = graph([n], "g", [info("x", F, [2, "t", 3])], [info("y", F, [2, 3]), info("all", F, None)], [const("z", np.zeros((2, 3)), np.float32)])
        sums = np.cumsum(x[:, ::-1] if back else x, 1)
        want = np.stack([sums[:, t].T for t in range(4)], out_axis)
        same(f"scan along axis {axis}, stacked along {out_axis}", compiled(f"scan_axes{axis}{out_axis}{back}", g, options=["--max-dim=t=6"]), [x], [x.sum(1), want])
        written(f"scan_axes{axis}{out_axis}{back}", g, [([x], [x.sum(1), want])], ["--max-dim=t=6"])
    n = node("Scan", ["z", "x"], ["y"], body=body, num_scan_inputs=1, scan_input_axes=[3])
    refused("scan along an axis that is not there", "axis 3 is outside", graph([n], "g", [info("x", F, [2, 4, 3])], [info("y", F, None)], [const("z", np.zeros((2, 3)), np.float32)]))
    body = graph([node("Add", ["s", "e"], ["s_next"]), node("Mul", ["s_next", "k"], ["o"])], "body", [info("s", F, None), info("e", F, None)],
                 [info("s_next", F, None), info("o", F, None)])
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for back in (0, 1):
        n = node("Scan", ["", "z", "x"], ["y", "all"], body=body, num_scan_inputs=1, directions=[back])
        g = graph([n], "g", [info("z", F, ["b", 4]), info("x", F, ["b", "t", 4]), info("k", F, [1])], [info("y", F, ["b", 4]), info("all", F, None)])
        z = np.array([[1, 0, 2, 0], [0, 3, 0, 0]], np.float32)
        sums = z[:, None] + np.cumsum(x[:, ::-1] if back else x, 1)
        written(f"scan8_{back}", g, [([z, x, np.array([2], np.float32)], [sums[:, -1], sums * 2])], ["--max-dim=*=6"], 8)
        same(f"scan of opset 8, direction {back}", compiled(f"scan8_{back}", g, opset=8, options=["--max-dim=*=6"]), [z, x, np.array([2], np.float32)], [sums[:, -1], sums * 2])
    n = node("Scan", ["len", "z", "x"], ["y", "all"], body=body, num_scan_inputs=1)
    g = graph([n], "g", [info("len", I, [2]), info("z", F, [2, 4]), info("x", F, [2, 3, 4]), info("k", F, [1])], [info("y", F, [2, 4]), info("all", F, None)])
    refused("scan of opset 8 with lengths", "the lengths of sequences are not supported", g, opset=8)


def check_told_sizes():
    """What a turn's data decides of what is stacked: all turns have to agree"""
    x = np.array([[1, 0, 2], [0, 3, 4], [5, 6, 0]], np.float32)
    ins, zero = [info("x", F, [3, 3])], [const("zero", 0, np.float32), const("m", 3, np.int64), const("two", [2], np.float32)]
    pick = [node("Greater", ["e", "zero"], ["p"]), node("Compress", ["e", "p"], ["r"])]
    taken = [[1, 2], [3, 4], [5, 6]]
    for back in (0, 1):
        body = graph(pick, "body", [info("e", F, None)], [info("r", F, None)])
        g = graph([node("Scan", ["x"], ["s"], body=body, num_scan_inputs=1, scan_output_directions=[back]), node("Add", ["s", "two"], ["y"])], "g", ins, [info("y", F, None)], zero)
        model = compiled(f"told{back}", g)
        same(f"sizes that turns tell, direction {back}", model, [x], [np.array(taken[::-1] if back else taken, np.float32) + 2])
        status(f"sizes that turns tell and that differ, direction {back}", model, [np.diag(x.diagonal()).astype(np.float32)], E_SHAPE)
    body = loop_body([node("Identity", ["c"], ["more"]), node("Gather", ["x", "i"], ["e"])] + pick + [node("Identity", ["a"], ["a_next"])], [("a", F)], [("r", F)])
    for name, turns in (("m", 3), ("n", 0)):  # of certain turns, and of none
        g = graph([node("Loop", [name, "", "two"], ["a", "y"], body=body)], "g", ins + ([] if turns else [info("n", I, [])]), [info("a", F, None), info("y", F, None)], zero)
        same(f"sizes that {turns} turns tell", compiled(f"told_loop{turns}", g, options=["--max-trip=4"]), [x] + ([] if turns else [np.array(0)]),
             [np.array([2], np.float32), np.array(taken, np.float32) if turns else np.zeros((0, 0), np.float32)])


def check_groups():
    """GroupNormalization has a scale for each channel from opset 21 on, in bodies too, and one for each group in a function of opset 18."""
    x = np.arange(12, dtype=np.float32).reshape(1, 6, 2) ** 2
    groups = x.reshape(1, 3, 4)
    norm = ((groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)).reshape(x.shape)
    scale = np.arange(1, 7, dtype=np.float32)
    constants = [const("w", scale, np.float32), const("b", [0] * 6, np.float32), const("w3", [1, 2, 3], np.float32), const("b3", [0] * 3, np.float32)]
    body = loop_body([node("Identity", ["c"], ["more"]), node("GroupNormalization", ["a", "w", "b"], ["a_next"], num_groups=3)], [("a", F)])
    g = graph([node("Loop", ["m", "", "x"], ["y"], body=body)], "g", [info("m", I, []), info("x", F, [1, 6, 2])], [info("y", F, None)], constants)
    same("a scale for each channel in a body", compiled("groups_body", g, opset=21, options=["--max-trip=2"]), [np.array(1), x], [norm * scale[:, None]])
    old = helper.make_function("f", "Old", ["a", "s", "t"], ["r"], [node("GroupNormalization", ["a", "s", "t"], ["r"], num_groups=3)], [helper.make_opsetid("", 18)])
    g = graph([call("Old", ["x", "w3", "b3"], ["y"])], "g", [info("x", F, [1, 6, 2])], [info("y", F, None)], constants)
    same("a scale for each group in a function of opset 18", compiled("groups_function", g, functions=[old], opset=21), [x], [norm * np.repeat([1, 2, 3], 2)[:, None]])


def check_sizes_of_data():
    """Sizes that only the run tells and that must agree: of a whole model, and of a branch, which asks for nothing where it is not taken."""
    x = np.array([1, 0, 2, 0, 3], np.float32)
    pick = [node("Greater", ["x", "zero"], ["p"]), node("Compress", ["x", "p"], ["a"]), node("Greater", ["w", "zero"], ["q"]), node("Compress", ["w", "q"], ["b"])]
    ins, zero = [info("x", F, [5]), info("w", F, [5])], [const("zero", 0, np.float32)]
    g = graph(pick + [node("Mul", ["a", "b"], ["y"])], "g", ins, [info("y", F, None)], zero)
    model = compiled("data_sizes", g)
    same("sizes of data that agree", model, [x, x[::-1].copy()], [np.array([3, 4, 3], np.float32)])
    status("sizes of data that differ", model, [x, np.ones(5, np.float32)], E_SHAPE)
    then = graph([node("Mul", ["x", "w"], ["r"]), node("ReduceSum", ["r"], ["r1"], keepdims=0)], "t", [], [info("r1", F, None)])
    other = graph([node("ReduceSum", ["x"], ["r2"], keepdims=0)], "e", [], [info("r2", F, None)])
    g = graph([node("If", ["c"], ["y"], then_branch=then, else_branch=other)], "g", [info("x", F, ["m"]), info("w", F, ["n"]), info("c", B, [])], [info("y", F, [])])
    model = compiled("branch_sizes", g, options=["--max-dim=*=6"])
    for taken in (True, False):
        same(f"sizes of a branch that agree, {taken}", model, [x, x, np.array(taken)], [np.float32((x * x).sum() if taken else x.sum())])
    same("sizes of a branch that is not taken", model, [x, x[:3].copy(), np.array(False)], [np.float32(x.sum())])
    status("sizes of a branch that is taken", model, [x, x[:3].copy(), np.array(True)], E_SHAPE)


def shown(name, g, options=()):
    return subprocess.run([MCC, save(name, g), "--emit=graph", "-o", "-", *options], capture_output=True, text=True, check=True).stdout


def check_simplified():
    """What the passes make of control flow: a product that no turn changes stands before the loop, values carried for nobody or unchanged are not
    carried, few certain turns are no loop, and a condition that only folding knows is none."""
    x, w = np.arange(4, dtype=np.float32).reshape(2, 2), np.array([[1, 2], [-3, 1]], np.float32)
    body = loop_body([node("Identity", ["c"], ["more"]), node("MatMul", ["x", "w"], ["p"]), node("Relu", ["p"], ["q"]), node("Add", ["a", "q"], ["a_next"]),
                      node("Mul", ["d", "d"], ["d_next"]), node("Identity", ["k"], ["k_next"]), node("Cast", ["i"], ["j"], to=F), node("Mul", ["a_next", "j"], ["s"])],
                     [("a", F), ("d", F), ("k", F)], [("s", F)])
    def model(known):
        return graph([node("Loop", ["m", "", "x", "x", "x"], ["y", "dead", "same", "all"], body=body), node("Neg", ["same"], ["z"])], "g",
                     ([] if known else [info("m", I, [])]) + [info("x", F, [2, 2])], [info("y", F, [2, 2]), info("z", F, [2, 2]), info("all", F, [None, 2, 2])],
                     [const("w", w, np.float32)] + ([const("m", 3, np.int64)] if known else []))
    step = np.maximum(x @ w, 0)
    wants = [x + 3 * step, -x, np.stack([(x + (t + 1) * step) * t for t in range(3)])]
    text = shown("simplified", model(False), ["--max-trip=8"])
    loop = text[text.index("Loop("):]
    expect("hoisted", "MatMul" not in loop and "MatMul" in text and loop.split(")")[0].count("%") == 3, text)
    same("a simplified loop", compiled("simplified", model(False), options=["--max-trip=8"]), [np.array(3), x], wants)
    same("a simplified loop of no turns", compiled("simplified", model(False), options=["--max-trip=8"]), [np.array(0), x], [x, -x, np.zeros((0, 2, 2), np.float32)])
    twins = loop_body([node("Identity", ["c"], ["more"]), node("Add", ["x", "zero"], ["p"]), node("Concat", ["p", "a"], ["q"], axis=0), node("ReduceMax", ["q"], ["a_next"], axes=[0])], [("a", F)])
    g = graph([node("Loop", ["m", "", "z"], ["y"], body=twins)], "g", [info("m", I, []), info("x", F, [2, 2])], [info("y", F, [1, 2])],
              [const("zero", 0, np.float32), const("z", [[1, 1]], np.float32)])
    same("a captured value that becomes what stands outside", compiled("twin", g, options=["--max-trip=8"]), [np.array(2), x], [np.array([[2, 3]], np.float32)])
    expect("unrolled", "Loop(" not in shown("unrolled", model(True)), "a loop of three turns")
    same("an unrolled loop", compiled("unrolled", model(True)), [x], wants)
    then, other = graph([node("Neg", ["x"], ["r"])], "t", [], [info("r", F, None)]), graph([node("Abs", ["x"], ["o"])], "e", [], [info("o", F, None)])
    g = graph([node("ReduceMax", ["w"], ["top"], keepdims=0), node("Greater", ["top", "limit"], ["c"]), node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
              "g", [info("x", F, [2, 2])], [info("y", F, [2, 2])], [const("w", w, np.float32), const("limit", 1, np.float32)])
    expect("a folded condition", "If(" not in shown("folded", g), "an If is left")
    same("the branch of a folded condition", compiled("folded", g), [x], [-x])


os.makedirs(WORK, exist_ok=True)
PEER = library()
check_functions()
check_if()
check_loop()
check_scan()
check_scan_axes()
check_told_sizes()
check_groups()
check_sizes_of_data()
check_simplified()
sys.exit(f"{failed} failed" if failed else 0)
