"""Models compiled for several processors, linked into a program for each and run here or under qemu on given inputs; their outputs compared."""
import concurrent.futures
import os
import re
import struct
import subprocess
import tempfile
import numpy as np

SOURCE, MCC = os.environ["SOURCE"], os.environ["MCC"]
AARCH64 = ["--target=aarch64-linux-gnu"], ["aarch64-linux-gnu-gcc", "-static"], ["qemu-aarch64"]


def sve(cpu, bits):
    options, compiler, emulator = AARCH64
    return [*options, "-mcpu=" + cpu], compiler, [*emulator, "-cpu", "max,sve%d=on,sve-max-vq=%d" % (bits, bits // 128)]


def aarch64(cpu):
    options, compiler, emulator = AARCH64
    return [*options, *cpu.split()], compiler, [*emulator, "-cpu", "max"]


def riscv(bits):
    """The same objects on vectors of so many bits."""
    return (["--target=riscv64-linux-gnu", "-mcpu=rv64gcv"], ["riscv64-linux-gnu-gcc", "-static"], ["qemu-riscv64", "-cpu", "rv64,v=true,vlen=%d" % bits])


TARGETS = {  # name: options of mcc, compiler, emulator
    "x86": ([], ["cc"], []),
    "armv7": (["--target=arm-linux-gnueabihf"], ["arm-linux-gnueabihf-gcc", "-static"], ["qemu-arm"]),
    "riscv64": (["--target=riscv64-linux-gnu"], ["riscv64-linux-gnu-gcc", "-static"], ["qemu-riscv64"]),
    "riscv64 v": riscv(128),
    "riscv64 v256": riscv(256),
    "aarch64": AARCH64,
    "cortex-a76": aarch64("-mcpu=cortex-a76"),
    "neoverse-v2": aarch64("-mcpu=neoverse-v2"),
    "neoverse-v1": sve("neoverse-v1", 256),
    "a64fx": sve("a64fx", 512),
}
TOOLS = ("arm-linux-gnueabihf-gcc", "riscv64-linux-gnu-gcc", "aarch64-linux-gnu-gcc", "qemu-arm", "qemu-riscv64", "qemu-aarch64", "llvm-nm-19")
FORMATS = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "u1", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}


def packed_input(dims, data):
    """An input of the runner: its data as bytes."""
    return struct.pack("<%dq" % (len(dims) + 2), len(dims), *dims, len(data)) + data


def compile_all(target, models, folder, level):
    """Objects of the models (a path, or a list of it and options), n0.o, n1.o, …; the reason for each where there is none."""
    def one(i):
        model = models[i] if isinstance(models[i], list) else [models[i]]
        done = subprocess.run([MCC, *TARGETS[target][0], level, *model, "-o", os.path.join(folder, "n%d.o" % i)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return None if done.returncode == 0 else done.stdout
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(len(models))))


def undefined(objects):
    """What objects ask for beyond what they may."""
    done = subprocess.run(["llvm-nm-19", "-u", "-j", *objects], stdout=subprocess.PIPE, text=True, check=True)
    names = {line for line in done.stdout.split() if not line.endswith(":")}
    return {n for n in names if not re.fullmatch("mem(cpy|move|set)|__aeabi_mem.*|_GLOBAL_OFFSET_TABLE_", n)}


def link(target, objects, program):
    """The runner with these objects, whose names are n0.o, n1.o, …"""
    folder = os.path.dirname(program)
    with open(os.path.join(folder, "models.inc"), "w") as f:
        f.writelines("MODEL(%s_model)\n" % os.path.basename(o)[:-2] for o in objects)
    subprocess.run([*TARGETS[target][1], "-std=c11", "-I", folder, "-I", os.path.join(SOURCE, "include"),
                    os.path.join(SOURCE, "tests", "lib", "object_runner.c"), *objects, "-o", program], check=True)


def run_all(target, models, stdin, wanted, level="-O1"):
    """{place: (status, outputs)} of those wanted, by their place in `models`; with the reasons of those that do not compile."""
    with tempfile.TemporaryDirectory() as folder:
        why = compile_all(target, models, folder, level)
        made = [i for i in range(len(models)) if why[i] is None and i in wanted]
        objects = [os.path.join(folder, "n%d.o" % i) for i in made]
        open_symbols = undefined(objects)
        assert not open_symbols, "%s: undefined %s" % (target, ", ".join(sorted(open_symbols)))
        program = os.path.join(folder, "runner")
        link(target, objects, program)
        done = [subprocess.run([*TARGETS[target][2], program, str(at)], input=stdin[i], capture_output=True) for at, i in enumerate(made)]
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


def differs(got, want, ulps=4, of_largest=None):
    """What is wrong with an output; None: nothing. Integers have the same bits; floats are within `ulps` units in the last place, or within
    `of_largest` (2^-20, of 16 bits 2^-9) of the largest number of the result."""
    if got[:2] != want[:2]:
        return "type or dims %s, want %s" % (got[:2], want[:2])
    kind, count = np.dtype("<" + FORMATS[want[0]]), int(np.prod(want[1], dtype=np.int64))
    g, w = (np.frombuffer(x[2], kind, count) for x in (got, want))
    if kind.kind != "f":
        return None if np.array_equal(g, w) else "integers differ in %d of %d" % (np.count_nonzero(g != w), count)
    if of_largest is None:
        of_largest = 2.0 ** (-20 if kind.itemsize > 2 else -9)
    with np.errstate(all="ignore"):
        near = ulps * np.spacing(np.abs(w).astype(kind)).astype(np.float64)
        finite = np.abs(w[np.isfinite(w)].astype(np.float64))
        near = np.maximum(near, np.finfo(kind).tiny if kind.itemsize > 2 else 0)  # subnormal numbers may be flushed
        near = np.maximum(near, (finite.max() if finite.size else 0) * of_largest)
        good = (g == w) | (np.isnan(g) & np.isnan(w)) | (np.abs(g.astype(np.float64) - w) <= near)
    if good.all():
        return None
    at = int(np.argmin(good))
    return "%d of %d floats, first at %d: %r, want %r" % (np.count_nonzero(~good), count, at, g[at], w[at])


def compare_all(names, models, stdin, targets, tolerance=lambda i: {}, level="-O1"):
    """Runs all here and on each target, prints what differs by name; the number of failures."""
    here, _ = run_all("x86", models, stdin, range(len(models)), level)
    here = {i: r for i, r in here.items() if all(o[0] in FORMATS for o in r[1])}
    failures = 0
    for target in targets:
        there, why = run_all(target, models, stdin, here, level)
        before = failures
        for i, want in here.items():
            wrong = why[i]
            if not wrong and there[i][0] != want[0]:
                wrong = "status %s, want %s" % (there[i][0], want[0])
            for k in range(len(want[1])) if not wrong else ():
                wrong = wrong or differs(there[i][1][k], want[1][k], **tolerance(i))
            if wrong:
                failures += 1
                print("%s: %s: %s" % (target, names[i], wrong))
        print("%s: %d of %d as here" % (target, len(here) - failures + before, len(here)))
    return failures, len(here)
