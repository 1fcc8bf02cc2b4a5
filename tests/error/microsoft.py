"""ONNX Runtime's own operators (com.microsoft), wrong or beyond what mcc knows of them: each is refused with one clear line."""
import sys
from hostile import check
from onnx_wire import *


def own(op, inputs, attrs, says, shapes, outputs=("y",), domain="com.microsoft"):
    """inputs: names, '' for what is absent; shapes: name -> dims, or (dtype, dims)."""
    full = {k: v if isinstance(v[-1], tuple) else (FLOAT, v) for k, v in shapes.items()}
    n = node(op, inputs, outputs, *[attr(k, v) for k, v in attrs.items()], domain=domain)
    g = graph([n], [value(k, *v) for k, v in full.items()], [value(o, FLOAT, None) for o in outputs if o])
    return check("%s: %s" % (op, says), model(g, 21, extra=opset(1, "com.microsoft")), says)


Q = (2, 3, 16)
GQA = ["q", "k", "k", "p", "p", "n", "t"]
SIZES = {"q": Q, "k": (2, 3, 8), "p": (2, 1, 5, 8), "n": (INT32, (2,)), "t": (INT32, (1,))}
RESULTS = [
    own("MultiHeadAttention", ["q", "q", "q"], {}, "num_heads is 0", {"q": Q}),
    own("MultiHeadAttention", ["q", "q", "q"], {"num_heads": 3}, "is not a multiple of 3", {"q": Q}),
    own("MultiHeadAttention", ["q"], {"num_heads": 2}, "must have 5 axes", {"q": Q}),
    own("MultiHeadAttention", ["q", "kv", "", "b"], {"num_heads": 2}, "it has biases, which K and V in one tensor do not take", {"q": Q, "kv": (2, 3, 2, 2, 8), "b": (48,)}),
    own("MultiHeadAttention", ["q", "k", "q"], {"num_heads": 2}, "the lengths of K and V differ", {"q": Q, "k": (2, 4, 16)}),
    own("MultiHeadAttention", ["q", "k", "q"], {"num_heads": 2}, "the sizes of a head of Q and K differ", {"q": Q, "k": (2, 3, 8)}),
    own("MultiHeadAttention", ["q", "q", "q", "b"], {"num_heads": 2}, "the numbers of biases and columns differ", {"q": Q, "b": (47,)}),
    own("MultiHeadAttention", ["q", "q", "q", "", "m"], {"num_heads": 2}, "input 4 is float32, must be int32", {"q": Q, "m": (2, 3)}),
    own("MultiHeadAttention", ["q", "q", "q", "", "m"], {"num_heads": 2}, "the keys of the mask and of the scores differ", {"q": Q, "m": (INT32, (2, 4))}),
    own("MultiHeadAttention", ["q", "q", "q", "", "", "", "p"], {"num_heads": 2}, "the past of only one", {"q": Q, "p": (2, 2, 4, 8)}),
    own("Attention", ["q", "w"], {"num_heads": 2}, "the inner sizes of input and weights differ", {"q": Q, "w": (15, 48)}),
    own("Attention", ["q", "w"], {"num_heads": 2}, "not those of Q, K and V", {"q": Q, "w": (16, 47)}),
    own("Attention", ["q", "w"], {"num_heads": 3}, "16 columns cannot be shared by 3 heads", {"q": Q, "w": (16, 48)}),
    own("Attention", ["q", "w"], {"num_heads": 1, "qkv_hidden_sizes": [16, 16, -16]}, "-16 columns cannot be shared", {"q": Q, "w": (16, 48)}),
    own("Attention", ["q", "w"], {"num_heads": 2, "do_rotary": 1}, "do_rotary and past_present_share_buffer are not supported", {"q": Q, "w": (16, 48)}),
    own("GroupQueryAttention", GQA, {"num_heads": 2, "kv_num_heads": 0}, "2 heads of Q cannot share 0", SIZES),
    own("GroupQueryAttention", GQA, {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1}, "do_rotary needs cosines and sines", SIZES),
    own("GroupQueryAttention", GQA, {"num_heads": 3, "kv_num_heads": 1}, "16 numbers cannot be shared by 3 heads", SIZES),
    own("GroupQueryAttention", GQA[:6], {"num_heads": 2, "kv_num_heads": 1}, "total_sequence_length is missing", SIZES),
    own("RotaryEmbedding", ["q", "i", "c", "c"], {"num_heads": 2}, "the number of angles and half", {"q": Q, "i": (INT64, (2, 3)), "c": (9, 3)}),
    own("RotaryEmbedding", ["q", "i", "c", "c"], {"is_packed_batching": 1}, "is_packed_batching is not supported", {"q": Q, "i": (INT64, (1,)), "c": (9, 4)}),
    own("FusedMatMul", ["q", "w"], {"transB": 1}, "the inner sizes of A and B differ", {"q": Q, "w": (16, 8)}),
    own("FusedMatMul", ["w", "w"], {"transBatchA": 1}, "has no batch to be transposed with", {"w": (16, 8)}),
    own("FusedConv", ["x", "w"], {"activation": "Magic"}, "activation 'Magic' is not supported", {"x": (1, 1, 5, 5), "w": (1, 1, 3, 3)}),
    own("FusedConv", ["x", "w"], {"activation": "Clip"}, "a Clip without its two bounds", {"x": (1, 1, 5, 5), "w": (1, 1, 3, 3)}),
    own("BiasGelu", ["q"], {}, "an input is missing", {"q": Q}),
    own("SkipSimplifiedLayerNormalization", ["q", "q", "g"], {}, "mean and inverse deviation, are not supported", {"q": Q, "g": (16,)}, ["y", "mean"]),
    own("EmbedLayerNormalization", ["i", "", "w", "w", "", "g"], {}, "an input is missing", {"i": (INT32, (2, 3)), "w": (9, 16), "g": (16,)}),
]
print("%d of %d refused as they should be" % (sum(RESULTS), len(RESULTS)))
sys.exit(0 if all(RESULTS) else 1)
