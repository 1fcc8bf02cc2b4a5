"""ONNX Runtime as the oracle, through bench/ort.py and the npm package that scripts/test installs."""
import glob
import os
import sys
import numpy as np

SOURCE = os.environ.get("SOURCE", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "bench"))
import ort  # found through the line above
BUILD = os.environ.get("BUILD", os.path.join(SOURCE, "build"))
SHARED = os.environ.get("MCC_SHARED", os.path.join(SOURCE, "..", "shared"))
NPM = [os.environ.get("MCC_NPM", ""), os.path.join(SOURCE, "build", "npm"), os.path.join(BUILD, "npm")]


def skip(why):
    print("SKIPPED:", why)
    sys.exit(77)


def npm(path):
    """A file of an npm package, or None."""
    for root in NPM:
        hits = sorted(glob.glob(os.path.join(root, "node_modules", path)))
        if root and hits:
            return hits[-1]
    return None


def onnxruntime():
    """ONNX Runtime's library, for Session; skips the test where it is missing."""
    path = os.environ.get("ORT_LIB") or npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")
    if not path:
        skip("onnxruntime-node is not installed (scripts/test installs it)")
    return ort.Library(path)


def random_feed(session, shapes, seed):
    """Seeded random inputs by name: normal values, and 0 or 1 for integers; open dims are 1 unless shapes has the input."""
    rng, feed = np.random.default_rng(seed), {}
    for name, (dtype, dims) in zip(session.inputs, session.input_types()):
        dims = shapes.get(name.decode(), [max(d, 1) for d in dims])
        values = rng.standard_normal(dims) if dtype.kind == "f" else rng.integers(0, 2, dims)
        feed[name.decode()] = values.astype(dtype)
    return feed
