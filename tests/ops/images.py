"""Operators on images and signals agree with ONNX Runtime: sampling with a grid, regions, unpooling, blocks put back, transforms, windows,
n-grams, with random sizes and attributes.

$MCC_TEST_SEED, $MCC_TEST_COUNT (2)"""
import os
import sys
import tempfile
import numpy as np
import peer
from net import Net

library = peer.onnxruntime()
F32 = np.float32


def some(rng, *shape):
    return rng.standard_normal(shape).astype(F32)


def add(net, op, inputs, outputs=1, dtype=F32, **attrs):
    net.add(op, inputs, [np.zeros(0, dtype)] * outputs, **attrs)


def scalar(v, dtype=np.int64):
    return np.array(v, dtype)


def add_images(net, rng):
    n, c, h, w = (int(v) for v in rng.integers(1, 8, 4))
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            grid = rng.uniform(-1.6, 1.6, (n, 3, 5, 2)).astype(F32)
            add(net, "GridSample", [some(rng, n, c, h + 1, w + 1), grid], mode=mode, padding_mode=padding, align_corners=int(rng.integers(0, 2)))
            if mode != "cubic":
                grid = rng.uniform(-1.6, 1.6, (n, 2, 3, 2, 3)).astype(F32)
                add(net, "GridSample", [some(rng, n, c, 3, h + 1, w + 1), grid], mode=mode, padding_mode=padding, align_corners=int(rng.integers(0, 2)))
    x = some(rng, n, c, 9, 11)
    low = rng.uniform(-2, 8, (4, 2))
    rois = np.concatenate([low, low + rng.uniform(0.5, 9, (4, 2))], 1).astype(F32)
    for mode in ("avg", "max"):
        add(net, "RoiAlign", [np.abs(x), rois, rng.integers(0, n, 4)], mode=mode, output_height=int(rng.integers(1, 5)), output_width=3,
            sampling_ratio=int(rng.integers(0, 3)), spatial_scale=0.75, coordinate_transformation_mode=str(rng.choice(["half_pixel", "output_half_pixel"])))
    kernel, stride = (int(v) for v in rng.integers(1, 4, 2))
    size = [(h - 1) * stride + kernel, (w - 1) * stride + kernel]
    places = rng.permutation(n * c * size[0] * size[1])[:n * c * h * w].reshape(n, c, h, w)
    add(net, "MaxUnpool", [some(rng, n, c, h, w), places], kernel_shape=[kernel] * 2, strides=[stride] * 2)
    block, image = [int(v) for v in rng.integers(1, 4, 2)], [int(v) for v in rng.integers(8, 12, 2)]
    strides, dilations, pads = ([int(v) for v in rng.integers(*r, k)] for r, k in (((1, 3), 2), ((1, 3), 2), ((0, 3), 4)))
    many = [(image[i] + pads[i] + pads[i + 2] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    net.add("Col2Im", [some(rng, n, c * block[0] * block[1], many[0] * many[1]), np.array(image), np.array(block)], [np.zeros(0, F32)], constant=(1, 2),
            strides=strides, dilations=dilations, pads=pads)


def add_signals(net, rng):
    b, n = int(rng.integers(1, 4)), int(rng.choice([1, 2, 7, 8, 12, 30, 49, 64, 97, 120]))
    add(net, "DFT", [some(rng, b, n, 2), None, scalar(1)], inverse=int(rng.integers(0, 2)))
    add(net, "DFT", [some(rng, b, n, 1), None, scalar(-2)], onesided=1)
    net.add("DFT", [some(rng, n, b, 2), scalar(n + 5), scalar(0)], [np.zeros(0, F32)], constant=(1, 2))
    frame = int(rng.choice([4, 10, 16]))
    window = rng.random(frame, F32)
    net.add("STFT", [some(rng, b, 60, 1), scalar(int(rng.integers(1, 9))), window, scalar(frame)], [np.zeros(0, F32)], constant=(1, 3),
            onesided=int(rng.integers(0, 2)))
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        net.add(op, [scalar(int(rng.integers(2, 40)))], [np.zeros(0, F32)], constant=(0,), periodic=int(rng.integers(0, 2)))


def add_text(net, rng):
    words, x = rng.integers(0, 4, 12), rng.integers(0, 4, (3, 10))
    grams = sorted({tuple(words[i:i + 2]) for i in range(0, 12, 2)})
    pool = [0, 1, 3] + [int(v) for g in grams for v in g]
    for mode in ("TF", "IDF", "TFIDF"):
        add(net, "TfIdfVectorizer", [x], mode=mode, min_gram_length=1, max_gram_length=2, max_skip_count=int(rng.integers(0, 3)), ngram_counts=[0, 3],
            ngram_indexes=[int(v) for v in rng.permutation(3 + len(grams))], pool_int64s=pool,
            weights=[float(v) for v in rng.random(3 + len(grams), F32)])


def check(folder, seed):
    rng = np.random.default_rng(seed)
    net = Net()
    add_images(net, rng)
    add_signals(net, rng)
    add_text(net, rng)
    got = net.compile(folder, opset=20).check(net.arrays)
    theirs = peer.ort.Session(library, net.stem + ".onnx").run(net.arrays)
    for a, b, (op, attrs, _) in zip(got, theirs, net.want):
        atol = 3e-5 * max(1, np.abs(b).max()) if op == "DFT" else 2e-5  # theirs is that far from float64's where the length is no power of two
        assert a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=atol), (seed, op, attrs, a.shape, b.shape, np.abs(a - b).max() if a.shape == b.shape else "")


with tempfile.TemporaryDirectory() as folder:
    first, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "2"))
    for seed in range(first, first + count):
        check(folder, seed)
sys.exit(0)
