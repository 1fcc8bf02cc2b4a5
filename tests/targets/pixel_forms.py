#!/usr/bin/env python3
"""Integer convolutions, products and pools of random shapes as Cortex-M computes them, with the DSP instructions and without, all weights
there or, of many zeros, as entries: its code runs under qemu-arm, beside unreadable pages, and equals to the bit what the reference kernels
(-O0) give here. Needs the onnx package."""
import os
import platform
import shutil
import struct
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
GCC = "arm-linux-gnueabihf-gcc"
ALL = bool(os.environ.get("MCC_TEST_ALL"))
COUNT = 200 if ALL else 16
FORMS = [["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "--sparse=off"], ["--target=thumbv6m-none-eabi", "-Os"],
         ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "--sparse=packed"]]
if ALL:
    FORMS += [["--target=thumbv7em-none-eabi"], ["--target=thumbv6m-none-eabi", "--sparse=packed"], ["--target=thumbv7m-none-eabi"],
              ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m7", "-Os"], ["--target=thumbv8m.main-none-eabihf", "-mcpu=cortex-m33"],
              ["--target=thumbv7em-none-eabihf", "-mattr=-dsp"]]
MAIN = r"""
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "mcc/runtime.h"
#define MODEL(i) extern const mcc_model m##i##_model;
#include "models.h"
#undef MODEL
static const mcc_model *const models[] = {
#define MODEL(i) &m##i##_model,
#include "models.h"
};
enum { PAGE = 4096 };
/* that many bytes, and behind them a page that cannot be read */
static void *before_wall(size_t bytes) {
    size_t pages = (bytes + PAGE - 1) / PAGE + 1;
    char *p = mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, PAGE, PROT_NONE);
    mprotect(p + pages * PAGE, PAGE, PROT_NONE);
    return p + pages * PAGE - bytes;
}
static mcc_tensor tensor_of(const mcc_tensor_info *i) {
    mcc_tensor t = {.dtype = i->dtype, .rank = i->rank, .bytes = i->dtype == 6 || i->dtype == 1 ? 4 : 1};
    for (int d = 0; d < i->rank; d++) t.bytes *= (size_t)(t.dims[d] = i->dims[d]);
    t.data = before_wall(t.bytes);
    return t;
}
int main(void) {
    uint32_t seed = 1;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        mcc_tensor in = tensor_of(models[m]->inputs), out = tensor_of(models[m]->outputs);
        void *workspace = before_wall((models[m]->workspace_bytes + 63) / 64 * 64);
        for (size_t i = 0; i < in.bytes; i++) ((uint8_t *)in.data)[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        if (models[m]->run(&in, &out, workspace)) return 2;
        uint32_t bytes = (uint32_t)out.bytes;
        if (fwrite(&bytes, 4, 1, stdout) != 1 || fwrite(out.data, 1, out.bytes, stdout) != out.bytes) return 3;
    }
    return 0;
}
"""


class Model:
    """Nodes behind one another; x: a value of bytes, its dims, signedness and zero point"""

    def __init__(self, rng):
        self.rng, self.nodes, self.constants = rng, [], {}

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = numpy.asarray(array)
        return name

    def node(self, op, inputs, **attrs):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attrs))
        return name

    def flip(self):
        return bool(self.rng.integers(2))

    def byte(self, signed):
        return numpy.int8(self.rng.integers(-128, 128)) if signed else numpy.uint8(self.rng.integers(256))

    def weights(self, shape):
        """codes, whose zero points are 0 or that of all; bytes without a sign stay near 128, so that less it they are s8"""
        kept = self.rng.random(shape) < self.rng.choice([1, 0.5, 0.2, 0.02])
        if self.flip():
            return self.constant(self.rng.integers(-128, 128, shape).astype(numpy.int8) * kept), []
        codes = numpy.where(kept, self.rng.integers(0, 256, shape), 128).astype(numpy.uint8)
        return self.constant(codes), [self.constant(numpy.uint8(128))]

    def bytes_of(self, sums, columns, rank, signed):
        """sums to bytes: the definition of a quantized contraction, maybe with a bias"""
        shape = [columns] + [1] * rank
        if self.flip():
            sums = self.node("Add", [sums, self.constant(self.rng.integers(-5000, 5000, shape).astype(numpy.int32))])
        floats = self.node("Cast", [sums], to=TensorProto.FLOAT)
        scaled = self.node("Mul", [floats, self.constant((self.rng.random(shape) * 0.01).astype(numpy.float32))])
        return self.node("QuantizeLinear", [scaled, self.constant(numpy.float32(1)), self.constant(self.byte(signed))])

    def conv(self, x, dims, signed):
        rng, spatial = self.rng, len(dims) - 2
        channels, group = dims[1], 1
        if self.flip():
            group = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        columns = group * int(rng.integers(1, 6)) if self.flip() else group * max(1, channels // group)
        kernel, stride, dilation = ([int(v) for v in rng.choice(c, spatial)] for c in ([1, 2, 3, 3, 5], [1, 1, 2, 3], [1, 1, 1, 2]))
        if self.flip():
            dilation = [1] * spatial
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
        pads = [int(rng.integers(0, k)) for k in reach + reach]
        out = [(n + pads[i] + pads[spatial + i] - reach[i]) // stride[i] + 1 for i, n in enumerate(dims[2:])]
        if min(n + pads[i] + pads[spatial + i] - reach[i] for i, n in enumerate(dims[2:])) < 0:
            return self.conv(x, dims, signed)
        w, zero = self.weights([columns, channels // group, *kernel])
        zx = [self.constant(self.byte(signed))] if zero or self.flip() else []
        sums = self.node("ConvInteger", [x, w, *zx, *zero], kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads, group=group)
        return sums, [dims[0], columns, *out]

    def pool(self, x, dims):
        kernel = [int(min(n, v)) for n, v in zip(dims[2:], self.rng.integers(1, 4, len(dims) - 2))]
        stride = [int(v) for v in self.rng.integers(1, 3, len(dims) - 2)]
        pads = [int(self.rng.integers(0, k)) for k in kernel + kernel]
        half = len(kernel)
        out = [(n + pads[i] + pads[half + i] - kernel[i]) // stride[i] + 1 for i, n in enumerate(dims[2:])]
        return self.node("MaxPool", [x], kernel_shape=kernel, strides=stride, pads=pads), [*dims[:2], *out]

    def mean(self, x, dims, signed):
        """of quantized numbers, as such"""
        scale = self.constant(numpy.float32(0.04))
        floats = self.node("DequantizeLinear", [x, scale, self.constant(self.byte(signed))])
        if self.flip():
            kernel = [int(min(n, 2)) for n in dims[2:]]
            dims = [*dims[:2], *(n - k + 1 for n, k in zip(dims[2:], kernel))]
            floats = self.node("AveragePool", [floats], kernel_shape=kernel)
        else:
            dims = [*dims[:2], *(1 for _ in dims[2:])]
            floats = self.node("GlobalAveragePool", [floats])
        return self.node("QuantizeLinear", [floats, self.constant(numpy.float32(0.03)), self.constant(self.byte(signed))]), dims

    def convolutions(self, signed):
        rng = self.rng
        dims = [int(rng.integers(1, 3)), int(rng.choice([1, 2, 3, 4, 6, 8, 12, 17, 20])), *(int(v) for v in rng.integers(1, 10, int(rng.choice([1, 2, 2, 2, 3]))))]
        x, inputs = "x", list(dims)
        for _ in range(int(rng.integers(0, 3))):
            sums, dims = self.conv(x, dims, signed)
            signed = self.flip()
            x = self.bytes_of(sums, dims[1], len(dims) - 2, signed)
            if self.flip():
                x, dims = self.pool(x, dims)
            elif self.flip():
                x, dims = self.mean(x, dims, signed)
            elif self.flip():
                scale = self.constant(numpy.float32(0.05))
                floats = [self.node("DequantizeLinear", [v, scale]) for v in (x, x)]
                x = self.node("QuantizeLinear", [self.node("Add", floats), self.constant(numpy.float32(0.0625)), self.constant(self.byte(signed))])
        sums, dims = self.conv(x, dims, signed)
        return inputs, sums, dims, len(dims) - 2

    def product(self, signed):
        inner, columns = (int(v) for v in self.rng.integers(1, 70, 2))
        dims = [int(v) for v in self.rng.integers(1, 6, int(self.rng.integers(1, 3)))]
        w, zero = self.weights([inner, columns])
        sums = self.node("MatMulInteger", ["x", w, self.constant(self.byte(signed)), *zero])
        return [*dims, inner], sums, [*dims, columns], 0


def save(path, seed):
    m = Model(numpy.random.default_rng(seed))
    signed = m.flip()
    inputs, y, dims, rank = m.product(signed) if seed % 4 == 0 else m.convolutions(signed)
    kind = TensorProto.INT32
    if m.flip():
        out_signed = m.flip()
        y = m.bytes_of(y, dims[-1 if rank == 0 else 1], rank, out_signed)
        kind = TensorProto.INT8 if out_signed else TensorProto.UINT8
    info = helper.make_tensor_value_info
    graph = helper.make_graph(m.nodes, "g", [info("x", TensorProto.INT8 if signed else TensorProto.UINT8, inputs)], [info(y, kind, dims)],
                              [numpy_helper.from_array(v, k) for k, v in m.constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def results(count, flags, compiler, runner, folder):
    """of all models, run by one program"""
    objects = []
    for i in range(count):
        objects.append(os.path.join(folder, f"m{i}.o"))
        subprocess.run([MCC, os.path.join(folder, f"{i}.onnx"), "-o", objects[-1], f"--name=m{i}", "-Wno-quant-fallback", *flags], check=True)
    program = os.path.join(folder, "program")
    subprocess.run([*compiler, "-std=c11", "-O1", f"-I{SOURCE}/include", f"-I{folder}", os.path.join(folder, "main.c"), *objects, "-static", "-o", program], check=True)
    out, parts = subprocess.run([*runner, program], check=True, capture_output=True).stdout, []
    while out:
        n = struct.unpack("<I", out[:4])[0]
        parts.append(out[4:4 + n])
        out = out[4 + n:]
    assert len(parts) == count
    return parts


def kinds(count, flags, folder):
    """the operators that the passes make of the models"""
    made = set()
    for i in range(count):
        text = subprocess.run([MCC, os.path.join(folder, f"{i}.onnx"), "--emit=graph", "-o", "-", "-Wno-quant-fallback", *flags], check=True, capture_output=True)
        made |= {kind for kind in ("PixelConv", "PixelDepthwise", "PixelPool") if f"mcc.{kind}(" in text.stdout.decode()}
    return made


def main():
    if platform.machine() != "x86_64" or not shutil.which("qemu-arm") or not shutil.which(GCC):
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "main.c"), "w") as f:
            f.write(MAIN)
        with open(os.path.join(folder, "models.h"), "w") as f:
            f.writelines(f"MODEL({i})\n" for i in range(COUNT))
        for i in range(COUNT):
            save(os.path.join(folder, f"{i}.onnx"), i)
        if len(kinds(COUNT, FORMS[0], folder)) < 3:
            print("the models do not have every operator")
            failures += 1
        want = results(COUNT, ["-O0"], ["cc"], [], folder)
        for form in FORMS:
            for i, (a, b) in enumerate(zip(want, results(COUNT, form, [GCC, "-mthumb", "-Wl,--no-warn-mismatch"], ["qemu-arm", "-cpu", "max"], folder))):
                if a != b:
                    print(f"model of seed {i} with {' '.join(form)}: other bits than the reference kernels'")
                    failures += 1
    return 1 if failures else 0


sys.exit(main())
