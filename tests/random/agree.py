"""Random graphs: what mcc makes of them agrees with ONNX Runtime, with its own reference kernels, and of some of them with another
processor's code, and bit for bit with code in threads; at every size of their open dims, every buffer between unreadable pages, over a workspace of
0x00 and of 0xFF. A failure prints its seed and the smallest graph found that fails in the same way. At the end stands how many graphs each operator
was in, and what ONNX Runtime refused.

usage: agree.py [SEED…]     MCC_TEST_GRAPHS=2000: as many (default 40; 400 under MCC_TEST_ALL); MCC_TEST_START: the first seed;
MCC_TEST_THEMES=flow,broad: of these alone; MCC_TEST_FEW: the fused code alone, of one in 64 the unfused; MCC_TEST_NO_SHRINK: failures as they are drawn;
MCC_TEST_NO_CODE: what the passes make of them runs on the reference kernels, which takes a tenth of the time.
Without ONNX Runtime the others are compared with each other, and a line says so."""
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
import numpy as np
import onnx
from onnx import helper
import model as compiled
import peer
import randomgraph
from randomgraph import shrink
from randomgraph.maker import NUMBER, NUMPY, all_nodes, is_float

MCC, CHUNK = os.environ["MCC"], 20
THREADS = "3"
COMPILED = not os.environ.get("MCC_TEST_NO_CODE")
EVALUATED = {"reference": 0} if COMPILED else {"passes": 2, "reference": 0}


def ort_path():
    return os.environ.get("ORT_LIB") or peer.npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")


class Case:
    """A model with what it takes to run it. bounds: --max-dim of its symbols; errors: {value: what two evaluations may be apart}"""

    def __init__(self, seed, model, feeds, bounds, errors):
        self.seed, self.model, self.feeds, self.bounds, self.errors = seed, model, feeds, bounds, errors
        self.variants = variants_of(seed)

    def of(self, model, feeds, bounds):
        return Case(self.seed, model, feeds, bounds, self.errors)


def variants_of(seed):
    """(name, flags): the first is held against all others, 'threads' bit for bit"""
    if not COMPILED:
        return []
    dice = random.Random(seed)
    best = ["-mcpu=native", "-O" + dice.choice("2222223s")]
    if dice.random() < 0.25:
        best.append("--winograd=" + dice.choice(["f2", "f4", "off"]))
    found, kind = [("fused", best)], seed % 8
    if os.environ.get("MCC_TEST_FEW"):
        return found + ([("unfused", ["-mcpu=native", "-O0"])] if seed % 64 == 3 else [])
    if kind in (1, 4, 6):
        found.append(("threads", best + ["--threads=openmp", "--cut-kernels"]))
    if kind == 3:
        found.append(("unfused", ["-mcpu=native", "-O0"]))
    if kind in (2, 7):
        found.append(("other", [dice.choice(["-O2", "-O2", "-O1"]), "-mcpu=" + dice.choice(["x86-64", "x86-64-v2", "x86-64-v3"])]))
    return found


def case_of(seed):
    m = randomgraph.draw(seed)
    used = {d for v in m.inputs for d in v.dims}
    bounds = {name: max(sizes) for name, sizes in m.symbols.items() if tuple(sizes) in used}
    if m.bound:  # dims that the data decides
        bounds["*"] = max(m.bound, 1)
    return Case(seed, m.model(m.outputs), [m.feed(k) for k in range(m.runs)], bounds, {v.name: v.err for v in m.values.values()}), m


# ---- compiling ----
def compile_case(case, folder):
    """Objects in the folder, {variant: "" or why there is none}"""
    path = f"{folder}/g{case.seed}.onnx"
    onnx.save(case.model, path)
    outcome = {}
    bounds = [f"--max-dim={k}={n}" for k, n in case.bounds.items()]
    for name, flags in case.variants:
        stem = f"g{case.seed}{name}"
        command = [MCC, path, "-o", f"{folder}/{stem}.o", *flags, *bounds, "--max-trip=16"]
        try:
            p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
            outcome[name] = "" if p.returncode == 0 else f"exit {p.returncode}: {p.stdout.strip()[-600:]}"
        except subprocess.TimeoutExpired:
            outcome[name] = "no end after 120 s"
    return outcome


def run_reference(cases, folder, level):
    """{seed: "" or why it did not run}: outputs of the reference kernels, one operator after the other, in files"""
    jobs = []
    for c in cases:
        place = f"{folder}/r{c.seed}"
        os.makedirs(place, exist_ok=True)
        for k, feed in enumerate(c.feeds):
            for i in c.model.graph.input:
                np.save(f"{place}/{k}.{i.name}.npy", feed[i.name])
        jobs.append("\t".join([f"{folder}/g{c.seed}.onnx", place, str(len(c.feeds)), str(level), *[f"{k}={n}" for k, n in c.bounds.items()]]))
    p = subprocess.run([f"{peer.BUILD}/tests/reference_runner"], input="".join(j + "\n" for j in jobs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = [line for line in p.stdout.split("\n") if line]
    assert len(said) == len(cases), (said, p.stderr[-500:])
    why = [line for line in p.stderr.split("\n") if "error" in line]
    return {c.seed: "" if text == "ok" else text + "; " + " ".join(w for w in why if f"/g{c.seed}.onnx" in w)[-400:] for c, text in zip(cases, said)}


def reference_of(case, folder, level):
    found = [[np.load(f"{folder}/r{case.seed}/{k}.out{level}.{i}.npy") for i in range(len(case.model.graph.output))] for k in range(len(case.feeds))]
    return [[a.view(np.uint16) if a.dtype.kind == "V" else a for a in run] for run in found]


def link(folder):
    objects = [f"{folder}/{f}" for f in os.listdir(folder) if f.endswith(".o")]
    library = f"{folder}/all.so"
    if objects:
        subprocess.run(["cc", "-shared", "-o", library, *sorted(objects)], check=True)
    return library


def threads_library():
    """mcc_parallel_for as a shared library of its own, which the linked objects find in the process"""
    path, source = os.path.join(peer.BUILD, "random", "threads.so"), os.path.join(peer.SOURCE, "runtime", "parallel.c")
    subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-fopenmp", "-I" + os.path.join(peer.SOURCE, "include"), source, "-o", path], check=True)
    return path


# ---- running, in a child ----
def difference(got, want, err, dtype):
    """"" where got and want agree. What a loop without turns stacks has no dims but the turns' that a turn would tell: ONNX Runtime and the reference
    kernels put 0 there, or none at all, where mcc may know better."""
    if got.size == want.size == 0 and (want.shape == (0,) or got.ndim == want.ndim and all(w in (g, 0) for g, w in zip(got.shape, want.shape))):
        return ""
    if got.shape != want.shape:
        return f"dims {list(got.shape)}, not {list(want.shape)}"
    if not is_float(dtype):
        bad = np.abs(got.astype(object) - want.astype(object)) > 2 * err if err else got != want
    else:
        x, y = ((randomgraph.from_bfloat16(a) if dtype == "bf16" else a).astype(np.float64) for a in (got, want))
        with np.errstate(invalid="ignore"):
            bad = ~((np.abs(x - y) <= 2 * err) | (x == y) | (np.isnan(x) & np.isnan(y)))
        got, want = x, y
    if not bad.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {bad.size} differ, first at {list(at)}: {got[at]!r}, not {want[at]!r} (allowed {2 * err:.3g})"


# What ONNX Runtime says where it lacks a kernel; its fusion of Relu and Clip knows half and single precision only; its
# MatMul does not broadcast an empty batch; its optimiser drops a node that is still in use, and then finds the model invalid; a
# fusion gives it an operator of its own without a kernel for doubles; its shape inference counts a window of a pool in
# ceil_mode that begins in the padding, which its kernel and the standard leave out; casts that it moves in functions leave them with another dtype; what QLinearConcat
# gives in some functions it takes for floats.
PEER_LACKS = ("NOT_IMPLEMENTED", "Could not find an implementation", "relu_clip_fusion", "left operand cannot broadcast on dim",
              "is not a graph input, initializer, or output of a previous node", "Failed to find kernel",
              "Dimension could not be inferred: incompatible shapes", "(MatMul) [ShapeInferenceError] Incompatible dimensions",
             "InsertedPrecisionFreeCast", "(op_type:QLinearConcat): Y has unsupported type tensor(float)")


def peer_model(case, folder):
    """The model's file. ONNX Runtime refuses opset 27, and has what is new there as its own operators."""
    path = f"{folder}/g{case.seed}.onnx"
    opset = next(o for o in case.model.opset_import if o.domain == "")
    if opset.version < 27:
        return path
    m = onnx.ModelProto()
    m.CopyFrom(case.model)
    for imports in [m.opset_import, *[f.opset_import for f in m.functions]]:
        next(o for o in imports if o.domain == "").version = 26
        if all(o.domain != "com.microsoft" for o in imports):
            imports.append(helper.make_opsetid("com.microsoft", 1))
    for n in [n for nodes in all_nodes(m.graph.node, m.functions) for n in nodes if n.op_type in ("LinearAttention", "CausalConvWithState")]:
        n.domain = "com.microsoft"
    onnx.save(m, path[:-5] + "-26.onnx")
    return path[:-5] + "-26.onnx"


def changed_by_peer(model):
    """Whether ONNX Runtime's optimiser would round otherwise than the operators do: quantized ones, and factors around products of doubles, which
    it keeps as floats"""
    names = {n.op_type for nodes in all_nodes(model.graph.node, model.functions) for n in nodes}
    doubles = any(t.data_type == NUMBER["f64"] for t in model.graph.initializer)
    return "QuantizeLinear" in names or "MatMul" in names and doubles


def run_session(case, library, path):
    """Optimised, where that changes nothing and succeeds: its optimiser fails on some branches and functions"""
    for optimise in (True, False)[changed_by_peer(case.model):]:
        try:
            session = peer.ort.Session(library, path, optimise=optimise)
            return [session.run([feed[n.decode()] for n in session.inputs]) for feed in case.feeds]
        except RuntimeError:
            if not optimise:
                raise


def run_peer(case, library, folder):
    """Outputs of each run; text: why ONNX Runtime cannot run it, or that numpy has no such number"""
    if any(v.type.tensor_type.elem_type == NUMBER["bf16"] for v in [*case.model.graph.input, *case.model.graph.output]):
        return "bfloat16 at the border"
    try:
        return run_session(case, library, peer_model(case, folder))
    except RuntimeError as e:
        if any(text in str(e) for text in PEER_LACKS):
            return str(e)[:300]
        raise


def examine_one(case, library, folder, say):
    """(kind, details) of the first failure, or None"""
    results = {}
    for name, _ in case.variants:
        say(name)
        m = compiled.Model(f"{folder}/all.so", f"g{case.seed}{name}")
        results[name] = []
        for k, feed in enumerate(case.feeds):
            arrays = [feed[i.name.decode()] for i in m.inputs]
            try:
                results[name].append(m.check(arrays) if name == "fused" else m.run(arrays))
            except (AssertionError, RuntimeError) as e:
                return f"{name} fails", f"run {k}: {e}"
    for name, level in EVALUATED.items():
        results[name] = reference_of(case, folder, level)
    say("ONNX Runtime")
    if library:
        try:
            results["ONNX Runtime"], refusal = run_peer(case, library, folder), ""
            if isinstance(results["ONNX Runtime"], str):
                results["ONNX Runtime"], refusal = None, results["ONNX Runtime"]
        except RuntimeError as e:
            return "ONNX Runtime fails", str(e)[:500]
    outputs = [(o.name, shrink.NAMES[o.type.tensor_type.elem_type]) for o in case.model.graph.output]
    first = next(iter(results))
    for name, wants in results.items():
        for k, want in enumerate(wants or []):
            for (output, dtype), x, y in zip(outputs, results[first][k], want):
                if name == "threads" and x.tobytes() != y.tobytes():
                    return "threads give other bits", f"{output}, run {k}: {difference(y, x, 0, dtype)}"
                text = difference(x, y, case.errors[output], dtype)
                if text:
                    return f"{first} and {name} differ", f"{output} {dtype}, run {k}: {text}" + who(results, k, outputs, output, case.errors[output], dtype)
    return ("no peer", refusal) if library and refusal else None


def who(results, k, outputs, output, err, dtype):
    """Who agrees with ONNX Runtime, where it ran"""
    if not results.get("ONNX Runtime"):
        return ""
    i = [o for o, _ in outputs].index(output)
    right = [n for n, r in results.items() if n != "ONNX Runtime" and not difference(r[k][i], results["ONNX Runtime"][k][i], err, dtype)]
    return "; ONNX Runtime agrees with: " + (", ".join(right) or "none")


def examine(cases):
    """[(kind, details) or None] of each case: compiles all, runs them in children that may crash"""
    folder = tempfile.mkdtemp(dir=os.path.join(peer.BUILD, "random"))
    verdicts = {}
    for c in cases:
        for name, why in compile_case(c, folder).items():
            if why and c.seed not in verdicts:
                verdicts[c.seed] = (f"{name} does not compile", why)
    link(folder)
    waiting = [c for c in cases if c.seed not in verdicts]
    for name, level in EVALUATED.items():
        for seed, why in run_reference(waiting, folder, level).items():
            if why:
                verdicts[seed] = f"{name} fails", why
        waiting = [c for c in waiting if c.seed not in verdicts]
    while waiting:
        for seed, verdict in run_child(waiting, folder):
            verdicts[seed] = verdict
        waiting = [c for c in waiting if c.seed not in verdicts]
    shutil.rmtree(folder)
    return [verdicts[c.seed] for c in cases]


def run_child(cases, folder):
    """Yields (seed, verdict) until the child ends; one that crashes has its verdict too."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            child(cases, folder, os.fdopen(write, "w"))
        finally:
            os._exit(0)
    os.close(write)
    doing = (cases[0].seed, "start")
    with os.fdopen(read) as lines:
        for line in lines:
            seed, at, verdict = json.loads(line)
            if at:
                doing = (seed, at)
            else:
                doing = None
                yield seed, tuple(verdict) if verdict else None
    status = os.waitpid(pid, 0)[1]
    if doing:
        yield doing[0], (f"{doing[1]} crashes", f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "it ended the process")


def child(cases, folder, out):
    import ctypes
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(os.path.join(peer.BUILD, "random", "threads.so"), mode=ctypes.RTLD_GLOBAL)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)  # ONNX Runtime's warnings
    library = peer.ort.Library(ort_path()) if ort_path() else None

    def tell(*what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    for c in cases:
        tell(c.seed, "start", None)
        tell(c.seed, None, examine_one(c, library, folder, lambda at: tell(c.seed, at, None)))


# ---- making failures small ----
def inner_values(case, m):
    """(ValueInfo of each inner value, bounds with the symbols they need)"""
    infos, bounds, named = {}, dict(case.bounds), dict(m.named)
    for node in case.model.graph.node:
        for name in node.output:
            v = m.values.get(name)
            if not v or v.unsized or v.hidden:
                continue
            for d in v.dims:
                if len(set(d)) > 1 and d not in named:
                    named[d] = f"d{len(named)}"
                    bounds[named[d]] = max(d)
            infos[name] = helper.make_tensor_value_info(name, NUMBER[v.dtype], [named[d] if len(set(d)) > 1 else d[0] for d in v.dims])
    return infos, bounds


def zeros_of(m):
    """{value: a tensor of zeros in its place}"""
    closed = [v for v in m.values.values() if v.name and not v.unsized and not v.hidden and not v.open() and v.dtype in NUMPY and v.dtype != "bf16"]
    return {v.name: onnx.numpy_helper.from_array(np.zeros([d[0] for d in v.dims], NUMPY[v.dtype]), v.name) for v in closed}


def inner_data(case, infos, m):
    """{name: array} for each run: from -O0 code whose outputs are all inner values; None where that fails"""
    folder = tempfile.mkdtemp(dir=os.path.join(peer.BUILD, "random"))
    whole = case.of(shrink.with_infos(case.model, infos), case.feeds, case.bounds)
    for o in whole.model.graph.output:
        o.type.tensor_type.ClearField("shape")
    whole.variants = [("reference", ["-O0", "-mcpu=native"])]
    try:
        if any(compile_case(whole, folder).values()):
            return None
        c = compiled.Model(link(folder), f"g{case.seed}reference")
        found = []
        for feed in case.feeds:
            results = c.run([feed[i.name.decode()] for i in c.inputs])
            found.append({**feed, **dict(zip((o.name for o in whole.model.graph.output), results))})
        return found
    except RuntimeError:
        return None
    finally:
        shutil.rmtree(folder)


def report(case, m, verdict):
    """Prints a failure, small."""
    print(f"FAILED seed {case.seed}: {verdict[0]}: {verdict[1]}", flush=True)
    infos, bounds = inner_values(case, m)
    feeds = inner_data(case, infos, m) or case.feeds
    last = {}

    def kind(model):
        inputs = {i.name for i in model.graph.input}
        if not inputs <= set(feeds[0]):
            return None
        symbols = {d.dim_param for i in model.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}
        small = case.of(model, feeds, {k: n for k, n in bounds.items() if k in symbols or k == "*"})
        last["verdict"] = examine([small])[0]
        last[model.SerializeToString()] = small, last["verdict"]
        return last["verdict"] and last["verdict"][0]

    best = shrink.smaller(case.model, infos, kind, zeros_of(m))
    small, found = last.get(best.SerializeToString(), (case, verdict))
    keep = os.path.join(peer.BUILD, "random", f"seed-{case.seed}")
    os.makedirs(keep, exist_ok=True)
    onnx.save(best, keep + "/small.onnx")
    onnx.save(case.model, keep + "/whole.onnx")
    for k, feed in enumerate(small.feeds):
        np.savez(f"{keep}/inputs{k}.npz", **{i.name: feed[i.name] for i in best.graph.input})
    print(f"  smallest: {(found or verdict)[0]}: {(found or verdict)[1]}")
    print(f"  bounds {small.bounds} flags " + "; ".join(f"{n}: {' '.join(f)}" for n, f in small.variants) + f"\n  kept in {keep}")
    print(shrink.text(best), flush=True)


class Counts:
    """In how many graphs each operator was; in how many of these ONNX Runtime ran; what it said of the others"""

    def __init__(self):
        self.drawn, self.compared, self.refusals = Counter(), Counter(), Counter()

    def add(self, m, verdict):
        names = {(n.domain + "." if n.domain else "") + n.op_type for nodes in all_nodes(m.nodes, m.functions) for n in nodes if n.domain != "own"}
        self.drawn.update(names)
        if not verdict:
            self.compared.update(names)
        if verdict and verdict[0] == "no peer":
            named = re.search(r"implementation for (?:the node \S+ )?(\w+)|for (\w+)\(\d+\) node", verdict[1])
            self.refusals.update([next(filter(None, named.groups())) if named else verdict[1][:80]])

    def show(self):
        if sum(self.drawn.values()) < 4000:
            return
        print("operators, graphs: " + ", ".join(f"{n} {k}" for n, k in sorted(self.drawn.items())))
        print("refused by ONNX Runtime: " + ", ".join(f"{n} {k}" for n, k in self.refusals.most_common()))
        print("never compared with it: " + (", ".join(sorted(n for n in self.drawn if not self.compared[n])) or "none"))


def chosen(first, count, themes):
    """So many seeds from the first on, of these themes"""
    wanted = (s for s in itertools.count(first) if not themes or randomgraph.theme_of(s) in themes.split(","))
    return list(itertools.islice(wanted, count))


def main():
    os.environ["OMP_NUM_THREADS"] = THREADS
    os.makedirs(os.path.join(peer.BUILD, "random"), exist_ok=True)
    threads_library()
    if not ort_path():
        print("NOTE: ONNX Runtime is not installed; mcc's code is compared with itself only")
    first = int(os.environ.get("MCC_TEST_START", 0))
    count = int(os.environ.get("MCC_TEST_GRAPHS") or (400 if os.environ.get("MCC_TEST_ALL") else 40))
    seeds = [int(a) for a in sys.argv[1:]] or chosen(first, count, os.environ.get("MCC_TEST_THEMES"))
    print(f"seeds {seeds[0]} to {seeds[-1]}", flush=True)
    start, failed, alone, small, counts = time.time(), [], 0, not os.environ.get("MCC_TEST_NO_SHRINK"), Counts()
    for i in range(0, len(seeds), CHUNK):
        drawn = [case_of(s) for s in seeds[i:i + CHUNK]]
        for (case, m), verdict in zip(drawn, examine([c for c, _ in drawn])):
            counts.add(m, verdict)
            if verdict and verdict[0] == "no peer":
                alone += 1
            elif verdict:
                failed.append(case.seed)
                if small:
                    report(case, m, verdict)
                else:
                    print(f"FAILED seed {case.seed}: {verdict[0]}: {verdict[1]}", flush=True)
        if (i // CHUNK) % 5 == 4:
            print(f"{i + CHUNK} graphs, {time.time() - start:.0f} s", flush=True)
    seconds = time.time() - start
    print(f"{len(seeds) - len(failed)} graphs agree ({alone} without ONNX Runtime, which lacks a kernel), {len(failed)} do not "
          f"{' '.join(map(str, failed))}; {seconds:.0f} s")
    counts.show()
    sys.exit(bool(failed))


main()
