#!/usr/bin/env python3
"""Constant weights of float16 and bfloat16 that kernels widen as they read them: compiled for each kind of processor, run
here or under qemu-aarch64, they give the bits that the same weights give as float32, and take half the bytes. Needs the
onnx package."""
import os
import platform
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    sys.exit(77)

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
ARM = "aarch64-linux-gnu"
# flags of mcc, and whether the code runs under qemu-aarch64
FORMS = [(["--target=x86_64-linux-gnu", "-mcpu=x86-64"], False), (["--target=x86_64-linux-gnu", "-mcpu=haswell"], False),
         (["--target=x86_64-linux-gnu", "-mcpu=haswell", "-mattr=-f16c"], False), (["-mcpu=native"], False),
         ([f"--target={ARM}"], True)]
MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "mcc/runtime.h"
extern const mcc_model m_model;
static mcc_tensor tensor_of(const mcc_tensor_info *i) {
    mcc_tensor t = {.dtype = i->dtype, .rank = i->rank, .bytes = i->dtype == 7 ? 8 : 4};
    for (int d = 0; d < i->rank; d++) t.bytes *= (size_t)(t.dims[d] = i->max_dims[d]);
    t.data = calloc(t.bytes + 1, 1);
    return t;
}
int main(void) {
    mcc_tensor in = tensor_of(m_model.inputs), out = tensor_of(m_model.outputs);
    void *workspace = aligned_alloc(64, (m_model.workspace_bytes + 63) / 64 * 64);
    uint32_t seed = 1;
    for (size_t i = 0; i < in.bytes / 4; i++) {
        seed = seed * 1664525u + 1013904223u;
        if (in.dtype == 7) ((int64_t *)in.data)[i / 2] = (int64_t)(seed >> 24) % 50;
        else ((float *)in.data)[i] = (float)((int32_t)seed >> 8) / 4194304.0f;
    }
    if (m_model.run(&in, &out, workspace)) return 2;
    return fwrite(out.data, 1, out.bytes, stdout) != out.bytes;
}
"""


def float_weights(rng, shape, dtype):
    """Numbers of every size that the type has, subnormal ones and both zeros among them, as (their bits, as float32)"""
    if dtype == TensorProto.FLOAT16:
        bits = rng.integers(0, 0x4c00, shape).astype(numpy.uint16)
        values = lambda b: b.view(numpy.float16).astype(numpy.float32)
    else:
        bits = rng.integers(0x3000, 0x4100, shape).astype(numpy.uint16)
        values = lambda b: (b.astype(numpy.uint32) << 16).view(numpy.float32)
    bits.reshape(-1)[:3] = [0x8000, 0x8001, 0x03ff]
    bits |= (rng.integers(0, 2, shape) << 15).astype(numpy.uint16)
    return bits, values(bits)


def initializer(name, dtype, bits):
    return helper.make_tensor(name, dtype, bits.shape, bits.tobytes(), raw=True)


def save(path, nodes, x, constants):
    graph = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def pairs(folder):
    """Models with weights of 16 bits behind a Cast, each with its twin of float32 weights"""
    node, rng = helper.make_node, numpy.random.default_rng(3)
    real = lambda dims: helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    kinds = [("gemv", 1, 257, 130), ("few", 3, 64, 31), ("many", 70, 129, 100), ("slim", 5, 40, 3), ("open", "N", 33, 48)]
    for dtype in TensorProto.FLOAT16, TensorProto.BFLOAT16:
        for i, (name, rows, inner, cols) in enumerate(kinds):
            turned = (i + (dtype == TensorProto.FLOAT16)) % 2
            bits, values = float_weights(rng, (cols, inner) if turned else (inner, cols), dtype)
            bias = numpy_helper.from_array(rng.standard_normal(cols).astype(numpy.float32), "b")
            tail = [node("Gemm", ["x", "w", "b"], ["g"], transB=1)] if turned and rows != "N" else \
                   [node("Transpose", ["w"], ["t"])] * turned + [node("MatMul", ["x", "t" if turned else "w"], ["g"])]
            yield write(folder, f"{name}{dtype}", tail + [node("Relu", ["g"], ["y"])], real([rows, inner]), dtype, bits, values, [bias])
        bits, values = float_weights(rng, (50, 67), dtype)
        index = helper.make_tensor_value_info("x", TensorProto.INT64, [7])
        yield write(folder, f"rows{dtype}", [node("Gather", ["w", "x"], ["y"])], index, dtype, bits, values, [])


def write(folder, name, nodes, x, dtype, bits, values, constants):
    narrow, wide = (os.path.join(folder, name + kind) for kind in (".16.onnx", ".32.onnx"))
    cast = helper.make_node("Cast", ["h"], ["w"], to=TensorProto.FLOAT)
    save(narrow, [cast] + nodes, x, [initializer("h", dtype, bits)] + constants)
    save(wide, nodes, x, [numpy_helper.from_array(values, "w")] + constants)
    return narrow, wide


def run(path, flags, emulated, folder):
    stem = os.path.join(folder, "m")
    subprocess.run([MCC, path, "-o", stem + ".o", "--name=m", "--max-dim=*=23", *flags], check=True)
    subprocess.run([f"{ARM}-gcc" if emulated else "cc", "-std=c11", f"-I{SOURCE}/include", stem + ".c", stem + ".o", "-static", "-o", stem], check=True)
    return subprocess.run([*(["qemu-aarch64", "-cpu", "max"] if emulated else []), stem], check=True, capture_output=True).stdout


def check_size(folder):
    """Half of the bytes; and what nobody reads as 16 bits is folded, as constants are."""
    bits, values = float_weights(numpy.random.default_rng(4), (512, 300), TensorProto.FLOAT16)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 512])
    paths = write(folder, "size", [helper.make_node("MatMul", ["x", "w"], ["y"])], x, TensorProto.FLOAT16, bits, values, [])
    sizes = []
    for path in paths:
        subprocess.run([MCC, path, "-o", os.path.join(folder, "s.o")], check=True)
        sizes.append(os.path.getsize(os.path.join(folder, "s.o")))
    weights = bits.nbytes
    assert weights <= sizes[0] < weights + 16384 and sizes[1] > 2 * weights, sizes


def main():
    if platform.machine() != "x86_64":
        return 77
    failures = 0
    arm = shutil.which("qemu-aarch64") and shutil.which(f"{ARM}-gcc")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.c"), "w") as f:
            f.write(MAIN)
        check_size(folder)
        for narrow, wide in pairs(folder):
            for flags, emulated in FORMS:
                if emulated and not arm:
                    continue
                if run(narrow, flags, emulated, folder) != run(wide, flags, emulated, folder):
                    print(f"{os.path.basename(narrow)} with {' '.join(flags)}: other bits than with float32")
                    failures += 1
    return 1 if failures else 0


sys.exit(main())
