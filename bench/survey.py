#!/usr/bin/python3
"""Tries mcc on a folder of ONNX models that nobody has prepared, and prints a table.

    bench/survey.py [--do=STAGES] [--write=TABLE.md] FOLDER|MODEL …

For each model, as far as --do asks for it (default: all but the last two):
  f32     compiles it, runs it between unreadable pages and compares with ONNX Runtime: relative L2 distance, processor seconds and MiB of compiling
  open    the same with its open dims left open, at two sizes
  forms   int8 (with four random samples), dynamic, w8, w4, f16, -Os: decibels of the signal over the distance to ONNX Runtime's float32 outputs
  int8    times the int8 form beside ONNX Runtime on what --emit=onnx wrote of it
  prune   80 % of the weights 0: still compiles, runs, and gives numbers
  targets compiles for other processors
  time    ONNX Runtime's time over ours on one thread; time2: on two

Open dims are 1 in front and 32 elsewhere, unless MODEL.shapes beside MODEL.onnx names inputs, one a line: x=1x3x224x224. Inputs are
seeded normal values, integers 0 or 1; or uniform ones, where the line goes on with 0:255. A cell is a number, or the first error. ORT_LIB and MCC as for bench/run.py."""
import argparse
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx

import ort
import tools

sys.path.insert(0, str(tools.HOME / "tests" / "lib"))
from model import Model  # found through the line above

TARGETS = {"a64": ["--target=aarch64-linux-gnu"], "m4": ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4"],
           "rv": ["--target=riscv64-linux-gnu"]}
FORMS = {"int8": ["--quantize=int8"], "dyn": ["--quantize=dynamic"], "w8": ["--quantize=w8"], "w4": ["--quantize=w4"],
         "f16": ["--quantize=f16"], "Os": ["-Os"]}
STAGES = ["f32", "open", "forms", "int8", "prune", "targets", "time", "time2"]
LIMIT = 600
TOLERANCE = 1e-4


def read_listed(path):
    """Dims and ranges of inputs by name; none where there is no such file."""
    dims, ranges = {}, {}
    for words in map(str.split, path.read_text().splitlines() if path.exists() else ()):
        name, shape = tools.read_shape(words[0])
        dims[name] = shape
        if len(words) > 1:
            ranges[name] = tuple(map(float, words[1].split(":")))
    return dims, ranges


class Subject:
    """One model: its inputs, the dims they take, and what ONNX Runtime makes of them."""

    def __init__(self, path, folder, seconds):
        self.path, self.folder, self.seconds = path, pathlib.Path(folder), seconds
        graph = onnx.load(path, load_external_data=False).graph
        constants = {t.name for t in graph.initializer}
        listed, self.ranges = read_listed(path.with_suffix(".shapes"))
        self.inputs, self.open = {}, {}
        for value in graph.input:
            if value.name in constants:
                continue
            dims = []
            for axis, d in enumerate(value.type.tensor_type.shape.dim):
                known = d.HasField("dim_value") and d.dim_value > 0
                size = listed[value.name][axis] if value.name in listed else d.dim_value if known else 32 if axis else 1
                dims.append(size)
                if not known:
                    self.open[d.dim_param or f"{value.name}.{axis}"] = size
            self.inputs[value.name] = dims
        self.shapes = [f"--shape={name}={'x'.join(map(str, dims))}" for name, dims in self.inputs.items() if dims]
        self.session = ort.Session(ort.Library(ort.find_library()), path)
        self.names = [n.decode() for n in self.session.inputs]
        self.dtypes = [dtype for dtype, _ in self.session.input_types()]

    def feed(self, seed, scale=1):
        """Arrays in the session's order; scale divides the open dims."""
        rng = np.random.default_rng(seed)
        arrays = []
        for name, dtype, (_, kinds) in zip(self.names, self.dtypes, self.session.input_types()):
            dims = [max(1, d // scale) if kind < 1 else d for d, kind in zip(self.inputs[name], kinds)]
            if name in self.ranges:
                values = rng.uniform(*self.ranges[name], dims)
            else:
                values = rng.standard_normal(dims) if dtype.kind == "f" else rng.integers(0, 2, dims)
            arrays.append(np.asarray(values).astype(dtype))
        return arrays

    def want(self, arrays):
        return self.session.run(arrays)

    def judge(self, model, feeds):
        """How far a model is from ONNX Runtime on inputs that this one takes. What picks among near numbers moves by rounding alone: it may be
        as far as ONNX Runtime is from itself, operator by operator."""
        worst, bound = 0.0, TOLERANCE
        for arrays in feeds:
            try:
                want = self.session.run(arrays)
            except RuntimeError:
                continue
            apart = distance(model.check(ordered(self, model, arrays)), want)
            if apart > bound:
                plain = ort.Session(self.session.lib, self.path, optimise=False).run(arrays)
                bound = max(bound, 4 * distance(plain, want))
            worst = max(worst, apart)
        return f"{'' if worst <= bound else 'WRONG '}{worst:.0e}"

    def compile(self, name, options):
        """(Model, processor seconds, MiB, bytes of the library)"""
        stem = re.sub(r"\W", "_", name)
        library = self.folder / f"{stem}.so"
        seconds, memory = mcc([self.path, "-o", library, "--emit=shared", "-mcpu=native", f"--name={stem}", *options])
        return Model(str(library), stem), seconds, memory, library.stat().st_size

    def samples(self):
        """A folder of four .npz files for --calibrate."""
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        for seed in range(4):
            np.savez(folder / f"{seed}.npz", **{n.replace("/", "_"): a for n, a in zip(self.names, self.feed(seed))})
        return folder


MEASURE = """import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.stderr.buffer.write(done.stderr)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(done.returncode < 0 and 100 - done.returncode or done.returncode)"""


def mcc(arguments):
    """Runs mcc; (processor seconds, MiB). Failure with its first error."""
    command = [sys.executable, "-S", "-c", MEASURE, tools.MCC, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired as late:
        raise tools.Failure(f"mcc took more than {LIMIT} s") from late
    if done.returncode > 100:
        raise tools.Failure(f"CRASH: signal {done.returncode - 100}")
    if done.returncode:
        raise tools.Failure(("BUG: " if done.returncode == 3 else "") + tools.refusal(done.stderr))
    return tuple(map(float, done.stdout.split()))


def distance(got, want):
    """The largest relative L2 distance of any output; Failure where dims differ or one has other infinities."""
    worst = 0.0
    for i, (x, y) in enumerate(zip(got, want)):
        if x.shape != y.shape:
            raise tools.Failure(f"WRONG: output {i} has dims {x.shape}, want {y.shape}")
        x, y = x.astype(np.float64), y.astype(np.float64)
        if not np.array_equal(np.isfinite(x), np.isfinite(y)):
            raise tools.Failure(f"WRONG: output {i} is finite elsewhere")
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        worst = max(worst, float(np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-30)))
    return worst


def decibels(apart):
    return f"{-20 * np.log10(max(apart, 1e-10)):.0f}"


def ordered(subject, model, arrays):
    """The model's inputs may be fewer than the session's, or in another order."""
    by_name = dict(zip(subject.names, arrays))
    return [by_name[i.name.decode()] for i in model.inputs]


def try_f32(subject, row):
    model, row["sec"], row["MiB"], row["bytes"] = subject.compile("f32", subject.shapes)
    row["f32"] = subject.judge(model, [subject.feed(seed) for seed in (1, 2)])


def try_open(subject, row):
    if not subject.open:
        row["open"] = "–"
        return
    model, row["open s"], _, _ = subject.compile("open", [f"--max-dim={n}={size}" for n, size in subject.open.items()])
    row["open"] = subject.judge(model, [subject.feed(scale, scale) for scale in (1, 2, 3)])


def try_form(name):
    def run(subject, row):
        options = [*subject.shapes, *FORMS[name]] + ([f"--calibrate={subject.samples()}"] if name == "int8" else [])
        model, row[f"{name} s"], _, row[f"{name} bytes"] = subject.compile(name, options)
        arrays = subject.feed(0)
        row[name] = decibels(distance(model.check(ordered(subject, model, arrays)), subject.want(arrays)))
    return run


def try_int8_time(subject, row):
    written = subject.folder / "int8.onnx"
    options = ["--quantize=int8", f"--calibrate={subject.samples()}", *subject.shapes]
    mcc([subject.path, "-o", written, "--emit=onnx", *options])
    compiled = tools.Compiled(written, {}, subject.folder)
    shapes = {n: d for n, d in subject.inputs.items() if d}
    times = tools.time_model(written, compiled.library, shapes, 1, subject.seconds, True)
    row["int8×"] = ratio(times)
    row["int8 apart"] = times.get("apart")


def ratio(times):
    ours, theirs = times["mcc"]["min_us"], times["ort"]["min_us"]
    return f"{theirs / ours:.2f}"


def try_time(threads):
    def run(subject, row):
        shapes = {n: d for n, d in subject.inputs.items() if d}
        compiled = tools.Compiled(subject.path, shapes, subject.folder, threads)
        times = tools.time_model(subject.path, compiled.library, shapes, threads, subject.seconds, threads == 1)
        row[f"×{threads}"] = ratio(times)
        row[f"µs{threads}"] = f"{times['mcc']['min_us']:.4g}"
    return run


def try_prune(subject, row):
    model, row["prune s"], _, _ = subject.compile("pruned", [*subject.shapes, "--prune=0.8"])
    for output in model.check(ordered(subject, model, subject.feed(0))):
        if output.dtype.kind == "f" and not np.isfinite(output.astype(np.float64)).any():
            raise tools.Failure("WRONG: no number is finite")
    row["prune"] = "ok"


def try_target(name):
    def run(subject, row):
        seconds, _ = mcc([subject.path, "-o", subject.folder / "t.o", *TARGETS[name], *subject.shapes])
        row[name] = f"{seconds:.1f}s"
    return run


def steps_of(stages):
    steps = []
    for stage in stages:
        steps += {"f32": [("f32", try_f32)], "open": [("open", try_open)], "forms": [(n, try_form(n)) for n in FORMS],
                  "int8": [("int8×", try_int8_time)], "prune": [("prune", try_prune)],
                  "targets": [(n, try_target(n)) for n in TARGETS],
                  "time": [("×1", try_time(1))], "time2": [("×2", try_time(2))]}[stage]
    return steps


def survey_model(path, stages, seconds, pipe):
    """In a process of its own: compiled code may crash."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subject = Subject(path, folder, seconds)
        except Exception as error:  # whatever ONNX Runtime or the reader says
            pipe.send(("f32", {"f32": f"ORT: {error}"}))
            return
        for column, step in steps_of(stages):
            row = {}
            pipe.send((column, {column: "CRASH"}))
            try:
                step(subject, row)
            except (tools.Failure, RuntimeError, AssertionError, OSError, KeyError) as error:
                row[column] = str(error) or repr(error)
            pipe.send((column, row))


def survey(path, stages, seconds):
    here, there = multiprocessing.Pipe()
    child = multiprocessing.Process(target=survey_model, args=(path, stages, seconds, there))
    child.start()
    there.close()
    row = {"model": path.stem}
    while True:
        try:
            row.update(here.recv()[1])
        except EOFError:
            break
    child.join()
    return row


def line_of(row):
    return "| " + " | ".join(f"{k} {v:.3g}" if isinstance(v, float) else v if k == "model" else f"{k} {v}"
                             for k, v in row.items() if not k.endswith("bytes")) + " |"


def main():
    parser = argparse.ArgumentParser(description="tries mcc on models that nobody has prepared")
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="FOLDER|MODEL")
    parser.add_argument("--do", default=",".join(STAGES[:-2]), help="of " + ",".join(STAGES))
    parser.add_argument("--seconds", type=float, default=1, help="of each timing (default 1)")
    parser.add_argument("--write", type=pathlib.Path, metavar="TABLE.md", help="lines are appended to it")
    options = parser.parse_args()
    stages = options.do.split(",")
    if not set(stages) <= set(STAGES):
        parser.error("--do takes some of " + ",".join(STAGES))
    if not ort.find_library():
        sys.exit("ONNX Runtime was not found (set ORT_LIB)")
    for path in (p for m in options.models for p in (sorted(m.glob("*.onnx")) if m.is_dir() else [m.with_suffix(".onnx")])):
        line = line_of(survey(path, stages, options.seconds))
        print(line, flush=True)
        if options.write:
            with options.write.open("a") as table:
                table.write(line + "\n")


if __name__ == "__main__":
    main()
