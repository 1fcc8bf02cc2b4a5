"""Objects for Apple's processors: what is visible and asked for, sections, alignment, the system that they are for; their headers as C and
C++; LLVM's linker makes a library of them, with large weights and all kinds of numbers."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
TYPES = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT32", "INT64", "BOOL"]
BIG = [1024, 1200]  # 4.7 MiB


def model(path):
    """A product with large weights, whose result becomes each kind of number; what is padded, filled and moved."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Pad", ["p", "pads"], ["q"]),
             helper.make_node("Softmax", ["q"], ["s"])]
    nodes += [helper.make_node("Cast", ["s"], ["y" + t], to=getattr(TensorProto, t)) for t in TYPES]
    weights = {"w": np.random.default_rng(1).standard_normal(BIG).astype("f4"), "pads": np.array([1, 0, 1, 700], "i8")}
    outputs = [helper.make_tensor_value_info("y" + t, getattr(TensorProto, t), [5, 1900]) for t in TYPES]
    save(helper.make_model(helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, BIG[0]])], outputs,
        [numpy_helper.from_array(v, k) for k, v in weights.items()]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def sh(*args):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, " ".join(args) + "\n" + done.stdout
    return done.stdout


def check(arch, triple, cpu):
    sh(MCC, "--target=" + triple, "-O1", *cpu, "net.onnx", "-o", "net.o")
    names = [line.split() for line in sh("llvm-nm-19", "-g", "net.o").splitlines()]
    shown = {re.sub("build_.*", "build", line[-1]) for line in names if len(line) == 3}
    asked = {line[-1] for line in names if len(line) == 2}
    assert shown == {"_net_run", "_net_model", "_net_build"} and asked <= {"_memcpy", "_memmove", "_memset"}, names
    head = sh("llvm-objdump-19", "--macho", "--private-headers", "net.o")
    sections = re.findall(r"sectname (\w+)\s+segname (\w+).*?align 2\^(\d+)", head, re.S)
    assert {s[:2] for s in sections} <= {("__text", "__TEXT"), ("__const", "__TEXT"), ("__const", "__DATA"), ("__literal4", "__TEXT"),
                                         ("__literal8", "__TEXT"), ("__literal16", "__TEXT")}, sections
    assert ("__const", "__TEXT", "6") in sections, sections
    assert re.search(r"LC_(BUILD_VERSION|VERSION_MIN_MACOSX)", head), head
    with open("app.c", "w") as f:
        f.write('#include "net.h"\nint at(void);\nint at(void) { return (int)net_model.workspace_bytes + NET_WORKSPACE_BYTES; }\n')
    flags = ["--target=" + triple, "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-I" + os.path.join(SOURCE, "include"), "-c", "app.c"]
    sh("clang-19", "-x", "c++", "-std=c++11", *flags, "-o", "app.o")
    sh("clang-19", "-std=c99", *flags, "-o", "app.o")
    if shutil.which("ld64.lld-19"):
        sh("ld64.lld-19", "-arch", arch, "-platform_version", "macos", "11.0", "11.0", "-dylib", "-undefined", "dynamic_lookup", "net.o", "app.o",
           "-o", "net.dylib")
        assert " _net_run" in sh("llvm-nm-19", "-g", "net.dylib")


missing = [tool for tool in ("clang-19", "llvm-nm-19", "llvm-objdump-19") if not shutil.which(tool)]
if missing:
    print("SKIPPED: no", ", ".join(missing))
    sys.exit(77)
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    model("net.onnx")
    check("arm64", "arm64-apple-macos", ["-mcpu=apple-m1"])
    check("x86_64", "x86_64-apple-macos", [])
