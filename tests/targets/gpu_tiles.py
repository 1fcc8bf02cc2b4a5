#!/usr/bin/env python3
"""Products, convolutions and attention for NVIDIA GPUs as ptxas sees them, for three levels: they keep their sums in registers (no local
memory, nothing spilled), and those of float16, bfloat16 and bytes, and with -mtf32 those of float32, multiply on the tensor
cores. Needs the onnx package and ptxas (on PATH or in /usr/local/cuda/bin)."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    print("skipped: the onnx package is not installed")
    sys.exit(77)

MCC = os.environ["MCC"]
PTXAS = shutil.which("ptxas") or "/usr/local/cuda/bin/ptxas"
LEVELS = ["sm_75", "sm_80", "sm_90"]
FLOATS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


def constant(name, dims, kind):
    rng = numpy.random.default_rng(1)
    if kind == "int8":
        return numpy_helper.from_array(rng.integers(-127, 128, dims).astype("int8"), name)
    values = rng.standard_normal(dims).astype("float32")
    if kind == "bfloat16":
        raw = (values.view("uint32") >> 16).astype("uint16").tobytes()
        return helper.make_tensor(name, TensorProto.BFLOAT16, dims, raw, raw=True)
    return numpy_helper.from_array(values.astype(kind), name)


def model(path, nodes, inputs, output, weights, kind):
    whole = kind == "int8"
    x = TensorProto.UINT8 if whole else FLOATS[kind]
    y = TensorProto.INT32 if whole else x
    info = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in nodes], "g",
                              [info(n, x, d) for n, d in inputs.items()], [info("y", y, output)],
                              [constant(n, d, kind) for n, d in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def models(folder):
    def add(name, kind, *rest):
        path = os.path.join(folder, f"{name}_{kind}.onnx")
        model(path, *rest, kind)
        return path, kind
    for kind in ["float32", "float16", "bfloat16"]:
        product = [("MatMul", ["x", "w"], ["y"], {})]
        yield add("large", kind, product, {"x": [4096, 4096], "w": [4096, 4096]}, [4096, 4096], {})
        yield add("ragged", kind, product, {"x": [3, 197, 99]}, [3, 197, 130], {"w": [99, 130]})
        yield add("open", kind, product, {"x": ["m", "k"], "w": ["k", "n"]}, ["m", "n"], {})
        yield add("turned", kind, [("Gemm", ["x", "w"], ["y"], {"transA": 1, "transB": 1})], {"x": [96, 64], "w": [128, 96]}, [64, 128], {})
    heads = {"x": [1, 12, 197, 64], "w": [1, 12, 64, 197], "v": [1, 12, 197, 64]}
    yield add("attention", "float32", [("MatMul", ["x", "w"], ["s"], {}), ("Softmax", ["s"], ["p"], {"axis": -1}), ("MatMul", ["p", "v"], ["y"], {})], heads,
              [1, 12, 197, 64], {})
    for kind in ["float32", "float16"]:
        chain = [("Conv", ["x", "w", "b"], ["s"], {"pads": [1] * 4}), ("Add", ["s", "r"], ["t"], {}), ("Sigmoid", ["t"], ["u"], {}),
                 ("Mul", ["t", "u"], ["y"], {})]
        yield add("conv", kind, chain, {"x": [1, 64, 56, 56], "r": [1, 64, 56, 56]}, [1, 64, 56, 56], {"w": [64, 64, 3, 3], "b": [64]})
        yield add("first", kind, [("Conv", ["x", "w"], ["y"], {"pads": [3] * 4, "strides": [2, 2]})], {"x": ["n", 3, 224, 224]},
                  ["n", 64, 112, 112], {"w": [64, 3, 7, 7]})
        yield add("pointwise", kind, [("Conv", ["x", "w"], ["s"], {}), ("Relu", ["s"], ["y"], {})], {"x": [1, 1024, 14, 14]},
                  [1, 256, 14, 14], {"w": [256, 1024, 1, 1]})
    yield add("product", "int8", [("MatMulInteger", ["x", "w"], ["y"], {})], {"x": [128, 768]}, [128, 384], {"w": [768, 384]})
    yield add("conv", "int8", [("ConvInteger", ["x", "w"], ["y"], {"pads": [1] * 4})], {"x": [1, 64, 28, 28]}, [1, 64, 28, 28],
              {"w": [64, 64, 3, 3]})


def ptx_of(path, level, flags):
    # open dims: large enough that their bounds choose large tiles
    return subprocess.run([MCC, path, "--target=nvptx64", f"-mcpu={level}", "-S", "-o", "-", "--max-dim", "*=1024", *flags], check=True,
                          capture_output=True, text=True).stdout


def check(path, kind, level, flags):
    """The lines that are wrong."""
    text = ptx_of(path, level, flags)
    name = f"{os.path.basename(path)} {level} {' '.join(flags)}".strip()
    ptx = path + ".ptx"
    with open(ptx, "w") as f:
        f.write(text)
    done = subprocess.run([PTXAS, "-v", f"-arch={level}", ptx, "-o", os.devnull], capture_output=True, text=True)
    if done.returncode:
        return [f"{name}: {done.stderr.strip()}"]
    wrong, kernel, seen = [], None, 0
    for line in done.stderr.split("\n"):
        if m := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = m.group(1)
        if not kernel or not re.search("Gpu|FusedAttention", kernel):
            continue
        if m := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line):
            seen += 1
            if m.group(1) != "0" or m.group(2) != "0":
                wrong.append(f"{name}: {kernel} has {m.group(1)} bytes of local memory and spills {m.group(2)}")
        if os.environ.get("VERBOSE") and "Used" in line:
            print(f"  {name} {kernel}: {line.split(':')[-1].strip()}")
    if not seen:
        wrong.append(f"{name}: has no kernel of a product")
    tf32 = "-mtf32" in flags and "attention" not in path  # whose sums stay those of float32
    cores = kind in ("float16", "int8") or (kind == "bfloat16" and level != "sm_75") or tf32
    if cores != ("mma.sync" in text):
        wrong.append(f"{name}: {'has no' if cores else 'has an unwanted'} mma.sync")
    return wrong


def main():
    if not os.path.exists(PTXAS):
        print("skipped: ptxas is not installed (neither on PATH nor in /usr/local/cuda/bin)")
        sys.exit(77)
    wrong, n = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for path, kind in models(folder):
            if len(sys.argv) > 1 and sys.argv[1] not in path:
                continue
            for level in LEVELS:
                wrong += check(path, kind, level, [])
                n += 1
                if kind == "float32" and level != "sm_75" and not os.environ.get("NOTF32"):
                    wrong += check(path, kind, level, ["-mtf32"])
                    n += 1
    for line in wrong:
        print(line)
    print(f"{n} models of a level, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
