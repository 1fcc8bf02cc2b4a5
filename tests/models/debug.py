"""-g: the code's lines are those of the graph's text beside the object. Two convolutions that share a kernel keep their own
lines where they are called, as gdb's backtrace shows; the machine code and, from another folder, all bytes are the same as
without; what is written for other targets holds too."""
import os
import re
import shutil
import subprocess
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
DWARFDUMP = shutil.which("llvm-dwarfdump-19")


def model(path):
    rng = np.random.default_rng(7)
    weights = [numpy_helper.from_array(rng.standard_normal((32, 32, 3, 3)).astype(np.float32), f"w{i}") for i in range(2)]
    nodes = [helper.make_node("Conv", ["x", "w0"], ["a"], name="first", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["a"], ["b"], name="between"),
             helper.make_node("Conv", ["b", "w1"], ["c"], name="second", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["d"], name="behind"),
             helper.make_node("Softmax", ["d"], ["y"], name="last", axis=3)]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 32, 12, 12]) for n in "xy"]
    save(helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:], weights),
                           opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def sh(*args, code=0):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert p.returncode == code, f"{' '.join(args)}: exit {p.returncode}\n{p.stdout}"
    return p.stdout


def text_section(path):
    sh("objcopy", "-O", "binary", "--only-section=.text", path, path + ".text")
    return open(path + ".text", "rb").read()


APP = """
#include "net.h"
static float x[NET_IN0_BYTES / sizeof(float)], y[NET_OUT0_BYTES / sizeof(float)];
static _Alignas(64) char work[NET_WORKSPACE_BYTES];
int main(void) { return net_run(x, y, work); }
"""


def check_lines(graph):
    """addr2line gives each kernel a line of its operator."""
    kernels = re.findall(r"^([0-9a-f]+) t (kernel\.(\w+)\.\d+)$", sh("nm", "app"), re.M)
    assert kernels
    for address, name, op in kernels:
        function, place = sh("addr2line", "-f", "-e", "app", "0x" + address).split()[:2]
        line = graph[int(place.split(":")[1]) - 1]
        assert function == name and place.split("/")[-1].startswith("net.graph:"), (function, place)
        assert re.search(rf" = (mcc\.)?{op}\(", line), (name, line)
    called = {int(n) for n in re.findall(r"net\.graph:(\d+)", sh("objdump", "-dl", "--disassemble=body", "app"))}
    for name in ("first", "second", "last"):
        assert any(graph[n - 1].endswith("# " + name) for n in called), (name, called)
    return kernels


def check_gdb(graph, kernels):
    shared = [name for _, name, op in kernels if op in ("BlockConv", "Winograd")]
    assert len(shared) == 1, kernels
    out = sh("gdb", "-nx", "-batch", "-ex", f"break *&'{shared[0]}'", "-ex", "run", "-ex", "bt", "-ex", "continue", "-ex", "bt", "./app")
    if "Couldn't get registers" in out or "ptrace" in out:
        print("skipped: gdb may not trace here")
        return
    callers = [graph[int(n) - 1] for n in re.findall(r"^#1 .* in body \(\) at .*net\.graph:(\d+)$", out, re.M)]
    assert [c.split("# ")[-1] for c in callers] == ["first", "second"], out


def main():
    model("net.onnx")
    flags = ["-mcpu=x86-64-v3"] if os.uname().machine == "x86_64" else []
    sh(MCC, *flags, "net.onnx", "-o", "net.o")
    plain = text_section("net.o")
    assert not os.path.exists("net.graph")
    sh(MCC, *flags, "-g", "-MD", "net.onnx", "-o", "net.o")
    assert text_section("net.o") == plain
    assert open("net.d").read().startswith("net.o net.h net.graph: ")
    graph = open("net.graph").read().splitlines()
    os.mkdir("sub")
    sh(MCC, *flags, "-g", "net.onnx", "-o", "sub/net.o")
    assert open("sub/net.o", "rb").read() == open("net.o", "rb").read()
    open("app.c", "w").write(APP)
    sh("cc", "-O1", "-g", "-I" + os.path.join(SOURCE, "include"), "app.c", "net.o", "-o", "app")
    kernels = check_lines(graph)
    if shutil.which("gdb"):
        check_gdb(graph, kernels)
    else:
        print("skipped: no gdb")

    digits = os.path.join(SOURCE, "examples/digits/digits.onnx")  # of several parts on 64-bit ELF
    for target in ([], ["-O0"], ["--target=aarch64-linux-gnu"], ["--target=riscv64-linux-gnu"], ["--target=arm64-apple-macos"],
                   ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4"]):
        sh(MCC, *target, "-g", digits, "-o", "digits.o")
        if not DWARFDUMP:
            print("skipped: no llvm-dwarfdump-19")
            break
        assert "No errors." in sh(DWARFDUMP, "--verify", "digits.o"), target
        lines = sh(DWARFDUMP, "--debug-line", "digits.o")
        assert set(re.findall(r'name: "(.*)"', lines)) == {"digits.graph"}, target
        assert int(max(re.findall(r"^0x\w+ +(\d+) ", lines, re.M), key=int)) == len(open("digits.graph").readlines()), target

    sh(MCC, "-g", "-S", "net.onnx", "-o", "net.s")
    assert "net.graph" in open("net.s").read()
    assert "-g is for an object" in sh(MCC, "-g", "--emit=graph", "net.onnx", code=2)
    os.remove("net.graph")
    sh(MCC, "-g", "net.onnx", "-o", "/dev/null")
    assert not os.path.exists("net.graph") and not os.path.exists("/dev/null.graph")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
