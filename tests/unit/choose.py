"""What is quantized where costs decide: convolutions that are quicker as integers on the processor; those that Winograd makes
quicker in float where products of bytes are slow; a small layer alone between layers of float, whose conversions cost more
than it saves; and that --quantize-only, a plan and -Os stand above that. -v says why."""
import os
import random
import subprocess
import tempfile
from onnx_wire import *

MCC = os.environ["MCC"]
rng = random.Random(3)


def weights(name, *dims):
    n = 1
    for d in dims:
        n *= d
    return tensor(name, FLOAT, dims, floats(*(rng.gauss(0, 0.1) for _ in range(n))))


def conv(x, y, w, stride, pad):
    return node("Conv", [x, w], [y], attr("strides", [stride, stride]), attr("pads", [pad] * 4), name=w)


def write(path, nodes, constants, shape):
    with open(path, "wb") as f:
        f.write(model(graph(nodes, [value("x", FLOAT, shape)], [value("y", FLOAT, [1, "c", "h", "w"])], constants)))
    with open("x.raw", "wb") as f:
        size = shape[1] * shape[2] * shape[3]
        f.write(floats(*(rng.gauss(0, 1) for _ in range(size))))


def mcc(path, *flags):
    command = [MCC, path, "-v", "-o", "m.o", "--quantize=int8", "--calibrate=x.raw", "-Wno-quant-fallback", *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def chosen(path, *flags):
    said = mcc(path, "--save-plan=plan.txt", *flags)
    with open("plan.txt") as f:
        lines = [line.split() for line in f if line.startswith("node")]
    names = {name for _, name, kind, op in lines if kind == "int8" and op == "Conv"}
    for _, name, kind, op in lines:
        if op == "Conv" and "--quantize-only=Conv" not in flags:
            assert (name in names) != (name + " stays in float: about" in said), (name, said)
    return names


with tempfile.TemporaryDirectory() as temp:
    os.chdir(temp)
    write("mixed.onnx", [conv("x", "a", "half", 2, 1), node("Relu", ["a"], ["b"]), conv("b", "c", "winograd", 1, 1),
                         node("Relu", ["c"], ["d"]), conv("d", "y", "point", 1, 0)],
          [weights("half", 64, 64, 3, 3), weights("winograd", 64, 64, 3, 3), weights("point", 64, 64, 1, 1)], [1, 64, 56, 56])
    everything = {"half", "winograd", "point"}
    assert chosen("mixed.onnx", "-mcpu=znver4") == everything
    assert chosen("mixed.onnx") == everything, "without -mcpu nothing is known about what is quick"
    assert chosen("mixed.onnx", "--target=aarch64-linux-gnu", "-mcpu=cortex-a76") == everything
    assert chosen("mixed.onnx", "-mcpu=x86-64-v3", "-Os") == everything
    assert chosen("mixed.onnx", "-mcpu=x86-64-v3", "--quantize-only=Conv") == everything
    assert "winograd" not in chosen("mixed.onnx", "-mcpu=x86-64-v3")
    assert "half" in chosen("mixed.onnx", "-mcpu=x86-64-v3", "--winograd=off")
    assert not chosen("mixed.onnx", "--target=aarch64-linux-gnu", "-mcpu=cortex-a72"), "no dot product"
    assert "all of it takes less time in float" in mcc("mixed.onnx", "--target=aarch64-linux-gnu", "-mcpu=cortex-a72")
    chosen("mixed.onnx", "-mcpu=znver4")
    said = mcc("mixed.onnx", "-mcpu=x86-64-v3", "--plan=plan.txt", "--save-plan=again.txt")
    assert "stays in float" not in said
    with open("plan.txt") as plan, open("again.txt") as again:
        assert plan.read() == again.read(), "a plan stands as it is written"

    # few channels and much to convert, between Erf, which stays in float and is not computed at its end
    lonely = lambda w: [node("ReduceSum", ["x", "axes"], ["s"]), node("Softmax", ["x"], ["a"], attr("axis", 3)),
                        conv("a", "b", w, 1, 0), node("Softmax", ["b"], ["c"], attr("axis", 3)), node("Add", ["c", "s"], ["y"])]
    axes = tensor("axes", INT64, [1], ints(1))
    write("lonely.onnx", lonely("narrow"), [axes, weights("narrow", 1, 2, 1, 1)], [1, 2, 64, 64])
    assert not chosen("lonely.onnx", "-mcpu=znver4")
    write("wide.onnx", lonely("wide"), [axes, weights("wide", 256, 64, 1, 1)], [1, 64, 28, 28])
    assert chosen("wide.onnx", "-mcpu=znver4") == {"wide"}
print("what is quicker as integers is quantized, and no more")
