"""Random nodes of operators that mcc takes apart, or has one plain kernel for, against ONNX Runtime: attention and what belongs to
it, normalisations, losses, sums of products, and ONNX Runtime's own operators (com.microsoft) that exporters write.

$MCC_TEST_SEED, $MCC_TEST_COUNT (nodes of each operator, 2), $MCC_TEST_ONLY (operators, with commas)"""
import os
import subprocess
import sys
import tempfile
import numpy as np
import onnx_wire as w
import peer
from model import Model

MCC = os.environ["MCC"]
KIND = {"float32": w.FLOAT, "float64": w.DOUBLE, "float16": w.FLOAT16, "int32": w.INT32, "int64": w.INT64, "bool": w.BOOL, "uint8": w.UINT8,
        "int8": w.INT8}
MICROSOFT = "com.microsoft"


class Draw:
    """A seeded source of sizes, choices and arrays."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def size(self, *among):
        return int(self.rng.choice(among or [1, 2, 3, 5, 8]))

    def maybe(self, p=0.5):
        return self.rng.random() < p

    def f(self, *dims, scale=1.0):
        return (self.rng.standard_normal(dims) * scale).astype(np.float32)

    def i(self, lo, hi, *dims, dtype=np.int64):
        return self.rng.integers(lo, hi, dims).astype(dtype)

    def one(self, *among):
        return among[int(self.rng.integers(len(among)))]

    def float(self, lo, hi):
        return float(np.float32(self.rng.uniform(lo, hi)))


def case(op, inputs, outputs=1, domain="", opset=22, constant=(), limit=3e-5, **attrs):
    """inputs: arrays, or None for what is absent. outputs: how many, or names of which '' is not wanted. constant: inputs' numbers."""
    names = ["y%d" % i for i in range(outputs)] if isinstance(outputs, int) else outputs
    return {"op": op, "inputs": inputs, "outputs": names, "domain": domain, "opset": opset, "constant": constant, "limit": limit, "attrs": attrs}


# ---- the standard's ----

def attention(d):
    B, L, S, P, kv, D, E = d.size(1, 2), d.size(), d.size(), d.size(2, 4), d.size(1, 2, 3), d.size(4, 8, 16), d.size(4, 8, 16)
    H = kv * d.size(1, 2, 4)
    flat, past, attrs = d.maybe(), d.maybe(0.4), {}
    q, k, v = ((d.f(B, n, h * e) if flat else d.f(B, h, n, e)) for n, h, e in ((L, H, D), (S, kv, D), (S, kv, E)))
    inputs = [q, k, v, None, None, None]
    if past:
        inputs[4:6] = d.f(B, kv, P, D), d.f(B, kv, P, E)
    T = S + P * past
    if d.maybe(0.6):
        dims = d.one((L, T), (H, L, T), (B, 1, L, T), (B, H, L, T))
        inputs[3] = d.f(*dims) if d.maybe() else (d.i(0, 4, *dims) > 0)
        if inputs[3].dtype == bool:
            inputs[3][..., 0] = True  # no row without anything
    if flat:
        attrs.update(q_num_heads=H, kv_num_heads=kv)
    if d.maybe(0.3):
        attrs["scale"] = d.float(0.1, 0.5)
    if d.maybe(0.3):
        attrs["softcap"] = d.float(1, 4)
    if d.maybe(0.4) and (S == L or not past):  # else ONNX Runtime does not begin where the past ends, as ONNX's own tests do
        attrs["is_causal"] = 1
    if not past and S >= L and d.maybe(0.4):
        inputs.append(d.i(L, S + 1, B))  # how much of K counts
    outputs = ["y"] + (["pk", "pv"] if past else [])
    if d.maybe(0.3):
        outputs, attrs["qk_matmul_output_mode"] = (outputs + ["", ""])[:3] + ["qk"], d.size(0, 3)
    return case("Attention", inputs, outputs, opset=24 if len(inputs) > 6 else 23, **attrs)


def rotary(d):
    B, L, H, D, M = d.size(1, 2), d.size(), d.size(), d.size(4, 8, 16), 11
    turned = d.one(0, D // 2)
    half = (turned or D) // 2
    attrs = {"interleaved": d.size(0, 1)}
    if turned:
        attrs.update(rotary_embedding_dim=turned, num_heads=H)
    if d.maybe():
        x = d.f(B, L, H * D)
        attrs["num_heads"] = H
    else:
        x = d.f(B, H, L, D)
    if d.maybe():
        return case("RotaryEmbedding", [x, d.f(M, half), d.f(M, half), d.i(0, M, B, L)], opset=23, **attrs)
    return case("RotaryEmbedding", [x, d.f(B, L, half), d.f(B, L, half)], opset=23, **attrs)


def einsum(d):
    sizes = {c: d.size(2, 3, 4) for c in "abcdeijk"}
    form = d.one("ij,jk->ik", "bij,bjk->bik", "abci,abic->ab", "ij->ji", "i,j->ij", "ij,ij->", "abc,cd,de->abe", "...ij,...jk->...ik", "bij,kj", "ii->i", "iji->j",
                 "ab,b,bc->ca", "abij,jk->ibak", "a,abc,c->b", ",i->i", "ai,bi,ci->abc")
    inputs = []
    for term in form.split("->")[0].split(","):
        dims = [sizes[c] for c in term.replace("...", "")]
        inputs.append(d.f(*((2, 3) if "..." in term else ()), *dims))
    return case("Einsum", inputs, equation=form)


def group_norm(d):
    G, per = d.size(1, 2, 3), d.size(1, 2, 4)
    x = d.f(d.size(1, 2), G * per, *[d.size(2, 3, 5)] * d.size(1, 2)) * 2 + 1
    old = d.maybe()
    n = G if old else G * per
    return case("GroupNormalization", [x, d.f(n), d.f(n)], opset=18 if old else 21, num_groups=G, epsilon=1e-3)


def lp_norm(d):
    return case("LpNormalization", [d.f(3, 4, 2)], axis=d.size(0, 1, 2), p=d.size(1, 2))


def mean_variance(d):
    return case("MeanVarianceNormalization", [d.f(2, 3, 4, 5)], opset=13, axes=d.one([0, 2, 3], [1], [0, 1, 2, 3]))


def hardmax(d):
    return case("Hardmax", [d.f(2, 3, 4)], opset=d.one(11, 13), axis=d.size(0, 1, 2))


def loss(name):
    def make(d):
        N, C, more = d.size(1, 3, 4), d.size(2, 5), d.one((), (3,), (2, 3))
        labels = d.i(0, C, N, *more, dtype=d.one(np.int32, np.int64))
        attrs = {"reduction": d.one("none", "sum", "mean")}
        if d.maybe():
            attrs["ignore_index"] = int(labels.flat[0])
            labels.flat[-1] = (attrs["ignore_index"] + 1) % C
        inputs = [d.f(N, C, *more), labels] + ([np.abs(d.f(C)) + 0.1] if d.maybe() else [])
        return case(name, inputs, 2 if name[0] == "S" and d.maybe() else 1, opset=13, **attrs)
    return make


def det(d):
    n = d.size(1, 2, 4)
    return case("Det", [d.f(*d.one((), (3,), (2, 2)), n, n)])


def affine_grid(d):
    dims = [d.size(2, 3, 4) for _ in range(d.size(2, 3))]
    n = len(dims)
    return case("AffineGrid", [d.f(2, n, n + 1), np.array([2, 1] + dims)], opset=20, constant=(1,), align_corners=d.size(0, 1))


def center_crop_pad(d):
    axes = d.one([0, 1, 2], [2, 0], [-1])
    return case("CenterCropPad", [d.f(4, 5, 3), d.i(1, 8, len(axes))], opset=18, constant=(1,), axes=axes)


def tensor_scatter(d):
    B, H, M, n, D = 2, d.size(1, 2), 6, d.size(1, 2, 4), d.size(1, 3)
    mode = d.one("linear", "circular")
    return case("TensorScatter", [d.f(B, H, M, D), d.f(B, H, n, D), d.i(0, M - n + 1 if mode == "linear" else M, B)], opset=24, mode=mode)


# ---- ONNX Runtime's own ----

def fused_matmul(d):
    a, b = d.size(0, 1), d.size(0, 1)
    M, K, N, batch = d.size(), d.size(), d.size(), d.one((), (2,), (2, 3))
    x, y = d.f(*batch, *((K, M) if a else (M, K))), d.f(*batch, *((N, K) if b else (K, N)))
    attrs = {"transA": a, "transB": b, "alpha": d.float(0.2, 2)}
    if len(batch) == 1 and d.maybe():  # the batch behind the first axis
        x, attrs["transBatchA"] = np.ascontiguousarray(np.swapaxes(x, 0, 1)), 1
    return case("FusedMatMul", [x, y], domain=MICROSOFT, constant=d.one((), (1,)), **attrs)


def fused_conv(d):
    C, M, n = d.size(1, 4), d.size(3, 8), d.size(5, 8)
    inputs = [d.f(1, C, n, n), d.f(M, C, 3, 3, scale=0.3), d.f(M)]
    attrs = {"activation": d.one("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid"), "pads": [1, 1, 1, 1]}
    params = {"LeakyRelu": [0.1], "Clip": [-0.5, 0.75], "HardSigmoid": [0.3, 0.4]}.get(attrs["activation"])
    if params:
        attrs["activation_params"] = params
    if d.maybe():
        inputs.append(d.f(1, M, n, n))
    return case("FusedConv", inputs, domain=MICROSOFT, constant=(1, 2), **attrs)


def fused_gemm(d):
    M, K, N = d.size(), d.size(), d.size()
    attrs = {"activation": d.one("Relu", "Tanh", "Sigmoid", "LeakyRelu"), "alpha": 0.5, "transB": 1}
    if attrs["activation"] == "LeakyRelu":
        attrs["activation_alpha"] = 0.25
    return case("FusedGemm", [d.f(M, K), d.f(N, K), d.f(N)], domain=MICROSOFT, constant=(1, 2), **attrs)


def gelus(name):
    def make(d):
        x = d.f(2, 3, 8) * 2
        inputs = {"BiasGelu": [x, d.f(8)], "FastGelu": [x] + ([d.f(8)] if d.maybe() else [])}.get(name, [x])
        attrs = {"alpha": d.float(0.5, 2)} if name == "QuickGelu" and d.maybe() else {}
        return case(name, inputs, domain=MICROSOFT, **attrs)
    return make


def skip_norm(d):
    H = d.size(8, 16, 33)
    x = d.f(2, 3, H)
    inputs = [x, d.f(*d.one((2, 3, H), (1, 3, H), (3, H))), d.f(H), d.f(H), d.f(H) if d.maybe() else None]
    return case("SkipLayerNormalization", inputs, d.one(1, ["y", "", "", "sum"]), domain=MICROSOFT, constant=(2, 3), epsilon=1e-5)


def skip_simplified(d):
    H = d.size(8, 16, 33)
    inputs = [d.f(2, 3, H), d.f(2, 3, H), d.f(H), d.f(H) if d.maybe() else None]
    return case("SkipSimplifiedLayerNormalization", inputs, d.one(1, ["y", "", "", "sum"]), domain=MICROSOFT, constant=(2,), epsilon=1e-5)


def embed(d):
    B, S, H, V = d.size(1, 2), d.size(1, 3, 5), d.size(8, 16), 9
    segments = d.maybe()
    ids = lambda most: d.i(0, most, B, S, dtype=np.int32)
    inputs = [ids(V), ids(2) if segments else None, d.f(V, H), d.f(7, H), d.f(2, H) if segments else None, d.f(H), d.f(H), d.one(None, d.i(0, 2, B, S, dtype=np.int32))]
    if d.maybe():
        inputs.append(ids(7))
    return case("EmbedLayerNormalization", inputs, ["y", "count"], domain=MICROSOFT, constant=(2, 3, 4, 5, 6), epsilon=1e-5)


def simplified(d):
    return case("SimplifiedLayerNormalization", [d.f(2, 3, 8), d.f(8)], axis=-1, epsilon=1e-5, stash_type=1)


def positioned_rotary(d):
    B, L, H, D, M = d.size(1, 2), d.size(), d.size(2, 3), d.size(4, 8), 16
    turned = d.one(0, D // 2)
    half = (turned or D) // 2
    attrs = {"interleaved": d.size(0, 1)}
    if turned:
        attrs.update(rotary_embedding_dim=turned, num_heads=H)
    x = d.f(B, L, H * D) if turned or d.maybe() else d.f(B, H, L, D)
    at = d.i(0, M - L, 1) if d.maybe() else d.i(0, M, B, L)
    return case("RotaryEmbedding", [x, at, d.f(M, half), d.f(M, half)], domain=MICROSOFT, **attrs)


def key_mask(d, B, L, T, more=lambda B: 0):
    """What is masked loses 10000, which leaves few digits to tell scores apart where all are. `more`: behind lengths."""
    mask = d.one(None, d.i(1, T + 1, B, dtype=np.int32), d.i(0, 2, B, T, dtype=np.int32), d.i(0, 2, B, L, T, dtype=np.int32),
                 np.concatenate([d.i(1, T + 1, B, dtype=np.int32), np.zeros(more(B), np.int32)]))
    if mask is not None and mask.ndim > 1:
        mask[..., 0] = 1
    return mask


def projected(d):
    B, L, N, H, D, P = d.size(1, 2), d.size(1, 3, 6), d.size(4, 8), d.size(1, 2, 3), d.size(4, 8), d.size(2, 3)
    past = d.maybe(0.3)
    T = L + P * past
    wide = [H * D] * 3
    attrs = {"num_heads": H, "unidirectional": d.size(0, 1)}
    inputs = [d.f(B, L, N), d.f(N, sum(wide), scale=0.4), d.f(sum(wide)), key_mask(d, B, L, T, lambda B: B), d.f(2, B, H, P, D) if past else None]
    if inputs[3] is not None and inputs[3].shape == (2 * B,):  # where keys begin
        inputs[3][B:] = inputs[3][:B] - 1 - d.i(0, 2, B) * (inputs[3][:B] > 1)
    if d.maybe(0.3):
        inputs += [d.f(B, H, L, T)]
    if d.maybe(0.3):
        attrs["scale"] = d.float(0.1, 0.5)
    return case("Attention", inputs, 2 if past or d.maybe() else 1, domain=MICROSOFT, constant=(1, 2), **attrs)


def multi_head(d):
    B, L, S, H, D, E, P = d.size(1, 2), d.size(), d.size(), d.size(1, 2, 3), d.size(4, 8), d.size(4, 8), d.size(2, 3)
    attrs = {"num_heads": H}
    form = d.one("flat", "flat", "heads")
    past = form == "flat" and d.maybe(0.3)
    if past or d.maybe():  # ONNX Runtime takes a causal mask for self-attention alone
        S, attrs["unidirectional"] = L, d.size(0, 1)
    T = S + P * past
    k, v = (d.f(B, S, H * D), d.f(B, S, H * E)) if form == "flat" else (d.f(B, H, S, D), d.f(B, H, S, E))
    inputs = [d.f(B, L, H * D), k, v, d.f(H * (2 * D + E)) if form == "flat" and d.maybe() else None, key_mask(d, B, L, T, lambda B: 2 * B + 2),
              d.f(d.one(1, B), d.one(1, H), L, T) if d.maybe(0.3) else None]
    if past:
        inputs += [d.f(B, H, P, D), d.f(B, H, P, E)]
    return case("MultiHeadAttention", inputs, 3 if past else 1, domain=MICROSOFT, **attrs)


def packed_heads(d):
    """Q, K and V in one tensor, or K and V: ONNX Runtime's kernel for processors has them apart alone."""
    B, L, S, H, D = d.size(1, 2), d.size(), d.size(), d.size(1, 2, 3), d.size(4, 8)
    apart = lambda x, i: np.ascontiguousarray(x[:, :, :, i]).reshape(*x.shape[:2], -1)
    if d.maybe():
        x = d.f(B, L, H, 3, D)
        more = [d.f(3 * H * D) if d.maybe() else None, key_mask(d, B, L, L)]
        packed, inputs = [x, None, None] + more, [apart(x, i) for i in range(3)] + more
    else:
        q, x = d.f(B, L, H * D), d.f(B, S, H, 2, D)
        more = [None, key_mask(d, B, L, S)]
        packed, inputs = [q, x, None] + more, [q, apart(x, 0), apart(x, 1)] + more
    c = case("MultiHeadAttention", packed, domain=MICROSOFT, num_heads=H)
    return {**c, "peer": {**c, "inputs": inputs}}


def group_query(d):
    B, kv, D, P, M = d.size(1, 2), d.size(1, 2), d.size(8, 16), d.size(3, 5), 16
    H = kv * d.size(1, 2, 3)
    kind = d.one("prompt", "grown", "shared")
    L = d.size(2, 4) if kind == "prompt" else 1
    total = L if kind == "prompt" else P + L
    length = {"prompt": 0, "grown": P, "shared": P + 4}[kind]
    attrs, packed = {"num_heads": H, "kv_num_heads": kv}, d.maybe(0.3)
    inputs = [d.f(B, L, (H + 2 * kv) * D)] + [None, None] if packed else [d.f(B, L, H * D), d.f(B, L, kv * D), d.f(B, L, kv * D)]
    inputs += [d.f(B, kv, length, D), d.f(B, kv, length, D)] if length else [None, None]
    last = np.full(B, total - 1, np.int32)
    if kind == "shared" and d.maybe():
        last[0] -= 1  # a shorter past
    for b in range(B if length else 0):  # ONNX Runtime leaves zeros there
        inputs[3][b, :, last[b] + 1 - L:] = inputs[4][b, :, last[b] + 1 - L:] = 0
    inputs += [last, np.array([total], np.int32)]
    if D % 16 == 0 and d.maybe():  # which ONNX Runtime asks for
        attrs["do_rotary"], attrs["rotary_interleaved"] = 1, d.size(0, 1)
        inputs += [d.f(M, D // 2), d.f(M, D // 2)]
    if d.maybe(0.3):
        attrs["local_window_size"] = 2
    if d.maybe(0.3):
        attrs["softcap"] = 2.0
    if d.maybe(0.4):
        attrs["smooth_softmax"] = 1
    if d.maybe(0.3):
        inputs += [None] * (11 - len(inputs)) + [d.f(H)]
    outputs = 3
    if d.maybe(0.3):
        outputs, attrs["qk_output"] = 4, d.size(1, 2)
    return case("GroupQueryAttention", inputs, outputs, domain=MICROSOFT, constant=(6,), **attrs)


def narrow_product(d):
    bits, size, K, N = d.size(2, 4, 8), d.size(16, 32, 64, 128), d.size(16, 40, 64, 96), d.size(1, 5, 16)
    blocks = -(-K // size)
    zeros = d.one(None, d.i(0, 256, N, (blocks * bits + 7) // 8, dtype=np.uint8), d.f(N, blocks) + 2 ** (bits - 1))
    inputs = [d.f(*d.one((), (2,)), d.size(1, 3), K), d.i(0, 256, N, blocks, size * bits // 8, dtype=np.uint8), d.f(N, blocks, scale=0.1), zeros, None,
              d.f(N) if d.maybe() else None]
    while inputs[-1] is None:
        inputs.pop()
    return case("MatMulNBits", inputs, domain=MICROSOFT, constant=(1, 2, 3, 4, 5), limit=1e-3, K=K, N=N, bits=bits, block_size=size)


OPERATORS = {
    "Attention": attention, "RotaryEmbedding": rotary, "Einsum": einsum, "GroupNormalization": group_norm, "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance, "Hardmax": hardmax, "NegativeLogLikelihoodLoss": loss("NegativeLogLikelihoodLoss"),
    "SoftmaxCrossEntropyLoss": loss("SoftmaxCrossEntropyLoss"), "Det": det, "AffineGrid": affine_grid, "CenterCropPad": center_crop_pad,
    "TensorScatter": tensor_scatter, "FusedMatMul": fused_matmul, "FusedConv": fused_conv, "FusedGemm": fused_gemm, "Gelu": gelus("Gelu"),
    "FastGelu": gelus("FastGelu"), "BiasGelu": gelus("BiasGelu"), "QuickGelu": gelus("QuickGelu"), "SkipLayerNormalization": skip_norm,
    "SkipSimplifiedLayerNormalization": skip_simplified, "SimplifiedLayerNormalization": simplified, "EmbedLayerNormalization": embed,
    "own RotaryEmbedding": positioned_rotary,
    "own Attention": projected, "MultiHeadAttention": multi_head, "GroupQueryAttention": group_query, "packed MultiHeadAttention": packed_heads, "MatMulNBits": narrow_product}


def model_of(c):
    names = ["x%d" % i if a is not None else "" for i, a in enumerate(c["inputs"])]
    known = [i for i in c["constant"] if i < len(names) and names[i]]
    given = [i for i, a in enumerate(c["inputs"]) if a is not None and i not in known]
    arrays = [np.asarray(a) if a is not None else None for a in c["inputs"]]
    kind = lambda a: KIND[str(a.dtype)]
    n = w.node(c["op"], names, c["outputs"], *[w.attr(k, v) for k, v in c["attrs"].items()], domain=c["domain"] or None)
    g = w.graph([n], [w.value(names[i], kind(arrays[i]), arrays[i].shape) for i in given],
                [w.value(o, w.INT32 if o == "count" else w.FLOAT, None) for o in c["outputs"] if o],
                [w.tensor(names[i], kind(arrays[i]), arrays[i].shape, arrays[i].tobytes()) for i in known])
    return w.model(g, c["opset"], extra=w.opset(1, MICROSOFT)), [arrays[i] for i in given]


def check(c, library, path):
    (data, feed), (known, fed) = model_of(c), model_of(c.get("peer", c))
    for name, what in (".onnx", data), (".peer.onnx", known):
        with open(path + name, "wb") as f:
            f.write(what)
    shown = {k: v for k, v in c.items() if k not in ("inputs", "peer")}
    shown["shapes"] = [None if a is None else (str(np.asarray(a).dtype), np.shape(a)) for a in c["inputs"]]
    try:
        want = peer.ort.Session(library, path + ".peer.onnx").run(fed)
    except Exception as e:  # what it has no kernel for says nothing
        print("ONNX Runtime refuses %s: %s" % (shown, str(e)[:200]))
        return False
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m"], check=True)
    try:
        got = Model(path + ".so", "m").check(feed)
    except Exception as e:
        raise AssertionError("%s: %s" % (e, shown)) from e
    for g, v in zip(got, want):
        assert g.shape == v.shape, (g.shape, v.shape, shown)
        bad = ~(np.abs(g.astype(np.float64) - v) <= c["limit"] * (1 + np.abs(v)))
        assert not bad.any(), (g[bad][:4], v[bad][:4], shown)
    return True


def main():
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "2"))
    only = os.environ.get("MCC_TEST_ONLY", ",".join(OPERATORS)).split(",")
    library, compared, wrong = peer.onnxruntime(), {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in only:
            for i in range(count):
                c = OPERATORS[name](Draw([seed, i, list(OPERATORS).index(name)]))
                try:
                    compared[name] = compared.get(name, 0) + check(c, library, os.path.join(folder, "%s%d" % (name.replace(" ", ""), i)))
                except (AssertionError, subprocess.CalledProcessError) as e:
                    wrong.append("%s, seed %d: %s" % (name, seed, e))
    never = [name for name, n in compared.items() if not n]
    print("\n".join(wrong))
    print("seed %d: %d nodes of %d operators compared, %d wrong; ONNX Runtime took none of: %s" % (seed, sum(compared.values()), len(only), len(wrong), never))
    return 1 if wrong else 0


sys.exit(main())
