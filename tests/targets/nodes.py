"""ONNX's node tests on other processors: a sample of them compiled for this machine, 32-bit Arm and RISC-V, run here and under
qemu on the tests' inputs. Integers have the same bits; floats are within 4 units in the last place, or, as sums differ by
the order of what is added, within 2^-20 of the largest number of the result. What compiles here compiles there, and asks for nothing but
memcpy, memmove and memset.
$MCC_TEST_SAMPLE of them (40), or all with MCC_TEST_ALL=1, and aarch64 and RISC-V's vectors with them then."""
import concurrent.futures
import glob
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import numpy as np
import onnx
from onnx import numpy_helper
import onnxtests

SOURCE, MCC = os.environ["SOURCE"], os.environ["MCC"]
EVERYTHING = bool(os.environ.get("MCC_TEST_ALL"))
TARGETS = {  # name: options of mcc, compiler, emulator
    "x86": ([], ["cc"], []),
    "armv7": (["--target=arm-linux-gnueabihf"], ["arm-linux-gnueabihf-gcc", "-static"], ["qemu-arm"]),
    "riscv64": (["--target=riscv64-linux-gnu"], ["riscv64-linux-gnu-gcc", "-static"], ["qemu-riscv64"]),
}
if EVERYTHING:
    TARGETS["aarch64"] = (["--target=aarch64-linux-gnu"], ["aarch64-linux-gnu-gcc", "-static"], ["qemu-aarch64"])
    TARGETS["riscv64 v"] = (["--target=riscv64-linux-gnu", "-mcpu=rv64gcv"], ["riscv64-linux-gnu-gcc", "-static"],
                            ["qemu-riscv64", "-cpu", "rv64,v=true,vlen=128"])
FORMATS = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "u1", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}


def inputs_of(path):
    """The runner's standard input for the test's first data set; None: a type that this does not know, or no tensor."""
    graph = onnx.load(os.path.join(path, "model.onnx")).graph
    files = glob.glob(os.path.join(path, "test_data_set_0", "input_*.pb"))
    constants = {t.name for t in graph.initializer}
    given = [v for v in graph.input if v.name not in constants]
    if len(given) != len(files) or any(not v.type.HasField("tensor_type") for v in given):
        return None
    out = b""
    for i in range(len(files)):
        proto = onnx.TensorProto()
        with open(os.path.join(path, "test_data_set_0", "input_%d.pb" % i), "rb") as f:
            proto.ParseFromString(f.read())
        if proto.data_type not in FORMATS:
            return None
        data = numpy_helper.to_array(proto).astype("<" + FORMATS[proto.data_type]).tobytes()
        out += struct.pack("<%dq" % (len(proto.dims) + 2), len(proto.dims), *proto.dims, len(data)) + data
    return out


def compile_all(options, paths, folder):
    """Objects of the tests, by their place; the reason where there is none."""
    def one(i):
        done = subprocess.run([MCC, *options, "-O1", os.path.join(paths[i], "model.onnx"), "-o", os.path.join(folder, "n%d.o" % i)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return None if done.returncode == 0 else done.stdout
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(len(paths))))


def undefined(objects):
    """What objects ask for beyond what they may."""
    done = subprocess.run(["llvm-nm-19", "-u", "-j", *objects], stdout=subprocess.PIPE, text=True, check=True)
    names = {line for line in done.stdout.split() if not line.endswith(":")}
    return {n for n in names if not re.fullmatch("mem(cpy|move|set)|__aeabi_mem.*|_GLOBAL_OFFSET_TABLE_", n)}


def run_all(target, paths, stdin, wanted):
    """{place: (status, outputs)} of those wanted; with the reasons of those that do not compile."""
    options, compiler, emulator = TARGETS[target]
    with tempfile.TemporaryDirectory() as folder:
        why = compile_all(options, paths, folder)
        made = [i for i in range(len(paths)) if why[i] is None and i in wanted]
        with open(os.path.join(folder, "models.inc"), "w") as f:
            f.writelines("MODEL(n%d_model)\n" % i for i in made)
        open_symbols = undefined([os.path.join(folder, "n%d.o" % i) for i in made])
        assert not open_symbols, "%s: undefined %s" % (target, ", ".join(sorted(open_symbols)))
        program = os.path.join(folder, "runner")
        subprocess.run([*compiler, "-std=c11", "-I", folder, "-I", os.path.join(SOURCE, "include"),
                        os.path.join(SOURCE, "tests", "targets", "node_runner.c"),
                        *(os.path.join(folder, "n%d.o" % i) for i in made), "-o", program], check=True)
        done = [subprocess.run([*emulator, program, str(at)], input=stdin[i], capture_output=True) for at, i in enumerate(made)]
    return {i: outputs_of(run) for i, run in zip(made, done)}, why


def outputs_of(run):
    """(status, [(dtype, dims, bytes)]); a status of its own for a program that did not end well"""
    if run.returncode:
        return "exit %d" % run.returncode, []
    data, at, outputs = run.stdout, 8, []
    while at < len(data):
        dtype, rank = struct.unpack_from("<2q", data, at)
        dims = struct.unpack_from("<%dq" % rank, data, at + 16)
        at += 16 + 8 * rank
        size = struct.unpack_from("<q", data, at)[0]
        outputs.append((dtype, dims, data[at + 8:at + 8 + size]))
        at += 8 + size
    return struct.unpack_from("<q", data)[0], outputs


def differs(got, want):
    """What is wrong with an output; None: nothing."""
    if got[:2] != want[:2]:
        return "type or dims %s, want %s" % (got[:2], want[:2])
    kind, count = np.dtype("<" + FORMATS[want[0]]), int(np.prod(want[1], dtype=np.int64))
    g, w = (np.frombuffer(x[2], kind, count) for x in (got, want))
    if kind.kind != "f":
        return None if np.array_equal(g, w) else "integers differ in %d of %d" % (np.count_nonzero(g != w), count)
    with np.errstate(all="ignore"):
        near = 4 * np.spacing(np.abs(w).astype(kind)).astype(np.float64)
        finite = np.abs(w[np.isfinite(w)].astype(np.float64))
        near = np.maximum(near, (finite.max() if finite.size else 0) * 2.0 ** (-20 if kind.itemsize > 2 else -9))
        good = (g == w) | (np.isnan(g) & np.isnan(w)) | (np.abs(g.astype(np.float64) - w) <= near)
    if good.all():
        return None
    at = int(np.argmin(good))
    return "%d of %d floats, first at %d: %r, want %r" % (np.count_nonzero(~good), count, at, g[at], w[at])


def main():
    for name in ("arm-linux-gnueabihf-gcc", "riscv64-linux-gnu-gcc", "qemu-arm", "qemu-riscv64", "llvm-nm-19"):
        if not shutil.which(name):
            print("no", name)
            return 77
    paths = [p for p in onnxtests.tests(EVERYTHING, 40) if os.path.isdir(os.path.join(p, "test_data_set_0"))]
    stdin = {i: inputs_of(p) for i, p in enumerate(paths)}
    paths, stdin = zip(*((paths[i], s) for i, s in stdin.items() if s is not None)) if any(stdin.values()) else ((), ())
    if not paths:
        print("ONNX's tests are not here")
        return 77
    here, _ = run_all("x86", paths, stdin, range(len(paths)))
    here = {i: r for i, r in here.items() if all(o[0] in FORMATS for o in r[1])}
    failures = 0
    for target in list(TARGETS)[1:]:
        there, why = run_all(target, paths, stdin, here)
        for i, want in here.items():
            wrong = why[i]
            if not wrong and there[i][0] != want[0]:
                wrong = "status %s, want %s" % (there[i][0], want[0])
            for k in range(len(want[1])) if not wrong else ():
                wrong = wrong or differs(there[i][1][k], want[1][k])
            if wrong:
                failures += 1
                print("%s: %s: %s" % (target, os.path.basename(paths[i]), wrong))
        print("%s: %d tests as here" % (target, len(here)) if not failures else "%d failures so far" % failures)
    return failures != 0


sys.exit(main())
