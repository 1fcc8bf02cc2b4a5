#!/usr/bin/python3
"""Weighed Resize between DequantizeLinear and QuantizeLinear, in channel blocks: every element is the definition's, each operand (q - z) · s in
float32, its products with the weights added in the reference kernel's order, one rounding at the end. What it should be is made of
the same network's dequantized numbers, the reference kernel's Resize of them, which is what a model of it alone is, and numpy."""
import os, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from model import Model

MCC = os.environ["MCC"]
N = helper.make_node
rng = np.random.default_rng(11)


T, U = np.float32(0.0233), {True: 4, False: 119}  # of the result


def write(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
                              [helper.make_tensor_value_info(k, v, None) for k, v in outputs.items()],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8), path)


def network(path, mode, size, to, sum_too, channels, signed, operands):
    """A 1x1 convolution puts its result in blocks, one behind the Resize reads it. operands: what is resized, and added, alone"""
    one = lambda v: np.array(v, np.float32)
    zero = lambda v: np.array(v, np.int8 if signed else np.uint8)
    c = {"s": one(0.0371), "z": zero(-9 if signed else 131), "t": one(T), "u": zero(U[signed]), "w": weights[channels],
         "ws": one(0.013), "sizes": np.array([1, channels, *to], np.int64)}
    both = lambda x, s, z: [N("QuantizeLinear", [x, s, z], [x + "q"]), N("DequantizeLinear", [x + "q", s, z], [x + "d"])]
    conv = lambda x, y: N("Conv", [x, "wd"], [y])
    nodes = [N("DequantizeLinear", ["w", "ws"], ["wd"]), *both("x", "s", "z"), conv("xd", "a"), *both("a", "s", "z")]
    if sum_too:
        nodes += [*both("e", "t", "u"), conv("ed", "f"), *both("f", "t", "u")]
    outputs = {"ad": TensorProto.FLOAT, "fd": TensorProto.FLOAT} if operands else {"bq": TensorProto.INT8 if signed else TensorProto.UINT8}
    if operands and not sum_too:
        outputs.pop("fd")
    if not operands:
        nodes += [N("Resize", ["ad", "", "", "sizes"], ["r"], mode=mode[0], coordinate_transformation_mode=mode[1]),
                  N("Add", ["r", "fd"], ["b"]) if sum_too else N("Identity", ["r"], ["b"]), *both("b", "t", "u"), conv("bd", "g"), *both("g", "t", "u")]
        outputs["gq"] = outputs["bq"]
    write(path, nodes, {"x": [1, channels, *size], **({"e": [1, channels, *to]} if sum_too else {})}, outputs, c)
    resize = N("Resize", ["x", "", "", "sizes"], ["y"], mode=mode[0], coordinate_transformation_mode=mode[1])
    write("r" + path, [resize], {"x": [1, channels, *size]}, {"y": TensorProto.FLOAT}, {"sizes": c["sizes"]})


def run(name, inputs, *options):
    global loaded
    loaded += 1
    out = f"m{loaded}"
    done = subprocess.run([MCC, f"{name}.onnx", "--emit=shared", "-o", f"./{out}.so", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return Model(f"./{out}.so", out).run(inputs)


def graph_of(name):
    return subprocess.run([MCC, f"{name}.onnx", "--emit=graph", "-o", "-"], stdout=subprocess.PIPE, text=True, check=True).stdout


cases = [(("linear", "half_pixel"), (5, 7), (10, 14), False, 16, False), (("linear", "align_corners"), (6, 5), (9, 13), True, 32, False),
         (("linear", "asymmetric"), (8, 9), (4, 3), False, 16, True), (("cubic", "half_pixel"), (5, 6), (11, 6), True, 16, True),
         (("linear", "half_pixel"), (9,), (31,), False, 16, False), (("linear", "pytorch_half_pixel"), (3, 2, 4), (5, 1, 2), False, 16, False)]
weights, loaded = {}, 0
folder = tempfile.mkdtemp()
os.chdir(folder)
for i, (mode, size, to, sum_too, channels, signed) in enumerate(cases):
    weights[channels] = rng.integers(-60, 60, (channels, channels, *[1] * len(size))).astype(np.int8)
    inputs = [(rng.standard_normal((1, channels, *size)) * 2).astype(np.float32)]
    if sum_too:
        inputs.append((rng.standard_normal((1, channels, *to)) * 2).astype(np.float32))
    network(f"q{i}.onnx", mode, size, to, sum_too, channels, signed, False)
    network(f"f{i}.onnx", mode, size, to, sum_too, channels, signed, True)
    text = graph_of(f"q{i}")
    resize = [l for l in text.split("\n") if "mcc.BlockResize" in l]
    kind = "int8" if signed else "uint8"
    assert len(resize) == 1 and "most = " in resize[0] and (sum_too or f": {kind}[" in resize[0]), text
    operands = run(f"f{i}", inputs)
    sums = run(f"rf{i}", operands[:1])[0]
    if sum_too:
        sums = sums + operands[1]
    low = -128 if signed else 0
    want = np.clip(np.rint(sums / T) + U[signed], low, low + 255)
    for cpu in ("x86-64", "native") if os.uname().machine == "x86_64" else ("native",):
        got = run(f"q{i}", inputs, f"-mcpu={cpu}")[0]
        assert got.shape == want.shape and len(np.unique(got)) > 20, "too few values to tell anything"
        assert (got == want).all(), f"{mode} {cpu}: {np.count_nonzero(got != want)} of {got.size} elements differ"
print(f"{len(cases)} forms of Resize have the definition's bits")
