"""Objects of models with one input and one output, linked and run here or under qemu-aarch64."""
import os
import subprocess

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
ARM = "aarch64-linux-gnu"
MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "mcc/runtime.h"
extern const mcc_model m_model;
static mcc_tensor tensor_of(const mcc_tensor_info *i) {
    mcc_tensor t = {.dtype = i->dtype, .rank = i->rank, .bytes = 4};
    for (int d = 0; d < i->rank; d++) t.bytes *= (size_t)(t.dims[d] = i->dims[d]);
    t.data = calloc(t.bytes + 1, 1);
    return t;
}
int main(void) {
    mcc_tensor in = tensor_of(m_model.inputs), out = tensor_of(m_model.outputs);
    void *workspace = aligned_alloc(64, (m_model.workspace_bytes + 63) / 64 * 64);
    uint32_t seed = 1;
    for (size_t i = 0; i < in.bytes / 4; i++) ((float *)in.data)[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608 - 1;
    if (m_model.run(&in, &out, workspace)) return 2;
    return fwrite(out.data, 1, out.bytes, stdout) != out.bytes;
}
"""


def run(path, flags, emulated, folder):
    """The first output's bytes for an input of fixed random numbers, and the object's size; it stays in the folder as m.o."""
    stem = os.path.join(folder, "m")
    with open(stem + ".c", "w") as f:
        f.write(MAIN)
    subprocess.run([MCC, path, "-o", stem + ".o", "--name=m", "-Werror", *flags], check=True)
    subprocess.run([f"{ARM}-gcc" if emulated else "cc", "-std=c11", f"-I{SOURCE}/include", stem + ".c", stem + ".o", "-static", "-o", stem], check=True)
    out = subprocess.run([*(["qemu-aarch64", "-cpu", "max"] if emulated else []), stem], check=True, capture_output=True).stdout
    return out, os.path.getsize(stem + ".o")
