"""--report: the page says what the JSON says, figure for figure, and needs nothing from outside; totals are sums; blocks of workspace that
are alive together do not overlap; of a quantized model, histograms hold every value that was seen; hostile names stay text. In a headless
Chromium, where there is one, the page shows its totals."""
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
        self.histograms = []
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
        shown = chromium(page_path)
    blocks, totals, layers = report.pop("blocks"), report["totals"], report["layers"]
    page = Page(text)
    histograms = [r.pop("bins") for r in report["ranges"]]
    assert [[text for _, text in bars] for bars in page.histograms] == [list(map(str, bins)) for bins in histograms]
    for bars, bins, r in zip(page.histograms, histograms, report["ranges"]):
        assert sum(bins) == r["values"] and all(abs(h - 20 * b / max(bins)) < 1e-3 for (h, _), b in zip(bars, bins))
        low, high, first, step = (float(r[key]) for key in ("low", "high", "first", "step"))
        assert first <= low < first + step and low <= high < first + step * len(bins) and bins[-1]
    assert page.keys == dict(leaves(report)), set(page.keys.items()) ^ set(leaves(report))
    assert len(page.blocks) == len(blocks)
    unit = float(dict(page.tags[[t for t, _ in page.tags].index("svg")][1])["viewbox"].split()[3]) / totals["workspace"]
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
    for key in ("nodes", "workspace") if shown else ():
        assert ">%d<" % totals[key] in shown
    return report, blocks


def chromium(path):
    """The page's DOM, or None where there is no Chromium."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        return None
    return subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "file://" + path], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120).stdout


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

with tempfile.TemporaryDirectory() as temp:
    path = os.path.join(temp, "evil<&.onnx")
    nodes = [node("MatMul", ["x", "w"], ["y<b>"], name=EVIL), node("Softmax", ["y<b>"], ["z"], name=EVIL + "2")]
    with open(path, "wb") as f:
        f.write(model(graph(nodes, [value("x", FLOAT, [8, 4])], [value("z", FLOAT, [8, 4])],
                            [tensor("w", FLOAT, (4, 4), floats(*range(16)))])))
    report, _ = check(path)
    assert any("script" in l["name"] for l in report["layers"])

refused(2, "its name ends in .html or .json", "--report=r.txt", "-o", "m.o")
refused(2, "needs an object", "--report=r.html", "--emit=graph", "-o", "g")
refused(2, "would be written over", "--report=m.html", "-o", "m.json")
refused(2, "add --report=FILE", "--report-times", "-o", "m.o")
refused(2, "on this machine", "--report-times", "--report=r.html", "--target=aarch64-linux-gnu", "-o", "m.o")
refused(1, "cannot write", "--report=nowhere/r.html", "-o", "m.o")
print("every figure of the page is the JSON's" + ("" if chromium(os.devnull) is not None else "; SKIPPED: no Chromium to open it in"))
