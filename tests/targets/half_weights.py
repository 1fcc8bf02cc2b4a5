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
    mcc_tensor in[32], out[32];
    void *workspace = aligned_alloc(64, (m_model.workspace_bytes + 63) / 64 * 64);
    uint32_t seed = 1;
    for (int n = 0; n < m_model.n_outputs; n++) out[n] = tensor_of(&m_model.outputs[n]);
    for (int n = 0; n < m_model.n_inputs; n++) {
        in[n] = tensor_of(&m_model.inputs[n]);
        for (size_t i = 0; i < in[n].bytes / 4; i++) {
            seed = seed * 1664525u + 1013904223u;
            if (in[n].dtype == 7) ((int64_t *)in[n].data)[i / 2] = (int64_t)(seed >> 24) % 50;
            else ((float *)in[n].data)[i] = (float)((int32_t)seed >> 8) / 4194304.0f;
        }
    }
    if (m_model.run(in, out, workspace)) return 2;
    for (int n = 0; n < m_model.n_outputs; n++)
        if (fwrite(out[n].data, 1, out[n].bytes, stdout) != out[n].bytes) return 3;
    return 0;
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


class Pair:
    """A model with weights of 16 bits behind a Cast, and its twin of float32 weights."""

    def __init__(self):
        self.nodes, self.casts, self.narrow, self.wide, self.inputs, self.outputs = [], [], [], [], [], []

    def add(self, dtype, x, bits, values, *ops):
        """ops: (operator, its other inputs, attributes), one after the other; "x" is an input of dtype and dims, "w" the weights"""
        n = len(self.outputs)
        name = lambda v: f"{v}{n}"
        for i, (op, inputs, attributes) in enumerate(ops):
            out = name("y" if i == len(ops) - 1 else f"t{i}_")
            self.nodes.append(helper.make_node(op, [name(v) for v in inputs], [out], **attributes))
        self.casts.append(helper.make_node("Cast", [name("h")], [name("w")], to=TensorProto.FLOAT))
        self.narrow.append(helper.make_tensor(name("h"), dtype, bits.shape, bits.tobytes(), raw=True))
        self.wide.append(numpy_helper.from_array(values, name("w")))
        self.inputs.append(helper.make_tensor_value_info(name("x"), *x))
        self.outputs.append(helper.make_tensor_value_info(name("y"), TensorProto.FLOAT, None))

    def save(self, folder):
        paths = []
        for kind, nodes, constants in ("16", self.casts + self.nodes, self.narrow), ("32", self.nodes, self.wide):
            graph = helper.make_graph(nodes, "g", self.inputs, self.outputs, constants)
            paths.append(os.path.join(folder, kind + ".onnx"))
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), paths[-1])
        return paths


def products(folder):
    pair, rng = Pair(), numpy.random.default_rng(3)
    kinds = [(1, 257, 130), (3, 64, 31), (70, 129, 100), (5, 40, 3), ("N", 33, 48)]
    for dtype in TensorProto.FLOAT16, TensorProto.BFLOAT16:
        for rows, inner, cols in kinds:
            for turned in "", "Transpose", "Gemm":
                if turned == "Gemm" and rows == "N":
                    continue
                bits, values = float_weights(rng, (cols, inner) if turned else (inner, cols), dtype)
                ops = {"": [("MatMul", "xw", {})], "Transpose": [("Transpose", "w", {}), ("MatMul", ["x", "t0_"], {})],
                       "Gemm": [("Gemm", "xw", {"transB": 1})]}[turned]
                pair.add(dtype, (TensorProto.FLOAT, [rows, inner]), bits, values, *ops)
        bits, values = float_weights(rng, (50, 67), dtype)
        pair.add(dtype, (TensorProto.INT64, [7]), bits, values, ("Gather", "wx", {}))
    return pair.save(folder)


def run(path, flags, emulated, folder):
    stem = os.path.join(folder, "m")
    subprocess.run([MCC, path, "-o", stem + ".o", "--name=m", "--max-dim=*=23", *flags], check=True)
    subprocess.run([f"{ARM}-gcc" if emulated else "cc", "-std=c11", f"-I{SOURCE}/include", stem + ".c", stem + ".o", "-static", "-o", stem], check=True)
    out = subprocess.run([*(["qemu-aarch64", "-cpu", "max"] if emulated else []), stem], check=True, capture_output=True).stdout
    assert out.strip(b"\0")
    return out


def check_size(folder):
    """Half of the bytes"""
    bits, values = float_weights(numpy.random.default_rng(4), (512, 300), TensorProto.FLOAT16)
    pair, sizes = Pair(), []
    pair.add(TensorProto.FLOAT16, (TensorProto.FLOAT, [1, 512]), bits, values, ("MatMul", "xw", {}))
    for path in pair.save(folder):
        subprocess.run([MCC, path, "-o", os.path.join(folder, "s.o")], check=True)
        sizes.append(os.path.getsize(os.path.join(folder, "s.o")))
    assert bits.nbytes <= sizes[0] < bits.nbytes + 16384 and sizes[1] > 2 * bits.nbytes, sizes


def main():
    if platform.machine() != "x86_64":
        return 77
    failures = 0
    arm = shutil.which("qemu-aarch64") and shutil.which(f"{ARM}-gcc")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.c"), "w") as f:
            f.write(MAIN)
        check_size(folder)
        narrow, wide = products(folder)
        for flags, emulated in FORMS:
            if emulated and not arm:
                continue
            if run(narrow, flags, emulated, folder) != run(wide, flags, emulated, folder):
                print(f"{' '.join(flags)}: other bits than with float32")
                failures += 1
    return 1 if failures else 0


sys.exit(main())
