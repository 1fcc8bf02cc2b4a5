#!/usr/bin/env python3
"""Products and convolutions for NVIDIA GPUs give the right numbers: random shapes with tails, batches that broadcast, transposes,
open dims, groups, strides, bodies, of every type, for several levels. Sums of floats must be within K·2⁻²³·Σ|a·b| of numpy's in
float64 (and what the types round), integers equal. Runs on a GPU where there is one, else with the tests' emulator of libcuda.
Needs the onnx package. A failure prints its seed: gpu_numbers.py SEED runs it alone."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    print("skipped: the onnx package is not installed")
    sys.exit(77)

import gpu

MCC = os.environ["MCC"]
LEVELS = ["sm_75", "sm_80", "sm_90"]
NUMBER = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "uint8": TensorProto.UINT8,
          "int8": TensorProto.INT8, "int32": TensorProto.INT32}
ROUNDS = {"float32": 2.0 ** -23, "float16": 2.0 ** -10, "bfloat16": 2.0 ** -7}  # of a result


# ---- numbers ----

def bfloat(x):
    """x rounded to bfloat16, as float32."""
    bits = x.astype("float32").view("uint32")
    return ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).astype("uint32").view("float32")


def stored(x, kind):
    """As a .npy file or a tensor holds it."""
    return (x.astype("float32").view("uint32") >> 16).astype("uint16") if kind == "bfloat16" else x.astype(kind)


def loaded(x, kind):
    return (x.view("uint16").astype("uint32") << 16).view("float32") if kind == "bfloat16" else x


def numbers(rng, dims, kind):
    if kind in ("uint8", "int8"):
        return rng.integers(0 if kind == "uint8" else -128, 256 if kind == "uint8" else 128, dims)
    x = rng.standard_normal(dims).astype("float32")
    return bfloat(x) if kind == "bfloat16" else x.astype(kind).astype("float32")


# ---- models ----

class Model:
    environment = None  # that mcc runs in

    def __init__(self):
        self.nodes, self.inputs, self.constants, self.feeds, self.flags = [], [], [], {}, []

    def input(self, name, x, kind, dims=None):
        self.inputs.append(helper.make_tensor_value_info(name, NUMBER[kind], list(dims or x.shape)))
        self.feeds[name] = stored(x, kind)

    def constant(self, name, x, kind):
        data = stored(x, kind)
        self.constants.append(helper.make_tensor(name, NUMBER[kind], x.shape, data.tobytes(), raw=True))

    def node(self, op, ins, out, **attrs):
        self.nodes.append(helper.make_node(op, ins, [out], **attrs))

    def run(self, options, kind, dims):
        y = helper.make_tensor_value_info("y", NUMBER[kind], dims)
        graph = helper.make_graph(self.nodes, "g", self.inputs, [y], self.constants)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.onnx")
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
            command = [MCC, "run", path, *options, f"--output-dir={folder}", *self.flags]
            for name, x in self.feeds.items():
                np.save(os.path.join(folder, name + ".npy"), x)
                command += ["--input", f"{name}={os.path.join(folder, name)}.npy"]
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
            if done.returncode:
                raise AssertionError(f"mcc run: exit {done.returncode}: {done.stderr.strip()}")
            return loaded(np.load(os.path.join(folder, "y.npy")), kind)


def differs(got, want, bound):
    """A line, or None. bound: what each element may be off by; None: nothing"""
    if got.shape != want.shape:
        return f"shape {got.shape}, want {want.shape}"
    if bound is None:
        bad = got.astype("int64") != want
    else:
        bad = ~(np.abs(got.astype("float64") - want) <= bound)
    if not bad.any():
        return None
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {bad.size} differ, first {at}: got {got[at]}, want {want[at]}"


def bound_of(exact_abs, depth, want, kind, slack=0.0):
    return depth * 2.0 ** -23 * exact_abs + (ROUNDS[kind] if kind != "float32" else 2.0 ** -23) * np.abs(want) + slack


def body(rng, m, sums, kind, dims, exact_abs, depth, channel_axis):
    """What follows the sums s: a bias a channel, a residual, an activation. Returns the value wanted and the bound."""
    bias_dims = [dims[channel_axis]] + [1] * (len(dims) - 1 - channel_axis)
    bias, rest = numbers(rng, bias_dims, kind), numbers(rng, dims, kind)
    m.constant("bias", bias, kind)
    m.input("rest", rest, kind)
    m.node("Add", ["s", "bias"], "s1")
    m.node("Relu", ["s1"], "s2")
    m.node("Add", ["rest", "s2"], "y")
    want = np.maximum(sums + bias, 0) + rest
    scale = np.abs(sums) + np.abs(bias) + np.abs(rest) + np.abs(want)  # what each step rounds
    return want, depth * 2.0 ** -23 * exact_abs + 2 * ROUNDS[kind] * scale


# ---- cases ----

def dim(rng, most):
    return int(rng.choice([1, 3, 8, 16, 17, 31, 32, 33, 48, 64, 65, 96, 100, 128, 130, 160][:most]))


def product(rng, options):
    kind = str(rng.choice(["float32", "float32", "float16", "bfloat16"]))
    rows, depth, cols = dim(rng, 14), int(rng.choice([1, 2, 7, 16, 24, 33, 64, 96, 130, 300, 640])), dim(rng, 16)
    batch = [(), (2,), (2, 3)][rng.integers(3)]
    batch_a = tuple(int(rng.choice([1, d])) for d in batch) if rng.integers(2) else batch
    batch_b = batch[len(batch) - int(rng.integers(len(batch) + 1)):]
    a, b = numbers(rng, batch_a + (rows, depth), kind), numbers(rng, batch_b + (depth, cols), kind)
    m = Model()
    turn_a, turn_b, still, opened = (int(v) for v in rng.integers(0, 2, 4))
    at = a.swapaxes(-1, -2) if turn_a else a
    bt = b.swapaxes(-1, -2) if turn_b else b
    names_a, names_b = list(at.shape), list(bt.shape)
    if opened and not still:
        names_a[-1 if turn_a else -2], names_b[-2 if turn_b else -1] = "m", "n"
        names_a[-2 if turn_a else -1] = names_b[-1 if turn_b else -2] = "k"
        m.flags += ["--max-dim", "*=700"]
    m.input("a", at, kind, names_a)
    if still:
        m.constant("b", bt, kind)
    else:
        m.input("b", bt, kind, names_b)

    def turned(name, x, turn):
        if turn:
            order = list(range(x.ndim))
            order[-1], order[-2] = order[-2], order[-1]
            m.node("Transpose", [name], name + "t", perm=order)
        return name + "t" * turn
    left, right = turned("a", a, turn_a), turned("b", b, turn_b)
    want, size = a.astype("float64") @ b, np.abs(a).astype("float64") @ np.abs(b)
    if rng.integers(2) and not opened:
        m.node("MatMul", [left, right], "s")
        want, bound = body(rng, m, want, kind, list(want.shape), size, depth, want.ndim - 1)
    else:
        m.node("MatMul", [left, right], "y")
        bound = bound_of(size, depth, want, kind)
    if kind == "float32" and "-mcpu=sm_75" not in options and rng.integers(4) == 0:
        m.flags.append("-mtf32")
        bound = bound + 2.0 ** -10 * size
    return f"product {kind} {at.shape} {bt.shape} flags {m.flags}", differs(m.run(options, kind, list(want.shape)), want, bound)


def spread(rng, options):
    """Rows that are known at run time only, below the bound that the launch's blocks stand for."""
    rows, depth, cols = dim(rng, 14), int(rng.choice([3, 16, 40, 256])), dim(rng, 14)
    x, w = numbers(rng, (1, depth), "float32"), numbers(rng, (depth, cols), "float32")
    m = Model()
    m.flags = ["--max-dim", "*=200"]
    m.input("x", x, "float32")
    m.constant("w", w, "float32")
    m.inputs.append(helper.make_tensor_value_info("r", TensorProto.INT64, [2]))
    m.feeds["r"] = np.array([rows, depth], "int64")
    m.node("Expand", ["x", "r"], "t")
    m.node("MatMul", ["t", "w"], "s")
    m.node("Relu", ["s"], "y")
    wide = np.broadcast_to(x, (rows, depth)).astype("float64")
    want, size = np.maximum(wide @ w, 0), np.abs(wide) @ np.abs(w)
    return f"spread {rows} {w.shape}", differs(m.run(options, "float32", ["n", cols]), want, bound_of(size, depth, want, "float32"))


def gemm(rng, options):
    kind = str(rng.choice(["float32", "float16"]))
    rows, depth, cols = dim(rng, 14), int(rng.choice([4, 16, 50, 129])), dim(rng, 14)
    a, b, c = numbers(rng, (rows, depth), kind), numbers(rng, (depth, cols), kind), numbers(rng, (1, cols), kind)
    turn_a, turn_b = (int(v) for v in rng.integers(0, 2, 2))
    m = Model()
    m.input("a", a.T if turn_a else a, kind)
    m.constant("b", b.T if turn_b else b, kind)
    m.constant("c", c, kind)
    m.node("Gemm", ["a", "b", "c"], "y", transA=turn_a, transB=turn_b, alpha=0.5, beta=2.0)
    sums, size = a.astype("float64") @ b, np.abs(a).astype("float64") @ np.abs(b)
    want = 0.5 * sums + 2 * c
    bound = depth * 2.0 ** -23 * size + 2 * ROUNDS[kind] * (np.abs(sums) + 2 * np.abs(c) + np.abs(want))
    return f"gemm {kind} {a.shape} {b.shape}", differs(m.run(options, kind, list(want.shape)), want, bound)


def bytes_product(rng, options):
    kind = str(rng.choice(["uint8", "int8"]))
    rows, depth, cols = dim(rng, 14), int(rng.choice([1, 5, 16, 64, 100, 256, 400])), dim(rng, 14)
    a, b = numbers(rng, (2, rows, depth), kind), rng.integers(-127, 128, (depth, cols))
    zero = int(rng.integers(0, 100))
    m = Model()
    m.input("a", a, kind)
    m.constant("b", b, "int8")
    m.constant("z", np.array(zero), kind)
    m.node("MatMulInteger", ["a", "b", "z"], "y")
    want = (a.astype("int64") - zero) @ b
    return f"bytes {kind} {a.shape} {b.shape}", differs(m.run(options, "int32", list(want.shape)), want, None)


def windows(x, kernel, stride, dilation, pads, fill):
    """[N, C, taps, places…] of [N, C, spatial…]"""
    n = len(kernel)
    wide = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[n + i]) for i in range(n)], constant_values=fill)
    out = [(wide.shape[2 + i] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(n)]
    taps = []
    for tap in np.ndindex(*kernel):
        place = tuple(slice(tap[i] * dilation[i], tap[i] * dilation[i] + (out[i] - 1) * stride[i] + 1, stride[i]) for i in range(n))
        taps.append(wide[(slice(None), slice(None)) + place])
    return np.stack(taps, 2), out


def convolved(x, w, groups, kernel, stride, dilation, pads):
    """Sums in float64, from places whose padding is 0."""
    cols, out = windows(x.astype("float64"), kernel, stride, dilation, pads, 0)
    each, make = x.shape[1] // groups, w.shape[0] // groups
    parts = []
    for g in range(groups):
        part = cols[:, g * each:(g + 1) * each].reshape(x.shape[0], each * int(np.prod(kernel)), -1)
        flat = w[g * make:(g + 1) * make].astype("float64").reshape(make, -1)
        parts.append(np.einsum("mk,nkp->nmp", flat, part))
    return np.concatenate(parts, 1).reshape([x.shape[0], w.shape[0], *out])


def convolution(rng, options):
    whole = rng.integers(3) == 0
    kind = str(rng.choice(["uint8", "int8"])) if whole else str(rng.choice(["float32", "float32", "float16", "bfloat16"]))
    spatial = int(rng.choice([1, 2, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 1, 2]))
    channels, outs = groups * int(rng.choice([3, 5, 8, 16, 20, 32])), groups * int(rng.choice([8, 12, 32, 40, 70]))
    if rng.integers(3) == 0:  # groups of a few channels take no tile
        groups = int(rng.choice([2, 5, 17]))
        channels, outs = groups * int(rng.choice([1, 1, 3])), groups * int(rng.choice([1, 1, 2]))
    kernel = [int(rng.choice([1, 2, 3])) for _ in range(spatial)] if rng.integers(4) else [1] * spatial
    stride = [int(rng.choice([1, 1, 2])) for _ in kernel]
    dilation = [int(rng.choice([1, 1, 2])) for _ in kernel]
    pads = [int(rng.integers(0, 2)) for _ in range(2 * spatial)]
    if max(kernel) == 1 and rng.integers(2):
        stride, pads = [1] * spatial, [0] * 2 * spatial
    size = [int(rng.choice([5, 7, 8, 14] if spatial < 3 else [5, 6])) for _ in kernel]
    x, w = numbers(rng, [int(rng.choice([1, 1, 2, 3])), channels, *size], kind), numbers(rng, [outs, channels // groups, *kernel], "int8" if whole else kind)
    m = Model()
    m.input("x", x, kind)
    m.constant("w", np.maximum(w, -127) if whole else w, "int8" if whole else kind)
    attrs = dict(strides=stride, dilations=dilation, pads=pads, group=groups)
    label = f"convolution {kind} {x.shape} {w.shape} {attrs}"
    if whole:
        zero = int(rng.integers(0, 100))
        m.constant("z", np.array(zero), kind)
        m.node("ConvInteger", ["x", "w", "z"], "y", **attrs)
        want = convolved(x.astype("int64") - zero, np.maximum(w, -127), groups, kernel, stride, dilation, pads).round().astype("int64")
        return label, differs(m.run(options, "int32", list(want.shape)), want, None)
    sums = convolved(x, w, groups, kernel, stride, dilation, pads)
    exact = convolved(np.abs(x), np.abs(w), groups, kernel, stride, dilation, pads)
    depth = channels // groups * int(np.prod(kernel))
    m.node("Conv", ["x", "w"], "s", **attrs)
    want, bound = body(rng, m, sums, kind, list(sums.shape), exact, depth, 1)
    return label, differs(m.run(options, kind, list(want.shape)), want, bound)


def attention(rng, options):
    kind, heads = "float32", int(rng.choice([1, 3, 8]))
    rows, keys = int(rng.choice([1, 5, 32, 49, 65, 100])), int(rng.choice([1, 7, 31, 32, 40, 97, 130]))
    depth, cols = int(rng.choice([4, 20, 32, 64, 80, 128])), int(rng.choice([4, 20, 32, 64, 96, 128]))
    q, k, v = numbers(rng, (2, rows, heads, depth), kind), numbers(rng, (2, keys, heads, depth), kind), numbers(rng, (2, keys, heads, cols), kind)
    m = Model()
    for name, x in (("q", q), ("k", k), ("v", v)):
        m.input(name, x, kind, ["n", *x.shape[1:]])
    m.flags += ["--max-dim", "n=3"]
    m.node("Transpose", ["q"], "qt", perm=[0, 2, 1, 3])
    m.node("Transpose", ["k"], "kt", perm=[0, 2, 3, 1])
    m.node("Transpose", ["v"], "vt", perm=[0, 2, 1, 3])
    m.constant("scale", np.float32(depth ** -0.5), kind)
    m.node("MatMul", ["qt", "kt"], "s0")
    m.node("Mul", ["s0", "scale"], "s1")
    scores = np.einsum("bqhd,bkhd->bhqk", q, k).astype("float64") * depth ** -0.5
    last = "s1"
    if rng.integers(2):
        mask = np.where(rng.random((2, 1, 1 if rng.integers(2) else rows, keys)) < 0.3, -np.inf, rng.standard_normal()).astype("float32")
        mask[..., -1] = 0  # no query is without a key
        m.input("mask", mask, kind, ["n", *mask.shape[1:]])
        m.node("Add", ["s1", "mask"], "s2")
        scores, last = scores + mask, "s2"
    m.node("Softmax", [last], "p", axis=-1)
    m.node("MatMul", ["p", "vt"], "z")
    m.node("Transpose", ["z"], "y", perm=[0, 2, 1, 3])
    power = np.exp(scores - scores.max(-1, keepdims=True))
    want = np.einsum("bhqk,bkhd->bqhd", power / power.sum(-1, keepdims=True), v.astype("float64"))
    bound = 2e-5 * np.abs(v).max() + 0 * want  # of scores as far from exact as products of that depth may be
    return f"attention {heads} heads {rows} x {keys}, {depth}, {cols}", differs(m.run(options, kind, ["n", rows, heads, cols]), want, bound)


def main():
    runners = gpu.runners(LEVELS)
    cases = [product, gemm, convolution, bytes_product, convolution, product, attention, spread]
    count = 400 if os.environ.get("MCC_TEST_ALL") else 48
    seeds = [int(a) for a in sys.argv[1:]] or range(count)
    wrong = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        options, Model.environment = runners[seed // len(cases) % len(runners)]
        label = ""
        try:
            label, problem = cases[seed % len(cases)](rng, options)
        except AssertionError as e:
            problem = str(e)
        if problem:
            wrong += 1
            print(f"seed {seed} {options[1]}: {label or cases[seed % len(cases)].__name__}: {problem}", flush=True)
        elif len(sys.argv) > 1:
            print(f"seed {seed} {options[1]}: {label}: right")
    print(f"{len(seeds)} cases, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
