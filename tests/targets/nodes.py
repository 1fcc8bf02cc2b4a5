"""ONNX's node tests on other processors: a sample of them compiled for this machine, 64- and 32-bit Arm and RISC-V, run here and under
qemu on the tests' inputs. Integers have the same bits; floats of elementwise operators are within 4 units in the last place, those of
others, as sums differ by the order of what is added, at least within 2^-20 of the largest number of the result. What compiles here compiles there, and asks for nothing but
memcpy, memmove and memset.
$MCC_TEST_SAMPLE of them, or all with MCC_TEST_ALL=1; vectors of RISC-V and scalable ones of Arm with them then."""
import glob
import os
import re
import shutil
import sys
import onnx
from onnx import numpy_helper
import objects
import onnxtests

EVERYTHING = bool(os.environ.get("MCC_TEST_ALL"))
SAMPLE = 500  # some 300 of them compile and have inputs that the runner takes


def inputs_of(path):
    """The runner's standard input for the test's first data set; None: a type that this does not know, or no tensor."""
    graph = onnx.load(os.path.join(path, "model.onnx")).graph
    files = glob.glob(os.path.join(path, "test_data_set_0", "input_*.pb"))
    constants = {t.name for t in graph.initializer}
    given = [v for v in graph.input if v.name not in constants]
    if len(given) != len(files) or any(not v.type.HasField("tensor_type") for v in given):
        return None
    out = b""
    for i in range(len(files)):
        proto = onnx.TensorProto()
        with open(os.path.join(path, "test_data_set_0", "input_%d.pb" % i), "rb") as f:
            proto.ParseFromString(f.read())
        if proto.data_type not in objects.FORMATS:
            return None
        out += objects.packed_input(proto.dims, numpy_helper.to_array(proto).astype("<" + objects.FORMATS[proto.data_type]).tobytes())
    return out


def elementwise():
    """The names of operators that work element by element, as the compiler's table has them."""
    with open(os.path.join(os.environ["SOURCE"], "ir", "ops.def")) as f:
        text = f.read()
    macros = "|".join({m.group(1) for m in re.finditer(r"^#define (\w+)\(name.*\bOP_ELEMENTWISE\b", text, re.M)})
    return set(re.findall(r"^(?:%s)\((\w+)," % macros, text, re.M)) | set(re.findall(r"^OP\((\w+),.*\bOP_ELEMENTWISE\b", text, re.M))


def main():
    missing = [name for name in objects.TOOLS if not shutil.which(name)]
    if missing:
        print("SKIPPED: no", ", ".join(missing))
        return 77
    paths = [p for p in onnxtests.tests(EVERYTHING, SAMPLE) if os.path.isdir(os.path.join(p, "test_data_set_0"))]
    stdin = {i: inputs_of(p) for i, p in enumerate(paths)}
    known = [i for i, s in stdin.items() if s is not None]
    if not known:
        print("SKIPPED: ONNX's tests are not here")
        return 77
    paths, stdin = [paths[i] for i in known], [stdin[i] for i in known]
    targets = ["armv7", "riscv64", "aarch64"] + (["riscv64 v", "riscv64 v256", "neoverse-v1", "a64fx"] if EVERYTHING else [])
    names, models = [os.path.basename(p) for p in paths], [os.path.join(p, "model.onnx") for p in paths]
    by_element = elementwise()
    exact = [{n.op_type for n in onnx.load(m).graph.node} <= by_element for m in models]
    print("%d of %d models are elementwise" % (sum(exact), len(exact)))
    failures, compared = objects.compare_all(names, models, stdin, targets, lambda i: {"of_largest": 0} if exact[i] else {})
    return failures != 0 or not compared


sys.exit(main())
