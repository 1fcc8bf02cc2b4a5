"""ONNX's own tests once --emit=onnx has written their models: mcc's verdict stays what it was, writing again gives the same bytes, and
where ONNX Runtime (if it is here) runs the original, it runs what was written, with the same result.

A seeded sample by default, as in nodes.py; all of them with MCC_TEST_ALL=1."""
import glob
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx
import onnx.numpy_helper
import onnxtests
import peer

MCC = os.environ["MCC"]
EXACT = 1e-6  # upgrading an old operator may change how ONNX Runtime fuses it


def write(source, target):
    return subprocess.run([MCC, source, "--emit=onnx", "-o", target], stderr=subprocess.PIPE, text=True)


def feed_of(folder):
    """The arrays of the first data set, in order."""
    arrays = []
    while os.path.exists(path := os.path.join(folder, "test_data_set_0", "input_%d.pb" % len(arrays))):
        with open(path, "rb") as f:
            arrays.append(onnx.numpy_helper.to_array(onnx.TensorProto.FromString(f.read())))
    return arrays


def run(library, model, arrays):
    s = peer.ort.Session(library, model)
    return (s.inputs, s.outputs, s.run(arrays))


def differ(library, folder, written):
    """What ONNX Runtime finds different, or None; "" where it cannot say."""
    try:
        arrays = feed_of(folder)
        want = run(library, os.path.join(folder, "model.onnx"), arrays)
    except Exception:  # an operator or a type that ONNX Runtime, or this version of onnx, does not know
        return ""
    inputs, outputs, got = run(library, written, arrays)
    if (inputs, outputs) != want[:2]:
        return "names %s, %s" % (inputs, outputs)
    for i, (x, y) in enumerate(zip(got, want[2])):
        if x.dtype != y.dtype or x.shape != y.shape:
            return "output %d is %s%s, was %s%s" % (i, x.dtype, x.shape, y.dtype, y.shape)
        if not np.allclose(x, y, EXACT, EXACT, equal_nan=True):
            return "output %d differs" % i
    return None


def copy_of(folder, path):
    """A test folder whose model is the written one; None where mcc does not read the original."""
    os.makedirs(folder)
    model = os.path.join(folder, "model.onnx")
    if write(os.path.join(path, "model.onnx"), model).returncode:
        return None
    for data in glob.glob(os.path.join(path, "test_data_set_*")):
        os.symlink(data, os.path.join(folder, os.path.basename(data)))
    return folder


def check(library, pairs, verdicts):
    """Names and complaints; how many models ONNX Runtime ran."""
    wrong, ran = [], 0
    for (path, copy), (outcome, name, reason) in zip(pairs, verdicts):
        model, again = os.path.join(copy, "model.onnx"), os.path.join(copy, "again.onnx")
        if outcome != "PASS":
            wrong.append("%s: %s %s" % (path, outcome, reason))
        if write(model, again).returncode or open(model, "rb").read() != open(again, "rb").read():
            wrong.append("%s: writing it again gives other bytes" % path)
        try:
            found = differ(library, path, model) if library else ""
        except RuntimeError as e:
            found = str(e)
        ran += found != ""
        if found:
            wrong.append("%s: ONNX Runtime: %s" % (path, found))
    return wrong, ran


def main():
    paths = onnxtests.tests(os.environ.get("MCC_TEST_ALL") == "1", 100)
    if not paths:
        peer.skip("ONNX's tests are not here")
    library_path = os.environ.get("ORT_LIB") or peer.npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")
    library = peer.ort.Library(library_path) if library_path else None
    with tempfile.TemporaryDirectory() as temp:
        good = [path for path, (outcome, _, _) in zip(paths, onnxtests.verify(paths)) if outcome == "PASS"]
        copies = [copy_of(os.path.join(temp, str(i), os.path.basename(path)), path) for i, path in enumerate(good)]
        unwritten = [path for path, copy in zip(good, copies) if not copy]
        pairs = [(path, copy) for path, copy in zip(good, copies) if copy]
        wrong, ran = check(library, pairs, onnxtests.verify([copy for _, copy in pairs]))
    wrong += [path + ": not written" for path in unwritten]
    print("\n".join(wrong))
    print("%d models written, %d of them run by ONNX Runtime, %d complaints" % (len(pairs), ran, len(wrong)))
    return 1 if wrong or not pairs or (library and not ran) else 0


sys.exit(main())
