"""What an object promises, on a small convolutional model: it links into C and C++ programs, twice with another model beside
it; a header of another build does not link; no undefined symbol but memcpy and its like, no writable data, nothing visible
but NAME_…; the same bytes from any directory, locale, time zone and number of threads; weights read-only and 64-byte aligned."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
CC = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(SOURCE, "include")]


def model(path, channels, seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((channels, 3, 3, 3)).astype(np.float32)
    b = rng.standard_normal(channels).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("GlobalAveragePool", ["r"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Softmax", ["f"], ["y"], axis=1)]
    g = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels])],
                          [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def sh(*args, cwd=None, env=None, fails=False):
    p = subprocess.run(args, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (p.returncode != 0) == fails, f"{' '.join(args)}: exit {p.returncode}\n{p.stdout}"
    return p.stdout


APP = """
#include <stdio.h>
#include "one.h"
#include "two.h"
static float x[ONE_IN0_BYTES / sizeof(float)], y[TWO_OUT0_BYTES / sizeof(float)];
static char room[(ONE_WORKSPACE_BYTES > TWO_WORKSPACE_BYTES ? ONE_WORKSPACE_BYTES : TWO_WORKSPACE_BYTES) + ONE_WORKSPACE_ALIGN];
int main(void) {
    char *work = room + (ONE_WORKSPACE_ALIGN - (size_t)room % ONE_WORKSPACE_ALIGN) % ONE_WORKSPACE_ALIGN;
    int i, status = 0;
    float sum = 0;
    for (i = 0; i < (int)(sizeof x / sizeof *x); i++) x[i] = (float)(i % 13) - 6;
    status |= one_run(x, y, work);
    for (i = 0; i < 4; i++) sum += y[i];
    status |= two_run(x, y, work);
    for (i = 0; i < 6; i++) sum += y[i];
    if (one_run(0, y, work) != MCC_E_NULL || one_run(x, y, work + 1) != MCC_E_ALIGN) status |= 64;
    if (one_model.abi != MCC_ABI || one_model.n_inputs != 1 || two_model.workspace_bytes != TWO_WORKSPACE_BYTES) status |= 128;
    printf("%d %.4f\\n", status, sum);
    return 0;
}
"""


def check_programs(d):
    with open(d + "/app.c", "w") as f:
        f.write(APP)
    for compiler in (CC, ["c++", "-x", "c++", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(SOURCE, "include")]):
        sh(*compiler, "-c", "app.c", "-o", "app.o", cwd=d)
        sh("cc", "app.o", "one.o", "two.o", "-o", "app", cwd=d)
        got = sh("./app", cwd=d).split()
        assert got == ["0", "2.0000"], f"the program printed {got}: two softmaxes sum to 2"
    sh("cc", "-shared", "-o", "lib.so", "one.o", cwd=d)


def check_stale_pair(d):
    shutil.copy(d + "/one.o", d + "/old.o")
    model(d + "/other.onnx", 4, 99)
    sh(MCC, "other.onnx", "-o", "other.o", "--name=one", cwd=d)
    shutil.copy(d + "/other.h", d + "/one.h")
    sh("cc", "-I" + os.path.join(SOURCE, "include"), "app.c", "old.o", "two.o", "-o", "stale", cwd=d, fails=True)
    sh(MCC, "one.onnx", "-o", "one.o", cwd=d)


def check_symbols(d):
    allowed = {"memcpy", "memmove", "memset"}
    for line in sh("nm", "one.o", cwd=d).splitlines():
        kind, name = line.split()[-2:]
        if kind == "U":
            assert name in allowed, f"undefined symbol {name}"
        assert kind not in "bBC", f"writable or common symbol {line}"
        if kind.isupper() and kind != "U":
            assert name.startswith("one_"), f"a global symbol of another name: {name}"
    sections = sh("readelf", "-SW", "one.o", cwd=d)
    for line in re.findall(r"\] (\.(?:data|bss|tdata|tbss)\S*)\s+\S+\s+\S+\s+\S+\s+(\S+)", sections):
        assert line[0].startswith(".data.rel.ro") or int(line[1], 16) == 0, f"writable section {line}"
    weights = re.search(r"\.rodata\.mcc_weights\s+PROGBITS\s+.*\s+A\s+0\s+0\s+64\n", sections)
    assert weights, "no read-only, 64-byte aligned section of weights:\n" + sections


def check_same_bytes(d):
    want = open(d + "/one.o", "rb").read(), open(d + "/one.h", "rb").read()
    for i, extra in enumerate([{"LC_ALL": "C", "TZ": "Asia/Tokyo"}, {"OMP_NUM_THREADS": "1", "LANG": "de_DE.UTF-8"}]):
        other = f"{d}/deeper {i}"
        os.mkdir(other)
        shutil.copy(d + "/one.onnx", other + "/renamed.onnx")
        sh(MCC, "renamed.onnx", "-o", other + "/one.o", cwd=other, env={**os.environ, **extra})
        got = open(other + "/one.o", "rb").read(), open(other + "/one.h", "rb").read()
        assert got == want, "another directory gave other bytes"


def main():
    with tempfile.TemporaryDirectory() as d:
        model(d + "/one.onnx", 4, 1)
        model(d + "/two.onnx", 6, 2)
        sh(MCC, "one.onnx", "-o", "one.o", cwd=d)
        sh(MCC, "two.onnx", "-o", "two.o", cwd=d)
        check_programs(d)
        check_stale_pair(d)
        check_symbols(d)
        check_same_bytes(d)
    print("programs, stale pair, symbols, same bytes: good")


sys.exit(main())
