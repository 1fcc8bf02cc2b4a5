"""Products with constant weights of 4 or 8 bits, one scale a tensor, a column or a block: what mcc emits, which keeps them packed, agrees
with the product of the dequantized numbers in float64 as well as float32 does, on every kind of processor, with threads bit for bit;
and the weights stand in the object as they are in the model.

$MCC_TEST_SEED, $MCC_TEST_COUNT (20)"""
import ctypes
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
from onnx import TensorProto, helper, numpy_helper
from model import Model

MCC = os.environ["MCC"]
UINT4, INT4 = 21, 22
RANGE = {w.INT8: (-128, 127), w.UINT8: (0, 255), INT4: (-8, 7), UINT4: (0, 15)}
CPUS = ["native", "native", "x86-64", "x86-64-v3", "x86-64-v4"]
PARALLEL = """#include "mcc/runtime.h"
void mcc_parallel_for(int32_t chunks, void (*body)(void *, int32_t, int32_t), void *ctx) {
    for (int32_t i = chunks - 1; i >= 0; i--) body(ctx, i, 0);
}"""


def packed(codes, dtype):
    """Raw bytes as ONNX stores them: 4 bits low first"""
    flat = codes.reshape(-1).astype(np.int64)
    if dtype in (w.INT8, w.UINT8):
        return (flat & 255).astype(np.uint8).tobytes()
    flat = np.append(flat, np.zeros(flat.size % 2, np.int64)) & 15
    return (flat[::2] | flat[1::2] << 4).astype(np.uint8).tobytes()


def random_case(rng):
    maybe = lambda p=0.5: rng.random() < p
    dtype = int(rng.choice(list(RANGE)))
    block = int(rng.choice([0, 0, 8, 32, 64, 128]))
    inner = block * int(rng.integers(1, 6)) if block else 8 * int(rng.integers(1, 80))
    return {"dtype": dtype, "block": block, "inner": inner, "cols": int(rng.choice([1, 3, 16, 31, 64, 100, 130])),
            "rows": int(rng.choice([1, 1, 2, 3, 5, 70])), "open": maybe(0.3), "turned": maybe(), "by_column": maybe(0.7), "zeros": maybe(),
            "op": str(rng.choice(["MatMul", "MatMul", "Gemm"])), "tail": maybe(), "one_zero": maybe(0.3), "cpu": str(rng.choice(CPUS))}


def weights(case, rng):
    """codes, scales, zero points (or None) as [inner, cols], [groups, cols] or [1, 1]"""
    groups = case["inner"] // case["block"] if case["block"] else 1
    columns = case["cols"] if case["block"] or case["by_column"] else 1
    lo, hi = RANGE[case["dtype"]]
    codes = rng.integers(lo, hi + 1, (case["inner"], case["cols"]))
    scales = rng.uniform(0.01, 0.1, (groups, columns)).astype(np.float32)
    zeros = rng.integers(lo, hi + 1, scales.shape) if case["zeros"] else None
    if zeros is not None and case["one_zero"]:
        zeros[:] = zeros[0, 0]
    return codes, scales, zeros


def initializer(case, name, dtype, v, what):
    """what: "codes", or numbers by column or block, which are a list without blocks"""
    if case["turned"]:
        v = v.T
    dims = v.shape
    if what == "numbers" and not case["block"]:
        dims = (v.size,) if v.size > 1 else ()
    return w.tensor(name, dtype, dims, v.astype(np.float32).tobytes() if dtype == w.FLOAT else packed(np.ascontiguousarray(v), dtype))


def model_of(case, codes, scales, zeros, bias):
    constants = [initializer(case, "w", case["dtype"], codes, "codes"), initializer(case, "s", w.FLOAT, scales, "numbers")]
    dq = ["w", "s"]
    if zeros is not None:
        constants.append(initializer(case, "z", case["dtype"], zeros, "numbers"))
        dq.append("z")
    inner_axis = 1 if case["turned"] else 0
    nodes = [w.node("DequantizeLinear", dq, ["f"], w.attr("axis", inner_axis if case["block"] else 1 - inner_axis), w.attr("block_size", case["block"]))]
    if case["op"] == "Gemm":
        constants.append(w.tensor("b", w.FLOAT, bias.shape, bias.tobytes()))
        nodes.append(w.node("Gemm", ["x", "f", "b"], ["p"], w.attr("transB", int(case["turned"]))))
    else:
        if case["turned"]:
            nodes.append(w.node("Transpose", ["f"], ["t"], w.attr("perm", [1, 0])))
        nodes.append(w.node("MatMul", ["x", "t" if case["turned"] else "f"], ["p"]))
    nodes.append(w.node("Relu" if case["tail"] else "Identity", ["p"], ["y"]))
    rows = "N" if case["open"] else case["rows"]
    return w.model(w.graph(nodes, [w.value("x", w.FLOAT, (rows, case["inner"]))], [w.value("y", w.FLOAT, None)], constants), version=21, ir=10)


def expected(case, x, codes, scales, zeros, bias):
    repeat = case["block"] or case["inner"]
    wide = lambda v: np.repeat(np.broadcast_to(v, (v.shape[0], case["cols"])), repeat, 0).astype(np.float64)
    real = (codes - (0 if zeros is None else wide(zeros))) * wide(scales)
    y = x.astype(np.float64) @ real
    bound = np.abs(x).astype(np.float64) @ np.abs(real) + (np.abs(x).sum(1, keepdims=True) * np.abs(real).max())
    if case["op"] == "Gemm":
        y = y + bias
    return np.maximum(y, 0) if case["tail"] else y, bound * 2e-6 + 1e-6


def compile_model(path, *options):
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m", "--max-dim=*=100", *options], check=True)
    return Model(path + ".so", "m")


def define_parallel_for(folder):
    path = os.path.join(folder, "parallel")
    with open(path + ".c", "w") as f:
        f.write(PARALLEL)
    subprocess.run(["cc", "-shared", "-fPIC", "-I", os.path.join(os.environ["SOURCE"], "include"), path + ".c", "-o", path + ".so"], check=True)
    return ctypes.CDLL(path + ".so", ctypes.RTLD_GLOBAL)


def check_case(case, rng, path):
    codes, scales, zeros = weights(case, rng)
    bias = rng.standard_normal(case["cols"]).astype(np.float32)
    x = (rng.standard_normal((case["rows"], case["inner"])) * rng.uniform(0.01, 100)).astype(np.float32)
    with open(path + ".onnx", "wb") as f:
        f.write(model_of(case, codes, scales, zeros, bias))
    got = compile_model(path, "-mcpu=" + case["cpu"]).check([x])[0]
    want, bound = expected(case, x, codes, scales, zeros, bias)
    bad = ~(np.abs(got - want) <= bound)
    assert not bad.any(), (case, np.abs(got - want)[bad][:4], bound[bad][:4])
    os.rename(path + ".so", path + "-one.so")  # a library of the same name would not be loaded again
    threads = compile_model(path, "-mcpu=" + case["cpu"], "--threads=callback", "--cut-kernels").run([x])[0]
    assert threads.tobytes() == got.tobytes(), case


def check_size(folder):
    """A matrix of 4 bits takes half a byte an element, and its scales; an input that is not finite gives NaN in its row alone."""
    case = {"dtype": INT4, "block": 32, "inner": 512, "cols": 256, "rows": 2, "open": False, "turned": False, "op": "MatMul", "tail": False}
    rng, path = np.random.default_rng(1), os.path.join(folder, "size")
    codes, scales = rng.integers(-8, 8, (512, 256)), np.full((16, 256), 0.01, np.float32)
    with open(path + ".onnx", "wb") as f:
        f.write(model_of(case, codes, scales, None, None))
    subprocess.run([MCC, path + ".onnx", "-o", path + ".o", "-mcpu=native"], check=True)
    size, most = os.path.getsize(path + ".o"), 512 * 256 // 2 + 4 * scales.size + 16384
    assert size < most, (size, most)
    x = rng.standard_normal((2, 512)).astype(np.float32)
    x[0, 3] = np.inf
    y = compile_model(path, "-mcpu=native").check([x])[0]
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all(), y


def check_known(folder):
    """A product whose operand only folding knows: it has no reference kernel, and stays a product."""
    rng, path = np.random.default_rng(2), os.path.join(folder, "known")
    a, b, codes = rng.standard_normal((3, 32)).astype(np.float32), np.float32(0.5), rng.integers(-8, 8, (32, 8)).astype(np.int8)
    names = {"a": a, "b": b, "codes": codes, "scale": np.float32(0.25)}
    nodes = [helper.make_node("Add", ["a", "b"], ["x"]), helper.make_node("DequantizeLinear", ["codes", "scale"], ["w"]),
             helper.make_node("MatMul", ["x", "w"], ["product"]), helper.make_node("Mul", ["product", "z"], ["y"])]
    types = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 8]) for name in "zy"]
    graph = helper.make_graph(nodes, "g", types[:1], types[1:], [numpy_helper.from_array(v, k) for k, v in names.items()])
    with open(path + ".onnx", "wb") as f:
        f.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    z = rng.standard_normal((3, 8)).astype(np.float32)
    y = compile_model(path, "-mcpu=native").check([z])[0]
    assert np.allclose(y, (a + b) @ (codes * np.float32(0.25)) * z, 1e-4, 1e-4), y


def main():
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "20"))
    with tempfile.TemporaryDirectory() as folder:
        parallel = define_parallel_for(folder)
        check_size(folder)
        check_known(folder)
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            check_case(random_case(rng), rng, os.path.join(folder, "m%d" % i))
    del parallel
    print("seed %d: %d products agree" % (seed, count))


sys.exit(main())
