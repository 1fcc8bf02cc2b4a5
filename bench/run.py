#!/usr/bin/python3
"""Times models compiled by mcc beside ONNX Runtime, in one process, run by run in turn.

    bench/run.py [--runs=N] [--threads=N] [--mcpu=native] MODEL[:INPUT=1x3x640x640] …

Prints for each model the minimum and the median of both in milliseconds, ONNX Runtime's minimum over ours, how far the
outputs are apart (relative L2), workspace and compile time. MCC names the compiler (default: build/mcc), ORT_LIB the peer's
library; without it only our times stand there."""
import argparse
import ctypes
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

import ort

MAX_RANK = 8
HOME = pathlib.Path(__file__).resolve().parent.parent
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("dtype", ctypes.c_int32),
                ("rank", ctypes.c_int32), ("dims", ctypes.c_int64 * MAX_RANK)]


class Info(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("dims", ctypes.c_int64 * MAX_RANK), ("max_dims", ctypes.c_int64 * MAX_RANK)]


RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Tensor), ctypes.POINTER(Tensor), ctypes.c_void_p)


class Model(ctypes.Structure):
    _fields_ = [("abi", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_char_p),
                ("build_id", ctypes.c_char_p), ("n_inputs", ctypes.c_int32), ("n_outputs", ctypes.c_int32),
                ("inputs", ctypes.POINTER(Info)), ("outputs", ctypes.POINTER(Info)),
                ("workspace_bytes", ctypes.c_size_t), ("workspace_align", ctypes.c_size_t), ("run", RUN)]


def aligned(size, align=2 << 20):
    """Zeroed bytes at a multiple of align, as an array."""
    raw = numpy.zeros(size + align, numpy.uint8)
    start = -raw.ctypes.data % align
    return raw[start:start + size]


class Compiled:
    def __init__(self, model, shape, options, folder):
        library = pathlib.Path(folder) / "model.so"
        command = [os.environ.get("MCC", str(HOME / "build" / "mcc")), str(model), "-o", str(library), "--emit=shared",
                   "--name=model", f"-mcpu={options.mcpu}", "-O3"] + (["--shape", shape] if shape else [])
        start = time.monotonic()
        subprocess.run(command, check=True)
        self.seconds = time.monotonic() - start
        self.library = ctypes.CDLL(str(library))
        self.model = Model.in_dll(self.library, "model_model")
        self.workspace = aligned(self.model.workspace_bytes)
        rng = numpy.random.default_rng(1)
        self.inputs = [self.random(rng, self.model.inputs[i]) for i in range(self.model.n_inputs)]
        self.outputs = [self.empty(self.model.outputs[i]) for i in range(self.model.n_outputs)]
        self.tensors = [(Tensor * max(len(a), 1))(*map(self.tensor, a)) for a in (self.inputs, self.outputs)]

    @staticmethod
    def dims(info):
        return [info.max_dims[i] if info.dims[i] < 0 else info.dims[i] for i in range(info.rank)]

    def random(self, rng, info):
        dims, dtype = self.dims(info), DTYPES[info.dtype]
        if dtype.startswith("float"):
            return rng.standard_normal(dims).astype(dtype)
        return rng.integers(0, 2, dims).astype(dtype)

    def empty(self, info):
        return numpy.zeros(self.dims(info), DTYPES[info.dtype])

    @staticmethod
    def tensor(array):
        number = {v: k for k, v in DTYPES.items()}[str(array.dtype)]
        return Tensor(array.ctypes.data, array.nbytes, number, array.ndim, (ctypes.c_int64 * MAX_RANK)(*array.shape))

    def run(self):
        status = self.model.run(self.tensors[0], self.tensors[1], self.workspace.ctypes.data)
        if status:
            raise RuntimeError(f"the model returned {status}")


def timed(call, clock):
    start = clock()
    call()
    return clock() - start


def distance(ours, theirs):
    want = theirs.astype(numpy.float64)
    return float(numpy.linalg.norm(ours - want) / (numpy.linalg.norm(want) or 1))


def bench(spec, options, library):
    path, _, shape = spec.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        ours = Compiled(path, shape, options, folder)
        peer, call, apart = None, None, 0.0
        ours.run()
        if library:
            peer = ort.Session(library, path, options.threads)
            call = peer.prepare(ours.inputs)
            library.check(call())
            apart = max((distance(a, b) for a, b in zip(ours.outputs, peer.take()) if a.dtype == numpy.float32), default=0)
        times = [[], []]
        clock = time.thread_time if options.cpu_time else time.perf_counter
        end = time.monotonic() + options.seconds
        while len(times[0]) < options.runs or (time.monotonic() < end and options.seconds):
            times[0].append(timed(ours.run, clock))
            if peer:
                times[1].append(timed(call, clock))
                peer.drop()
        report(pathlib.Path(path).stem, ours, times, apart)


def report(name, ours, times, apart):
    cells = [f"{min(t) * 1e3:9.3f} {statistics.median(t) * 1e3:9.3f}" if t else f"{'-':>9} {'-':>9}" for t in times]
    ratio = f"{min(times[1]) / min(times[0]):6.2f}" if times[1] else f"{'-':>6}"
    print(f"{name[:32]:32} {cells[0]} | {cells[1]} | {ratio}  {apart:8.1e} {ours.model.workspace_bytes / 2**20:8.1f} {ours.seconds:6.1f}",
          flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", metavar="MODEL[:INPUT=DIMS]")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0, help="go on for at least so long")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime")
    parser.add_argument("--cpu-time", action="store_true", help="the thread's own time, on a machine that others use too")
    parser.add_argument("--mcpu", default="native")
    options = parser.parse_args()
    path = ort.find_library()
    library = ort.Library(path) if path else None
    if not library:
        print("ONNX Runtime was not found (set ORT_LIB): our times alone", file=sys.stderr)
    print(f"{'':32} {'mcc: min':>9} {'median':>9} | {'ORT: min':>9} {'median':>9} | {'ratio':>6}  {'rel. L2':>8} {'ws MiB':>8} {'comp s':>6}")
    for spec in options.models:
        bench(spec, options, library)


if __name__ == "__main__":
    main()
