#!/usr/bin/env python3
"""Convolutions whose weights stay codes of 4 or 8 bits, or floats of 16 bits, in the object: compiled for several processors, run here
or under qemu-aarch64, and equal to the bit to the same convolution with the weights as float32. Needs the onnx package."""
import os
import platform
import shutil
import sys
import tempfile

try:
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    sys.exit(77)
from emulated import ARM, run

# flags of mcc, and whether the code runs under qemu-aarch64
FORMS = [(["--target=x86_64-linux-gnu", "-mcpu=x86-64"], False), (["--target=x86_64-linux-gnu", "-mcpu=haswell"], False),
         ([f"--target={ARM}"], True)]
CODES = {"i4": (22, -8, 7), "u4": (21, 0, 15),  # INT4 and UINT4, which older packages do not name
         "i8": (TensorProto.INT8, -128, 127), "u8": (TensorProto.UINT8, 0, 255)}
# input channels, output channels, kernel, groups, stride, size, kind of weights; block of a scale (0: a channel's), zero points
CASES = {
    "w8": (64, 96, 3, 1, 1, 14, "i8", 0, False), "w8_zeros": (20, 33, 3, 1, 2, 11, "u8", 0, True),
    "first": (3, 33, 7, 1, 2, 21, "i8", 0, False), "depthwise": (40, 40, 3, 40, 1, 13, "i8", 0, False),
    "depthwise_zeros": (40, 40, 5, 40, 2, 13, "u8", 0, True), "depthwise_w4": (24, 24, 7, 24, 1, 13, "i4", 16, True),
    "w4": (64, 96, 3, 1, 1, 14, "i4", 32, False), "w4_ragged": (21, 33, 3, 1, 1, 11, "u4", 32, True),
    "pointwise": (72, 50, 1, 1, 1, 11, "i4", 64, False), "w4_channel": (64, 48, 1, 1, 2, 11, "u4", 0, True),
    "groups_w4": (48, 72, 3, 4, 1, 11, "i4", 32, True), "groups_w8": (30, 27, 3, 3, 1, 11, "u8", 0, True),
    "f16": (33, 40, 3, 1, 1, 11, "f16", 0, False), "bf16": (34, 40, 3, 2, 1, 11, "bf16", 0, False),
}


def tensor(name, values, kind):
    if kind == "bf16":
        data = (values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes()
        return onnx.TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=values.shape, raw_data=data)
    if kind not in ("i4", "u4"):
        return numpy_helper.from_array(values, name)
    flat = (values.reshape(-1).astype(numpy.int64) & 15).astype(numpy.uint8)
    flat = numpy.append(flat, numpy.zeros(flat.size % 2, numpy.uint8))
    return onnx.TensorProto(name=name, data_type=CODES[kind][0], dims=values.shape, raw_data=(flat[::2] | flat[1::2] << 4).tobytes())


def make_floats(rng, kind, dims):
    w = rng.normal(size=dims).astype(numpy.float32)
    w.flat[:3] = 0, -0.0, 3e-6  # of f16 a subnormal
    if kind == "f16":
        stored = w.astype(numpy.float16)
        return [tensor("q", stored, kind)], [helper.make_node("Cast", ["q"], ["w"], to=1)], stored.astype(numpy.float32)
    w = (w.view(numpy.uint32) & 0xffff0000).view(numpy.float32)
    return [tensor("q", w, kind)], [helper.make_node("Cast", ["q"], ["w"], to=1)], w


def make_codes(rng, kind, dims, block, zeros):
    _, low, high = CODES[kind]
    dtype = numpy.uint8 if kind[0] == "u" else numpy.int8
    channels, depth = dims[0], dims[1] * dims[2] * dims[3]
    q = rng.integers(low, high + 1, (channels, depth)).astype(dtype)
    groups = -(-depth // block) if block else 1
    s = (0.01 + rng.random((channels, groups)) * 0.02).astype(numpy.float32)
    z = rng.integers(low, high + 1, (channels, groups)).astype(dtype) if zeros else numpy.zeros((channels, groups), dtype)
    each = numpy.arange(depth) // (block or depth)
    w = (q.astype(numpy.float32) - z.astype(numpy.float32)[:, each]) * s[:, each]
    shape = (channels, groups) if block else (channels,)
    constants = [tensor("q", q if block else q.reshape(dims), kind), tensor("s", s.reshape(shape), "f32")]
    constants += [tensor("z", z.reshape(shape), kind)] if zeros else []
    attrs = {"axis": 1, "block_size": block} if block else {"axis": 0}
    nodes = [helper.make_node("DequantizeLinear", ["q", "s"] + ["z"] * zeros, ["d" if block else "w"], **attrs)]
    if block:
        constants.append(tensor("dims", numpy.array(dims, numpy.int64), "i64"))
        nodes.append(helper.make_node("Reshape", ["d", "dims"], ["w"]))
    return constants, nodes, w.reshape(dims)


def save(path, constants, nodes, case, bias):
    c, o, k, group, stride, size = case[:6]
    nodes = nodes + [helper.make_node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[k, k], pads=[k // 2] * 4, strides=[stride] * 2, group=group),
                     helper.make_node("Relu", ["a"], ["y"])]
    out = (size + k // 2 * 2 - k) // stride + 1
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, [1, c, size, size])], [info("y", 1, [1, o, out, out])], constants + [tensor("b", bias, "f32")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def main():
    if platform.machine() != "x86_64":
        return 77
    failures = 0
    arm = shutil.which("qemu-aarch64") and shutil.which(f"{ARM}-gcc")
    rng = numpy.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            c, o, k, group, _, _, kind, block, zeros = case
            dims, bias = [o, c // group, k, k], rng.normal(size=o).astype(numpy.float32)
            constants, nodes, w = make_codes(rng, kind, dims, block, zeros) if kind in CODES else make_floats(rng, kind, dims)
            narrow, plain = os.path.join(folder, "narrow.onnx"), os.path.join(folder, "plain.onnx")
            save(narrow, constants, nodes, case, bias)
            save(plain, [tensor("w", w, "f32")], [], case, bias)
            for flags, emulated in FORMS:
                if emulated and not arm:
                    continue
                (got, size), (want, plain_size) = run(narrow, ["--winograd=off", *flags], emulated, folder), run(plain, ["--winograd=off", *flags], emulated, folder)
                if got != want:
                    print(f"{name} with {' '.join(flags)}: other bits than with weights of float32")
                    failures += 1
                saved = w.size * (4 - (0.5 if kind[1:] == "4" else 1 if kind[1:] == "8" else 2)) - 5 * o * (w.size // o // (block or 1 << 30) + 1)
                if plain_size - size < saved - 4096:  # less the code that expands
                    print(f"{name} with {' '.join(flags)}: {size} bytes, with weights of float32 {plain_size}")
                    failures += 1
    return 1 if failures else 0


sys.exit(main())
