"""Integers at their edges: division, remainders, shifts, powers, casts. Every pair of 8 bits, and every pair of the values around zero and
around both ends of the wider types, as the definition of docs/numbers.md says, which is total: here, and on aarch64 under qemu."""
import os
import shutil
import subprocess
import sys
import tempfile
import numpy as np
from onnx import helper, save

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
TYPES = {np.int8: 3, np.int16: 5, np.int32: 6, np.int64: 7, np.uint8: 2, np.uint16: 4, np.uint32: 12, np.uint64: 13}
FLOATS = {np.float32: 1, np.float64: 11, np.float16: 10}
BOOL = 9
ARM = "aarch64-linux-gnu"
MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include "mcc/runtime.h"
extern const mcc_model m_model;
enum { MOST = 512 };
static size_t size_of(int32_t dtype) { return dtype == 2 || dtype == 3 || dtype == 9 ? 1 : dtype == 4 || dtype == 5 || dtype == 10 ? 2 : dtype == 1 || dtype == 6 || dtype == 12 ? 4 : 8; }
static mcc_tensor tensor_of(const mcc_tensor_info *i) {
    mcc_tensor t = {.dtype = i->dtype, .rank = i->rank, .bytes = size_of(i->dtype)};
    for (int d = 0; d < i->rank; d++) t.bytes *= (size_t)(t.dims[d] = i->dims[d]);
    t.data = malloc(t.bytes + 1);
    return t;
}
int main(void) {
    static mcc_tensor in[MOST], out[MOST];
    void *workspace = aligned_alloc(64, (m_model.workspace_bytes + 63) / 64 * 64);
    for (int i = 0; i < m_model.n_inputs; i++) {
        in[i] = tensor_of(m_model.inputs + i);
        if (fread(in[i].data, 1, in[i].bytes, stdin) != in[i].bytes) return 2;
    }
    for (int i = 0; i < m_model.n_outputs; i++) out[i] = tensor_of(m_model.outputs + i);
    if (m_model.run(in, out, workspace)) return 3;
    for (int i = 0; i < m_model.n_outputs; i++)
        if (fwrite(out[i].data, 1, out[i].bytes, stdout) != out[i].bytes) return 4;
    return 0;
}
"""


def edges(dtype):
    info = np.iinfo(dtype)
    if info.bits == 8:
        return list(range(info.min, info.max + 1))
    near = [0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 53) + 1]
    ends = [info.min, info.min + 1, info.min + 2, info.max - 2, info.max - 1, info.max]
    return sorted({v for v in near + [-v for v in near] + ends if info.min <= v <= info.max})


def wrap(v, dtype):
    info = np.iinfo(dtype)
    return (v - info.min) % (1 << info.bits) + info.min


def quotient(a, b):
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def power(a, b, dtype):
    if b < 0:
        return a if a in (1,) else (1 if b % 2 == 0 else -1) if a == -1 else 0
    return pow(a, b, 1 << np.iinfo(dtype).bits) if b else 1


def binary(dtype):
    """(operator, attributes, definition)"""
    bits = np.iinfo(dtype).bits
    rows = [("Div", {}, quotient), ("Mod", {}, lambda a, b: a % b if b else 0), ("Mod", {"fmod": 1}, lambda a, b: a - quotient(a, b) * b if b else 0),
            ("Add", {}, lambda a, b: a + b), ("Sub", {}, lambda a, b: a - b), ("Mul", {}, lambda a, b: a * b), ("Pow", {}, lambda a, b: power(a, b, dtype))]
    if np.iinfo(dtype).min == 0:
        rows += [("BitShift", {"direction": "LEFT"}, lambda a, b: a << b if b < bits else 0), ("BitShift", {"direction": "RIGHT"}, lambda a, b: a >> b if b < bits else 0)]
    return rows


def saturate(x, dtype):
    info = np.iinfo(dtype)
    if np.isnan(x):
        return 0
    return info.max if x >= info.max else info.min if x <= info.min else int(x)


def float_edges(dtype):
    v = [0.0, 0.5, 0.99, 1.5, 2.5, 1e-30, 65504.0, np.inf, np.nan]
    for bits in (7, 8, 15, 16, 31, 32, 63, 64):
        v += [2.0 ** bits, 2.0 ** bits - 1, 2.0 ** bits - 0.5]
    with np.errstate(over="ignore"):
        x = np.array(v).astype(dtype)
    return np.concatenate([x, -x, np.nextafter(x, dtype(0)), -np.nextafter(x, dtype(0))])


class Net:
    def __init__(self):
        self.nodes, self.inputs, self.outputs, self.data, self.want = [], [], [], b"", []

    def input(self, array, dtype):
        name = f"i{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, dtype, array.shape))
        self.data += array.tobytes()
        return name

    def add(self, op, names, dtype, want, **attrs):
        name = f"o{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], **attrs))
        self.outputs.append(helper.make_tensor_value_info(name, dtype, want.shape))
        self.want.append(((op, attrs, names), want))


def build():
    net = Net()
    for dtype, number in TYPES.items():
        values = edges(dtype)
        a, b = (np.array(v, dtype).reshape(-1) for v in zip(*[(x, y) for x in values for y in values]))
        x, y = net.input(a, number), net.input(b, number)
        for op, attrs, definition in binary(dtype):
            net.add(op, [x, y], number, np.array([wrap(definition(int(p), int(q)), dtype) for p, q in zip(a, b)], dtype), **attrs)
        one = net.input(np.array(values, dtype), number)
        for to, code in TYPES.items():
            net.add("Cast", [one], code, np.array([wrap(v, to) for v in values], to), to=code)
        net.add("Cast", [one], BOOL, np.array(values) != 0, to=BOOL)
        for to, code in FLOATS.items():
            if to != np.float16:
                net.add("Cast", [one], code, np.array(values, dtype).astype(to), to=code)
    for dtype, number in FLOATS.items():
        x = float_edges(dtype)
        name = net.input(x, number)
        for to, code in TYPES.items():
            net.add("Cast", [name], code, np.array([saturate(float(v), to) for v in x], to), to=code)
    return net


def check(net, folder, emulated):
    stem = os.path.join(folder, "m")
    with open(stem + ".c", "w") as f:
        f.write(MAIN)
    subprocess.run([MCC, stem + ".onnx", "-o", stem + ".o", "--name=m", "-O1", *([f"--target={ARM}"] if emulated else [])], check=True)
    subprocess.run([f"{ARM}-gcc" if emulated else "cc", "-std=c11", f"-I{SOURCE}/include", stem + ".c", stem + ".o", "-static", "-o", stem], check=True)
    out = subprocess.run([*(["qemu-aarch64"] if emulated else []), stem], input=net.data, check=True, stdout=subprocess.PIPE).stdout
    at = 0
    for what, want in net.want:
        got = np.frombuffer(out[at:at + want.nbytes], want.dtype)
        at += want.nbytes
        wrong = np.flatnonzero(got != want)
        assert wrong.size == 0, (what, emulated, int(wrong[0]), got[wrong[0]], want[wrong[0]])
    assert at == len(out)


def main():
    net = build()
    with tempfile.TemporaryDirectory() as folder:
        model = helper.make_model(helper.make_graph(net.nodes, "g", net.inputs, net.outputs), opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 8
        save(model, os.path.join(folder, "m.onnx"))
        check(net, folder, False)
        if not shutil.which("qemu-aarch64") or not shutil.which(f"{ARM}-gcc"):
            print(f"here alone: qemu-aarch64 or {ARM}-gcc is not installed")
            return 0
        check(net, folder, True)
    return 0


sys.exit(main())
