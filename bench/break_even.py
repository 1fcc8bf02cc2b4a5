#!/usr/bin/python3
"""From how many zeros on is a pruned layer faster than a dense one? Chains of three equal layers with random weights, some of
them 0, as straight-line code of the nonzeros (--sparse=always) and dense (--sparse=off), in one process, in turn.

    bench/break_even.py [--seconds=0.2] [--gains] [LAYER …]

--gains: instead, how many times as fast as dense 80 and 90 % zeros are, anywhere as code and in blocks of 4x1 as packed data, on this
machine's processor and by its AVX2 alone.

Prints for each chain the time of the dense code, with Winograd and without, that of the code of the nonzeros over it for each
share of zeros, and the share where the two are equal: between two measured ones a line; "0" where already the first is
faster. MCC names the compiler (default: build/mcc)."""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HOME = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME / "tests" / "lib"))
from model import Guarded, Model, Tensor  # noqa: E402

MCC = os.environ.get("MCC", str(HOME / "build" / "mcc"))
SHARES = 0.05, 0.1, 0.2, 0.3, 0.5, 0.7
LAYERS = {  # channels, height and width, window; or rows, inner, outer
    "conv 1x1 64 56x56": ("conv", 64, 56, 1), "conv 1x1 256 28x28": ("conv", 256, 28, 1), "conv 1x1 512 14x14": ("conv", 512, 14, 1),
    "conv 3x3 64 56x56": ("conv", 64, 56, 3), "conv 3x3 128 28x28": ("conv", 128, 28, 3), "conv 3x3 256 14x14": ("conv", 256, 14, 3),
    "linear 128x384x1536": ("linear", 128, 384, 1536), "linear 128x384x384": ("linear", 128, 384, 384),
}


def weights(rng, shape, share, out, block):
    """block: so many neighbours along axis `out`, the output channels, are 0 together."""
    w = rng.standard_normal(shape).astype(np.float32)
    places = [n // block if i == out else n for i, n in enumerate(shape)]
    w[np.repeat(rng.random(places) < share, block, axis=out)] = 0
    return w / np.sqrt(w[0].size)


def chain(kind, a, b, c, share, block=1):
    """Three layers, a Relu behind each; linears go from inner to outer and back."""
    rng = np.random.default_rng(1)
    dims = [1, a, b, b] if kind == "conv" else [1, a, b]
    nodes, constants, last = [], [], "x"
    for i in range(3 if kind == "conv" else 4):
        if kind == "conv":
            w = weights(rng, (a, a, c, c), share, 0, block)
            nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"y{i}"], pads=[c // 2] * 4))
        else:
            w = weights(rng, (b, c) if i % 2 == 0 else (c, b), share, 1, block)
            nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"z{i}"]))
        constants.append(numpy_helper.from_array(w, f"w{i}"))
        last = f"z{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, dims)
    return helper.make_model(helper.make_graph(nodes, "chain", [x], [y], constants), opset_imports=[helper.make_opsetid("", 13)]), dims


class Call:
    """A compiled chain and its buffers, ready to be called"""

    def __init__(self, folder, model, name, x, *options):
        path, library = os.path.join(folder, "chain.onnx"), os.path.join(folder, name + ".so")
        onnx.save(model, path)
        subprocess.run([MCC, path, "-mcpu=native", "--emit=shared", "-o", library, *options], check=True)
        self.model = Model(library, name)
        self.buffers = [Guarded(x.nbytes, align=64) for _ in range(2)] + [Guarded(self.model.d.workspace_bytes, align=64)]
        self.tensors = [(Tensor * 1)() for _ in range(2)]
        self.buffers[0].put(x.tobytes())
        for t, b in zip(self.tensors, self.buffers):
            t[0].data, t[0].bytes, t[0].dtype, t[0].rank = b.address, x.nbytes, 1, x.ndim
            t[0].dims[:x.ndim] = x.shape

    def run(self):
        start = time.perf_counter()
        status = self.model.d.run(*self.tensors, self.buffers[2].address)
        assert status == 0, status
        return time.perf_counter() - start


def fastest(calls, seconds):
    """The shortest call of each, in turn"""
    best = [1e9] * len(calls)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = [min(b, c.run(), c.run()) for b, c in zip(best, calls)]
    return best


def break_even(shares, ratios):
    """Where the ratio falls to 1: 0 if the first does; None if none does"""
    if ratios[0] <= 1:
        return 0.0
    for (s, r), (t, q) in zip(zip(shares, ratios), zip(shares[1:], ratios[1:])):
        if q <= 1:
            return s + (t - s) * (r - 1) / (r - q)
    return None


def measure(name, spec, seconds):
    with tempfile.TemporaryDirectory() as folder:
        model, dims = chain(*spec, 0)
        x = np.random.default_rng(2).standard_normal(dims).astype(np.float32)
        calls = [Call(folder, model, "dense", x), Call(folder, model, "direct", x, "--winograd=off")]
        calls += [Call(folder, chain(*spec, s)[0], f"s{round(100 * s)}", x, "--sparse=always") for s in SHARES]
        best = fastest(calls, seconds * len(calls))
    row = []
    for plain in best[:2]:
        ratios = [t / plain for t in best[2:]]
        row.append(break_even(SHARES, ratios))
    text = "  ".join(f"{t / best[0]:6.2f}" for t in best[2:])
    shown = ["over 70 %" if r is None else f"{100 * r:.0f} %" for r in row]
    print(f"{name:22} {best[0] * 1e3:8.3f} {best[1] * 1e3:8.3f}  {text}  {shown[0]:>10} {shown[1]:>10}", flush=True)
    return row


def gains(name, spec, seconds):
    for cpu in "native", "haswell":
        with tempfile.TemporaryDirectory() as folder:
            model, dims = chain(*spec, 0)
            x = np.random.default_rng(2).standard_normal(dims).astype(np.float32)
            calls = [Call(folder, model, "dense", x, "-mcpu=" + cpu, "--winograd=off")]
            for block, form in (1, "always"), (4, "packed"):
                calls += [Call(folder, chain(*spec, s, block)[0], f"{form}{round(100 * s)}", x, "-mcpu=" + cpu, "--sparse=" + form) for s in (0.8, 0.9)]
            best = fastest(calls, seconds * len(calls))
        print(f"{name:22} {cpu:8} {best[0] * 1e3:8.3f}  " + "  ".join(f"{best[0] / t:8.2f}" for t in best[1:]), flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=0.2, help="for each code of a chain")
    options.add_argument("--gains", action="store_true", help="at 80 and 90 %% zeros, of code and of packed blocks, with AVX2 alone too")
    options.add_argument("layers", nargs="*", default=list(LAYERS))
    options = options.parse_args()
    if options.gains:
        print(f"{'':31} {'dense ms':>8}  " + "  ".join(f"{form:>8}" for form in ("80 %", "90 %", "4x1 80 %", "4x1 90 %")))
        for name in options.layers:
            gains(name, LAYERS[name], options.seconds)
        return
    print(f"{'':22} {'dense ms':>8} {'direct':>8}  " + "  ".join(f"{100 * s:4.0f} %" for s in SHARES) +
          f"  {'break-even':>10} {'of direct':>10}")
    for name in options.layers:
        measure(name, LAYERS[name], options.seconds)


if __name__ == "__main__":
    main()
