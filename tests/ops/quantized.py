"""Quantized models with random sizes, scales and zero points: what mcc emits has the bits of the definition (qdqnet.py) at
every level of optimisation that keeps it, and agrees with ONNX Runtime where that is installed.

$MCC_TEST_SEED, $MCC_TEST_COUNT (40)"""
import os
import subprocess
import sys
import tempfile
import numpy as np
import peer
from model import Model
from qdqnet import F, Net

MCC = os.environ["MCC"]
NARROW = [np.uint8, np.int8, np.uint16, np.int16]


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


def random_scale(rng, shape=()):
    """Now and then a power of two: such scales make ties."""
    if rng.random() < 0.4:
        return F(2.0 ** rng.integers(-6, -1, shape))
    return F(np.exp(rng.uniform(-6, 0, shape)))


def random_zero(rng, dtype):
    info = np.iinfo(dtype)
    return dtype(pick(rng, [0, info.min, info.max, int(rng.integers(info.min, info.max + 1))]))


def random_numbers(rng, shape, scale):
    """Multiples of half a scale, which are ties, or anything; some not finite."""
    x = F(rng.standard_normal(shape) * 20 * scale)
    if rng.random() < 0.5:
        x = F(rng.integers(-600, 600, shape) * F(scale) / 2)
    if x.size > 4 and rng.random() < 0.5:
        x.flat[:4] = np.nan, np.inf, -np.inf, -0.0
    return x


def elementwise(rng):
    """Q and DQ of every dtype among elementwise operators, one scale or one an index of an axis."""
    net = Net(rng)
    shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 5)))
    dtype, axis = pick(rng, NARROW), int(rng.integers(len(shape)))
    many = (shape[axis],) if rng.random() < 0.3 else ()
    s = random_scale(rng, many)
    z = np.array([random_zero(rng, dtype) for _ in range(many[0])], dtype) if many else random_zero(rng, dtype)
    x = net.input(random_numbers(rng, shape, F(np.mean(s))))
    if rng.random() < 0.3:
        x = net.node("Neg", [x], -x.data)
    q = net.quantize(x, s, z, axis)
    if rng.random() < 0.3:
        net.output(q)
    y = net.dequantize(q, s, z, axis)
    if rng.random() < 0.7:
        t, u = random_scale(rng), random_zero(rng, np.uint8)
        other = net.input(rng.integers(0, 256, shape, np.uint8))
        y = net.node("Add", [y, b := net.dequantize(other, t, u)], y.data + b.data)
        y = net.node("Relu", [y], np.where(y.data < 0, F(0), y.data))
        y = net.quantize(y, F(2 * t), u)
        if rng.random() < 0.5:
            y = net.dequantize(y, random_scale(rng), u)
    net.output(y)
    return net, False


def wide(rng):
    """int32 in and out of the integers: DQ with a zero point, Q of whole numbers."""
    net = Net(rng)
    x = net.input(rng.integers(-2**31, 2**31, (3, 17), np.int32))
    y = net.dequantize(x, random_scale(rng), np.int32(rng.integers(-2**31, 2**31)))
    net.output(y)
    return net, False


FORMS = [elementwise, elementwise, elementwise, wide]


def bits(a):
    return np.where(np.isnan(a), F(0), a).tobytes() if a.dtype == F else a.tobytes()


def compare(net, got, who, off_by_one=0.0):
    """The same bits, or whole numbers of which at most that part is one step off."""
    for g, t in zip(got, net.outputs):
        assert g.dtype == t.data.dtype and g.shape == t.data.shape, (who, g.dtype, g.shape, t.data.dtype, t.data.shape)
        if bits(g) == bits(t.data):
            continue
        apart = np.abs(g.astype(np.float64) - t.data.astype(np.float64))
        bad = np.nonzero(~(apart == 0))
        said = (who, t.name, len(bad[0]), g.size, g[bad][:4], t.data[bad][:4])
        assert g.dtype != F and apart.max() <= 1 and len(bad[0]) <= max(1, off_by_one * g.size) and off_by_one, said


def emitted(net, folder, name, options):
    path = os.path.join(folder, name)
    with open(path + ".onnx", "wb") as f:
        f.write(net.model())
    subprocess.run([MCC, path + ".onnx", "-o", path + ".so", "--emit=shared", "--name=m", *options], check=True)
    return Model(path + ".so", "m").check(net.feed)


def ort_library():
    try:
        return peer.onnxruntime()
    except SystemExit:
        return None


def main():
    seed, count = int(os.environ.get("MCC_TEST_SEED", "1")), int(os.environ.get("MCC_TEST_COUNT", "40"))
    library, compared = ort_library(), 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            form = FORMS[i % len(FORMS)]
            net, in_ort = form(rng)
            options = pick(rng, [[], ["-mcpu=native"], ["-mcpu=native"], ["-O0"]])
            what = "%s, seed %d, model %d, %s" % (form.__name__, seed, i, options)
            compare(net, emitted(net, folder, "m%d" % i, options), what)
            if library and in_ort:
                session = peer.ort.Session(library, os.path.join(folder, "m%d.onnx" % i))
                compare(net, session.run(net.feed), what + ", ONNX Runtime", in_ort)
                compared += 1
    print("seed %d: %d models agree with the definition, %d of them in ONNX Runtime too" % (seed, count, compared))


sys.exit(main())
