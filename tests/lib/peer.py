"""ONNX Runtime as the oracle, through ../shared/tools/ort.py and the npm package; both are optional."""
import glob
import os
import sys

SOURCE = os.environ.get("SOURCE", os.getcwd())
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
    """The module ort.py; skips the test where it or the library is missing."""
    library = os.environ.get("ORT_LIB") or npm("onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1")
    if not library:
        skip("onnxruntime-node is not installed (scripts/test installs it)")
    if not os.path.exists(os.path.join(SHARED, "tools", "ort.py")):
        skip("../shared/tools/ort.py is not there")
    os.environ["ORT_LIB"] = library
    sys.path.insert(0, os.path.join(SHARED, "tools"))
    import ort
    return ort
