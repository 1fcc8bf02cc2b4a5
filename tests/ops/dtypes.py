"""Operators in float16, bfloat16 and float32 against the same nodes in float64, on numbers that all of these hold. One model a type holds every
node beside the others; what goes in and comes out is float64, so that a Cast stands on either side. What takes floats of 8 and 4 bits, or integers of
4 and 2, does so on four numbers that the type holds.

A seeded sample ($MCC_TEST_SEED) by default; all nodes, and without optimisation too, with MCC_TEST_ALL=1. $MCC_TEST_ONLY: operators, with commas."""
import os
import subprocess
import sys
import tempfile
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from model import Model

MCC = os.environ["MCC"]
TYPES = {"float32": (TensorProto.FLOAT, 4e-6), "float16": (TensorProto.FLOAT16, 4e-3), "bfloat16": (TensorProto.BFLOAT16, 3e-2)}
# elem_type: four of its numbers
NARROW = {"float8e4m3fn": (17, [0, 1.5, -2, 448]), "float8e4m3fnuz": (18, [0, 1.5, -2, 240]), "float8e5m2": (19, [0, 1.5, -2, 57344]),
          "float8e5m2fnuz": (20, [0, 1.5, -2, 57344]), "uint4": (21, [0, 1, 9, 15]), "int4": (22, [0, 7, -1, -8]), "float4e2m1": (23, [0, 1.5, -2, 6]),
          "float8e8m0": (24, [1, 0.5, 4, 256]), "uint2": (25, [0, 1, 2, 3]), "int2": (26, [0, 1, -1, -2])}
rng = np.random.default_rng(7)


def held(a):
    """Rounded to 7 bits, which bfloat16 holds"""
    m, e = np.frexp(np.asarray(a, np.float64))
    return np.ldexp(np.round(m * 128) / 128, e)


def x(*dims, lo=-2.0, hi=2.0):
    return held(rng.uniform(lo, hi, dims))


def case(op, *inputs, outputs=1, **attrs):
    """inputs: float64 arrays become the type at hand, others stay; None is absent"""
    return op, inputs, outputs, attrs


def unary():
    for op in "Abs Atan Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Mish Neg Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Tan Tanh ThresholdedRelu Asinh Cosh Celu".split():
        yield case(op, x(3, 37, lo=-1.4, hi=1.4))
    for op in "Sqrt Log Reciprocal".split():
        yield case(op, x(3, 37, lo=0.25, hi=4))
    for op in "Acos Asin Atanh".split():
        yield case(op, x(3, 37, lo=-0.9, hi=0.9))
    yield case("Acosh", x(3, 37, lo=1.25, hi=4))
    for op in "Softmax LogSoftmax Hardmax".split():
        yield case(op, x(3, 37), axis=-1)
        yield case(op, x(3, 7, 5), axis=1)
    for op in "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare".split():
        yield case(op, x(3, 5, 7, lo=-1, hi=1), np.array([0, 2]), keepdims=0)
        yield case(op, x(4, 33, lo=-1, hi=1), np.array([1]))
    yield case("ReduceLogSum", x(3, 5, 7, lo=0.5, hi=1), np.array([1]))


def binary():
    a, b = x(2, 3, 17), x(3, 1, lo=0.5, hi=2)
    for op in "Add Sub Mul Div Max Min Mean Sum PRelu".split():
        yield case(op, a, b)
    yield case("Pow", x(2, 3, 17, lo=0.5, hi=2), b)
    yield case("Mod", a, b, fmod=1)
    for op in "Equal Greater Less GreaterOrEqual LessOrEqual".split():
        yield case(op, a, held(np.roll(a, 1)))
    yield case("Clip", a, np.float64(-0.5), np.float64(1.0))
    yield case("Where", np.arange(17) % 3 == 0, a, b)
    yield case("IsNaN", a)
    yield case("IsInf", a)


def products():
    yield case("MatMul", x(2, 5, 33), x(33, 19))
    yield case("MatMul", x(33), x(33, 19))
    yield case("Gemm", x(33, 5), x(19, 33), x(19), transA=1, transB=1, alpha=0.5, beta=2.0)
    yield case("Einsum", x(2, 5, 7), x(2, 7, 3), equation="bij,bjk->bik")
    for group in (1, 4):
        yield case("Conv", x(1, 4, 9, 11), x(8, 4 // group, 3, 3), x(8), group=group, pads=[1, 0, 1, 2], strides=[1, 2])
    yield case("Conv", x(1, 3, 17), x(5, 3, 4), dilations=[2])
    yield case("ConvTranspose", x(1, 4, 5, 6), x(4, 3, 3, 3), x(3), strides=[2, 1])
    yield case("LSTM", x(5, 2, 4), x(1, 12, 4), x(1, 12, 3), x(1, 24), hidden_size=3, outputs=3)
    yield case("GRU", x(5, 2, 4), x(1, 9, 4), x(1, 9, 3), x(1, 18), hidden_size=3, linear_before_reset=1, outputs=2)
    yield case("RNN", x(5, 2, 4), x(1, 3, 4), x(1, 3, 3), hidden_size=3, outputs=2)
    yield case("Det", x(3, 4, 4))
    yield case("DeformConv", x(1, 2, 5, 5), x(3, 2, 2, 2), x(1, 8, 4, 4, lo=-0.75, hi=0.75), np.zeros(3))


def normalisations():
    yield case("BatchNormalization", x(2, 5, 7), x(5), x(5), x(5), x(5, lo=0.5, hi=2))
    yield case("InstanceNormalization", x(2, 3, 5, 7), x(3), x(3))
    yield case("LayerNormalization", x(4, 37), x(37), x(37))
    yield case("LRN", x(1, 7, 3, 4), size=3)
    yield case("LpNormalization", x(4, 9), axis=1, p=2)
    yield case("MeanVarianceNormalization", x(2, 3, 5, 4))
    for op in "AveragePool MaxPool LpPool".split():
        yield case(op, x(1, 5, 9, 11), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    for op in "GlobalAveragePool GlobalMaxPool GlobalLpPool".split():
        yield case(op, x(1, 5, 9, 11))


def movement():
    a = x(2, 3, 5)
    i = np.array([[2, -1, 0]])
    yield case("Concat", a, a, axis=1)
    yield case("Transpose", a, perm=[2, 0, 1])
    yield case("Slice", a, np.array([4]), np.array([-9]), np.array([2]), np.array([-2]))
    yield case("Gather", a, i, axis=1)
    yield case("GatherElements", x(3, 3), i, axis=0)
    yield case("GatherND", a, np.array([[1, 2], [0, -1]]))
    yield case("ScatterElements", x(3, 4), i, x(1, 3), reduction="add")
    yield case("ScatterND", a, np.array([[1, 2]]), x(1, 5), reduction="max")
    yield case("Expand", x(3, 1), np.array([2, 3, 4]))
    yield case("Tile", a, np.array([1, 2, 3]))
    yield case("Pad", a, np.array([1, 0, 2, 0, -1, 1]), np.float64(0.5))
    yield case("Pad", a, np.array([1, 0, 2, 0, 0, 1]), mode="reflect")
    yield case("DepthToSpace", x(1, 8, 2, 3), blocksize=2)
    yield case("SpaceToDepth", x(1, 2, 4, 6), blocksize=2)
    yield case("Trilu", a, np.array(1))
    yield case("CumSum", a, np.array(1))
    yield case("TopK", held(rng.permutation(24).reshape(3, 8) - 9), np.array([3]), outputs=2)
    yield case("ArgMax", held(rng.permutation(24).reshape(3, 8)), axis=1)
    yield case("OneHot", np.array([2, 0, -1]), np.array(4), x(2))
    yield case("Compress", a, np.array([True, False, True]), axis=1)
    yield case("NonZero", held(np.round(x(3, 5))))
    yield case("Unique", held(np.round(x(17))), outputs=4)
    yield case("ReverseSequence", a, np.array([3, 1]), batch_axis=0, time_axis=1)
    yield case("EyeLike", x(3, 4), k=1)
    yield case("Resize", x(1, 2, 4, 5), None, np.float32([1, 1, 2, 1.5]), mode="linear")
    yield case("Resize", x(1, 2, 4, 5), None, np.float32([1, 1, 0.5, 2]), mode="nearest")
    yield case("GridSample", x(1, 2, 4, 5), x(1, 3, 3, 2, lo=-1, hi=1))
    yield case("RoiAlign", x(1, 2, 8, 8), np.array([[0.5, 1, 6, 7]]), np.array([0]), output_height=3, output_width=2)
    yield case("MaxUnpool", x(1, 1, 2, 2), np.array([[[[0, 3], [9, 14]]]]), kernel_shape=[2, 2], strides=[2, 2])
    yield case("Col2Im", x(1, 8, 6), np.array([3, 4]), np.array([2, 2]))
    yield case("DFT", x(1, 12, 1), axis=1)


def cases():
    return [c for part in (unary, binary, products, normalisations, movement) for c in part()]


def narrow(numbers):
    """Of whatever type: what moves elements, and what asks about them"""
    pick = lambda *dims: np.array(numbers, np.float64)[rng.integers(0, 4, dims)]
    a, i = pick(2, 3, 5), np.array([[2, -1, 0]])
    yield case("Concat", a, a, axis=1)
    yield case("Transpose", a, perm=[2, 0, 1])
    yield case("Slice", a, np.array([4]), np.array([-9]), np.array([2]), np.array([-2]))
    yield case("Split", a, np.array([2, 3]), axis=2, outputs=2)
    yield case("Gather", a, i, axis=1)
    yield case("GatherElements", pick(3, 3), i, axis=0)
    yield case("GatherND", a, np.array([[1, 2], [0, -1]]))
    yield case("ScatterElements", pick(3, 4), i, pick(1, 3))
    yield case("ScatterND", a, np.array([[1, 2]]), pick(1, 5))
    yield case("TensorScatter", pick(2, 4, 3), pick(2, 2, 3), np.array([1, 2]))
    yield case("Expand", pick(3, 1), np.array([2, 3, 4]))
    yield case("Tile", a, np.array([1, 2, 3]))
    yield case("Pad", a, np.array([1, 0, 2, 0, -1, 1]), np.float64(numbers[1]))
    yield case("DepthToSpace", pick(1, 8, 2, 3), blocksize=2)
    yield case("SpaceToDepth", pick(1, 2, 4, 6), blocksize=2)
    yield case("Compress", a, np.array([True, False, True]), axis=1)
    yield case("ReverseSequence", a, np.array([3, 1]), batch_axis=0, time_axis=1)
    yield case("Where", np.arange(5) % 3 == 0, a, pick(3, 1))
    yield case("Reshape", a, np.array([5, -1]))
    yield case("Flatten", a)
    yield case("Squeeze", pick(1, 7), np.array([0]))
    yield case("Unsqueeze", a, np.array([1]))
    yield case("Identity", a)
    yield case("Shape", a)
    if max(numbers) > 100 and min(numbers) < 0:  # floats of 8 bits
        yield case("IsNaN", np.array([numbers[1], np.nan]))
        yield case("IsInf", a)
        yield case("Dropout", a)


def network(every, kind, opset=19):
    nodes, inputs, tensors, arrays, outputs = [], [], [], [], []
    for k, (op, given, n_out, attrs) in enumerate(every):
        names = []
        for i, a in enumerate(given):
            name = f"i{k}_{i}" if a is not None else ""
            names.append(name)
            if a is None:
                continue
            a = np.asarray(a)
            if a.dtype != np.float64:
                tensors.append(numpy_helper.from_array(a, name))
                continue
            inputs.append(helper.make_tensor_value_info(name + "d", TensorProto.DOUBLE, a.shape))
            arrays.append(a)
            nodes.append(helper.make_node("Cast", [name + "d"], [name], to=kind))
        outs = [f"o{k}_{i}" for i in range(n_out)]
        nodes.append(helper.make_node(op, names, outs, **attrs))
        for o in outs:
            outputs.append(helper.make_tensor_value_info(o + "d", TensorProto.DOUBLE, None))
            nodes.append(helper.make_node("Cast", [o], [o + "d"], to=TensorProto.DOUBLE))
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tensors), opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9 if opset == 19 else 13
    return model, arrays


def run(folder, every, kind, level, opset=19):
    model, arrays = network(every, kind, opset)
    stem = os.path.join(folder, f"m{kind}{level}{opset}{len(os.listdir(folder))}")
    with open(stem + ".onnx", "wb") as f:
        f.write(model.SerializeToString())
    subprocess.run([MCC, stem + ".onnx", "--emit=shared", "--name=m", level, "--max-dim=*=64", "-Wno-shape", "-o", stem + ".so"], check=True)
    return Model(stem + ".so", "m").run(arrays)


def chosen():
    every, only, whole = cases(), os.environ.get("MCC_TEST_ONLY"), os.environ.get("MCC_TEST_ALL") == "1"
    if only:
        return [c for c in every if c[0] in only.split(",")]
    picked = np.random.default_rng(int(os.environ.get("MCC_TEST_SEED", "1"))).permutation(len(every))[:8]
    return every if whole else [every[i] for i in sorted(picked)]


def chosen_narrow():
    if os.environ.get("MCC_TEST_ONLY"):
        return []
    if os.environ.get("MCC_TEST_ALL") == "1":
        return list(NARROW)
    return [list(NARROW)[int(os.environ.get("MCC_TEST_SEED", "1")) % len(NARROW)]]


def complaints(every, want, got, limit, where):
    at = 0
    for op, _, n_out, attrs in every:
        for i in range(n_out):
            w, g = want[at], got[at]
            at += 1
            most = np.abs(w).max(initial=0)
            if g.shape != w.shape:
                yield f"{op} {attrs} output {i}, {where}: {g.shape}, not {w.shape}"
            elif not np.allclose(g, w, limit, limit * max(1, most), equal_nan=True):
                yield f"{op} {attrs} output {i}, {where}: {np.abs(g - w).max(initial=0)} apart, the largest number is {most}"


def whole_vectors(folder):
    """Roundings of one vector of bfloat16, with this processor's instructions: what is chosen between by bits was exchanged once."""
    numbers = (np.arange(16) % 17 - 8).astype(np.float32) / 8
    for op, want in ("Round", np.rint(numbers)), ("Floor", np.floor(numbers)), ("Ceil", np.ceil(numbers)):
        types = [helper.make_tensor_value_info(name, TensorProto.BFLOAT16, [16]) for name in "xy"]
        model = helper.make_model(helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", types[:1], types[1:]),
                                  opset_imports=[helper.make_opsetid("", 22)], ir_version=9)
        stem = os.path.join(folder, op)
        with open(stem + ".onnx", "wb") as out:
            out.write(model.SerializeToString())
        subprocess.run([MCC, stem + ".onnx", "--emit=shared", "--name=m", "-mcpu=native", "-o", stem + ".so"], check=True)
        got = Model(stem + ".so", "m").run([(numbers.view(np.uint32) >> 16).astype(np.uint16)])[0]
        if (got.astype(np.uint32) << 16).view(np.float32).tolist() != want.tolist():
            yield f"{op} of a vector of bfloat16: {got}"


def main():
    every, wrong = chosen(), []
    with tempfile.TemporaryDirectory() as folder:
        want = run(folder, every, TensorProto.DOUBLE, "-O1")
        for name, (kind, limit) in TYPES.items():
            for level in ("-O1", "-O0") if os.environ.get("MCC_TEST_ALL") == "1" else ("-O1",):
                wrong += complaints(every, want, run(folder, every, kind, level), limit, f"{name} {level}")
        wrong += whole_vectors(folder)
        for name in chosen_narrow():
            kind, numbers = NARROW[name]
            some = list(narrow(numbers))
            wrong += complaints(some, run(folder, some, TensorProto.DOUBLE, "-O0", 25), run(folder, some, kind, "-O1", 25), 0, name)
    print("\n".join(wrong))
    print(f"{len(every)} nodes in float64 and {len(TYPES)} narrower types, {len(wrong)} complaints")
    return bool(wrong)


sys.exit(main())
