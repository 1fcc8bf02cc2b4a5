"""--report: the page says what the JSON says, figure for figure, and needs nothing from outside; totals are sums; blocks of workspace that
are alive together do not overlap; of a quantized model, histograms hold every value that was seen, and each layer has its scheme, its noise
and a reason; hostile names stay text. A headless Chromium without a network, where there is one, shows the same figures and has no complaint."""
import html.parser
import json
import random
import os
import re
import shutil
import subprocess
import sys
import tempfile
from onnx_wire import *

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
EVIL = '</title><script>alert(1)</script>"&\\\'é\n'


class Page(html.parser.HTMLParser):
    """Texts of the elements with a data-key, attributes and titles of the blocks, and all tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.keys, self.blocks, self.tags, self.open, self.title, self.bars = {}, {}, [], [], None, None
        self.histograms, self.trials = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.open.append(attrs.get("data-key"))
        if "data-key" in attrs:
            assert attrs["data-key"] not in self.keys, attrs
            self.keys[attrs["data-key"]] = ""
        if attrs.get("class") == "bars":
            self.bars = []
            self.histograms.append(self.bars)
        elif tag == "rect" and self.bars is not None:
            self.bars.append([float(attrs["height"]), ""])
        if "data-trial" in attrs:
            assert int(attrs["data-trial"]) == len(self.trials)
            self.trials.append(attrs)
        if "data-block" in attrs:
            self.blocks[int(attrs["data-block"])] = attrs
            self.title = int(attrs["data-block"])
            attrs["title"] = ""

    def handle_endtag(self, tag):
        if self.open:
            self.open.pop()
        if tag == "rect":
            self.title = None
        if tag == "svg":
            self.bars = None

    def handle_data(self, data):
        if self.title is not None:
            self.blocks[self.title]["title"] += data
        elif self.bars:
            self.bars[-1][1] += data
        elif self.open and self.open[-1]:
            self.keys[self.open[-1]] += data


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, path + "." + key if path else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, "%s.%d" % (path, i))
    else:
        yield path, str(value)


def check(model, *flags):
    with tempfile.TemporaryDirectory() as temp:
        page_path, out = os.path.join(temp, "r.html"), os.path.join(temp, "m.o")
        subprocess.run([MCC, model, "-o", out, "--report=" + page_path, *flags], check=True)
        assert sorted(os.listdir(temp)) == ["m.h", "m.o", "r.html", "r.json"], os.listdir(temp)
        with open(page_path) as f:
            text = f.read()
        with open(os.path.join(temp, "r.json")) as f:
            report = json.load(f, parse_float=str)
        if "--report-times" not in flags:
            subprocess.run([MCC, model, "-o", out, "--report=" + os.path.join(temp, "s.json"), *flags], check=True)
            with open(os.path.join(temp, "s.json")) as f:
                assert json.load(f, parse_float=str) == report, "it changes from run to run"
        page = Page(text)
        check_shown(page_path, page)
    blocks, totals, layers = report.pop("blocks"), report["totals"], report["layers"]
    histograms = [r.pop("bins") for r in report["ranges"]]
    assert [[text for _, text in bars] for bars in page.histograms] == [list(map(str, bins)) for bins in histograms]
    for bars, bins, r in zip(page.histograms, histograms, report["ranges"]):
        assert sum(bins) == r["values"] and all(abs(h - 20 * b / max(bins)) < 1e-3 for (h, _), b in zip(bars, bins))
        low, high, first, step = (float(r[key]) for key in ("low", "high", "first", "step"))
        assert first <= low < first + step and low <= high < first + step * len(bins) and bins[-1]
    assert page.keys == dict(leaves(report)), set(page.keys.items()) ^ set(leaves(report))
    assert len(page.blocks) == len(blocks)
    unit = float(next(a for t, a in page.tags if t == "svg" and "viewbox" in a and a["class"] == "memory")["viewbox"].split()[3]) / totals["workspace"]
    for i, b in enumerate(blocks):
        a = page.blocks[i]
        for key in ("bytes", "offset", "first", "last"):
            assert a["data-" + key] == str(b[key]), (a, b)
        assert a["title"] == "%s%s: %d bytes at %d, layers %d to %d" % (
            b["name"], " (scratch)" if b["scratch"] else "", b["bytes"], b["offset"], b["first"], b["last"])
        assert int(a["x"]) == b["first"] and int(a["width"]) == b["last"] - b["first"] + 1
        assert abs(float(a["height"]) - unit * b["bytes"]) < 2e-3
        assert abs(float(a["y"]) - unit * (totals["workspace"] - b["offset"] - b["bytes"])) < 2e-3
        assert 0 <= b["first"] <= b["last"] < totals["layers"] and b["offset"] + b["bytes"] <= totals["workspace"]
        for c in blocks[:i]:
            together = b["first"] <= c["last"] and c["first"] <= b["last"]
            assert not together or b["offset"] + b["bytes"] <= c["offset"] or c["offset"] + c["bytes"] <= b["offset"], (b, c)
    assert totals["layers"] == len(layers)
    assert totals["bytes_before"] == sum(l["bytes_before"] for l in layers) + totals["bytes_elsewhere"]
    assert sum(l["nodes"] for l in layers) <= totals["nodes"]
    after = sum(l["bytes_after"] for l in layers)
    assert after <= totals["bytes_after"] <= after + 64 * (2 * len(layers) + 1), (after, totals)
    assert totals["workspace_lower_bound"] <= totals["workspace"]
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & {t for t, _ in page.tags}
    assert not [a for _, attrs in page.tags for a in attrs if a in ("src", "href", "xlink:href", "style") and "width" not in attrs[a]]
    assert not re.search(r"https?:|url\(|@import", text)
    check_trials(page, report["search"])
    assert all(l["scheme"] and "why" in l for l in layers)
    return report, blocks


def check_trials(page, search):
    """A circle a trial: to the right the products in float, upwards the square root of the drop."""
    trials = [(t["in_float"], float(t["drop"])) for t in search["trials"]]
    assert len(page.trials) == len(trials)
    most = max([float(search.get("allowed", 0))] + [drop for _, drop in trials])
    for circle, (in_float, drop) in zip(page.trials, trials):
        assert abs(float(circle["cx"]) - (30 + 580 * in_float / max([1] + [n for n, _ in trials]))) < 0.01, circle
        assert abs(float(circle["cy"]) - (210 - 180 * (drop / most) ** 0.5)) < 0.01, circle


def browser():
    names = os.environ.get("CHROME"), "chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"
    return next(filter(None, map(shutil.which, filter(None, names))), None)


def asked_for(log):
    """What a page asked for, of Chromium's log of its network; what Chromium asks for itself has no origin."""
    with open(log) as f:
        text = f.read().rstrip()
    events = json.loads(text if text.endswith("}") and text.count("]}") else text.rstrip(",") + "]}")["events"]
    requests = [e["params"] for e in events if "initiator" in e.get("params", {})]
    return [r["url"] for r in requests if r["initiator"] != "not an origin" and not r["url"].startswith(("file:", "data:"))]


def chromium(path):
    """The page's DOM, what its console says, and what it asks the network for, which is off; None where there is no Chromium."""
    if not browser():
        return None
    with tempfile.TemporaryDirectory() as home:
        log = os.path.join(home, "net.json")
        done = subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                               "--proxy-server=127.0.0.1:9", "--user-data-dir=" + home, "--enable-logging=stderr",
                               "--log-net-log=" + log, "--dump-dom", "file://" + path], check=True, capture_output=True, text=True,
                              timeout=120)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line], asked_for(log)


def check_shown(path, page):
    """What Chromium made of the page is what was written, with no error and nothing asked from elsewhere."""
    result = chromium(path)
    if not result:
        return
    shown = Page(result[0])
    assert not result[1] and not result[2], result[1:]
    assert shown.keys == page.keys, set(shown.keys.items()) ^ set(page.keys.items())
    assert shown.blocks == page.blocks and shown.histograms == page.histograms and shown.trials == page.trials


def refused(status, want, *args):
    with tempfile.TemporaryDirectory() as temp:
        p = subprocess.run([MCC, os.path.join(SOURCE, "examples/digits/digits.onnx"), *args], cwd=temp, capture_output=True, text=True)
        assert p.returncode == status and want in p.stderr, (args, p)
        assert not os.listdir(temp), os.listdir(temp)


report, blocks = check(os.path.join(SOURCE, "examples/digits/digits.onnx"))
assert report["model"] == "digits.onnx" and blocks and report["totals"]["bytes_before"] > 100000
assert any(l["operator"] == "Conv" and l["form"] != "reference" and l["bytes_before"] for l in report["layers"]), report["layers"]

assert not report["ranges"] and not any("microseconds" in l for l in report["layers"])
report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--report-times")
assert all(0 < float(l["microseconds"]) < 1e5 for l in report["layers"]), report["layers"]

with tempfile.TemporaryDirectory() as temp:
    rng = random.Random(1)
    for i in range(8):
        with open(os.path.join(temp, "%d.raw" % i), "wb") as f:
            f.write(floats(*(rng.random() ** 2 for _ in range(28 * 28))))
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--quantize=int8", "--calibrate=" + temp)
    assert report["ranges"][0]["values"] == 8 * 28 * 28 and 0.9 < float(report["ranges"][0]["high"]) < 1, report["ranges"][0]
    noise = [float(r["sqnr"]) for r in report["ranges"] if "sqnr" in r]
    assert len(noise) > 3 and noise[0] > 40 and min(noise) > 12, noise
    assert {l["weights"] for l in report["layers"] if l["operator"] == "Conv"} == {"int8"}, report["layers"]
    assert report["totals"]["bytes_after"] * 3.5 < report["totals"]["bytes_before"]
    assert report["noise"] == {"samples": 8, "inputs": "samples"}
    products = [l for l in report["layers"] if l["operator"] in ("Conv", "Gemm")]
    assert len(products) == 6 and all(l["scheme"] == "int8" and 12 < float(l["sqnr"]) < 60 for l in products), products

    # a bound between all and nothing: some stay in float, and say why
    drop = ["--quantize=int8", "--calibrate=" + temp, "--max-drop=95dB", "--metric=sqnr"]
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), *drop)
    trials = [(t["in_float"], float(t["drop"])) for t in report["search"]["trials"]]
    in_float = [l for l in report["layers"] if l["operator"] in ("Conv", "Gemm") and l["scheme"] in ("f32", "f16")]
    assert report["search"]["metric"] == "sqnr" and trials[0][0] == 0 and trials[0][1] > 10 ** -9.5, trials
    assert in_float and all("--max-drop" in l["why"] for l in in_float), in_float
    assert len(in_float) in [n for n, drop in trials if drop <= 10 ** -9.5], trials

    # reasons: what the user says, what costs say
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--quantize=int8", "--calibrate=" + temp, "--quantize-skip=Gemm")
    assert [l["why"] for l in report["layers"] if l["operator"] == "Gemm"] == ["--quantize-skip names it"], report["layers"]
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--quantize=int8", "--calibrate=" + temp, "-mcpu=x86-64-v3")
    assert all(("int8" if l["scheme"] == "int8" else "float") and "cycles as integers" in l["why"] for l in report["layers"]
               if l["operator"] in ("Conv", "Gemm")), report["layers"]

# planned as integers, and computed in float32 all the same: Resize of a region
with tempfile.TemporaryDirectory() as temp:
    rng = random.Random(2)
    draw = lambda n: floats(*(rng.uniform(-1, 1) for _ in range(n)))
    nodes = [node("Conv", ["x", "v"], ["a"], name="first"), node("Resize", ["a", "r", "s"], ["b"], attr("mode", "linear"), attr("coordinate_transformation_mode", "tf_crop_and_resize"), name="between"),
             node("Conv", ["b", "w"], ["y"], name="second")]
    weights = [tensor("v", FLOAT, (16, 8, 1, 1), draw(128)), tensor("w", FLOAT, (16, 16, 1, 1), draw(256)), tensor("s", FLOAT, (4,), floats(1, 1, 2, 2)),
               tensor("r", FLOAT, (8,), floats(0, 0, 0, 0, 1, 1, 1, 1))]
    with open(os.path.join(temp, "m.onnx"), "wb") as f:
        f.write(model(graph(nodes, [value("x", FLOAT, [1, 8, 9, 9])], [value("y", FLOAT, [1, 16, 18, 18])], weights)))
    with open(os.path.join(temp, "x.raw"), "wb") as f:
        f.write(draw(4 * 8 * 81))
    report, _ = check(os.path.join(temp, "m.onnx"), "--quantize=int8", "--calibrate=" + os.path.join(temp, "x.raw"), "-Wno-quant-fallback")
    said = [l["scheme"] for l in report["layers"] if "has a form on these integers" in l["why"]]
    assert said == ["f32"], report["layers"]
    assert {l["scheme"] for l in report["layers"] if l["operator"] == "Conv" and l["form"] != "loops"} == {"int8"}, report["layers"]

for kind, scheme, least in ("w8", "w8", 30), ("f16", "f16", 50):
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--quantize=" + kind)
    layers = [l for l in report["layers"] if l["operator"] == "Gemm"]
    assert report["noise"] == {"samples": 4, "inputs": "random"} and layers
    assert all(l["scheme"] == scheme and l["why"] and float(l["sqnr"]) > least for l in layers), layers

if browser():
    with tempfile.TemporaryDirectory() as temp:
        with open(os.path.join(temp, "asks.html"), "w") as f:
            f.write("<!doctype html><img src='http://example.invalid/x.png'><script>nosuch()</script>")
        _, said, asked = chromium(os.path.join(temp, "asks.html"))
        assert len(said) == 1 and asked and set(asked) == {"http://example.invalid/x.png"}, (said, asked)

with tempfile.TemporaryDirectory() as temp:
    path = os.path.join(temp, "evil<&.onnx")
    nodes = [node("MatMul", ["x", "w"], ["y<b>"], name=EVIL), node("Softmax", ["y<b>"], ["z"], name=EVIL + "2")]
    with open(path, "wb") as f:
        f.write(model(graph(nodes, [value("x", FLOAT, [8, 4])], [value("z", FLOAT, [8, 4])],
                            [tensor("w", FLOAT, (4, 4), floats(*range(16)))])))
    report, _ = check(path)
    assert any("script" in l["name"] for l in report["layers"])

# pruned: what is 0, what that is worth, and what it costs
for kind in [], ["--quantize=w8"]:
    report, _ = check(os.path.join(SOURCE, "examples/digits/digits.onnx"), "--prune=0.7", "-mcpu=x86-64-v4", *kind)
    layers, totals = [l for l in report["layers"] if "zeros" in l], report["totals"]
    assert len(layers) > 2 and 0.65 * totals["values"] < totals["zeros"] == sum(l["zeros"] for l in layers) < 0.8 * totals["values"], totals
    assert all(abs(float(l["zeros_percent"]) - 100 * l["zeros"] / l["values"]) < 0.01 for l in layers), layers
    assert all(l["pattern"] == "unstructured" and l["sqnr"] != "exact" for l in layers), layers
    assert totals["object_bytes"] > totals["bytes_after"] + totals["code_bytes"] and report["noise"]["samples"] == 4, totals
    coded = [l for l in layers if l["code_bytes"]]
    assert kind or coded, layers
    assert all("straight-line" in l["form"] and float(l["cycles"]) < float(l["dense_cycles"]) for l in coded), coded
assert "zeros" not in str(check(os.path.join(SOURCE, "examples/digits/digits.onnx"))[0]["layers"])

refused(2, "its name ends in .html or .json", "--report=r.txt", "-o", "m.o")
refused(2, "needs an object", "--report=r.html", "--emit=graph", "-o", "g")
refused(2, "would be written over", "--report=m.html", "-o", "m.json")
refused(2, "add --report=FILE", "--report-times", "-o", "m.o")
refused(2, "on this machine", "--report-times", "--report=r.html", "--target=aarch64-linux-gnu", "-o", "m.o")
if os.uname().machine == "x86_64" and "avx512_fp16" not in open("/proc/cpuinfo").read():
    refused(2, "-mcpu=sapphirerapids", "--report-times", "--report=r.html", "-mcpu=sapphirerapids", "-o", "m.o")
refused(1, "cannot write", "--report=nowhere/r.html", "-o", "m.o")
print("every figure of the page is the JSON's" + (", in Chromium too" if browser() else "; SKIPPED: no Chromium to open it in (CHROME=PROGRAM names one)"))
