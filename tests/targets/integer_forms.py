#!/usr/bin/env python3
"""Integer convolutions, products, tables and weighed resizes in every form that processors have for sums of products of bytes and for looking bytes up:
compiled for each, run here or under qemu-aarch64, and equal to the bit to what the reference kernels (-O0) give. Needs the onnx package."""
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


def further_processors():
    """Those with 512 bits or with vpdpbusd of 256, where this machine can run them"""
    with open("/proc/cpuinfo") as f:
        has = f.read()
    return ["gracemont"] * ("avx_vnni" in has) + ["skylake-avx512"] * ("avx512bw" in has) + ["znver4"] * ("avx512_bf16" in has and "avx512vbmi" in has)


# flags of mcc, and whether the code runs under qemu-aarch64
X86 = ["x86-64", "x86-64-v2", "haswell"]
FORMS = [*((["--target=x86_64-linux-gnu", f"-mcpu={cpu}"], False) for cpu in X86 + further_processors()),
         ([f"--target={ARM}"], True), ([f"--target={ARM}", "-mattr=+dotprod"], True),
         ([f"--target={ARM}", "-mattr=+dotprod,+i8mm"], True)]
MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "mcc/runtime.h"
extern const mcc_model m_model;
static mcc_tensor tensor_of(const mcc_tensor_info *i, size_t element) {
    mcc_tensor t = {.dtype = i->dtype, .rank = i->rank, .bytes = element};
    for (int d = 0; d < i->rank; d++) t.bytes *= (size_t)(t.dims[d] = i->dims[d]);
    t.data = calloc(t.bytes + 1, 1);
    return t;
}
int main(void) {
    mcc_tensor in = tensor_of(m_model.inputs, 1), out = tensor_of(m_model.outputs, m_model.outputs->dtype == 6 || m_model.outputs->dtype == 1 ? 4 : 1);
    void *workspace = aligned_alloc(64, (m_model.workspace_bytes + 63) / 64 * 64);
    uint32_t seed = 1;
    for (size_t i = 0; i < in.bytes; i++) ((uint8_t *)in.data)[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    if (m_model.run(&in, &out, workspace)) return 2;
    return fwrite(out.data, 1, out.bytes, stdout) != out.bytes;
}
"""


def save(path, nodes, dtype, dims, out_dtype, out, constants):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", dtype, dims)], [info("y", out_dtype, out)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def models(folder):
    """Every signedness of the input, with a zero point that the padding shows; then sums, or bytes again."""
    rng = numpy.random.default_rng(2)
    for signed in (False, True):
        dtype, kind = (TensorProto.INT8, "s8") if signed else (TensorProto.UINT8, "u8")
        zero = numpy.int8(-7) if signed else numpy.uint8(131)
        shapes = {"conv": (20, 33, 3, 1, 2), "depthwise": (24, 24, 3, 24, 1), "halved": (24, 24, 3, 24, 2), "wide": (12, 12, 5, 12, 1), "seven": (8, 8, 7, 8, 2),
                  "groups": (24, 24, 3, 4, 1)}
        for name, (c, o, k, group, stride) in shapes.items():
            weights = rng.integers(-128, 128, (o, c // group, k, k)).astype(numpy.int8)
            attrs = {"kernel_shape": [k, k], "pads": [k // 2] * 4, "strides": [stride] * 2, "group": group}
            size = (11 + k // 2 * 2 - k) // stride + 1
            nodes = [helper.make_node("ConvInteger", ["x", "w", "zx"], ["y"], **attrs)]
            path = os.path.join(folder, f"{name}_{kind}.onnx")
            save(path, nodes, dtype, [1, c, 11, 11], TensorProto.INT32, [1, o, size, size], {"w": weights, "zx": zero})
            yield path
        nodes = [helper.make_node("MatMulInteger", ["x", "w", "zx"], ["a"]), helper.make_node("Cast", ["a"], ["f"], to=1),
                 helper.make_node("Mul", ["f", "m"], ["g"]), helper.make_node("QuantizeLinear", ["g", "one", "zy"], ["y"])]
        for inner, rows in (61, 9), (33, 3):
            constants = {"w": rng.integers(-128, 128, (inner, 37)).astype(numpy.int8), "zx": zero, "zy": numpy.uint8(9),
                         "m": (rng.random(37) * 0.01).astype(numpy.float32), "one": numpy.float32(1)}
            path = os.path.join(folder, f"product{inner}_{kind}.onnx")
            save(path, nodes, dtype, [rows, inner], TensorProto.UINT8, [rows, 37], constants)
            yield path
        yield from tables(folder, rng, dtype, kind, zero)
        yield from gates(folder, rng, dtype, kind, zero)
    yield from resizes(folder, rng)


def tables(folder, rng, dtype, kind, zero):
    """Functions of quantized numbers, alone and behind a convolution; one uses its number twice, one is two tables in a row."""
    def quantized(x, y, scale, to):
        return [helper.make_node("QuantizeLinear", [x, scale, to], [y + "_q"]), helper.make_node("DequantizeLinear", [y + "_q", scale, to], [y])]

    functions = {"sigmoid": [helper.make_node("Sigmoid", ["a"], ["b"])],
                 "swish": [helper.make_node("Sigmoid", ["a"], ["s"]), *quantized("s", "t", "sy", "zy"), helper.make_node("Mul", ["a", "t"], ["b"])],
                 "tanh": [helper.make_node("HardSwish", ["a"], ["s"]), *quantized("s", "t", "sy", "zx"), helper.make_node("Tanh", ["t"], ["b"])]}
    for name, function in functions.items():
        for convolved in (False, True):
            constants = {"sx": numpy.float32(0.037), "zx": zero, "sy": numpy.float32(0.01), "zy": numpy.int8(-100), "sw": numpy.float32(0.002)}
            nodes = [helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["a"])]
            if convolved:
                constants["w"] = rng.integers(-128, 128, (33, 20, 1, 1)).astype(numpy.int8)
                nodes = [helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["d"]), helper.make_node("DequantizeLinear", ["w", "sw"], ["wd"]),
                         helper.make_node("Conv", ["d", "wd"], ["c"]), *quantized("c", "a", "sx", "zx")]
            path = os.path.join(folder, f"{name}{convolved:d}_{kind}.onnx")
            end = helper.make_node("QuantizeLinear", ["b", "sy", "zy"], ["y"])
            save(path, [*nodes, *function, end], dtype, [1, 20, 11, 9], TensorProto.INT8, [1, 33 if convolved else 20, 11, 9], constants)
            yield path


def gates(folder, rng, dtype, kind, zero):
    """Squeeze and excitation: means of bytes, and bytes times one byte for each channel; of few pixels and of more than sums of 16 bits hold."""
    byte, lowest = type(zero), numpy.iinfo(type(zero)).min
    for i, size in enumerate(([11, 9], [33, 32])):
        scales = {"sx": 0.037, "sw": 0.002, "sg": 1 / 255, "sm": 0.02}
        constants = {name: numpy.float32(v) for name, v in scales.items()}
        constants.update(sy=numpy.float32(constants["sx"] * constants["sg"] * numpy.float32(255)), zx=zero, zg=byte(lowest),
                         w=rng.integers(-128, 128, (33, 20, 1, 1)).astype(numpy.int8), v=rng.integers(-128, 128, (33, 33, 1, 1)).astype(numpy.int8))

        def quantized(x, y, scale, to):
            return [helper.make_node("QuantizeLinear", [x, scale, to], [y + "_q"]), helper.make_node("DequantizeLinear", [y + "_q", scale, to], [y])]

        nodes = [helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["d"]), helper.make_node("DequantizeLinear", ["w", "sw"], ["wd"]),
                 helper.make_node("DequantizeLinear", ["v", "sw"], ["vd"]), helper.make_node("Conv", ["d", "wd"], ["c"]), *quantized("c", "a", "sx", "zx"),
                 helper.make_node("GlobalAveragePool", ["a"], ["p"]), *quantized("p", "m", "sm", "zx"), helper.make_node("Conv", ["m", "vd"], ["h"]),
                 helper.make_node("HardSigmoid", ["h"], ["s"]), *quantized("s", "t", "sg", "zg"),
                 helper.make_node("Mul", ["a", "t"] if i else ["t", "a"], ["b"]), helper.make_node("QuantizeLinear", ["b", "sy", "zx"], ["y"])]
        path = os.path.join(folder, f"gate{i}_{kind}.onnx")
        save(path, nodes, dtype, [1, 20, *size], dtype, [1, 33, *size], constants)
        yield path


def resizes(folder, rng):
    """Floats of whole numbers, in blocks behind a convolution, weighed along one to three axes."""
    half, corners, torch = "half_pixel", "align_corners", "pytorch_half_pixel"
    forms = [("linear", half, [7, 9], [14, 27], {}), ("linear", corners, [7, 9], [10, 5], {}), ("cubic", torch, [5, 6], [13, 6], {}),
             ("linear", half, [8, 6], [4, 3], {"antialias": 1}), ("linear", "asymmetric", [9], [20], {"exclude_outside": 1}),
             ("linear", torch, [3, 4, 5], [7, 4, 1], {}), ("cubic", "half_pixel_symmetric", [3, 4, 5], [4, 5, 6], {})]
    for i, (mode, coordinates, size, out, attrs) in enumerate(forms):
        ones = [1] * len(size)
        constants = {"sx": numpy.float32(0.037), "zx": numpy.uint8(131), "sw": numpy.float32(0.002),
                     "w": rng.integers(-128, 128, (33, 20, *ones)).astype(numpy.int8), "sizes": numpy.array([1, 33, *out], numpy.int64)}
        nodes = [helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["d"]), helper.make_node("DequantizeLinear", ["w", "sw"], ["wd"]),
                 helper.make_node("Conv", ["d", "wd"], ["c"]), helper.make_node("QuantizeLinear", ["c", "sx", "zx"], ["q"]),
                 helper.make_node("DequantizeLinear", ["q", "sx", "zx"], ["a"]),
                 helper.make_node("Resize", ["a", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode=coordinates, **attrs)]
        path = os.path.join(folder, f"resize{i}.onnx")
        save(path, nodes, TensorProto.UINT8, [1, 20, *size], TensorProto.FLOAT, [1, 33, *out], constants)
        yield path


def run(path, flags, emulated, folder):
    stem = os.path.join(folder, "m")
    subprocess.run([MCC, path, "-o", stem + ".o", "--name=m", "-Wno-quant-fallback", *flags], check=True)
    subprocess.run([f"{ARM}-gcc" if emulated else "cc", "-std=c11", f"-I{SOURCE}/include", stem + ".c", stem + ".o", "-static", "-o", stem], check=True)
    return subprocess.run([*(["qemu-aarch64", "-cpu", "max"] if emulated else []), stem], check=True, capture_output=True).stdout


def main():
    if platform.machine() != "x86_64":
        return 77
    failures = 0
    arm = shutil.which("qemu-aarch64") and shutil.which(f"{ARM}-gcc")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.c"), "w") as f:
            f.write(MAIN)
        for path in models(folder):
            want = run(path, ["-O0"], False, folder)
            for flags, emulated in FORMS:
                if emulated and not arm:
                    continue
                if run(path, ["-O2", *flags], emulated, folder) != want:
                    print(f"{os.path.basename(path)} with {' '.join(flags)}: other bits than the reference kernels'")
                    failures += 1
    return 1 if failures else 0


sys.exit(main())
