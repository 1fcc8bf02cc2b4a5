"""Files that mcc must refuse: one clear line, exit 1, in under a second of work and 256 MB, with a small stack, without
an output file and without touching an old one. Each case is a model (or a set of files), and what the line must say."""
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from onnx_wire import *

MCC = os.environ.get("MCC", "mcc")
SANITIZED = os.path.exists(MCC) and b"__asan_init" in open(MCC, "rb").read()
CASES = []


def case(name, data, says, args=(), lines=1, files=None):
    """data: the model's bytes, or a function that makes files in a folder. lines: how many errors are due."""
    CASES.append((name, data, says, list(args), lines, files))


def relu(**more):
    return small(node("Relu", ["x"], ["y"]), **more)


def with_tensor(t, **more):
    return small(node("Add", ["x", "w"], ["y"]), initializers=[t], **more)


def nested(depth):
    """A node that holds a graph that holds a node …"""
    inner = graph([node("Relu", ["x"], ["y"])], [], [value("y", FLOAT, None)])
    for _ in range(depth):
        inner = graph([node("If", ["x"], ["y"], attr("then_branch", inner, 5))], [], [value("y", FLOAT, None)])
    return model(field(1, node("If", ["x"], ["y"], attr("then_branch", inner, 5))) + field(11, value("x")) + field(12, value("y")))


def chain(depth, *numbers):
    """Message in message, each the only field of the one around it."""
    out = b""
    for i in range(depth):
        out = field(numbers[i % len(numbers)], out)
    return out


# ---- bytes that are no protobuf, or no ONNX ----
case("text", b"This is not a model at all.\n", "damaged, or not ONNX")
case("zeros", bytes(1000), "damaged, or not ONNX")
case("ones", b"\xff" * 1000, "damaged, or not ONNX")
case("empty", b"", "it is empty")
case("no graph", field(1, 8) + opset(17), "no graph")
case("no ir_version", field(7, graph([])) + opset(17), "no ir_version")
case("length past the end", field(1, 8) + b"\x3a\x7f\x00", "runs past the end")
case("length of 2^63", field(1, 8) + b"\x3a" + varint(1 << 63), "a length does not end")
case("length of 2^32", field(1, 8) + b"\x3a" + varint(1 << 32), "runs past the end")
case("varint without end", field(1, 8) + b"\x08" + b"\xff" * 20, "a number does not end")
case("a group", field(1, 8) + b"\x7b\x7c", "no valid wire type")
case("field number 0", field(1, 8) + b"\x02\x00", "no valid number")
case("wrong wire type", field(1, 8) + field(7, 5), "another type than the standard's")
case("two graphs", field(1, 8) + field(7, graph([])) + field(7, graph([])), "graph occurs twice")
case("a list of bytes where a number is due", field(1, "8") + field(7, graph([])), "another type than the standard's")
case("10,000 attributes deep", model(chain(9999, 6, 5, 1)), "nested too deeply")
case("10,000 sequence types deep", model(field(11, field(2, chain(10000, 1, 4)))), "nested too deeply")
case("31 graphs deep", nested(31), "nested too deeply")
case("a million empty nodes", field(1, 8) + field(7, field(1, b"") * 2000000), "needs more than")
case("a million dims", field(1, 8) + field(7, field(11, field(2, field(1, field(2, b"\x0a\x00" * 2000000))))), "needs more than")
case("a million strings", field(1, 8) + field(7, field(1, b"\x0a\x00" * 4000000)), "needs more than")

# ---- versions ----
case("opset 0", relu(version=0), "opset is 0; mcc reads 1 to 27")
case("opset 28", relu(version=28), "opset is 28; mcc reads 1 to 27")
case("opset 2^62", relu(version=1 << 62), "mcc reads 1 to 27")
case("negative opset", relu(version=-1), "opset")
case("no opset", relu(version=None), "does not say which opset")
case("two opsets", model(graph([node("Relu", ["x"], ["y"])], [value("x")], [value("y")]), 13, extra=opset(14)), "two opsets")

# ---- names and edges ----
W = tensor("w", FLOAT, (3,), floats(1, 2, 3))
case("input made by nobody", small(node("Add", ["x", "z"], ["y"], name="sum")), r"node 'sum' \(Add-0\): input 'z' is made by no node")
case("output made by nobody", small(node("Relu", ["x"], ["z"])), "output 'y' is made by no node")
case("no outputs", model(graph([node("Relu", ["x"], ["y"])], [value("x")])), "no outputs")
case("name made twice", small(node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])), "'y' is defined twice")
case("name twice in a node", small(node("MaxPool", ["x"], ["y", "y"], attr("kernel_shape", [1])), dims=(1, 1, 4)), "'y' is defined twice")
case("output named like an input", small(node("Relu", ["x"], ["x"]), node("Relu", ["x"], ["y"])), "'x' is defined twice")
case("two inputs of a name", model(graph([node("Relu", ["x"], ["y"])], [value("x"), value("x")], [value("y")])), "'x' is defined twice")
case("two initializers of a name", small(node("Add", ["x", "w"], ["y"]), initializers=[W, W]), "'w' is defined twice")
case("initializer without a name", with_tensor(tensor("", FLOAT, (3,), floats(1, 2, 3))), "has no name")
case("cycle", small(node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"], name="two"), node("Relu", ["b"], ["y"])),
     "cycle of 2 nodes: .*(one.*two|two.*one)")
case("node on itself", small(node("Add", ["x", "y"], ["y"], name="self")), "cycle of 1 node: 'self'")
case("long cycle", small(*[node("Relu", ["v%d" % (i or 5000)], ["v%d" % (i + 1)]) for i in range(5000)], node("Add", ["x", "v1"], ["y"])),
     "cycle of 5000 nodes")

# ---- tensors ----
case("raw data too short", with_tensor(tensor("w", FLOAT, (3,), floats(1, 2))), r"initializer 'w': float32\[3\] takes 12 bytes, 8 are there")
case("raw data too long", with_tensor(tensor("w", FLOAT, (3,), floats(*range(9)))), "takes 12 bytes, 36 are there")
case("no data", with_tensor(tensor("w", FLOAT, (3,))), "takes 12 bytes, 0 are there")
case("unknown data type", with_tensor(tensor("w", 99, (3,), b"")), "data type 99 is unknown")
case("data type 0", with_tensor(tensor("w", 0, (3,), b"")), "data type 0 is unknown")
case("negative data type", with_tensor(tensor("w", -1, (3,), b"")), "data type -1 is unknown")
case("negative dim", with_tensor(tensor("w", FLOAT, (-3,), floats(1, 2, 3))), "dim 0 is -3, which is negative")
case("dim 2^62", with_tensor(tensor("w", FLOAT, (1 << 62,), b"")), "too large")
case("dims whose product overflows", with_tensor(tensor("w", FLOAT, (1 << 39, 1 << 39), b"")), "too large")
case("dims that overflow to 0", with_tensor(tensor("w", FLOAT, (1 << 32, 1 << 32), b"")), "too large")
case("4 TiB without data", with_tensor(tensor("w", FLOAT, (1 << 40,))), "takes 4398046511104 bytes, 0 are there")
case("4 TiB of numbers", with_tensor(tensor("w", INT64, (1 << 40,), extra=field(7, bytes(100)))), "fewer are there")
case("rank 9", with_tensor(tensor("w", FLOAT, (1,) * 9, floats(1))), "rank 9")
case("raw and typed data", with_tensor(tensor("w", FLOAT, (1,), floats(1), extra=field(4, floats(1)))), "more than one piece")
case("data in two pieces", with_tensor(tensor("w", FLOAT, (10,), extra=field(4, floats(*range(5))) * 2)), "more than one piece")
case("numbers in the wrong field", with_tensor(tensor("w", FLOAT, (1,), extra=field(7, 1))), "not in the field that holds float32")
case("too few numbers", with_tensor(tensor("w", INT64, (3,), extra=field(7, b"\x01\x02"))), "takes 3 numbers")
case("too many numbers", with_tensor(tensor("w", INT64, (3,), extra=field(7, b"\x01\x02\x03\x04"))), "takes 3 numbers, more are there")
case("too many numbers, packed", with_tensor(tensor("w", INT64, (30,), extra=field(7, b"\x01" * 31))), "takes 30 numbers, more are there")
case("packed number without end", with_tensor(tensor("w", INT64, (20,), extra=field(7, b"\xff" * 20))), "takes 20 numbers, 0 are there")
case("number out of range", with_tensor(tensor("w", UINT8, (2,), extra=field(5, varint(1) + varint(300)))), "number 1 is 300, out of the range of uint8")
case("a tensor segment", with_tensor(tensor("w", FLOAT, (1,), floats(1), extra=field(3, field(1, 0) + field(2, 1)))), "segments are not supported")
case("string weights", small(node("Add", ["x", "w"], ["y"]), initializers=[tensor("w", STRING, (1,), extra=field(6, "a"))]), "input 1 is string")
INDEX = tensor("i", INT64, (2,), ints(1, 2))
VALUES = tensor("w", FLOAT, (2,), floats(1, 2))


def with_sparse(s):
    return small(node("Add", ["x", "w"], ["y"]), sparse=[s])


case("sparse index out of range", with_sparse(sparse(VALUES, tensor("i", INT64, (2,), ints(1, 3)), (3,))), "sparse index 1 is out of range")
case("negative sparse index", with_sparse(sparse(VALUES, tensor("i", INT64, (2,), ints(-1, 1)), (3,))), "sparse index 0 is out of range")
case("sparse indices out of order", with_sparse(sparse(VALUES, tensor("i", INT64, (2,), ints(2, 1)), (3,))), "not above the one before")
case("sparse bomb", with_sparse(sparse(VALUES, INDEX, (1 << 20, 1 << 20))), "--max-fold")
case("sparse dims that overflow", with_sparse(sparse(VALUES, INDEX, (1 << 40, 1 << 40))), "too large")
case("sparse values and indices differ", with_sparse(sparse(VALUES, tensor("i", INT64, (1,), ints(1)), (3,))), "do not fit")
case("sparse without indices", with_sparse(field(1, VALUES) + field(3, 3)), "no values or no indices")


# ---- external data ----
def external(**entries):
    t = tensor("w", FLOAT, (3,), external={k: v for k, v in entries.items()})
    return with_tensor(t)


def write(path, data=floats(1, 2, 3)):
    with open(path, "wb") as f:
        f.write(data)


case("external: absolute", external(location="/etc/passwd"), "location is absolute")
case("external: ..", external(location="../model.onnx"), "leads out of the model's folder")
case("external: .. inside", external(location="a/../../model.onnx"), "leads out of the model's folder")
case("external: missing", external(location="nothing.bin"), "No such file")
case("external: no location", external(offset="0"), "location is empty")
case("external: NUL", external(location=b"w.bin\0x"), "location is no path", files=lambda: write("w.bin"))
case("external: symbolic link", external(location="w.bin"), "symbolic link", files=lambda: os.symlink("/etc/passwd", "w.bin"))
case("external: link to a folder", external(location="d/passwd"), "symbolic link", files=lambda: os.symlink("/etc", "d"))
case("external: hard link", external(location="w.bin"), "more than one hard link", files=lambda: (write("v.bin"), os.link("v.bin", "w.bin")))
case("external: FIFO", external(location="w.bin"), "not a regular file", files=lambda: os.mkfifo("w.bin"))
case("external: folder", external(location="d"), "directory", files=lambda: os.mkdir("d"))
case("external: empty file", external(location="w.bin"), "empty", files=lambda: write("w.bin", b""))
case("external: offset beyond the end", external(location="w.bin", offset="4"), "has 12 bytes, 12 from 4 on", files=lambda: write("w.bin"))
case("external: offset near 2^64", external(location="w.bin", offset=str(2**64 - 4)), "12 from|no number", files=lambda: write("w.bin"))
case("external: offset above 2^64", external(location="w.bin", offset="9" * 30), "offset of its external data is no number")
case("external: negative offset", external(location="w.bin", offset="-4"), "offset of its external data is no number")
case("external: wrong length", external(location="w.bin", length="8"), "takes 12 bytes, its external data has 8", files=lambda: write("w.bin"))
case("external: and inside", with_tensor(tensor("w", FLOAT, (3,), floats(1, 2, 3), external={"location": "w.bin"})), "inside and outside",
     files=lambda: write("w.bin"))
case("external: deep path", external(location="d/" * 3000 + "w"), "cannot use external data")

# ---- attributes and arity ----
case("attribute of the wrong type", small(node("Concat", ["x"], ["y"], attr("axis", 1.0))), "attribute 'axis' is a float, not an integer")
case("attribute of an unknown type", small(node("Concat", ["x"], ["y"], attr("axis", 1, 77))), "unknown type 77")
case("attribute twice", small(node("Concat", ["x"], ["y"], attr("axis", 1), attr("axis", 0))), "'axis' occurs twice")
case("attribute's word", small(node("Pad", ["x", "p"], ["y"], attr("mode", "diagonal")), initializers=[tensor("p", INT64, (4,), ints(0, 0, 0, 0))]),
     "'mode' is 'diagonal'; it may be constant")
case("attribute too long", small(node("Transpose", ["x"], ["y"], attr("perm", [0] * 17))), "'perm' has 17 elements")
case("300 attributes", small(node("Relu", ["x"], ["y"], *[attr("a%d" % i, 1) for i in range(300)])), "300 attributes")
case("attribute of a function", small(node("Concat", ["x"], ["y"], attr("axis", 1, 2, field(21, "a")))), "outside of one")
case("graph attribute without a graph", small(node("If", ["x"], ["y"], attr("then_branch", None, None, field(20, 5)))), "holds no graph")
case("too many inputs", small(node("Relu", ["x", "x"], ["y"])), "2 inputs; the operator takes 1")
case("too few inputs", small(node("MatMul", ["x"], ["y"])), "1 input; the operator takes 2")
case("missing input", small(node("MatMul", ["", "x"], ["y"])), "input 0 is missing")
case("no inputs", small(node("Concat", [], ["y"], attr("axis", 0))), "0 inputs; the operator takes 1 or more")
case("too many outputs", small(node("Relu", ["x"], ["y", "z"])), "2 outputs; the operator has 1")
case("Constant without a value", small(node("Constant", [], ["y"])), "one attribute that says its value")
case("Constant with two values", small(node("Constant", [], ["y"], attr("value_int", 1), attr("value_float", 1.0))), "one attribute")
case("Constant of a string", small(node("Constant", [], ["y"], attr("value_string", "a"))), "no value that mcc supports")
case("Constant's tensor is broken", small(node("Constant", [], ["y"], attr("value", tensor("", FLOAT, (3,), b""), 4), name="c")),
     r"node 'c' \(Constant-0\): attribute 'value'")
case("an axis from opset 13 on", small(node("Unsqueeze", ["x"], ["y"], attr("axes", [0]))), "'axes' became an input in opset 13")
case("an old axes of the wrong type", small(node("Unsqueeze", ["x"], ["y"], attr("axes", 0)), version=11), "'axes' has the wrong type")
case("an old BatchNormalization that trains", small(node("BatchNormalization", ["x"] * 5, ["y", "m", "v", "n", "w"]), version=9), "5 outputs mean training")
case("an old form with new inputs", small(node("Clip", ["x", "x"], ["y"]), version=10), "takes 1 in this opset")

# ---- types and shapes ----
case("negative input dim", relu(dims=(2, -3)), "dim 1 is declared as -3, which is negative")
case("input dim 2^62", relu(dims=(1 << 62,)), "which is too large")
case("input of rank 9", relu(dims=(1,) * 9), "rank 9")
case("input of unknown type", relu(dtype=77), "element type 77 is unknown")
case("input of strings", relu(dtype=STRING), r"input 'x' is string\[2,3\], which mcc does not support")
case("input without a type", model(graph([node("Relu", ["x"], ["y"])], [field(1, "x")], [value("y")])), "of unknown type")
case("input is a sequence", model(graph([node("Relu", ["x"], ["y"])], [value("x", type=field(4, field(1, field(1, field(1, 1)))))], [value("y")])),
     "'x' is a sequence")
case("input is a map", model(graph([node("Relu", ["x"], ["y"])], [value("x", type=field(5, field(1, 7)))], [value("y")])), "'x' is a map")
case("input without a shape", relu(dims=None), "'x' has no declared shape; give it with --shape x=")
case("open dims", relu(dims=(1, "h", None, "w")), "3 dims of the inputs are open; .*--max-dim h=N --max-dim w=N --max-dim x.2=N")
case("unknown --dim", relu(dims=(1, "h")), "no open dim 'w'; open are: h", ["--dim", "w=3"])
case("unknown --max-dim", relu(), "no open dim 'w'; none is open", ["--max-dim", "w=3"])
case("unknown --shape", relu(), "no input 'z'; its inputs are: 'x'", ["--shape", "z=2x3"])
case("--shape of another rank", relu(), "'x' has rank 2, 1 dims were given", ["--shape", "x=2"])
case("--shape against the model", relu(), "axis 1 of input 'x' is 3 in the model, 4 was given", ["--shape", "x=2x4"])
case("--dim and --shape disagree", relu(dims=(1, "h")), "h is given twice", ["--shape", "x=1x4", "--dim", "h=5"])
case("output of another type", model(graph([node("Relu", ["x"], ["y"])], [value("x", FLOAT, (2,))], [value("y", INT64, (2,))])),
     "'y' is declared as int64.*is float32")
case("initializer of another type", model(graph([node("Relu", ["w"], ["y"])], [value("w", INT64, (3,))], [value("y", FLOAT, None)], [W])),
     "'w' is declared as int64")
case("shapes that do not fit", with_tensor(tensor("w", FLOAT, (4,), floats(1, 2, 3, 4))), "Add-0")

# ---- bombs ----


def bomb(op, sizes, *attrs):
    return small(node(op, ["w", "s"], ["t"], *attrs), node("Add", ["x", "t"], ["y"]), dims=(1,),
                 initializers=[tensor("w", FLOAT, (1, 1), floats(1)), tensor("s", INT64, (len(sizes),), ints(*sizes))])


def filled(*sizes):
    return small(node("ConstantOfShape", ["s"], ["t"]), node("Add", ["x", "t"], ["y"]), dims=(1,),
                 initializers=[tensor("s", INT64, (len(sizes),), ints(*sizes))])


case("ConstantOfShape of 4 GiB", filled(1 << 30), "--max-fold")
case("ConstantOfShape of 2^62", filled(1 << 62), "ConstantOfShape|overflow|large|bound")
case("ConstantOfShape of 2^80", filled(1 << 40, 1 << 40), "ConstantOfShape|overflow|large|bound")
case("ConstantOfShape of -1", filled(-1), "ConstantOfShape")
case("Expand to 4 GiB", bomb("Expand", (1 << 15, 1 << 15)), "--max-fold")
case("Tile to 4 GiB", bomb("Tile", (1 << 15, 1 << 15)), "--max-fold")
case("Pad to 4 GiB", bomb("Pad", (0, 0, 1 << 15, 1 << 15)), "--max-fold")

# ---- unsupported operators: all of them, at once ----
MANY = small(node("Foo", ["x"], ["a"], name="first"), node("Relux", ["a"], ["b"], name="second"), node("Foo", ["b"], ["c"], name="third"),
             node("NoSuchOperator", ["c"], ["d"], name="fourth", domain="com.microsoft"), node("Scaler", ["d"], ["y"], name="fifth", domain="ai.onnx.ml"))
case("unsupported", MANY, r"(?s)node 'first' \(Foo-0\): operator Foo \(ai.onnx, opset 17\) is not supported; .*'third'.*"
     r"'second' .*did you mean Relu\?.*'fourth' .*com.microsoft.*'fifth'", lines=5)
case("other trades", small(*[node(op, ["x"], ["y%d" % i], name=op, domain=domain) for i, (op, domain) in enumerate(
    [("SequenceLength", None), ("OptionalHasElement", None), ("StringSplit", None), ("ImageDecoder", None), ("Binarizer", "ai.onnx.ml"),
     ("FlexAttention", "ai.onnx.preview"), ("Adam", "ai.onnx.preview.training")])], node("Relu", ["x"], ["y"])),
     "(?s)'SequenceLength' .*about sequences.*'OptionalHasElement' .*optional values.*'StringSplit' .*strings.*'ImageDecoder' .*image files.*"
     "'Binarizer' .*classical.*'FlexAttention' .*preview.*'Adam' .*training", lines=7)
case("mcc's own operators", small(node("Fused", ["x"], ["y"], domain="mcc")), "operator Fused .* is not supported")
case("control flow", nested(2), "then_branch or else_branch is missing")


def limits():
    """A stack of 256 KiB, as `ulimit -s 256` gives; no core files."""
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(args, **more):
    """Exit code, output, seconds of work, MiB."""
    p = subprocess.Popen([MCC] + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limits, **more)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    p.stdout.close()
    return p.returncode, out.decode(errors="replace"), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def faults(name, model_path, args, says, lines):
    """What is wrong with mcc's answer, as texts."""
    write("out.o", b"the old object")
    before = sorted(os.listdir("."))
    code, out, seconds, mib = run([model_path, "-o", "out.o"] + args)
    errors = [line for line in out.splitlines() if "error: " in line]
    if code != 1:
        yield "exit %d" % code
    if len(errors) != lines or not all(line.startswith(model_path + ": error: ") or says is None for line in errors):
        yield "%d error lines, want %d" % (len(errors), lines)
    if says and not re.search(says, "\n".join(errors)):
        yield "does not say %r" % says
    if len(out) > 20000 or any(ord(c) < 32 and c != "\n" for c in out):
        yield "output is long, or has control characters"
    if not SANITIZED and (seconds > 1 or mib > 256):
        yield "%.2f s, %.0f MiB" % (seconds, mib)
    if open("out.o", "rb").read() != b"the old object" or sorted(os.listdir(".")) != before:
        yield "files changed"
    if code != 1 or (says and not re.search(says, out)):
        yield out[:400]


def check(name, data, says, args=(), lines=1, files=None, path="model.onnx"):
    home, folder = os.getcwd(), tempfile.mkdtemp(prefix="mcc-hostile-")
    os.chdir(folder)
    try:
        if callable(data):
            data()
        elif data is not None:
            write("model.onnx", data)
        if files:
            files()
        wrong = list(faults(name, path, list(args), says, lines))
    finally:
        os.chdir(home)
        shutil.rmtree(folder)
    if wrong:
        print("FAIL %s: %s" % (name, "; ".join(wrong)))
    return not wrong


def check_truncated():
    """Every beginning of a small model."""
    whole = small(node("Conv", ["x", "w"], ["y"], attr("pads", [1, 1]), name="c"), dims=(1, 1, 4),
                  initializers=[tensor("w", FLOAT, (1, 1, 3), floats(1, 2, 3))])
    good = True
    for n in range(1, len(whole)):
        good = check("truncated at %d of %d" % (n, len(whole)), whole[:n], None) and good
    return good


def main():
    only = sys.argv[1:]
    good = True
    for c in CASES:
        if not only or c[0] in only:
            good = check(*c) and good
    if not only:
        good = check("no such file", None, "No such file") and good
        good = check("a directory", lambda: os.mkdir("model.onnx"), "is a directory") and good
        good = check("a FIFO", lambda: os.mkfifo("model.onnx"), "not a regular file") and good
        good = check_truncated() and good
        print("%d cases" % len(CASES))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
