"""What the benchmarks share: building the C tools, compiling a model, timing it, and asking the machine for its limits."""
import json
import os
import pathlib
import re
import subprocess
import sys

import ort

HOME = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", HOME / "build")) / "bench"
MCC = os.environ.get("MCC", str(HOME / "build" / "mcc"))
FLAGS = ["-std=c11", "-D_GNU_SOURCE", f"-I{HOME}", f"-I{HOME}/include"]
SOURCES = {
    "limits": (["bench/limits.c"], ["-O3", "-march=native", "-mprefer-vector-width=512", "-pthread"]),
    "time": (["bench/time.c", "bench/peer.c", "runtime/parallel.c"], ["-O2", "-fopenmp", "-rdynamic", "-lm"]),
    "blas": (["bench/blas.c"], ["-O2", "-lm"]),
    "dnnl": (["bench/dnnl.c"], ["-O2", "-ldnnl", "-lm"]),
}


class Failure(Exception):
    """What a command said when it failed."""


def call(command, **more):
    """Standard output of a command; Failure with its last words where it fails."""
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    except OSError as error:
        raise Failure(str(error)) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Failure(re.sub(r"^.*?error: ", "", said[0]))
    return done.stdout


def build_tool(name):
    """The path of a C tool of this folder, built where it is older than its sources. limits is written for clang."""
    sources, flags = SOURCES[name]
    sources = [HOME / s for s in sources]
    tool = BUILD / name
    newest = max(f.stat().st_mtime for f in [*sources, *(HOME / "bench").glob("*.h")])
    if not tool.exists() or tool.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = "clang-19" if name == "limits" else "cc"
        part = tool.with_suffix(f".{os.getpid()}")
        call([compiler, *FLAGS, *sources, "-o", part, *flags])
        part.rename(tool)
    return tool


def measure_limits(threads, vector_bits=None):
    """{'gflops': {…}, 'gbytes': {…}, 'caches': […]} of so many threads."""
    return {**json.loads(call([build_tool("limits"), threads])), "vector_bits": vector_bits}


def peak_of(limits, kind="f32"):
    """The most GFLOP/s in f32 (GOP/s in int8): of the machine, or of the vectors that limits["vector_bits"] names."""
    bits = limits.get("vector_bits")
    return max((v for k, v in limits["gflops"].items() if k.startswith(f"{kind} {bits}-" if bits else kind)), default=None)


def can_thread():
    return "openmp" in call([MCC, "--help"])


# Run by a Python of its own: what a child took at most includes what its parent held when it forked.
MEASURE = """import json, resource, subprocess, sys, time
start = time.monotonic()
done = subprocess.run(sys.argv[1:], stderr=subprocess.PIPE)
seconds = time.monotonic() - start
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
print(json.dumps([seconds, memory, done.stderr.decode(errors="replace"), done.returncode == 0]))"""


def measured_call(command):
    """Runs a command; (seconds, bytes of memory at most, standard error, whether it went well)."""
    return json.loads(call([sys.executable, "-S", "-c", MEASURE, *command]))


class Compiled:
    """A model as mcc compiles it: the shared object, and what making it took."""

    def __init__(self, path, shapes, folder, threads=1, mcpu="native", options=()):
        stem = pathlib.Path(folder) / "model"
        command = [MCC, str(path), "-o", f"{stem}.o", "--name=model", f"-mcpu={mcpu}", "-O3", "-v", *options]
        command += [f"--shape={name}={'x'.join(map(str, dims))}" for name, dims in shapes.items()]
        command += ["--threads=openmp"] if threads > 1 else []
        self.seconds, self.memory, said, fine = measured_call(command)
        if not fine:
            raise Failure(refusal(said))
        bound = re.search(r"lower bound (\d+)", said)
        self.workspace_bound = int(bound[1]) if bound else None
        self.object_bytes = os.path.getsize(f"{stem}.o")
        self.library = f"{stem}.so"
        call(["cc", "-shared", f"{stem}.o", "-o", self.library])
        os.unlink(f"{stem}.o")


def refusal(said):
    """Why mcc did not compile a model, from its first error: the operator, or the sentence."""
    errors = [line.partition("error: ")[2] for line in said.splitlines() if "error: " in line]
    if not errors:
        return said.strip().splitlines()[-1] if said.strip() else "mcc ended without a word"
    text = re.sub(r"^node '[^']*'( \([^)]*\))?: ", "", errors[0])
    return text.partition(";")[0]


def graph_listing(path, shapes):
    """mcc's own print of the graph before any pass; '' where it refuses the model."""
    command = [MCC, "--emit=graph", "--stop-after-pass=0", "-o", "-", path]
    command += [f"--shape={name}={'x'.join(map(str, dims))}" for name, dims in shapes.items()]
    try:
        return call(command)
    except Failure:
        return ""


def time_model(path, library, shapes, threads=1, seconds=2.0, cpu_time=False):
    """What bench/time.c prints: {'mcc': …, 'ort': …, 'apart': …, 'workspace': …, 'load_s': …}."""
    command = [build_tool("time"), f"--threads={threads}", f"--seconds={seconds}"]
    command += ["--cpu-time"] if cpu_time else []
    command += [f"--lib={library}"] if library else []
    command += [f"--shape={name}={'x'.join(map(str, dims))}" for name, dims in shapes.items()]
    theirs = ort.find_library()
    command += [f"--ort={theirs}", f"--onnx={path}"] if theirs else []
    return json.loads(call(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}))


def read_shape(text):
    """('x', [1, 3, 224, 224]) of x=1x3x224x224."""
    name, _, dims = text.rpartition("=")
    return name, [int(d) for d in dims.split("x") if d]
