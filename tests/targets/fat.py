"""--target-cpus: one object for three levels of x86-64. On each level's processor (the lower ones by qemu-x86_64, which has no
AVX-512) it gives the bits of the object made for that level alone, by its entry and by its description, linked into a program
or a shared library; a table that no level packs is in it once; it has no writable data (for loaders without indirect functions one
word), and asks for nothing but memcpy."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
MACHINES = {"x86-64-v2": "Nehalem-v1", "x86-64-v3": "Haswell-v1"}
TABLE = 5000 * 32 * 4


def model(path):
    """A table of embeddings, a convolution, a product and a softmax."""
    rng = np.random.default_rng(3)
    f32 = lambda *dims: rng.standard_normal(dims).astype(np.float32)
    constants = {"table": f32(5000, 32), "w": f32(48, 8, 3, 3), "m": f32(40, 24), "shape": np.array([1, 8, 8, 40], np.int64)}
    nodes = [helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("Reshape", ["e", "shape"], ["x"]),
             helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Tanh", ["c"], ["t"]),
             helper.make_node("MatMul", ["t", "m"], ["p"]), helper.make_node("Softmax", ["p"], ["y"], axis=3)]
    save(helper.make_model(helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT64, [80])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 48, 8, 24])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


APP = """
#include <stdio.h>
#include <string.h>
#include "net.h"
static int64_t x[80];
static float y[NET_OUT0_BYTES / sizeof(float)], z[NET_OUT0_BYTES / sizeof(float)];
static _Alignas(64) char work[NET_WORKSPACE_BYTES];
int main(void) {
    for (int i = 0; i < 80; i++) x[i] = i * 61;
    mcc_tensor in = {x, sizeof x, 7, 1, {80}}, out = {z, sizeof z, 1, 0, {0}};
    if (net_run(x, y, work) || net_model.run(&in, &out, work) || memcmp(y, z, sizeof y)) return 1;
    if (net_model.workspace_bytes != NET_WORKSPACE_BYTES || net_run(x, NULL, work) != MCC_E_NULL) return 2;
    return fwrite(y, 1, sizeof y, stdout) != sizeof y;
}
"""


LEVEL = """
#include <stdio.h>
#include "runtime/builtins/builtins.h"
int main(void) { return printf("x86-64-v%d", mcc_x86_level()) < 0; }
"""


def sh(*args, code=0):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == code, f"{' '.join(args)}: exit {p.returncode}\n{p.stderr.decode()}"
    return p.stdout if code == 0 else p.stderr.decode()


def app(name, *flags, objects):
    sh("cc", "-O1", "-I" + os.path.join(SOURCE, "include"), "-I" + name, "app.c", *objects, *flags, "-o", name + "/app")
    return name + "/app"


def runner(level):
    """How to run on a processor of that level; None: it cannot be done here."""
    if level == "x86-64-v4":
        flags = open("/proc/cpuinfo").read().split()
        return [] if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags) else None
    return ["qemu-x86_64", "-cpu", MACHINES[level]] if shutil.which("qemu-x86_64") else None


def check_object(path, singles):
    undefined = {line.split()[-1] for line in sh("nm", "-u", path).decode().splitlines()}
    assert undefined <= {"memcpy", "memmove", "memset"}, undefined
    visible = {line.split()[-1] for line in sh("nm", "-g", "--defined-only", path).decode().splitlines()}
    assert {re.sub("_build_.*", "_build", v) for v in visible} <= {"net_run", "net_model", "net_build", "net_weights"}, visible
    sections = sh("readelf", "-SW", path).decode()
    assert not re.search(r"\] \.(data|bss|tdata) ", sections), sections
    assert " i net_run" in sh("nm", path).decode()
    size = os.path.getsize(path)
    assert size < sum(singles) - 1.9 * TABLE, (size, singles)
    assert "abi 1" in sh(MCC, "inspect", path).decode()


def check_word():
    """Where a loader knows no indirect functions: one word that a call writes, and the same bits."""
    os.mkdir("word")
    sh(MCC, "--target=x86_64-linux-musl", "--target-cpus=" + ",".join(LEVELS), "net.onnx", "-o", "word/net.o")
    assert not re.search(r" [iI] ", sh("nm", "word/net.o").decode())
    sections = sh("readelf", "-SW", "word/net.o").decode()
    assert re.search(r"\] \.data +PROGBITS +\w+ \w+ 0*4 ", sections) and not re.search(r"\] \.bss ", sections), sections
    word = app("word", objects=["word/net.o"])
    for level in LEVELS:
        run = runner(level)
        assert run is None or sh(*run, word) == sh(*run, level + "/app"), level


def main():
    model("net.onnx")
    open("app.c", "w").write(APP)
    for name in ["fat", "static"] + LEVELS:
        os.mkdir(name)
    sh(MCC, "--target=x86_64-linux-gnu", "--target-cpus=x86-64-v2,x86-64-v4,x86-64-v3", "net.onnx", "-o", "fat/net.o")
    open("level.c", "w").write(LEVEL)
    sh("cc", "-I" + SOURCE, "level.c", os.path.join(SOURCE, "runtime/builtins/x86_level.c"), "-o", "level")
    fat = app("fat", objects=["fat/net.o"])
    sh(MCC, "--target=x86_64-linux-gnu", "--target-cpus=" + ",".join(LEVELS), "--emit=static", "net.onnx", "-o", "static/net.a")
    static = app("static", "-static", objects=["static/net.a"])
    singles = []
    for level in LEVELS:
        sh(MCC, "--target=x86_64-linux-gnu", "-mcpu=" + level, "net.onnx", "-o", level + "/net.o")
        singles.append(os.path.getsize(level + "/net.o"))
        run = runner(level)
        if run is None:
            print(f"skipped: nothing here runs {level}")
            continue
        want = sh(*run, app(level, objects=[level + "/net.o"]))
        assert sh(*run, "./level").decode() == level
        assert sh(*run, fat) == want and sh(*run, static) == want, level
    check_object("fat/net.o", singles)
    print(f"{os.path.getsize('fat/net.o')} bytes, alone {singles}")

    check_word()

    sh(MCC, "--target-cpus=" + ",".join(LEVELS), "--emit=shared", "net.onnx", "-o", "fat/libnet.so")
    sh("mv", "fat/libnet.h", "fat/net.h")
    text = open("app.c").read().replace("net_", "libnet_").replace("NET_", "LIBNET_")
    open("app.c", "w").write(text)
    by_library = app("fat", "-Lfat", "-lnet", "-Wl,-rpath," + os.path.abspath("fat"), objects=[])
    run = runner("x86-64-v3")
    if run:
        assert sh(*run, by_library) == sh(*run, "x86-64-v3/app")

    sh(MCC, "--target-cpus=x86-64-v2,x86-64-v3", "--threads=callback", "--cut-kernels", "net.onnx", "-o", "t.o")
    for flags, message in ((["--target-cpus=x86-64-v2,x86-64-v2"], "is given twice"),
                           (["--target-cpus=x86-64-v2,znver4"], "cannot be told apart"),
                           (["--target-cpus=x86-64-v2,x86-64-v9"], "x86-64-v9"),
                           (["--target-cpus=x86-64-v2,"], ""),
                           (["--target-cpus=x86-64-v2", "--target=x86_64-apple-macos"], "cannot be told apart"),
                           (["--target-cpus=cortex-a76", "--target=aarch64-linux-gnu"], "cannot be told apart"),
                           (["--target-cpus=x86-64-v2", "-mcpu=x86-64-v3"], "-mcpu is for one processor"),
                           (["--target-cpus=x86-64-v2", "--profile"], "--profile is for one processor"),
                           (["--target-cpus=x86-64-v2", "--max-ram=1M"], "a budget is for one processor"),
                           (["--target-cpus=x86-64-v2", "-S"], "not this --emit")):
        assert message in sh(MCC, *flags, "net.onnx", "-o", "bad.o", code=2), flags


if os.uname().machine != "x86_64":
    print("skipped: links with the compiler of x86-64")
    sys.exit(77)
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
