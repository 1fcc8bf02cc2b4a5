#!/usr/bin/python3
"""Times single layers of real networks: mcc beside ONNX Runtime, OpenBLAS and oneDNN, in parts of what the machine can do.

    bench/layers.py [FILE.txt …]      (default: all of bench/layers)

A line of a file is a convolution (in, out, kernel, stride, pad, group), a matrix product (m, k, n) or one of integers (gemm8), with constant weights, of which
`zeros` percent are 0 (as parts of the bound, which counts them all, such layers may pass 100 %). `alone` is a
model of that one node, whose object also turns the plain layout of its input and output into its own and back; `inside` is what
one more of the same, with other weights and its result added to the last, costs in a chain: no reorders, weights not warm.
oneDNN packs its weights and chooses its layouts before the clock starts; OpenBLAS packs in every call.
The bound is the peak of multiply-adds, or the time to read the weights from the level that holds them where that is longer."""
import argparse
import os
import pathlib
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

import ort
import report
import tools

FOLDER = tools.HOME / "bench" / "layers"
CHAIN = 5
DEFAULTS = {"stride": 1, "pad": 0, "group": 1}


class Layer:
    """One line: its sizes, its ONNX node, what it costs at least."""

    def __init__(self, line):
        self.kind, *words = line.split()
        values = dict(word.split("=") for word in words)
        self.zeros = int(values.pop("zeros", 0)) / 100
        self.label = line.partition(" ")[2].replace("kernel=", "k=").replace("stride=", "s=").replace("pad=", "p=").replace("group=", "g=")
        if self.kind == "conv":
            self.input = [1, *map(int, values.pop("in").split("x"))]
            self.sizes = {**DEFAULTS, **{k: int(v) for k, v in values.items()}}
            s = self.sizes
            self.weights = [s["out"], self.input[1] // s["group"], s["kernel"], s["kernel"]]
            self.output = [1, s["out"], *((d + 2 * s["pad"] - s["kernel"]) // s["stride"] + 1 for d in self.input[2:])]
            self.macs = int(numpy.prod(self.output) * numpy.prod(self.weights[1:]))
        elif self.kind in ("gemm", "gemm8"):
            m, k, n = (int(values[x]) for x in "mkn")
            self.input, self.weights, self.output, self.macs = [m, k], [k, n], [m, n], m * k * n
        else:
            raise ValueError(f"neither conv, gemm nor gemm8: {line}")

    def nodes(self, weights, result):
        """What makes `result` of x and the weights"""
        if self.kind == "gemm8":
            return [helper.make_node("DequantizeLinear", ["x", "step", "zero"], [result + "_x"]),
                    helper.make_node("DequantizeLinear", [weights, "step", "none"], [result + "_w"]),
                    helper.make_node("MatMul", [result + "_x", result + "_w"], [result + "_p"]),
                    *self.rounded(result + "_p", result)]
        if self.kind == "gemm":
            return [helper.make_node("MatMul", ["x", weights], [result])]
        s = self.sizes
        return [helper.make_node("Conv", ["x", weights], [result], kernel_shape=[s["kernel"]] * 2, strides=[s["stride"]] * 2,
                                 pads=[s["pad"]] * 4, group=s["group"])]

    @staticmethod
    def rounded(x, result):
        return [helper.make_node("QuantizeLinear", [x, "step", "zero"], [result + "_q"]),
                helper.make_node("DequantizeLinear", [result + "_q", "step", "zero"], [result])]

    def array(self, rng):
        if self.kind == "gemm8":
            return rng.integers(-127, 128, self.weights, numpy.int8)
        scale = numpy.float32(numpy.prod(self.weights[1:] if self.kind == "conv" else self.weights[:1]) ** -0.5)
        return rng.standard_normal(self.weights, dtype=numpy.float32) * scale * (rng.random(self.weights) >= self.zeros)

    def write(self, path, count):
        """A model of so many of these layers on one input, whose results are added up."""
        rng = numpy.random.default_rng(1)
        nodes, constants, last, whole = [], [], "", self.kind == "gemm8"
        for i in range(count):
            constants.append(numpy_helper.from_array(self.array(rng), f"w{i}"))
            nodes += self.nodes(f"w{i}", f"r{i}")
            if i:
                nodes.append(helper.make_node("Add", [f"r{i}", last], [f"s{i}"]))
                nodes += self.rounded(f"s{i}", f"t{i}") if whole else []
            last = nodes[-1].output[0]
        if whole:  # what leaves are the integers
            nodes.pop()
            numbers = {"step": numpy.float32(0.01), "zero": numpy.uint8(128), "none": numpy.int8(0)}
            constants += [numpy_helper.from_array(numpy.asarray(v), name) for name, v in numbers.items()]
        nodes[-1].output[0] = "y"
        kind = TensorProto.UINT8 if whole else TensorProto.FLOAT
        ends = [helper.make_tensor_value_info(name, kind, dims) for name, dims in (("x", self.input), ("y", self.output))]
        model = helper.make_model(helper.make_graph(nodes, "layer", ends[:1], ends[1:], constants),
                                  opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.save(model, path)

    def bound(self, limits):
        """Seconds that one call takes at least."""
        whole = self.kind == "gemm8"
        size = (1 if whole else 4) * int(numpy.prod(self.weights))
        levels = zip(["L1", "L2", "L3"], limits["caches"])
        level = next((name for name, cache in levels if size <= cache), "DRAM")
        return max(2e-9 * self.macs / tools.peak_of(limits, "int8" if whole else "f32"), 1e-9 * size / limits["gbytes"][level])

    def peers(self, seconds, limits):
        """{'openblas': seconds, 'onednn': seconds} of those that are there, with the widest vectors that count."""
        if self.kind == "gemm8":
            return {}  # what our tools for them time is f32
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        wide = "f32 512-bit" in limits["gflops"] and limits["vector_bits"] in (None, 512)
        if wide:  # Debian's OpenBLAS takes processors that it does not know for older ones
            environment["OPENBLAS_CORETYPE"] = "SKYLAKEX"
        elif "f32 256-bit" in limits["gflops"]:
            environment.update(OPENBLAS_CORETYPE="HASWELL", ONEDNN_MAX_CPU_ISA="AVX2")
        if self.kind == "conv":
            s = self.sizes
            sizes = [*self.input[1:], s["out"], s["kernel"], s["stride"], s["pad"], s["group"]]
        else:
            sizes = [*self.input, self.weights[1]]
        commands = {"onednn": ("dnnl", [self.kind, *sizes])}
        if self.kind == "gemm":
            commands["openblas"] = ("blas", sizes)
        found = {}
        for peer, (tool, arguments) in commands.items():
            try:
                found[peer] = 1e-6 * float(tools.call([tools.build_tool(tool), *arguments, seconds], env=environment))
            except tools.Failure:
                continue  # not installed, or it has no such layer
        return found


def bench_layer(layer, group, limits, seconds, mcpu):
    """One row: parts of the bound, alone and inside, of mcc and the peers."""
    bound = layer.bound(limits)
    row = {"group": group, "layer": layer.label, "macs": layer.macs}
    row.update({peer: bound / time for peer, time in layer.peers(seconds, limits).items()})
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, CHAIN):
            path = os.path.join(folder, "layer.onnx")
            layer.write(path, count)
            try:
                library = tools.Compiled(path, {}, folder, mcpu=mcpu).library
            except tools.Failure as failure:
                library, row["why"] = None, str(failure)
            if library or ort.find_library():
                measured = tools.time_model(path, library, {}, seconds=seconds)
                times[count] = {side: 1e-6 * measured[side]["min_us"] for side in ("mcc", "ort") if side in measured}
    for side in ("mcc", "ort"):
        if side in times.get(1, {}):
            alone, inside = times[1][side], (times[CHAIN][side] - times[1][side]) / (CHAIN - 1)
            row[side] = {"us": 1e6 * alone, "alone": bound / alone, "inside": bound / inside if inside > 0 else None}
    return row


def bench_files(files, limits, seconds, mcpu):
    """Rows of the layers in these files; one thread."""
    rows = []
    for path in files:
        group = path.stem if mcpu == "native" else f"{path.stem}, -mcpu={mcpu}"
        print(f"{group:48}" + report.LAYER_HEADINGS)
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                rows.append(bench_layer(Layer(line), group, limits, seconds, mcpu))
                print(report.layer_line(rows[-1]), flush=True)
    return rows


def bench_all(limits, options):
    """Rows of all layers, and where vectors of 512 bits are, of the products for a processor that has only half of that."""
    rows = bench_files(sorted(FOLDER.glob("*.txt")), limits, options.layer_seconds, options.mcpu)
    if "f32 512-bit" in limits["gflops"] and options.mcpu == "native":
        rows += bench_files([FOLDER / "products.txt"], {**limits, "vector_bits": 256}, options.layer_seconds, "haswell")
    return rows


def add_options(parser):
    parser.add_argument("--mcpu", default="native")
    parser.add_argument("--vector-bits", type=int, choices=(128, 256, 512),
                        help="the peak is that of such vectors (default: of the widest)")
    parser.add_argument("--layer-seconds", type=float, default=0.3, help="of timing for each form of a layer (default 0.3)")


def main():
    parser = argparse.ArgumentParser(description="times single layers")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    add_options(parser)
    options = parser.parse_args()
    limits = tools.measure_limits(1, options.vector_bits)
    print(report.limits_line(limits))
    if options.files:
        bench_files(options.files, limits, options.layer_seconds, options.mcpu)
    else:
        bench_all(limits, options)


if __name__ == "__main__":
    main()
