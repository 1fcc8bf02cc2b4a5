"""What the reader makes of a model: the imported graph as text, line by line. One case a fact: where tensors' bytes may be,
names and order, pins and bounds of open dims, and each old operator form in its newest clothes."""
import os
import re
import subprocess
import sys
import tempfile
from onnx_wire import *

MCC = os.environ.get("MCC", "mcc")
BFLOAT16, COMPLEX64, F8 = 16, 14, 17
CASES = []


def case(name, data, want, *args, files=()):
    """want: the graph's lines, the first of them (its inputs and outputs) only if it starts with "graph"."""
    CASES.append((name, data, numbered(want.strip("\n")), args, dict(files)))


def numbered(text):
    """Lines, with unnamed values counted from 1 in the order of their appearance."""
    seen = {}
    return re.sub(r"%v(\d+)", lambda m: "%%v%d" % seen.setdefault(m[1], len(seen) + 1), text).split("\n")


def holds(t):
    """A model that gives the tensor back."""
    return model(graph([node("Identity", ["w"], ["y"])], [], [value("y", t[1], None)], [t[0]]))


def stored(name, dtype, want, dims=(2,), raw=None, extra=b"", **more):
    case("stored: " + name, holds((tensor("w", dtype, dims, raw, extra=extra, **more), dtype)),
         "  %%y: %s = Identity(%s)" % (want[:want.index(" {")], want))


# ---- tensors: raw bytes, typed numbers, packed or one by one, inside and outside of the file ----
stored("float raw", FLOAT, "float32[2] {1, -2.5}", raw=floats(1, -2.5))
stored("float packed", FLOAT, "float32[2] {1, 2}", extra=field(4, floats(1, 2)))
stored("float packed, long", FLOAT, "float32[5] {1, 2, 3, 4, 5}", (5,), extra=field(4, floats(1, 2, 3, 4, 5)))
stored("float one by one", FLOAT, "float32[2] {1, 2}", extra=field(4, [1.0, 2.0]))
stored("double packed", DOUBLE, "float64[3] {1, 2, 3}", (3,), extra=field(10, struct.pack("<3d", 1, 2, 3)))
stored("double one", DOUBLE, "float64[1] {0.1}", (1,), extra=field(10, struct.pack("<d", 0.1)))
stored("int32 packed", INT32, "int32[2] {-1, 300}", extra=field(5, varint(-1) + varint(300)))
stored("int32 packed, long", INT32, "int32[2] {-1, -2}", extra=field(5, varint(-1) + varint(-2)))
stored("int32 one by one", INT32, "int32[2] {-1, 300}", extra=field(5, [-1, 300]))
stored("int8", INT8, "int8[2] {-128, 127}", extra=field(5, [-128, 127]))
stored("uint8", UINT8, "uint8[2] {0, 255}", extra=field(5, [0, 255]))
stored("int16", INT16, "int16[2] {-32768, 32767}", extra=field(5, [-32768, 32767]))
stored("uint16", UINT16, "uint16[2] {0, 65535}", extra=field(5, [0, 65535]))
stored("bool", BOOL, "bool[3] {0, 1, 1}", (3,), extra=field(5, [0, 1, 7]))
stored("bool raw", BOOL, "bool[3] {0, 1, 1}", (3,), raw=b"\x00\x01\xff")
stored("float16", FLOAT16, "float16[2] {1, -2}", extra=field(5, [0x3c00, 0xc000]))
stored("float16 raw", FLOAT16, "float16[2] {1, -2}", raw=struct.pack("<2e", 1, -2))
stored("bfloat16", BFLOAT16, "bfloat16[2] {1, -2}", extra=field(5, [0x3f80, 0xc000]))
stored("int64 packed", INT64, "int64[2] {-1, 4611686018427387904}", extra=field(7, varint(-1) + varint(1 << 62)))
stored("int64 one by one", INT64, "int64[2] {-1, 5}", extra=field(7, [-1, 5]))
stored("uint32", UINT32, "uint32[2] {0, 4294967295}", extra=field(11, varint(0) + varint(2**32 - 1)))
stored("uint64", UINT64, "uint64[1] {9223372036854775807}", (1,), extra=field(11, varint(2**63 - 1)))
stored("scalar", FLOAT, "float32[] {3}", (), raw=floats(3))
stored("no elements", FLOAT, "float32[0, 3] {}", (0, 3))
stored("no elements, raw", INT64, "int64[0] {}", (0,), raw=b"")
stored("int64 after odd bytes", INT64, "int64[2] {7, 8}", raw=ints(7, 8), extra=field(12, "1234567"))
case("stored: file", holds((tensor("w", FLOAT, (3,), external={"location": "w.bin"}), FLOAT)),
     "  %y: float32[3] = Identity(float32[3] {1, 2, 3})", files={"w.bin": floats(1, 2, 3)})
case("stored: file, folder, offset", holds((tensor("w", FLOAT, (2,), external={"location": "./d//w.bin", "offset": "5", "length": "8"}), FLOAT)),
     "  %y: float32[2] = Identity(float32[2] {2, 3})", files={"d/w.bin": b"x" + floats(1, 2, 3)})
case("stored: another root", holds((tensor("w", FLOAT, (1,), external={"location": "w.bin"}), FLOAT)),
     "  %y: float32[1] = Identity(float32[1] {9})", "--external-data-root", "d", files={"d/w.bin": floats(9)})

# ---- sparse tensors ----
SPARSE = sparse(tensor("w", FLOAT, (2,), floats(5, 6)), tensor("", INT64, (2,), ints(1, 5)), (2, 3))
DEEP = sparse(tensor("w", FLOAT, (2,), floats(5, 6)), tensor("", INT64, (2, 2), ints(0, 1, 1, 2)), (2, 3))
for name, s in (("flat", SPARSE), ("deep", DEEP)):
    case("sparse: " + name, model(graph([node("Identity", ["w"], ["y"])], [], [value("y")], sparse=[s])),
         "  %y: float32[2, 3] = Identity(float32[2, 3] {0, 5, 0, 0, 0, 6})")

# ---- Constant nodes, wherever they stand ----
for name, a, want in (("value", attr("value", tensor("", INT64, (2,), ints(3, 4)), 4), "int64[2] {3, 4}"),
                      ("value_int", attr("value_int", 7), "int64[] {7}"), ("value_ints", attr("value_ints", [7, 8]), "int64[2] {7, 8}"),
                      ("value_float", attr("value_float", 0.5), "float32[] {0.5}"),
                      ("value_floats", attr("value_floats", [0.5, 1.0]), "float32[2] {0.5, 1}"),
                      ("sparse_value", attr("sparse_value", SPARSE, 11), "float32[2, 3] {0, 5, 0, 0, 0, 6}")):
    dtype = INT64 if want.startswith("int") else FLOAT
    case("Constant: " + name, model(graph([node("Identity", ["c"], ["y"]), node("Constant", [], ["c"], a)], [], [value("y", dtype, None)])),
         "  %%y: %s = Identity(%s)" % (want.split("] ")[0] + "]", want))

# ---- names and order ----
case("nodes out of order", small(node("Relu", ["b"], ["y"]), node("Abs", ["x"], ["a"]), node("Neg", ["a"], ["b"])), """
  %a: float32[2, 3] = Abs(%x)
  %b: float32[2, 3] = Neg(%a)
  %y: float32[2, 3] = Relu(%b)""")
case("an input with an initializer", model(graph([node("Add", ["x", "w"], ["y"])], [value("w", FLOAT, (1,)), value("x", FLOAT, (2,))], [value("y")],
                                                 [tensor("w", FLOAT, (1,), floats(4))])), """
graph (%x: float32[2]) -> (%y)
  %y: float32[2] = Add(%x, float32[1] {4})""")
case("empty names at the end", small(node("Clip", ["x", "", ""], ["y"])), "  %y: float32[2, 3] = Clip(%x)")
case("odd names", model(graph([node("Relu", [b"a\0\"*/\n\xff"], [b"b'"])], [value(b"a\0\"*/\n\xff", FLOAT, (2,))], [value(b"b'")])), """
graph (%v0: float32[2]) -> (%v2)
  %v2: float32[2] = Relu(%v0)""")
case("ai.onnx by name", small(node("Relu", ["x"], ["y"], domain="ai.onnx")), "  %y: float32[2, 3] = Relu(%x)")

# ---- open dims ----
TWO = model(graph([node("Add", ["x", "z"], ["y"])], [value("x", FLOAT, ("n", "h")), value("z", FLOAT, ("n", "h"))], [value("y", FLOAT, None)]))
OPEN = small(node("Relu", ["x"], ["y"]), dims=(2, None, "h"))
case("one name, one dim", TWO, "graph (%x: float32[n, h], %z: float32[n, h]) -> (%y)\n  %y: float32[n, h] = Add(%x, %z)",
     "--max-dim", "n=4", "--max-dim", "h=9")
case("a dim's pin", TWO, "graph (%x: float32[n, 5], %z: float32[n, 5]) -> (%y)\n  %y: float32[n, 5] = Add(%x, %z)", "--max-dim", "n=4", "--dim", "h=5")
case("a shape's pin holds everywhere", TWO, "graph (%x: float32[3, 5], %z: float32[3, 5]) -> (%y)\n  %y: float32[3, 5] = Add(%x, %z)", "--shape", "x=3x5")
case("the batch is 1", TWO, "graph (%x: float32[1, h], %z: float32[1, h]) -> (%y)\n  %y: float32[1, h] = Add(%x, %z)", "--max-dim", "h=7")
case("a bound for the rest", TWO, "graph (%x: float32[n, 5], %z: float32[n, 5]) -> (%y)\n  %y: float32[n, 5] = Add(%x, %z)", "--max-dim", "*=4", "--dim", "h=5")
case("a dim without a name", OPEN, "graph (%x: float32[2, x.1, h]) -> (%y)\n  %y: float32[2, x.1, h] = Relu(%x)", "--max-dim", "x.1=4", "--max-dim", "h=3")
case("its name is taken", small(node("Relu", ["x"], ["y"]), dims=("x.1", None)), "graph (%x: float32[x.1, x.1_]) -> (%y)\n  %y: float32[x.1, x.1_] = Relu(%x)",
     "--max-dim", "*=4")
case("no rank", small(node("Relu", ["x"], ["y"]), dims=None), "  %y: float32[4, 5] = Relu(%x)", "--shape", "x=4x5")

# ---- old forms ----


def old(name, version, n, want, dims=(2, 3), initializers=(), **more):
    case("old: " + name, small(n, dims=dims, version=version, initializers=initializers, **more), want)


old("Squeeze", 12, node("Squeeze", ["x"], ["y"], attr("axes", [0])), "  %y: float32[3] = Squeeze(%x, int64[1] {0})", (1, 3))
old("Squeeze all", 12, node("Squeeze", ["x"], ["y"]), "  %y: float32[3] = Squeeze(%x)", (1, 3))
old("Unsqueeze", 11, node("Unsqueeze", ["x"], ["y"], attr("axes", [0, -1])), "  %y: float32[1, 2, 3, 1] = Unsqueeze(%x, int64[2] {0, -1})")
old("ReduceSum", 12, node("ReduceSum", ["x"], ["y"], attr("axes", [1]), attr("keepdims", 0)),
    "  %y: float32[2] = ReduceSum(%x, int64[1] {1}) {keepdims = 0}")
old("ReduceMean", 17, node("ReduceMean", ["x"], ["y"], attr("axes", [1])), "  %y: float32[2, 1] = ReduceMean(%x, int64[1] {1})")
old("ReduceMax over all", 13, node("ReduceMax", ["x"], ["y"]), "  %y: float32[1, 1] = ReduceMax(%x)")
old("Clip", 7, node("Clip", ["x"], ["y"], attr("min", 0.0), attr("max", 6.0)), "  %y: float32[2, 3] = Clip(%x, float32[] {0}, float32[] {6})")
old("Clip above", 10, node("Clip", ["x"], ["y"], attr("max", 6.0)), "  %y: float32[2, 3] = Clip(%x, none, float32[] {6})")
old("Clip of doubles", 10, node("Clip", ["x"], ["y"], attr("max", 6.0)), "  %y: float64[2, 3] = Clip(%x, none, float64[] {6})", dtype=DOUBLE)
old("Clip of halves", 10, node("Clip", ["x"], ["y"], attr("max", 6.0)), """
  %v4: float16[] = CastLike(float32[] {6}, %x)
  %y: float16[2, 3] = Clip(%x, none, %v4)""", dtype=FLOAT16)
old("Pad", 10, node("Pad", ["x"], ["y"], attr("pads", [0, 1, 0, 2]), attr("value", 1.5)),
    "  %y: float32[2, 6] = Pad(%x, int64[4] {0, 1, 0, 2}, float32[] {1.5})")
old("Pad of zeros", 9, node("Pad", ["x"], ["y"], attr("pads", [0, 1, 0, 2]), attr("mode", "reflect")),
    '  %y: float32[2, 6] = Pad(%x, int64[4] {0, 1, 0, 2}) {mode = "reflect"}')
old("Slice", 9, node("Slice", ["x"], ["y"], attr("starts", [1]), attr("ends", [3]), attr("axes", [1])),
    "  %y: float32[2, 2] = Slice(%x, int64[1] {1}, int64[1] {3}, int64[1] {1})")
old("Slice of all axes", 9, node("Slice", ["x"], ["y"], attr("starts", [1, 0]), attr("ends", [2, 2])),
    "  %y: float32[1, 2] = Slice(%x, int64[2] {1, 0}, int64[2] {2, 2})")
old("Split", 11, node("Split", ["x"], ["y", "z"], attr("axis", 1), attr("split", [1, 2])),
    "  %y: float32[2, 1], %z: float32[2, 2] = Split(%x, int64[2] {1, 2}) {axis = 1}")
old("Split in equal parts", 13, node("Split", ["x"], ["y", "z"]), "  %y: float32[1, 3], %z: float32[1, 3] = Split(%x) {num_outputs = 2}")
old("Dropout", 7, node("Dropout", ["x"], ["y", "m"], attr("ratio", 0.5)), "  %y: float32[2, 3] = Dropout(%x)")
old("Dropout's mask", 9, node("Dropout", ["x"], ["z", "y"], attr("ratio", 0.5)), """
  %z: float32[2, 3], %v5: bool[2, 3] = Dropout(%x)
  %y: float32[2, 3] = CastLike(%v5, %x)""")
ONES = [tensor(n, FLOAT, (3,), floats(1, 1, 1)) for n in "sbmv"]
old("BatchNormalization", 8, node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], attr("spatial", 1)),
    "  %y: float32[2, 3] = BatchNormalization(%x, float32[3] {1, 1, 1}, float32[3] {1, 1, 1}, float32[3] {1, 1, 1}, float32[3] {1, 1, 1})",
    initializers=ONES)
old("Softmax at the last axis", 11, node("Softmax", ["x"], ["y"]), "  %y: float32[2, 3] = Softmax(%x) {axis = -1}")
old("Softmax at -1", 12, node("Softmax", ["x"], ["y"], attr("axis", -1)), "  %y: float32[2, 3, 4] = Softmax(%x) {axis = -1}", (2, 3, 4))
old("Softmax of a matrix in rank 3", 9, node("LogSoftmax", ["x"], ["y"]), """
  %v3: int64[3] = Shape(%x)
  %v5: float32[2, 12] = Flatten(%x) {axis = 1}
  %v8: float32[2, 12] = LogSoftmax(%v5) {axis = -1}
  %y: float32[2, 3, 4] = Reshape(%v8, %v3)""", (2, 3, 4))
old("Softmax today", 13, node("Softmax", ["x"], ["y"], attr("axis", 1)), "  %y: float32[2, 3, 4] = Softmax(%x) {axis = 1}", (2, 3, 4))
LIKE = 'coordinate_transformation_mode = "asymmetric", nearest_mode = '
SCALES = [tensor("s", FLOAT, (2,), floats(2, 1))]
old("Upsample 7", 7, node("Upsample", ["x"], ["y"], attr("scales", [2.0, 1.0])),
    '  %%y: float32[4, 3] = Resize(%%x, none, float32[2] {2, 1}) {%s"floor"}' % LIKE)
old("Upsample 9", 9, node("Upsample", ["x", "s"], ["y"], attr("mode", "linear")),
    '  %%y: float32[4, 3] = Resize(%%x, none, float32[2] {2, 1}) {mode = "linear", %s"floor"}' % LIKE, initializers=SCALES)
old("Resize 10, growing", 10, node("Resize", ["x", "s"], ["y"]),
    '  %%y: float32[4, 3] = Resize(%%x, none, float32[2] {2, 1}) {%s"floor"}' % LIKE, initializers=SCALES)
old("Resize 10, shrinking", 10, node("Resize", ["x", "s"], ["y"]), '  %%y: float32[1, 3] = Resize(%%x, none, float32[2] {0.5, 1}) {%s"ceil"}' % LIKE,
    initializers=[tensor("s", FLOAT, (2,), floats(0.5, 1))])
old("Resize 10, both", 10, node("Resize", ["x", "s"], ["y"]), """
  %%v5: float32[2, 6] = Resize(%%x, none, float32[2] {1, 2}) {%s"floor"}
  %%y: float32[1, 6] = Resize(%%v5, none, float32[2] {0.5, 1}) {%s"ceil"}""" % (LIKE, LIKE), initializers=[tensor("s", FLOAT, (2,), floats(0.5, 2))])
old("Resize 11", 11, node("Resize", ["x", "e", "s"], ["y"]), "  %y: float32[4, 3] = Resize(%x, none, float32[2] {2, 1})",
    initializers=SCALES + [tensor("e", FLOAT, (0,))])


def imported(data, args, files):
    """The text of the imported graph, or what mcc said instead."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in dict(files, **{"model.onnx": data}).items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        command = [MCC, "model.onnx", "--emit=graph", "--stop-after-pass=0", "-o", "-"] + list(args)
        p = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return numbered((p.stdout if p.returncode == 0 else p.stderr).decode(errors="replace").strip("\n"))


def main():
    failed = 0
    for name, data, want, args, files in CASES:
        got = imported(data, args, files)
        if not want[0].startswith("graph"):
            got = got[1:] if len(got) > 1 else got
        if got != want:
            failed += 1
            print("FAIL %s\n  want:\n%s\n  got:\n%s" % (name, "\n".join(want), "\n".join(got)))
    print("%d of %d cases failed" % (failed, len(CASES)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
