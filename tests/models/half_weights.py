"""--quantize=f16 and bf16: the digits example loses no accuracy and half its bytes; ONNX Runtime gives what mcc makes of the
model that --emit=onnx writes, and mcc compiles that to the same bits; tables of embeddings and weights that several nodes
share become 16 bits once; what the type cannot hold stays float32, with a warning. Recurrent layers, products and convolutions have the
bits of float32 weights with the same numbers, subnormal ones too, on processors without F16C as well."""
import os
import subprocess
import tempfile
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import peer
from digits import read_digits
from model import Model

MCC = os.environ["MCC"]
rng = np.random.default_rng(7)


def mcc(*args, status=0):
    p = subprocess.run([MCC, *args], capture_output=True, text=True)
    assert p.returncode == status, p.stderr
    return p.stderr


def compiled(model, name, *flags):
    mcc(model, "-o", name + ".so", "--emit=shared", "--name=" + name, "-mcpu=native", *flags)
    return Model(os.path.abspath(name + ".so"), name)


def decibels(want, got):
    return 10 * np.log10((want.astype(np.float64)**2).sum() / ((want.astype(np.float64) - got)**2).sum())


def normal(*shape):
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def save(path, nodes, inputs, constants):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def text_model(path):
    """Words through a table that is also the last product's weights, and a Gemm between them."""
    node = helper.make_node
    nodes = [node("Gather", ["table", "x"], ["e"], "words"), node("MatMul", ["e", "w"], ["h"], "first"), node("Tanh", ["h"], ["t"]),
             node("Gemm", ["t", "v", "b"], ["g"], "second", transB=1), node("Transpose", ["table"], ["turned"]),
             node("MatMul", ["g", "turned"], ["y"], "last")]
    save(path, nodes, [("x", TensorProto.INT64, [9])],
         {"table": normal(500, 64), "w": normal(64, 96), "v": normal(64, 96), "b": normal(64)})


def dtypes(path):
    return sorted(t.data_type for t in onnx.load(path).graph.initializer if np.prod(t.dims) > 64)


def check_text(library):
    text_model("text.onnx")
    words = np.array([3, 499, 0, 7, 7, 250, 1, 2, 498], np.int64)
    want, = compiled("text.onnx", "text").check([words])
    whole = os.path.getsize("text.so")
    for kind, dtype, least in ("f16", TensorProto.FLOAT16, 60), ("bf16", TensorProto.BFLOAT16, 42):
        flag = "--quantize=" + kind
        got, = compiled("text.onnx", kind, flag).check([words])
        plain, = compiled("text.onnx", kind + "plain", flag, "-O0").check([words])
        assert decibels(got, plain) > 100
        mcc("text.onnx", "--emit=onnx", "-o", kind + ".onnx", flag)
        again, = compiled(kind + ".onnx", kind + "again").check([words])
        oracle, = peer.ort.Session(library, kind + ".onnx").run([words])
        print("%s: %.1f dB, ONNX Runtime %.2g apart" % (kind, decibels(want, got), np.abs(oracle - got).max()))
        assert decibels(want, got) > least and np.abs(oracle - got).max() < 1e-5 and np.array_equal(again, got)
        assert set(dtypes(kind + ".onnx")) == {dtype}, dtypes(kind + ".onnx")
        saved = whole - os.path.getsize(kind + ".so")
        assert saved > 2 * (2 * 500 * 64 + 2 * 64 * 96) - 8192, saved
        other = "bf16" if kind == "f16" else "f16"
        mcc(kind + ".onnx", "--emit=onnx", "-o", "other.onnx", "--quantize=" + other)
        wanted = TensorProto.BFLOAT16 if other == "bf16" else TensorProto.FLOAT16
        assert dtypes("other.onnx").count(wanted) == 3, "all but the table that Gather reads"
        skipped, = compiled("text.onnx", kind + "skipped", flag, "--quantize-skip=words", "--quantize-skip=MatMul", "--quantize-skip=second").check([words])
        assert np.array_equal(skipped, want)


def check_digits(library):
    source = os.path.join(peer.SOURCE, "examples", "digits", "digits.onnx")
    pixels = read_digits(os.path.join(os.path.dirname(source), "heldout.rle"), 300)
    images = [np.frombuffer(p, np.float32).reshape(1, 1, 28, 28) for p in pixels]
    whole = compiled(source, "digits")
    for kind, apart in ("f16", 2e-3), ("bf16", 2e-2):
        mcc(source, "--emit=onnx", "-o", kind + "digits.onnx", "--quantize=" + kind)
        assert os.path.getsize(kind + "digits.onnx") < 0.55 * os.path.getsize(source)
        mcc(source, "-o", kind + "digits.o", "--quantize=" + kind)
        mcc(source, "-o", "digits.o", "--winograd=off")
        weights = 4 * sum(int(np.prod(t.dims)) for t in onnx.load(source).graph.initializer if t.data_type == TensorProto.FLOAT)
        saved = os.path.getsize("digits.o") - os.path.getsize(kind + "digits.o")
        assert saved > 0.45 * weights, (saved, weights)
        half, session = compiled(source, kind + "digits", "--quantize=" + kind), peer.ort.Session(library, kind + "digits.onnx")
        worst, same = 0.0, 0
        for image in images:
            (want,), (got,), (oracle,) = whole.run([image]), half.run([image]), session.run([image])
            worst = max(worst, float(np.abs(want - got).max()))
            same += want.argmax() == got.argmax()
            assert np.abs(oracle - got).max() < 1e-4
        print("%s: %d of 300 digits alike, outputs at most %.2g apart" % (kind, same, worst))
        assert same >= 299 and worst < apart


def product(weights):
    save("one.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"], "only")], [("x", TensorProto.FLOAT, [3, 32])], {"w": weights})


def check_limits():
    """The largest float16 is 65504; half a unit of the last place beyond it rounds to infinity, ties to even."""
    x = normal(3, 32)
    for value, fits in (65519.996, True), (65520, False), (-1e9, False), (np.inf, False):
        weights = normal(32, 8)
        weights[3, 4] = value
        product(weights)
        said = mcc("one.onnx", "--quantize=f16", "-o", "one.o")
        assert ("stay float32" in said) == (not fits), said
        mcc("one.onnx", "--quantize=f16", "-Werror=calibration", "-o", "one.o", status=0 if fits else 1)
        said = mcc("one.onnx", "--quantize=bf16", "-o", "one.o")
        assert ("stay float32" in said) == (value == np.inf), said
    product(normal(32, 8) * 1e-6)  # float16's smallest number is 6e-8: little of these would be left
    assert "stay float32" in mcc("one.onnx", "--quantize=f16", "-o", "one.o")
    got, = compiled("one.onnx", "small", "--quantize=f16").check([x])
    want, = compiled("one.onnx", "smallfloat").check([x])
    assert np.array_equal(got, want)


def check_ties():
    """Weights are rounded to nearest even: the emitted model holds numpy's float16 of them."""
    bits = rng.integers(0x38800000, 0x47000000, (64, 33)).astype(np.uint32) & 0xfffff000
    weights = bits.view(np.float32) * rng.choice([-1, 1], bits.shape).astype(np.float32)
    product(weights[:32])
    mcc("one.onnx", "--quantize=f16", "--emit=onnx", "-o", "ties.onnx")
    (held,) = [t for t in onnx.load("ties.onnx").graph.initializer if len(t.dims) == 2]
    assert np.array_equal(numpy_helper.to_array(held), weights[:32].astype(np.float16))


def check_numbers():
    spread = lambda *shape: normal(*shape) * np.float32(2.0) ** rng.integers(-22, 1, shape).astype(np.float32)
    node = helper.make_node
    forms = [(node("LSTM", ["x", "w", "r"], ["y"], "only", hidden_size=20, direction="bidirectional"), [6, 3, 7],
              {"w": spread(2, 80, 7), "r": spread(2, 80, 20)}),
             (node("GRU", ["x", "w", "r"], ["y"], "only", hidden_size=20), [6, 1, 7], {"w": spread(1, 60, 7), "r": spread(1, 60, 20)}),
             (node("MatMul", ["x", "w"], ["y"], "only"), [5, 40], {"w": spread(40, 24)}),
             (node("Conv", ["x", "w"], ["y"], "only"), [1, 24, 5, 6], {"w": spread(40, 24, 1, 1)})]
    for only, dims, constants in forms:
        inputs, x, want = [("x", TensorProto.FLOAT, dims)], normal(*dims), {}
        save("rounded.onnx", [only], inputs, {k: v.astype(np.float16).astype(np.float32) for k, v in constants.items()})
        save("only.onnx", [only], inputs, constants)
        mcc("only.onnx", "--emit=onnx", "--quantize=f16", "-o", "written.onnx")
        assert dtypes("written.onnx") == [TensorProto.FLOAT16] * len(constants)
        for cpu in "native", "x86-64-v2":
            name = only.op_type + cpu.replace("-", "")
            want, = compiled("rounded.onnx", name + "32", "-mcpu=" + cpu).check([x])
            for model, flags in ("only.onnx", ["--quantize=f16"]), ("written.onnx", []):
                got, = compiled(model, name + model[:4], "-mcpu=" + cpu, *flags).check([x])
                assert np.array_equal(got, want), (only.op_type, cpu, model, np.abs(got - want).max())
        for kind, fits in ("bf16", True), ("w8", only.op_type in ("MatMul", "Conv")):
            open("plan.txt", "w").write("# mcc plan 1\nnode only %s\n" % kind)
            said = mcc("only.onnx", "--quantize=f16", "--plan=plan.txt", "-o", "only.o", status=0 if fits else 1)
            assert fits or "weights of 16 bits or 32" in said, said


def main():
    check_numbers()
    library = peer.onnxruntime()
    check_ties()
    check_limits()
    check_text(library)
    check_digits(library)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
