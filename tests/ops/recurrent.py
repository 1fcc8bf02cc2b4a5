"""LSTM, GRU and RNN with random sizes, attributes and inputs: what mcc emits agrees with the standard's formulas, written here in
numpy, and with ONNX Runtime where that is installed. Weights are constants or inputs, optional inputs and outputs come and go.

$MCC_TEST_SEED, $MCC_TEST_COUNT (30)"""
import ctypes
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
import peer
from model import Model

MCC = os.environ["MCC"]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
NAMES = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: function, default alpha, default beta
ACTIVATIONS = {
    "Affine": (lambda x, a, b: a * x + b, 1, 0), "Elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(x), x), 1, None),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), float(np.float32(0.2)), 0.5),
    "LeakyRelu": (lambda x, a, b: np.where(x < 0, a * x, x), float(np.float32(0.01)), None),
    "Relu": (lambda x, a, b: np.maximum(x, 0), None, None), "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1, 1),
    "Sigmoid": (lambda x, a, b: sigmoid(x), None, None), "Softplus": (lambda x, a, b: np.log1p(np.exp(x)), None, None),
    "Softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None), "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(x > a, x, 0), 1, None)}


def activations(case):
    """Functions of one argument, by direction; alphas and betas go to those that have them, in order."""
    names = case.get("activations") or (["Sigmoid"] * (FUNCTIONS[case["op"]] > 1) +
                                        ["Tanh"] * max(1, FUNCTIONS[case["op"]] - 1)) * case["directions"]
    alphas, betas = list(case.get("activation_alpha", [])), list(case.get("activation_beta", []))
    clip, made = case.get("clip", 0), []
    for name in names:
        f, a, b = {k.upper(): v for k, v in ACTIVATIONS.items()}[name.upper()]
        if a is not None and alphas:
            a = alphas.pop(0)
        if b is not None and betas:
            b = betas.pop(0)
        made.append(lambda x, f=f, a=a, b=b: f(np.clip(x, -clip, clip) if clip else x, a, b))
    count = FUNCTIONS[case["op"]]
    return [made[i:i + count] for i in range(0, len(made), count)]


def step(case, f, x, h, c, W, R, b, rb, p):
    n, op = h.shape[-1], case["op"]
    s, q = x @ W.T + b, h @ R.T + rb
    part = [slice(i * n, (i + 1) * n) for i in range(GATES[op])]
    if op == "RNN":
        return f[0](s + q), c
    if op == "GRU":
        z, r = f[0]((s + q)[part[0]]), f[0]((s + q)[part[1]])
        if case.get("linear_before_reset"):
            fresh = f[1](s[part[2]] + r * q[part[2]])
        else:
            fresh = f[1](s[part[2]] + (r * h) @ R[part[2]].T + rb[part[2]])
        return (1 - z) * fresh + z * h, c
    i = f[0]((s + q)[part[0]] + p[0:n] * c)
    g = 1 - i if case.get("input_forget") else f[0]((s + q)[part[2]] + p[2 * n:] * c)
    c = g * c + i * f[1]((s + q)[part[3]])
    o = f[0]((s + q)[part[1]] + p[n:2 * n] * c)
    return o * f[2](c), c


def reference(case, feed):
    get = lambda name: np.asarray(feed[name], np.float64) if name in feed else None
    X, W, R, H, D = get("X"), get("W"), get("R"), case["hidden"], case["directions"]
    batch_first, G = case.get("layout", 0), GATES[case["op"]]
    if batch_first:
        X = X.swapaxes(0, 1)
    T, N = X.shape[:2]
    B = get("B") if "B" in feed else np.zeros((D, 2 * G * H))
    P = get("P") if "P" in feed else np.zeros((D, 3 * H))
    state = lambda name: (get(name).swapaxes(0, 1) if batch_first else get(name)) if name in feed else np.zeros((D, N, H))
    h0, c0, lens = state("initial_h"), state("initial_c"), feed.get("sequence_lens", [T] * N)
    Y, Yh, Yc = np.zeros((T, D, N, H)), np.zeros((D, N, H)), np.zeros((D, N, H))
    for d, f in zip(range(D), activations(case)):
        for row in range(N):
            h, c, length = h0[d, row], c0[d, row], int(lens[row])
            if not length:
                h, c = 0 * h, 0 * c
            for i in range(length):
                t = length - 1 - i if d == 1 or case.get("direction") == "reverse" else i
                h, c = step(case, f, X[t, row], h, c, W[d], R[d], B[d, :G * H], B[d, G * H:], P[d])
                Y[t, d, row] = h
            Yh[d, row], Yc[d, row] = h, c
    if batch_first:
        return Y.transpose(2, 0, 1, 3), Yh.swapaxes(0, 1), Yc.swapaxes(0, 1)
    return Y, Yh, Yc


def random_case(rng):
    maybe = lambda p=0.5: rng.random() < p
    op = str(rng.choice(list(GATES)))
    case = {"op": op, "direction": str(rng.choice(["forward", "reverse", "bidirectional"])),
            "hidden": int(rng.choice([1, 3, 8, 16, 20, 33, 64])), "input": int(rng.choice([1, 4, 7, 32])),
            "steps": int(rng.choice([1, 2, 5, 9])), "batch": int(rng.choice([1, 1, 2, 3, 5])), "constant": maybe(0.75), "open": maybe(0.3)}
    case["threads"] = maybe(0.25)
    if case["threads"]:  # enough work to be cut
        case["hidden"], case["constant"] = int(rng.choice([150, 200, 256])), True
    case["directions"] = 2 if case["direction"] == "bidirectional" else 1
    if maybe(0.3):
        case["layout"] = 1
    if maybe(0.2):
        case["clip"] = float(np.float32(rng.uniform(0.1, 1.5)))
    if op == "LSTM" and maybe(0.2):
        case["input_forget"] = 1
    if op == "GRU" and maybe():
        case["linear_before_reset"] = 1
    if maybe(0.4):
        one = [str(a) for a in rng.choice(list(ACTIVATIONS), FUNCTIONS[op])]
        two = one if maybe(0.7) else [str(a) for a in rng.choice(list(ACTIVATIONS), FUNCTIONS[op])]
        case["activations"] = (one + two)[:FUNCTIONS[op] * case["directions"]]
        if maybe():
            case["activation_alpha"] = [float(np.float32(v)) for v in rng.uniform(0.1, 0.9, rng.integers(1, 4))]
        if maybe():
            case["activation_beta"] = [float(np.float32(v)) for v in rng.uniform(0.1, 0.9, rng.integers(1, 3))]
    case["inputs"] = ["X", "W", "R"] + [name for name in NAMES[3:8 if op == "LSTM" else 6] if maybe(0.6 if name != "sequence_lens" else 0.25)]
    names = ["Y", "Y_h", "Y_c"][:3 if op == "LSTM" else 2]
    case["outputs"] = [name for name in names if maybe(0.7)] or [names[int(rng.integers(len(names)))]]
    return case


def shapes(case):
    D, G, H, I, T, N = case["directions"], GATES[case["op"]], case["hidden"], case["input"], case["steps"], case["batch"]
    first = case.get("layout", 0)
    state = (N, D, H) if first else (D, N, H)
    return {"X": (N, T, I) if first else (T, N, I), "W": (D, G * H, I), "R": (D, G * H, H), "B": (D, 2 * G * H),
            "sequence_lens": (N,), "initial_h": state, "initial_c": state, "P": (D, 3 * H)}


def declared(case, name):
    """The shape that the model says; of an open one, steps and batch are names."""
    if not case["open"] or name in "WRBP":
        return shapes(case)[name]
    if name == "sequence_lens":
        return ("N",)
    first = case.get("layout", 0)
    if name == "X":
        return ("N", "T", case["input"]) if first else ("T", "N", case["input"])
    state = shapes(case)[name]
    return ("N",) + state[1:] if first else (state[0], "N", state[2])


def random_feed(case, rng, dtype=np.float32):
    feed = {}
    for name in case["inputs"]:
        dims = shapes(case)[name]
        scale = 1 / np.sqrt(dims[-1]) if name in "WR" else 1
        feed[name] = (rng.standard_normal(dims) * scale).astype(dtype)
        if name == "sequence_lens":
            feed[name] = rng.integers(0, case["steps"] + 1, dims).astype(np.int32)
    return feed


def model_of(case, feed):
    constant = [n for n in case["inputs"] if case["constant"] and n in "WRBP"]
    attrs = [w.attr(k, case[k]) for k in ("direction", "layout", "clip", "input_forget", "linear_before_reset",
                                          "activations", "activation_alpha", "activation_beta") if k in case]
    attrs.append(w.attr("hidden_size", case["hidden"]))
    order = NAMES[:8 if case["op"] == "LSTM" else 6]
    given = [n if n in case["inputs"] else "" for n in order]
    while not given[-1]:
        given.pop()
    outs = [n if n in case["outputs"] else "" for n in ["Y", "Y_h", "Y_c"]]
    while not outs[-1]:
        outs.pop()
    kind = lambda a: {"float32": w.FLOAT, "float64": w.DOUBLE, "float16": w.FLOAT16, "int32": w.INT32}[str(a.dtype)]
    floats = kind(feed["X"])
    g = w.graph([w.node(case["op"], given, outs, *attrs)],
                [w.value(n, kind(feed[n]), declared(case, n)) for n in case["inputs"] if n not in constant],
                [w.value(n, floats, None) for n in case["outputs"]],
                [w.tensor(n, floats, feed[n].shape, feed[n].tobytes()) for n in constant])
    return w.model(g), [n for n in case["inputs"] if n not in constant]


def compare(got, want, limit, what):
    runs_away = not all(np.abs(v).max() < 100 for v in want)  # activations without a bound: errors grow along with the state
    for g, v, name in zip(got, want, what["outputs"]):
        assert g.shape == v.shape, (name, g.shape, v.shape, what)
        with np.errstate(invalid="ignore"):
            bad = np.abs(g.astype(np.float64) - v) > limit * (1 + np.abs(v))
        assert runs_away or not bad.any(), (name, g[bad][:4], v[bad][:4], what)


def run_mcc(case, feed, folder, name, *options):
    data, inputs = model_of(case, feed)
    path = os.path.join(folder, name)
    with open(path + ".onnx", "wb") as f:
        f.write(data)
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m", *options], check=True)
    return Model(path + ".so", "m").check([feed[n] for n in inputs]), inputs


def ort_differs(case):
    """ONNX Runtime's default alpha and beta are 0 where these have no operator, and for ThresholdedRelu; of an LSTM it
    does not clip all that goes into the activations (h sees c as it is); it knows layout 0 alone."""
    return case.get("layout") or ("clip" in case and case["op"] == "LSTM") or any(a in ("Affine", "ScaledTanh", "ThresholdedRelu") for a in case.get("activations", []))


PARALLEL = """#include "mcc/runtime.h"
void mcc_parallel_for(int32_t chunks, void (*body)(void *, int32_t, int32_t), void *ctx) {
    for (int32_t i = chunks - 1; i >= 0; i--) body(ctx, i, i % 2);
}"""


def define_parallel_for(folder):
    """Chunks one after another, the last first: they may not depend on each other."""
    path = os.path.join(folder, "parallel")
    with open(path + ".c", "w") as f:
        f.write(PARALLEL)
    include = os.path.join(os.environ["SOURCE"], "include")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-I" + include, path + ".c", "-o", path + ".so"], check=True)
    return ctypes.CDLL(path + ".so", mode=ctypes.RTLD_GLOBAL)


def ort_library():
    try:
        return peer.onnxruntime()
    except SystemExit:
        return None


def check_lengths(folder):
    """Lengths outside of the sequence are refused, by the reference kernels and by generated steps."""
    for constant in (False, True):
        case = {"op": "GRU", "direction": "forward", "directions": 1, "hidden": 5, "input": 3, "steps": 4, "batch": 2,
                "constant": constant, "open": False, "inputs": ["X", "W", "R", "sequence_lens"], "outputs": ["Y_h"]}
        for wrong in (-1, 5):
            feed = random_feed(case, np.random.default_rng(1))
            feed["sequence_lens"][:] = 4, wrong
            try:
                run_mcc(case, feed, folder, "wrong%d%d" % (constant, wrong))
            except RuntimeError as e:
                assert str(e) == "run returned 7", e  # MCC_E_INDEX
            else:
                raise AssertionError("a length of %d in 4 steps was taken" % wrong)


def check_threads(folder):
    """Rows of a batch that are cut among threads are summed in the same order as without."""
    for op in GATES:
        case = {"op": op, "direction": "forward", "directions": 1, "hidden": 20, "input": 24, "steps": 3, "batch": 4,
                "constant": True, "open": False, "inputs": ["X", "W", "R"], "outputs": ["Y"]}
        feed = random_feed(case, np.random.default_rng(1))
        one, cut = (run_mcc(case, feed, folder, op + str(i), "-mcpu=native", *more)[0][0]
                    for i, more in enumerate([[], ["--threads=callback", "--cut-kernels"]]))
        assert one.tobytes() == cut.tobytes(), (op, np.abs(one - cut).max())


def main():
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "30"))
    library, compared = ort_library(), 0
    with tempfile.TemporaryDirectory() as folder:
        parallel = define_parallel_for(folder)
        check_lengths(folder)
        check_threads(folder)
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            case = random_case(rng)
            dtype = rng.choice([np.float32, np.float32, np.float32, np.float64, np.float16])
            feed = random_feed(case, rng, dtype)
            with np.errstate(all="ignore"):  # some activations have no bound
                want = dict(zip(["Y", "Y_h", "Y_c"], reference(case, feed)))
            want = [want[n] for n in case["outputs"]]
            options = ["-mcpu=native"] if rng.random() < 0.5 else []
            options += ["--threads=callback"] if case["threads"] else []
            got, inputs = run_mcc(case, feed, folder, "m%d" % i, "--max-dim=*=11", *options)
            compare(got, want, {2: 2e-2, 4: 2e-5, 8: 1e-12}[np.dtype(dtype).itemsize], dict(case, seed=seed, i=i))
            if library and dtype == np.float32 and not ort_differs(case):
                theirs = peer.ort.Session(library, os.path.join(folder, "m%d.onnx" % i)).run([feed[n] for n in inputs])
                compare(theirs, want, 2e-5, dict(case, seed=seed, i=i, peer="ONNX Runtime"))
                compared += 1
    del parallel
    print("seed %d: %d models agree with the standard's formulas, %d of them in ONNX Runtime too" % (seed, count, compared))


sys.exit(main())
