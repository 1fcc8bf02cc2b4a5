"""Operators that draw random numbers: what comes out is distributed as the standard says, is the same in every call, follows the seed, and
differs from node to node. Dropout's output and mask agree."""
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
from model import Model

MCC = os.environ["MCC"]
N = 20000
KIND = {"float32": w.FLOAT, "float64": w.DOUBLE, "float16": w.FLOAT16, "int32": w.INT32, "int64": w.INT64, "bool": w.BOOL}


def run(folder, nodes, feed, outputs, kinds, constants=()):
    """outputs: names; kinds: their dtypes. constants: of the feed's names."""
    inputs = [n for n in feed if n not in constants]
    tensors = [w.tensor(n, KIND[str(feed[n].dtype)], feed[n].shape, feed[n].tobytes()) for n in constants]
    g = w.graph(nodes, [w.value(n, KIND[str(feed[n].dtype)], feed[n].shape) for n in inputs], [w.value(o, k, None) for o, k in zip(outputs, kinds)], tensors)
    path = os.path.join(folder, "m%d" % len(os.listdir(folder)))
    with open(path + ".onnx", "wb") as f:
        f.write(w.model(g, 22))
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m"], check=True)
    return Model(path + ".so", "m").check([feed[n] for n in inputs])


def near(got, want, spread, n=N):
    """A mean of n draws with that deviation, within five of its own."""
    assert abs(got - want) < 5 * spread / np.sqrt(n), (got, want, spread)


def check_uniform(folder):
    shape = w.attr("shape", [100, N // 100])
    nodes = [w.node("RandomUniform", [], ["a"], shape, w.attr("low", -1.0), w.attr("high", 3.0)), w.node("RandomUniform", [], ["b"], shape, w.attr("seed", 1.0)),
             w.node("RandomUniform", [], ["c"], shape, w.attr("seed", 1.0)), w.node("RandomUniform", [], ["d"], shape, w.attr("seed", 2.0), w.attr("dtype", w.DOUBLE)),
             w.node("RandomUniformLike", ["x"], ["e"], w.attr("dtype", w.FLOAT16))]
    a, b, c, d, e = run(folder, nodes, {"x": np.zeros(N, np.int32)}, "abcde", [w.FLOAT] * 3 + [w.DOUBLE, w.FLOAT16])
    assert a.min() >= -1 and a.max() < 3 and (b == c).all() and (b != d.astype(np.float32)).mean() > 0.99
    near(a.mean(), 1, 4 / np.sqrt(12))
    near((a ** 2).mean(), 1 + 16 / 12, 4)
    for u in (b, d, e.astype(np.float64)):
        near(u.mean(), 0.5, 1 / np.sqrt(12))
    assert abs(np.corrcoef(b.ravel()[1:], b.ravel()[:-1])[0, 1]) < 0.05 and abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05


def check_normal(folder):
    nodes = [w.node("RandomNormal", [], ["a"], w.attr("shape", [N]), w.attr("mean", 2.0), w.attr("scale", 3.0)), w.node("RandomNormalLike", ["x"], ["b"])]
    a, b = run(folder, nodes, {"x": np.zeros(N)}, "ab", [w.FLOAT, w.DOUBLE])
    for z in ((a.astype(np.float64) - 2) / 3, b):
        assert np.isfinite(z).all()
        for power, want, spread in ((1, 0, 1), (2, 1, np.sqrt(2)), (3, 0, np.sqrt(15)), (4, 3, np.sqrt(96))):
            near((z ** power).mean(), want, spread)


def check_choices(folder):
    p, logits = np.tile(np.float32([0, 0.25, 1]), (N, 1)), np.log(np.float32([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]]))
    nodes = [w.node("Bernoulli", ["p"], ["a"], w.attr("dtype", w.BOOL)), w.node("Multinomial", ["q"], ["b"], w.attr("sample_size", N), w.attr("dtype", w.INT64))]
    a, b = run(folder, nodes, {"p": p, "q": logits}, "ab", [w.BOOL, w.INT64])
    assert not a[:, 0].any() and a[:, 2].all()
    near(a[:, 1].mean(), 0.25, np.sqrt(0.25 * 0.75))
    assert b.shape == (2, N) and b.min() >= 0 and b.max() <= 2
    for k, want in enumerate([0.1, 0.2, 0.7]):
        near((b[0] == k).mean(), want, 0.5)
    near((b[1] == 1).mean(), 0.5, 0.5)


def check_dropout(folder):
    for dtype, known in ((np.float32, True), (np.float64, False), (np.float16, True)):
        x, kind = np.linspace(1, 2, N).astype(dtype), KIND[np.dtype(dtype).name]
        node = [w.node("Dropout", ["x", "r", "t"], ["y", "m"], w.attr("seed", 3))]
        feed = {"x": x, "r": np.array(0.25, dtype), "t": np.array(True)}
        y, mask = run(folder, node, feed, "ym", [kind, w.BOOL], ["r", "t"] if known else [])
        near(mask.mean(), 0.75, 0.5)
        assert (y[~mask] == 0).all() and np.allclose(y[mask], x[mask] / dtype(0.75), rtol=2e-3 if dtype == np.float16 else 1e-6)
        if not known:
            y, mask = run(folder, node, dict(feed, t=np.array(False)), "ym", [kind, w.BOOL])
            assert mask.all() and (y == x).all()


def check_turns(folder):
    """Each turn of a loop draws anew: of a Loop, of a Scan in it, in a branch of an If."""
    flag, number = w.value("c", w.BOOL, []), w.value("i", w.INT64, [])
    branch = w.graph([w.node("RandomUniform", [], ["u"], w.attr("shape", [50]))], [], [w.value("u", w.FLOAT, None)])
    other = w.graph([w.node("Identity", ["e"], ["z"])], [], [w.value("z", w.FLOAT, None)])
    scan = w.graph([w.node("If", ["c"], ["d"], w.attr("then_branch", branch, 5), w.attr("else_branch", other, 5))], [w.value("e", w.FLOAT, None)], [w.value("d", w.FLOAT, None)])
    loop = w.graph([w.node("Identity", ["c"], ["more"]), w.node("Scan", ["x"], ["s"], w.attr("body", scan, 5), w.attr("num_scan_inputs", 1)),
                    w.node("RandomNormal", [], ["n"], w.attr("shape", [50]))], [number, flag],
                   [w.value("more", w.BOOL, None), w.value("s", w.FLOAT, None), w.value("n", w.FLOAT, None)])
    nodes = [w.node("Loop", ["m", "yes"], ["y", "z"], w.attr("body", loop, 5))]
    feed = {"m": np.array(4), "yes": np.array(True), "x": np.zeros((3, 50), np.float32)}
    y, z = run(folder, nodes, feed, "yz", [w.FLOAT, w.FLOAT], ["m"])
    assert y.shape == (4, 3, 50) and z.shape == (4, 50)
    assert len(np.unique(y)) > 590 and len(np.unique(z)) == 200


def main():
    with tempfile.TemporaryDirectory() as folder:
        for check in (check_uniform, check_normal, check_choices, check_dropout, check_turns):
            check(folder)
    print("uniform, normal, Bernoulli, multinomial, dropout: distributed as they should be")


main()
