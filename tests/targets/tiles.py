#!/usr/bin/env python3
"""Register tiles as they come out of the compiler: the innermost loops of products, attention and convolutions keep their
accumulators in registers (no access to the stack), on every kind of processor, of f32 and of bytes; on aarch64 they fill the pipes that
multiply and add to 90 % or more (bytes on Cortex-A76: 85 %, 70 % where their highest bits are turned on the way or taps lie outside), as llvm-mca counts. Needs the onnx package; the last part needs llvm-mca-19."""
import os
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

MCC = os.environ["MCC"]
# the CPUs, and how many vector multiply-adds a cycle LLVM's model of one allows (Cortex-A76 and Apple's are modelled as narrower cores)
X86 = ["skylake-avx512", "haswell", "x86-64"]
ARM = {"cortex-a72": 1, "cortex-a76": 1, "neoverse-n1": 2, "apple-m1": 3}
DOTS = {"cortex-a76": 2, "neoverse-n1": 2, "apple-m1": 3}
MULTIPLY = re.compile(r"\b(vfmadd\w+ps|mulps|fmla|vpdpbusd|v?pmaddwd|[us]dot)\b")
STACK = re.compile(r"\(%rsp|%rsp\)|\[sp")
BRANCH = re.compile(r"^\s+(?:j\w+|b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+[^,]+,[^,]+,)\s+(\.L\w+)")


def model(path, nodes, inputs, output, weights, in_type=1, out_type=1, bytes_of=None):
    rng = numpy.random.default_rng(1)
    info = helper.make_tensor_value_info
    numbers = {name: rng.standard_normal(dims) for name, dims in weights.items()}
    constants = [numpy_helper.from_array((v * 20).astype("int8") if name == bytes_of else v.astype("float32"), name)
                 for name, v in numbers.items()]
    graph = helper.make_graph([helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in nodes], "g",
                              [info(n, in_type, d) for n, d in inputs.items()], [info("y", out_type, output)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def models(folder):
    def path(name):
        return os.path.join(folder, name + ".onnx")
    product = [("MatMul", ["x", "w"], ["y"], {})]
    model(path("packed"), product, {"x": [128, 768]}, [128, 384], {"w": [768, 384]})
    model(path("packed_ragged"), product, {"x": [197, 100]}, [197, 130], {"w": [100, 130]})
    model(path("panels"), product, {"x": [2, 197, 96], "w": [2, 96, 200]}, [2, 197, 200], {})
    model(path("open"), product, {"x": ["m", "k"], "w": ["k", "n"]}, ["m", "n"], {})
    model(path("turned"), [("Gemm", ["x", "w"], ["y"], {"transA": 1, "transB": 1})], {"x": [96, 64], "w": [128, 96]},
          [64, 128], {})
    heads = {"x": [1, 12, 197, 64], "w": [1, 12, 64, 197], "v": [1, 12, 197, 64]}
    attention = [("MatMul", ["x", "w"], ["s"], {}), ("Softmax", ["s"], ["p"], {"axis": -1}), ("MatMul", ["p", "v"], ["y"], {})]
    model(path("attention"), attention, heads, [1, 12, 197, 64], {})
    model(path("gelu"), [("MatMul", ["x", "w"], ["s"], {}), ("Div", ["s", "r"], ["t"], {}),
          ("Erf", ["t"], ["e"], {}), ("Add", ["s", "e"], ["y"], {})], {"x": [128, 384]}, [128, 1536],
          {"w": [384, 1536], "r": [1]})
    whole = {"out_type": 6, "in_type": 2, "bytes_of": "w"}
    signed = {**whole, "in_type": 3}
    model(path("bytes_product"), [("MatMulInteger", ["x", "w"], ["y"], {})], {"x": [128, 768]}, [128, 384], {"w": [768, 384]}, **whole)
    model(path("bytes_conv"), [("ConvInteger", ["x", "w"], ["y"], {"pads": [1] * 4})], {"x": [1, 64, 28, 28]}, [1, 64, 28, 28],
          {"w": [64, 64, 3, 3]}, **whole)
    model(path("signed_bytes_product"), [("MatMulInteger", ["x", "w"], ["y"], {})], {"x": [128, 768]}, [128, 384], {"w": [768, 384]}, **signed)
    model(path("signed_bytes_conv"), [("ConvInteger", ["x", "w"], ["y"], {"pads": [1] * 4})], {"x": [1, 64, 28, 28]}, [1, 64, 28, 28],
          {"w": [64, 64, 3, 3]}, **signed)
    return sorted(os.path.join(folder, f) for f in os.listdir(folder))


def loops(text):
    """Innermost loops that multiply and do no more than tiles do, as lists of lines."""
    lines = text.split("\n")
    labels = {m.group(1): i for i, line in enumerate(lines) if (m := re.match(r"^(\.L\w+):", line))}
    found = []
    for i, line in enumerate(lines):
        m = BRANCH.match(line)
        if m and labels.get(m.group(1), i) < i:
            found.append((labels[m.group(1)], i))
    for first, last in found:
        body = lines[first:last + 1]
        inner = not any(a >= first and b <= last and (a, b) != (first, last) for a, b in found)
        other = any(re.search(r"pslld|\bshl\b.*v\d|\bj[^m]\w*\s|\bret", line) for line in body[:-1])
        if inner and not other and sum(bool(MULTIPLY.search(line)) for line in body) >= 4:
            yield body


def compiled(path, flags):
    return subprocess.run([MCC, path, "-S", "-O3", "-o", "-", *flags], check=True, capture_output=True, text=True).stdout


def cycles(body, cpu):
    tool = ["llvm-mca-19", "-mtriple=aarch64", "-mcpu=" + cpu, "-iterations=100"]
    text = subprocess.run(tool, input="\n".join(body), check=True, capture_output=True, text=True).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", text).group(1)) / 100


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in models(folder):
            name = os.path.basename(path)
            of_bytes = "bytes" in name
            for cpu in X86 + [c for c in ARM if c != "cortex-a72" or not of_bytes] + (["icelake-server"] if of_bytes else []):
                flags = ["-mcpu=" + cpu] + (["--target=aarch64-linux-gnu"] if cpu in ARM else ["--target=x86_64-linux-gnu"])
                tiles = list(loops(compiled(path, flags + ["--max-dim=*=512"])))
                spilled = [body for body in tiles if any(STACK.search(line) for line in body)]
                if not tiles or spilled:
                    print(f"{name} on {cpu}: {len(tiles)} tiles, {len(spilled)} of them use the stack")
                    failures += 1
                for body in tiles if cpu in ARM and shutil.which("llvm-mca-19") else []:
                    count = sum(bool(MULTIPLY.search(line)) for line in body)
                    use = count / (DOTS if of_bytes else ARM)[cpu] / cycles(body, cpu)
                    steps = any(re.search(r"\.(s|4b)\[3\]", line) for line in body)  # not what is left of an open count, one by one
                    turned = any(re.search(r"\beor\b", line) for line in body)
                    outside = any("ld1r" in line for line in body)
                    least = 0.9 if not of_bytes else 0.7 if turned or outside else 0.85
                    if steps and use < least and count >= 32:  # nor single rows
                        print(f"{name} on {cpu}: a tile of {count} multiplications uses {use:.0%} of the pipes")
                        failures += 1
    return 1 if failures else 0


sys.exit(main())
