#!/usr/bin/python3
"""The benchmark tools work: a tiny model gets its row, its page and its picture, a refused one its reason, a layer its line,
and multiply-adds are counted as their formulas say. Nothing here holds a time against a bound."""
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import onnx
from onnx import TensorProto, helper

SOURCE = pathlib.Path(os.environ["SOURCE"])
sys.path.insert(0, str(SOURCE / "bench"))
import graph  # found through the line above


def value(name, dims):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def weights(name, dims):
    count = 1
    for d in dims:
        count *= d
    return helper.make_tensor(name, TensorProto.FLOAT, dims, [0.01 * (i % 17 - 8) for i in range(count)])


def save(path, nodes, inputs, outputs, constants=(), domain=""):
    sets = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, list(constants)), opset_imports=sets)
    model.ir_version = 8
    onnx.save(model, str(path))


def write_models(folder):
    save(folder / "tiny.onnx",
         [helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], group=2),
          helper.make_node("Flatten", ["c"], ["f"]), helper.make_node("Gemm", ["f", "v"], ["y"], transB=1)],
         [value("x", [1, 4, 8, "wide"])], [value("y", [1, 10])], [weights("w", [6, 2, 3, 3]), weights("v", [10, 96])])
    save(folder / "refused.onnx", [helper.make_node("NoSuchOperator", ["x"], ["y"], domain="nowhere")], [value("x", [4])],
         [value("y", [4])], domain="nowhere")
    save(folder / "macs.onnx",
         [helper.make_node("ConvTranspose", ["x", "t"], ["a"]), helper.make_node("MatMul", ["p", "q"], ["b"]),
          helper.make_node("LSTM", ["s", "i", "r"], ["c"], hidden_size=4)],
         [value("x", [1, 2, 5, 5]), value("p", [3, 7, 8]), value("q", [8, 9]), value("s", [6, 2, 5])],
         [value("a", None), value("b", None), value("c", None)],
         [weights("t", [2, 3, 2, 2]), weights("i", [1, 16, 5]), weights("r", [1, 16, 4])])


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}"
    return done.stdout


def check_counts(folder):
    tiny = graph.count_macs(folder / "tiny.onnx", {"x": [1, 4, 8, 8]})
    assert tiny == 6 * 4 * 4 * (2 * 3 * 3) + 10 * 96, tiny
    want = 2 * 5 * 5 * (3 * 2 * 2) + 3 * 7 * 9 * 8 + 6 * 2 * 16 * (5 + 4)
    assert graph.count_macs(folder / "macs.onnx", {}) == want
    assert graph.listed_dims("  %a b: float32[1, 2], %s: int64[] = Op(%x)") == {"a b": [1, 2], "s": []}


def check_models(folder):
    said = run(SOURCE / "bench" / "run.py", f"{folder}/tiny.onnx:x=1x4x8x8", folder / "refused.onnx", "--seconds=0.05",
               f"--write={folder}/page.md")
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert len(rows["tiny"].split()) >= 14 and "NoSuchOperator" in rows["refused"], rows
    page = (folder / "page.md").read_text()
    assert "| tiny | 0.0" in page and "NoSuchOperator" in page and "![ratios](page.svg)" in page
    xml.etree.ElementTree.parse(folder / "page.svg")


def check_layers(folder):
    (folder / "few.txt").write_text("# two\nconv in=8x6x6 out=8 kernel=3 pad=1\ngemm m=4 k=8 n=16\ngemm8 m=5 k=8 n=16\n")
    said = run(SOURCE / "bench" / "layers.py", folder / "few.txt", "--layer-seconds=0.02")
    rows = [line for line in said.splitlines() if line.startswith(("in=8x6x6", "m=4", "m=5"))]
    assert len(rows) == 3 and all("%" in row for row in rows), said


def check_twins(folder):
    """The int8 twins of a network: its products are on integers, and mcc runs them."""
    run(SOURCE / "bench" / "quantize_models.py", folder, folder, "int8/tiny.onnx", "dynamic/tiny.onnx")
    for kind, ops in (("int8", {"QuantizeLinear", "DequantizeLinear"}), ("dynamic", {"DynamicQuantizeLinear", "MatMulInteger"})):
        path = folder / kind / "tiny.onnx"
        assert ops <= {node.op_type for node in onnx.load(str(path)).graph.node}, path
        assert graph.is_quantized(path) and not graph.is_quantized(folder / "tiny.onnx")
        said = run(SOURCE / "bench" / "run.py", f"{path}:x=1x4x8x8", "--seconds=0.05")
        assert "in int8 (" in said and "in float" not in said, said


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    write_models(folder)
    check_counts(folder)
    check_models(folder)
    check_layers(folder)
    check_twins(folder)
