"""--quantize=w8 and w4 of a small network with a table, convolutions (one in groups, one with sums that end in a shorter block) and a
product: the result stays near, zero points make it nearer, the weights get smaller, ONNX Runtime computes the same from the
written model, and --rounding=gptq at least halves what 4 bits lose."""
import os
import shutil
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
import peer

MCC = os.environ["MCC"]
rng = np.random.default_rng(11)


def skewed(*shape):
    """Weights whose mean is not 0."""
    return ((rng.standard_normal(shape) + 0.8) / np.prod(shape[1:]) ** 0.5).astype(np.float32)


def write_model(path):
    N = helper.make_node
    nodes = [N("Gather", ["table", "i"], ["rows"], "table"), N("Reshape", ["rows", "planes"], ["x"]),
             N("Conv", ["x", "w0", "b0"], ["c0"], "first", pads=[1, 1, 1, 1]), N("Relu", ["c0"], ["r0"]),
             N("Conv", ["r0", "w1"], ["c1"], "grouped", group=2, pads=[1, 1, 1, 1]), N("Relu", ["c1"], ["r1"]),
             N("GlobalAveragePool", ["r1"], ["p"]), N("Flatten", ["p"], ["f"]), N("MatMul", ["f", "w2"], ["y"], "last")]
    constants = {"table": rng.standard_normal((200, 192)).astype(np.float32), "planes": np.array([1, 12, 8, 8], np.int64),
                 "w0": skewed(48, 12, 3, 3), "b0": skewed(48), "w1": skewed(64, 24, 3, 3), "w2": skewed(64, 40)}
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("i", TensorProto.INT64, [4])], [info("y", TensorProto.FLOAT, [1, 40])],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def mcc(*options):
    done = subprocess.run([MCC, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("mcc %s\n%s" % (" ".join(options), done.stdout))


def outputs(inputs, *options):
    for i in inputs:
        np.save("i.npy", i)
        mcc("run", "m.onnx", "--input=i=i.npy", "--output-dir=out", *options)
        yield np.load("out/y.npy").astype(np.float64)


def lost(inputs, want, *options):
    return float(np.linalg.norm(np.subtract(list(outputs(inputs, *options)), want)) / np.linalg.norm(want))


def size(*options):
    mcc("m.onnx", "-o", "m.o", *options)
    return os.path.getsize("m.o")


def edited(plan, **kinds):
    """The plan with other kinds for some nodes, by name, as edited.txt."""
    with open(plan) as f, open("edited.txt", "w") as out:
        for line in f:
            words = line.split()
            if words[0] == "node" and words[1] in kinds:
                words[2] = kinds.pop(words[1])
            out.write(" ".join(words) + "\n")
    assert not kinds, kinds


def check_plans(inputs, want, plain):
    """A plan gives the same object again; edited, nodes of all kinds in one model."""
    for kind in ("w8", "w4", "dynamic"):
        mcc("m.onnx", "--quantize=" + kind, "--save-plan=%s.txt" % kind, "-o", "m.o")
        made = open("m.o", "rb").read()
        mcc("m.onnx", "--quantize=" + kind, "--plan=%s.txt" % kind, "-o", "m.o")
        assert open("m.o", "rb").read() == made, kind
    lines = [line.split()[1:] for line in open("w4.txt") if line.startswith("node")]
    assert lines == [["table", "w4", "Gather"], ["first", "w4", "Conv"], ["grouped", "w4", "Conv"], ["last", "w4", "MatMul"]], lines
    edited("w4.txt", table="f32", first="w8", last="dynamic")
    mixed = ["--quantize=w4", "--plan=edited.txt"]
    assert lost(inputs, want, *mixed) <= 0.05 and size("--quantize=w4") + 120000 < size(*mixed) < plain - 40000
    mcc("m.onnx", "--quantize=int8", "--calibrate=samples", "--save-plan=int8.txt", "-o", "m.o")
    edited("int8.txt", first="w4", last="w8")
    error = lost(inputs, want, "--quantize=int8", "--plan=edited.txt", "--calibrate=samples")
    print("int8, w4 and w8 by a plan: %.4f is lost" % error)
    assert 0 < error <= 0.1
    edited("w4.txt", first="int8")
    done = subprocess.run([MCC, "m.onnx", "--quantize=w4", "--plan=edited.txt", "-o", "m.o"], capture_output=True, text=True)
    assert done.returncode == 1 and "int8 needs --quantize=int8" in done.stderr, done.stderr


def main():
    write_model("m.onnx")
    draw = lambda: rng.integers(-200, 200, 4)
    os.mkdir("samples")
    for i in range(40):
        np.save("samples/%02d.npy" % i, draw())
    inputs = [draw() for _ in range(3)]
    want = list(outputs(inputs))
    ort_path = os.environ.get("ORT_LIB") or peer.npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")
    library = peer.ort.Library(ort_path) if ort_path else None
    found, plain = {}, size()
    for options, most, smaller in (("w8", 0.01, 3), ("w8 asymmetric", 0.01, 3), ("w4", 0.1, 4), ("w4 asymmetric", 0.1, 4), ("w4:64", 0.12, 4)):
        kind, *form = options.split()
        flags = ["--quantize=" + kind] + ["--weights=" + f for f in form]
        error = lost(inputs, want, *flags)
        found[options] = error
        print("%s: %.4f of the result is lost, %d of %d bytes" % (options, error, size(*flags), plain))
        assert error <= most and size(*flags) * smaller <= plain, options
        if library:  # without the product, whose inputs ONNX Runtime makes integers of
            flags.append("--quantize-skip=last")
            mcc("m.onnx", "--emit=onnx", "-o", "q.onnx", *flags)
            session = peer.ort.Session(library, "q.onnx")
            apart = max(float(np.abs(session.run([i])[0] - y).max() / np.abs(y).max()) for i, y in zip(inputs, outputs(inputs, *flags)))
            assert apart <= 1e-5, (options, apart)
    assert found["w4 asymmetric"] < found["w4"], found
    check_plans(inputs, want, plain)
    error = lost(inputs, want, "--quantize=w4", "--quantize-skip=table", "--rounding=gptq", "--calibrate=samples")
    nearest = lost(inputs, want, "--quantize=w4", "--quantize-skip=table")
    print("w4: %.4f is lost, with gptq %.4f" % (nearest, error))
    assert error * 2 <= nearest


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    main()
finally:
    shutil.rmtree(folder)
