#!/usr/bin/python3
"""--rounding on small networks whose samples are correlated: on samples that calibration has not seen, gptq at least halves
what the nearest codes lose, adaround gains too; both are deterministic, and keep the means of the outputs; convolutions in groups, and batches, are taken, and layers behind one another, cut apart or (open dims) not."""
import os, shutil, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC = os.environ["MCC"]
rng = np.random.default_rng(7)


def mcc(*options):
    done = subprocess.run([MCC, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"mcc {' '.join(options)}\n{done.stdout}")


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def write_model(path, nodes, shape, constants):
    info = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    graph = helper.make_graph(nodes, "g", [info("x", shape)], [info("y", None)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def products(path):
    N = helper.make_node
    nodes = [N("MatMul", ["x", "w0"], ["m"], "first"), N("Relu", ["m"], ["r"]),
             N("Gemm", ["r", "w1", "b1"], ["g"], "second", transB=1), N("MatMul", ["g", "w2"], ["y"], "third")]
    write_model(path, nodes, (40, 128), {"w0": normal(128, 192), "w1": normal(96, 192), "b1": normal(96), "w2": normal(96, 40)})
    mix = normal(16, 128)
    return lambda: (normal(40, 16) @ mix + 0.1 * normal(40, 128)).astype(np.float32)


def convolutions(path):
    N = helper.make_node
    nodes = [N("Conv", ["x", "w0", "b0"], ["c"], "grouped", group=2, pads=[1, 1, 1, 1]), N("Relu", ["c"], ["r"]),
             N("Conv", ["r", "w1"], ["d"], "depthwise", group=24, strides=[2, 2], auto_pad="SAME_LOWER"),
             N("Conv", ["d", "w2"], ["y"], "points")]
    write_model(path, nodes, (2, 8, 11, 10),
                {"w0": normal(24, 4, 3, 3), "b0": normal(24), "w1": normal(24, 1, 3, 3), "w2": normal(10, 24, 1, 1)})
    mix = normal(3, 8)
    return lambda: np.einsum("nkhw,kc->nchw", normal(2, 3, 11, 10), mix).astype(np.float32)


def deep(path):
    """Behind one another: pointwise, depthwise, a residual, a pool; the last axis is open"""
    N, nodes, w, y = helper.make_node, [], {}, "x"
    for i, (cin, cout, group) in enumerate([(8, 48, 1), (48, 48, 48), (48, 32, 1), (32, 64, 1), (64, 64, 64), (64, 32, 1)]):
        k = 3 if group > 1 else 1
        w[f"w{i}"], w[f"b{i}"] = normal(cout, cin // group, k, k) / np.float32(np.sqrt(cin // group * k * k)), normal(cout) / 10
        nodes += [N("Conv", [y, f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", group=group, pads=[k // 2] * 4), N("Relu", [f"c{i}"], [f"r{i}"])]
        y = f"r{i}"
    nodes += [N("Add", ["r2", "r5"], ["a"]), N("ReduceMean", ["a"], ["y"], axes=[2, 3], keepdims=0)]
    write_model(path, nodes, (1, 8, 12, "W"), w)
    mix = normal(3, 8)
    return lambda: np.einsum("nkhw,kc->nchw", normal(1, 3, 12, 12).cumsum(3) / 2, mix).astype(np.float32)


def output(model, x, *options):
    np.save("x.npy", x)
    mcc("run", model, "--input", "x=x.npy", "--output-dir=out", *options)
    return np.load("out/y.npy").astype(np.float64)


def options(kind, how):
    samples = how != "nearest" or kind == "int8"
    return [f"--quantize={kind}"] + (["--calibrate=samples", f"--rounding={how}"] if samples else [])


def check(make, kind, most, *more):
    shutil.rmtree("samples", ignore_errors=True)
    os.mkdir("samples")
    draw = make("m.onnx")
    for i in range(24):
        np.save(f"samples/{i:02}.npy", draw())
    x = draw()
    want, lost = output("m.onnx", x, *more), {}
    for how in "nearest", "gptq", "adaround":
        lost[how] = np.linalg.norm(output("m.onnx", x, *options(kind, how), *more) - want) / np.linalg.norm(want)
        print(f"{make.__name__} {kind} {how}: {lost[how]:.5f}")
        assert lost[how] <= most[how] * lost["nearest"], (kind, how)
    objects = []
    for _ in range(2):
        mcc("m.onnx", *options(kind, "gptq"), *more, "-o", "m.o")
        objects.append(open("m.o", "rb").read())
    assert objects[0] == objects[1], "not deterministic"
    if kind == "int8":  # the search has graphs of its own, rounded by the same samples
        mcc("m.onnx", *options(kind, "gptq"), "--max-drop=0.000000001", "-o", "m.o")


def check_means(kind):
    """Inputs far from 0: the bias makes up for what rounding does to the mean of each channel."""
    N = helper.make_node
    write_model("m.onnx", [N("Conv", ["x", "w", "b"], ["y"], "one", pads=[0, 0, 0, 0])], (2, 8, 12, 12), {"w": normal(16, 8, 3, 3), "b": normal(16)})
    shutil.rmtree("samples", ignore_errors=True)
    os.mkdir("samples")
    draw = lambda: (np.arange(8, dtype=np.float32)[:, None, None] / 2 + 0.3 * normal(2, 8, 12, 12)).astype(np.float32)
    for i in range(24):
        np.save(f"samples/{i:02}.npy", draw())
    x = draw()
    want, off = output("m.onnx", x), {}
    for how, more in ("nearest", []), ("corrected", ["--bias-correction", "--calibrate=samples"]), ("gptq", []), ("adaround", []):
        got = output("m.onnx", x, *(options(kind, "nearest" if more else how) + more))
        off[how] = np.linalg.norm((got - want).mean((0, 2, 3)))
        print(f"means {kind} {how}: {off[how]:.5f}")
    assert max(off["corrected"], off["gptq"], off["adaround"]) <= 0.5 * off["nearest"], kind


def check_small():
    """The smallest weights keep 8 bits, unless a plan says otherwise: of equal ones the first, a twelfth of all."""
    N = helper.make_node
    nodes = [N("MatMul", ["x", "w0"], ["a"], "first"), N("Relu", ["a"], ["b"]), N("MatMul", ["b", "w1"], ["c"], "second"),
             N("Relu", ["c"], ["d"]), N("MatMul", ["d", "w2"], ["y"], "last")]
    write_model("m.onnx", nodes, (4, 32), {"w0": normal(32, 32), "w1": normal(32, 32), "w2": normal(32, 512)})
    shutil.rmtree("samples", ignore_errors=True)
    os.mkdir("samples")
    np.save("samples/x.npy", normal(4, 32))
    kinds = lambda: [line.split()[2] for line in open("plan.txt") if line.startswith("node ") and line.endswith(" MatMul\n")]
    for how, want in ("nearest", ["w4", "w4", "w4"]), ("gptq", ["w8", "w4", "w4"]):
        mcc("m.onnx", *options("w4", how), "--save-plan=plan.txt", "-o", "m.o")
        assert kinds() == want, (how, kinds())
    open("old.txt", "w").write(open("plan.txt").read().replace(" w8 ", " w4 "))
    mcc("m.onnx", *options("w4", "gptq"), "--plan=old.txt", "--save-plan=plan.txt", "-o", "m.o")
    assert kinds() == ["w4"] * 3, kinds()


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    check_small()
    check(products, "w4", {"nearest": 1, "gptq": 0.5, "adaround": 0.8})
    check(products, "w8", {"nearest": 1, "gptq": 0.5, "adaround": 0.8})
    check(deep, "w4", {"nearest": 1, "gptq": 0.5, "adaround": 1.1}, "--dim=W=12")
    check(deep, "w4", {"nearest": 1, "gptq": 0.5, "adaround": 1.1}, "--max-dim=W=16")
    check_means("w4")
    check_means("int8")
    check(convolutions, "int8", {"nearest": 1, "gptq": 1.02, "adaround": 1.02})
finally:
    shutil.rmtree(folder)
