#!/usr/bin/python3
"""Every kind of --quantize on small networks with all that the flow of integers meets (branches, Concat, pooling, residuals,
squeeze-and-excite, activations, two inputs, transposed convolutions): the signal-to-noise ratio against the float model is what the number of bits
allows; nodes that are skipped change nothing; a plan's scales are the ones that the data asks for."""
import os, re, shutil, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

MCC = os.environ["MCC"]
rng = np.random.default_rng(5)
SHAPE = (1, 8, 12, 12)


def mcc(*options):
    done = subprocess.run([MCC, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"mcc {' '.join(options)}\n{done.stdout}")
    return done.stdout


def write_model(path, nodes, inputs, constants):
    info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [info(*i) for i in inputs], [info("y", None)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def normal(*shape):
    return (rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)


def convolutional(path):
    N = helper.make_node
    same = {"pads": [1, 1, 1, 1]}
    nodes = [N("Conv", ["x", "w0", "b0"], ["c0"], "stem", **same), N("Relu", ["c0"], ["r0"]),
             N("Conv", ["r0", "w1", "b1"], ["c1"], "left", **same), N("HardSwish", ["c1"], ["h1"]),
             N("Conv", ["r0", "w2"], ["c2"], "right", group=16, **same), N("Clip", ["c2", "zero", "six"], ["k2"]),
             N("Concat", ["h1", "k2"], ["cat"], "cat", axis=1),
             N("GlobalAveragePool", ["cat"], ["mean"]), N("Conv", ["mean", "w3", "b3"], ["c3"], "squeeze"),
             N("HardSigmoid", ["c3"], ["s3"]), N("Mul", ["cat", "s3"], ["scaled"], "excite"),
             N("Conv", ["scaled", "w4", "b4"], ["c4"], "project"), N("Add", ["c4", "r0"], ["sum"], "residual"),
             N("MaxPool", ["sum"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
             N("AveragePool", ["p"], ["q"], kernel_shape=[3, 3], strides=[3, 3]),
             N("Flatten", ["q"], ["f"]), N("Gemm", ["f", "w5", "b5"], ["y"], "classes", transB=1)]
    constants = {"w0": normal(16, 8, 3, 3), "b0": normal(16), "w1": normal(16, 16, 3, 3), "b1": normal(16),
                 "w2": normal(16, 1, 3, 3), "zero": np.float32(0), "six": np.float32(6), "w3": normal(32, 32, 1, 1),
                 "b3": normal(32), "w4": normal(16, 32, 1, 1), "b4": normal(16), "w5": normal(10, 64), "b5": normal(10)}
    write_model(path, nodes, [("x", SHAPE)], constants)


def generator(path):
    """Transposed convolutions: a window that overlaps, and one that does not"""
    N = helper.make_node
    nodes = [N("ConvTranspose", ["x", "w0", "b0"], ["t0"], "wide", strides=[2, 2], pads=[1, 1, 1, 1]), N("Relu", ["t0"], ["r0"]),
             N("ConvTranspose", ["r0", "w1"], ["t1"], "tiled", strides=[2, 2]), N("Relu", ["t1"], ["r1"]), N("Conv", ["r1", "w2"], ["y"], "last")]
    write_model(path, nodes, [("x", SHAPE)], {"w0": normal(8, 16, 4, 4), "b0": normal(16), "w1": normal(16, 8, 2, 2), "w2": normal(4, 8, 1, 1)})


def products(path):
    N = helper.make_node
    nodes = [N("MatMul", ["x", "w0"], ["m0"], "first"), N("Add", ["m0", "b0"], ["a0"]), N("Relu", ["a0"], ["r0"]),
             N("MatMul", ["r0", "w1"], ["m1"], "second"), N("Add", ["m1", "z"], ["s"]),
             N("Reshape", ["s", "rows"], ["t"]), N("Gemm", ["t", "w2", "b2"], ["y"], "third", transB=1)]
    constants = {"w0": normal(64, 96).T.copy().T, "b0": normal(96), "w1": normal(96, 64), "rows": np.array([-1, 64]),
                 "w2": normal(40, 64), "b2": normal(40)}
    write_model(path, nodes, [("x", (2, 5, 64)), ("z", (2, 5, 64))], constants)


def output(model, feed, *options):
    arguments = []
    for name, array in feed.items():
        np.save(f"{name}.npy", array)
        arguments += ["--input", f"{name}={name}.npy"]
    mcc("run", model, *arguments, "--output-dir=out", *options)
    return np.load("out/y.npy").astype(np.float64)


def decibels(want, got):
    return 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())


def check(name, want, got, least):
    print(f"{name}: {decibels(want, got):.1f} dB")
    assert got.shape == want.shape and decibels(want, got) > least, name


def check_convolutional():
    convolutional("conv.onnx")
    samples = rng.standard_normal((32,) + SHAPE[1:]).astype(np.float32)
    np.save("samples.npy", samples)
    feed = {"x": rng.standard_normal(SHAPE).astype(np.float32)}
    want = output("conv.onnx", feed)
    static = ["--quantize=int8", "--calibrate=samples.npy"]
    for method in "minmax", "average", "percentile:99.9", "entropy", "mse":
        for activations in "u8", "s8":
            got = output("conv.onnx", feed, *static, f"--calibrate-method={method}", f"--activations={activations}")
            check(f"int8 {method} {activations}", want, got, 18 if method == "entropy" else 24)
    some = output("conv.onnx", feed, *static, "--quantize-skip=excite", "--quantize-skip=project", "--quantize-skip=Concat")
    check("int8 but for three", want, some, 24)
    only = output("conv.onnx", feed, *static, "--quantize-only=classes")
    check("int8 of the last product alone", want, only, 30)
    none = output("conv.onnx", feed, *static, "--quantize-skip=Conv", "--quantize-skip=Gemm")
    assert (none == want).all(), "nothing is quantized: nothing changes"

    mcc("conv.onnx", *static, "--calibrate-method=minmax", "--save-plan=plan.txt", "-o", "conv.o")
    plan = open("plan.txt").read()
    scale, zero = re.search(r"^tensor x u8 (\S+) (\d+)$", plan, re.M).groups()
    low, high = float(samples.min()), float(samples.max())
    assert abs(float(scale) - (high - low) / 255) < 1e-6 and int(zero) == round(-low / float(scale))
    assert re.search(r"^node classes int8 Gemm$", plan, re.M)
    weights_alone = lambda m: f"node {m[1]} {'w8' if m[2] in ('Conv', 'Gemm') else 'f32'} {m[2]}"
    plan = re.sub(r"(?m)^node (\S+) int8 (\S+)$", weights_alone, re.sub(r"(?m)^tensor .*\n", "", plan))
    open("weights.txt", "w").write(plan)
    mcc("conv.onnx", "--quantize=int8", "--plan=weights.txt", "-Werror", "-o", "conv.o")  # weights alone are something, too


def check_generator():
    generator("generator.onnx")
    feed = {"x": rng.standard_normal(SHAPE).astype(np.float32)}
    want = output("generator.onnx", feed)
    for kind, least, more in ("int8", 30, ["--calibrate=samples.npy"]), ("w8", 38, []):
        got = output("generator.onnx", feed, f"--quantize={kind}", f"--save-plan={kind}.txt", *more)
        check(f"{kind} of transposed convolutions", want, got, least)
        nodes = dict(re.findall(r"^node (\S+) (\S+)", open(f"{kind}.txt").read(), re.M))
        assert all(nodes[name] == kind for name in ("wide", "tiled", "last")), nodes


def check_products():
    products("products.onnx")
    arrays = lambda: {"x": rng.standard_normal((2, 5, 64)).astype(np.float32),
                      "z": rng.standard_normal((2, 5, 64)).astype(np.float32)}
    feed = arrays()
    os.mkdir("pairs")
    for i in range(16):
        np.savez(f"pairs/{i}.npz", **arrays())
    want = output("products.onnx", feed)
    for kind, least in ("w8", 38), ("w4", 18), ("w4:64", 17), ("dynamic", 33):
        check(kind, want, output("products.onnx", feed, f"--quantize={kind}"), least)
        skipped = output("products.onnx", feed, f"--quantize={kind}", "--quantize-skip=MatMul", "--quantize-skip=third")
        assert (skipped == want).all(), kind
    check("int8 of two inputs", want, output("products.onnx", feed, "--quantize=int8", "--calibrate=pairs"), 28)


def check_compensation():
    """Inputs that hang together, as those of real layers do: rounding with compensation loses much less."""
    mixed = rng.standard_normal((6, 64)).astype(np.float32)
    arrays = lambda n: (rng.standard_normal((n, 2, 5, 6)).astype(np.float32) @ mixed).astype(np.float32)
    os.mkdir("both")
    np.savez("both/all.npz", x=arrays(64), z=arrays(64))
    feed = {"x": arrays(1)[0], "z": arrays(1)[0]}
    want = output("products.onnx", feed)
    for kind in "w4", "w8":
        error = [np.linalg.norm(output("products.onnx", feed, f"--quantize={kind}", *options) - want) for options in
                 ([], ["--rounding=gptq", "--calibrate=both"])]
        print(f"{kind}: error {error[0]:.4f} by rounding to nearest, {error[1]:.4f} with compensation")
        assert error[1] < 0.7 * error[0], kind


folder = tempfile.mkdtemp()
try:
    os.chdir(folder)
    check_convolutional()
    check_generator()
    check_products()
    check_compensation()
finally:
    shutil.rmtree(folder)
