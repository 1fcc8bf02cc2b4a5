"""MaxPool of integers in plain layout equals the maxima that numpy takes: windows of one to three axes, strides, dilations and pads, rows
longer and shorter than what the kernel takes at once, on several processors.

$MCC_TEST_SEED, $MCC_TEST_COUNT (8)"""
import os
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, save

MCC = os.environ["MCC"]
TYPES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
CPUS = ["native", "x86-64", "x86-64-v3", "x86-64-v4"]


def random_case(rng):
    axes = int(rng.integers(1, 4))
    draw = lambda *choices: [int(rng.choice(choices)) for _ in range(axes)]
    kernel, dilations = draw(1, 2, 3, 5), draw(1, 1, 2)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    last = int(rng.choice([reach[-1], 17, 33, 56, 300, 700]))
    size = [int(rng.integers(r, r + 12)) for r in reach[:-1]] + [max(last, reach[-1])]
    pads = [int(rng.integers(0, k)) for k in kernel + kernel]  # less than a window: none is empty
    return {"dtype": rng.choice(list(TYPES)), "size": size, "kernel": kernel, "strides": draw(1, 1, 2, 3), "dilations": dilations, "pads": pads}


def expected(x, c):
    axes = len(c["size"])
    low = np.iinfo(x.dtype).min
    padded = np.pad(x, [(0, 0), (0, 0)] + list(zip(c["pads"][:axes], c["pads"][axes:])), constant_values=low)
    reach = [(k - 1) * d + 1 for k, d in zip(c["kernel"], c["dilations"])]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + axes)))
    take = tuple(slice(None, None, s) for s in c["strides"]) + tuple(slice(None, None, d) for d in c["dilations"])
    return windows[(slice(None), slice(None)) + take].max(tuple(range(-axes, 0)))


def check(seed):
    rng = np.random.default_rng(seed)
    c = random_case(rng)
    info = np.iinfo(c["dtype"])
    x = rng.integers(info.min, info.max + 1, [2, 3] + c["size"]).astype(c["dtype"])
    want = expected(x, c)
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=c["kernel"], strides=c["strides"], dilations=c["dilations"], pads=c["pads"])
    t = TYPES[c["dtype"]]
    graph = helper.make_graph([node], "pool", [helper.make_tensor_value_info("x", t, x.shape)], [helper.make_tensor_value_info("y", t, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    save(model, "m.onnx")
    np.save("x.npy", x)
    subprocess.run([MCC, "run", "m.onnx", "--input", "x=x.npy", "--output-dir=out", "-mcpu=" + CPUS[seed % len(CPUS)]], check=True, stdout=subprocess.DEVNULL)
    got = np.load("out/y.npy")
    assert got.shape == want.shape and (got == want).all(), (seed, c)


first, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "8"))
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for seed in range(first, first + count):
        check(seed)
    os.chdir("/")
print(f"{count} pools of integers equal numpy's")
sys.exit(0)
