#!/usr/bin/env python3
"""Convolutions and linears of many zeros as straight-line code and as packed data for aarch64, run under qemu-aarch64: near the dense forms of
the same models, and without their weights; as packed data on a processor without vectors (riscv64) too. The code fills 85 % of Neoverse N1's two multipliers, as llvm-mca counts, where
that is here. Needs the onnx package."""
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    from onnx import helper, numpy_helper
except ImportError:
    sys.exit(77)
import objects
from emulated import ARM, run


def zeros(rng, *dims):
    w = rng.normal(size=dims).astype(numpy.float32) / 4
    w[rng.random(dims) < 0.8] = 0
    return w


def save(path, nodes, x, y, constants):
    info = helper.make_tensor_value_info
    initializers = [numpy_helper.from_array(w, name) for name, w in constants.items()]
    graph = helper.make_graph([helper.make_node(op, i, o, **a) for op, i, o, a in nodes], "g", [info("x", 1, x)], [info("y", 1, y)], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)


def make_maps(path, rng):
    constants = {"w1": zeros(rng, 48, 24, 3, 3), "b1": rng.normal(size=48).astype(numpy.float32), "w2": zeros(rng, 24, 48, 1, 1), "w3": zeros(rng, 70, 24, 3, 3)}
    nodes = [("Conv", ["x", "w1", "b1"], ["a"], {"pads": [1] * 4}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "w2"], ["c"], {}), ("Add", ["c", "x"], ["d"], {}),
             ("Relu", ["d"], ["e"], {}), ("Conv", ["e", "w3"], ["y"], {"pads": [1] * 4, "strides": [2, 2]})]
    save(path, nodes, [1, 24, 23, 19], [1, 70, 12, 10], constants)


def make_windows(path, rng):
    """Taps that leave the map by a side: two columns away, further ones by dilation, along one axis, in phases, in maps of a few columns."""
    constants = {"w1": zeros(rng, 24, 20, 5, 5), "w2": zeros(rng, 33, 24, 3, 3), "w3": zeros(rng, 20, 33, 1, 3), "w4": zeros(rng, 26, 20, 5, 3),
                 "w5": zeros(rng, 30, 26, 3, 3)}
    nodes = [("Conv", ["x", "w1"], ["a"], {"pads": [2] * 4}), ("Conv", ["a", "w2"], ["b"], {"pads": [3] * 4, "dilations": [3, 3]}),
             ("Conv", ["b", "w3"], ["c"], {"pads": [0, 1, 0, 1]}), ("Conv", ["c", "w4"], ["d"], {"pads": [2, 1, 2, 1], "strides": [1, 2]}),
             ("Conv", ["d", "w5"], ["y"], {"pads": [1] * 4, "strides": [3, 3]})]
    save(path, nodes, [2, 20, 40, 14], [2, 30, 14, 3], constants)


def make_tokens(path, rng):
    constants = {"w1": zeros(rng, 96, 128), "w2": zeros(rng, 128, 40), "b": rng.normal(size=40).astype(numpy.float32)}
    nodes = [("MatMul", ["x", "w1"], ["a"], {}), ("Relu", ["a"], ["b1"], {}), ("MatMul", ["b1", "w2"], ["c"], {}), ("Add", ["c", "b"], ["y"], {})]
    save(path, nodes, [1, 37, 96], [1, 37, 40], constants)


def make_attention(path, rng):
    """Two heads, whose queries, keys and values stay on panels"""
    constants = {"heads": numpy.array([1, -1, 2, 22]), "joined": numpy.array([1, -1, 44]), "out": zeros(rng, 44, 40)}
    nodes = []
    for side, perm in ("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]):
        constants[f"w{side}"] = zeros(rng, 64, 44)
        nodes += [("MatMul", ["x", f"w{side}"], [f"{side}1"], {}), ("Reshape", [f"{side}1", "heads"], [f"{side}2"], {}),
                  ("Transpose", [f"{side}2"], [side], {"perm": perm})]
    nodes += [("MatMul", ["q", "k"], ["s"], {}), ("Softmax", ["s"], ["p"], {"axis": -1}), ("MatMul", ["p", "v"], ["o"], {}),
              ("Transpose", ["o"], ["t"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["t", "joined"], ["j"], {}), ("MatMul", ["j", "out"], ["y"], {})]
    save(path, nodes, [1, 135, 64], [1, 135, 40], constants)


def outputs_of(path, dims, options, folder):
    """Of the model on a processor without vectors, and the bytes of its object"""
    why = objects.compile_all("riscv64", [[path, *options]], folder, "-O2")
    assert why == [None], why
    objects.link("riscv64", [os.path.join(folder, "n0.o")], os.path.join(folder, "runner"))
    x = numpy.random.default_rng(1).normal(size=dims).astype(numpy.float32)
    done = subprocess.run([*objects.TARGETS["riscv64"][2], os.path.join(folder, "runner"), "0", "1"], input=objects.packed_input(dims, x.tobytes()),
                          check=True, capture_output=True)
    return numpy.frombuffer(done.stdout[len(done.stdout) % 4:], numpy.float32)[-1000:], os.path.getsize(os.path.join(folder, "n0.o"))


def without_vectors(folder):
    """Zeros leave less of the object, and nothing of the result, there too."""
    failures = 0
    for make, dims in (make_maps, [1, 24, 23, 19]), (make_tokens, [1, 37, 96]):
        path = os.path.join(folder, "scalar.onnx")
        make(path, numpy.random.default_rng(5))
        (want, dense), (got, packed) = (outputs_of(path, dims, [f"--sparse={form}"], folder) for form in ("off", "auto"))
        apart = numpy.abs(want - got).max()
        if not apart <= 1e-5 * numpy.abs(want).max() or packed * 2 > dense:
            print(f"{make.__name__} without vectors: {apart} from the dense form, {packed} bytes of {dense}")
            failures += 1
    return failures


def panel_of(path):
    """The instructions that a panel takes in the longest block of an object's code: what a branch goes back over"""
    listing = subprocess.run(["llvm-objdump-19", "-d", "-j", ".text.mcc_sparse", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    lines = [(int(m[1], 16), m[2].split("//")[0]) for m in re.finditer(r"^\s+([0-9a-f]+):\s+(.*)$", listing, re.M)]
    at, longest = {address: i for i, (address, _) in enumerate(lines)}, []
    for i, (_, text) in enumerate(lines):
        back = re.match(r"b\s+0x([0-9a-f]+)", text)
        body = [t for _, t in lines[at.get(int(back[1], 16), i):i] if not t.startswith("b.")] if back else []
        longest = max(longest, body, key=lambda b: sum("fmla" in t for t in b))
    return longest


def fills_pipes(folder):
    """Of two multiplications a cycle, 85 % are of nonzeros."""
    failures, rng = 0, numpy.random.default_rng(3)
    path, out = os.path.join(folder, "pipes.onnx"), os.path.join(folder, "pipes.o")
    for op, x, y, w, attributes in (("Conv", [1, 256, 14, 14], [1, 60, 14, 14], (60, 256, 1, 1), {}), ("MatMul", [1, 128, 256], [1, 128, 60], (256, 60), {}),
                                    ("Conv", [1, 64, 14, 14], [1, 24, 14, 14], (24, 64, 3, 3), {"pads": [1] * 4})):
        save(path, [(op, ["x", "w"], ["y"], attributes)], x, y, {"w": zeros(rng, *w)})
        subprocess.run([objects.MCC, path, f"--target={ARM}", "-mcpu=neoverse-n1", "--sparse=always", "-o", out], check=True)
        body, turns = panel_of(out), 5
        said = subprocess.run(["llvm-mca-19", "-mtriple=aarch64", "-mcpu=neoverse-n1", f"-iterations={turns}"], input="\n".join(body), check=True,
                              capture_output=True, text=True).stdout
        use = sum("fmla" in t for t in body) / 2 / (int(re.search(r"Total Cycles:\s+(\d+)", said)[1]) / turns)
        print(f"{op} {w}: {use:.0%} of the multipliers")
        failures += not 0.85 <= use <= 1
    return failures


def main():
    if platform.machine() != "x86_64" or not shutil.which("qemu-aarch64") or not shutil.which(f"{ARM}-gcc"):
        return 77
    failures = 0
    rng = numpy.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        for make in make_maps, make_windows, make_tokens, make_attention:
            make(path, rng)
            outputs = {}
            for form in "off", "always", "packed":
                outputs[form] = numpy.frombuffer(run(path, [f"--target={ARM}", f"--sparse={form}"], True, folder)[0], numpy.float32)
                with open(os.path.join(folder, "m.o"), "rb") as f:
                    if (b".text.mcc_sparse" in f.read()) != (form == "always"):
                        print(f"{make.__name__}: --sparse={form} is not followed")
                        failures += 1
            for form in "always", "packed":
                apart = numpy.abs(outputs["off"] - outputs[form]).max()
                if not apart <= 1e-5 * numpy.abs(outputs["off"]).max():
                    print(f"{make.__name__}, {form}: {apart} from the dense form")
                    failures += 1
        if shutil.which("riscv64-linux-gnu-gcc") and shutil.which("qemu-riscv64"):
            failures += without_vectors(folder)
        if shutil.which("llvm-mca-19") and shutil.which("llvm-objdump-19"):
            failures += fills_pipes(folder)
    return 1 if failures else 0


sys.exit(main())
