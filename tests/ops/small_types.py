"""Floats of 8 and 4 bits and packed integers, through the object that mcc writes: casts to them are the nearest code (found here by trying
all), with and without saturation, casts from them are exact, and what moves elements moves their bits.

$MCC_TEST_SEED"""
import os
import subprocess
import sys
import tempfile
import numpy as np
from onnx import helper, numpy_helper, save
from model import Model

MCC = os.environ["MCC"]
FLOAT, UINT8, INT8, INT32, INT64, DOUBLE = 1, 2, 3, 6, 7, 11
E8M0, E2M1 = 24, 23
FORMS = {17: (8, 3, 7), 18: (8, 3, 8), 19: (8, 2, 15), 20: (8, 2, 16), E2M1: (4, 1, 1)}  # bits, mantissa, bias
INTEGERS = {21: (0, 15), 22: (-8, 7), 25: (0, 3), 26: (-2, 1)}


def decode(form, code):
    if form == E8M0:
        return np.nan if code == 255 else 2.0 ** (code - 127)
    bits, mantissa, bias = FORMS[form]
    sign, magnitude = code >> (bits - 1), code & ((1 << (bits - 1)) - 1)
    exponent, fraction = magnitude >> mantissa, magnitude & ((1 << mantissa) - 1)
    if form in (18, 20) and code == 0x80 or form == 17 and magnitude == 0x7f or form == 19 and magnitude > 0x7c:
        return np.nan
    if form == 19 and magnitude == 0x7c:
        return -np.inf if sign else np.inf
    value = (fraction + (1 << mantissa if exponent else 0)) * 2.0 ** (max(exponent, 1) - bias - mantissa)
    return -value if sign else value


def finite(form):
    """(code, value) of those without a sign, in order"""
    n = 255 if form == E8M0 else 1 << (FORMS[form][0] - 1)
    return [(c, v) for c in range(n) if np.isfinite(v := decode(form, c))]


def nearest(form, x, saturate):
    """the code of x, ties to even; -1: NaN, whichever"""
    table = finite(form)
    top_code, top = table[-1]
    sign = 1 << (FORMS[form][0] - 1) if np.signbit(x) else 0
    if np.isnan(x):
        return 8 if form == E2M1 else -1
    beyond = top + (top - table[-2][1]) / 2  # the tie with what would be the next: its code is even where the largest's is odd
    if abs(x) > beyond or (abs(x) == beyond and top_code & 1):
        if saturate or form == E2M1:
            return top_code | sign
        return 0x7c | sign if form == 19 else -1
    code = min(table, key=lambda cv: (abs(abs(x) - cv[1]), cv[0] & 1))[0]
    return 0 if code == 0 and form in (18, 20) else code | sign


def power(x, saturate, mode):
    x = abs(float(x))
    if not np.isfinite(x):
        return -1
    if x <= 2.0 ** -127:
        return 0
    e = int(np.floor(np.log2(x)))
    part = x / 2.0 ** e
    code = e + 127 + (part > 1 if mode == "up" else part >= 1.5 if mode == "nearest" else 0)
    return 254 if code == 255 and saturate else code if code < 255 else -1


def values_for(form, rng):
    exact = np.array([v for _, v in finite(form)], np.float64)
    ties = (exact[1:] + exact[:-1]) / 2
    all_of = np.concatenate([exact, ties, exact[-1] * np.array([1.01, 1.03, 1.04, 1.1, 2, 1e10]), rng.lognormal(0, 4, 64), [0, 1e-30, np.inf, np.nan]])
    with np.errstate(over="ignore"):
        x = all_of.astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(0))])
    return np.concatenate([x, -x])


class Net:
    def __init__(self, folder):
        self.folder, self.nodes, self.inputs, self.outputs, self.arrays, self.constants = folder, [], [], [], [], []

    def input(self, dtype, array):
        name = "i%d" % len(self.inputs)
        self.inputs.append(helper.make_tensor_value_info(name, dtype, array.shape))
        self.arrays.append(array)
        return name

    def node(self, op, inputs, **attrs):
        name = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(op, inputs, [name], **attrs))
        return name

    def constant(self, array):
        name = "c%d" % len(self.constants)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def output(self, name, dtype):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, None))

    def run(self):
        model = helper.make_model(helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants), opset_imports=[helper.make_opsetid("", 25)])
        model.ir_version = 11
        stem = os.path.join(self.folder, "m%d" % len(os.listdir(self.folder)))
        save(model, stem + ".onnx")
        subprocess.run([MCC, stem + ".onnx", "--emit=shared", "--name=m", "-O1", "-Wno-opset", "-o", stem + ".so"], check=True)
        return Model(stem + ".so", "m").check(self.arrays)


def as_bytes(net, name, form):
    """codes of a value, as uint8"""
    if form == E2M1:
        name = net.node("Cast", [net.node("BitCast", [name], to=21)], to=UINT8)
    else:
        name = net.node("BitCast", [name], to=UINT8)
    net.output(name, UINT8)


def check_casts(folder, rng):
    net, want = Net(folder), []
    for form in FORMS:
        x = values_for(form, rng)
        wide = np.concatenate([x.astype(np.float64), x.astype(np.float64) * (1 + 1e-12)])  # beside ties, where f32 would round first
        for saturate in (1, 0):
            for array, dtype in ((x, FLOAT), (wide, DOUBLE))[:1 + (form == 18 and saturate)]:
                code = net.node("Cast", [net.input(dtype, array)], to=form, saturate=saturate)
                as_bytes(net, code, form)
                want.append([nearest(form, v, saturate) for v in array])
        codes = np.arange(1 << FORMS[form][0]).astype(np.uint8)
        source = net.input(UINT8, codes)
        source = net.node("BitCast", [net.node("Cast", [source], to=21) if form == E2M1 else source], to=form)
        net.output(net.node("Cast", [source], to=FLOAT), FLOAT)
        want.append([decode(form, int(c)) for c in codes])
    x = np.concatenate([values_for(E8M0, rng)[::7], np.float32([1.5, 1.25, 3.4e38, 0, 1e-44])])
    for saturate, mode in ((1, "up"), (0, "up"), (1, "down"), (1, "nearest")):
        as_bytes(net, net.node("Cast", [net.input(FLOAT, x)], to=E8M0, saturate=saturate, round_mode=mode), E8M0)
        want.append([power(v, saturate, mode) for v in x])
    for got, expected in zip(net.run(), want):
        for i, (g, e) in enumerate(zip(got, expected)):
            if got.dtype == np.float32:
                assert g == e and np.signbit(g) == np.signbit(e) or np.isnan(g) and np.isnan(e), (i, g, e)
            else:
                assert g == e or e == -1 and g in (0x7f, 0xff, 0x80, 0x7e, 0xfe), (i, hex(g), e)


def wrapped(x, lo, hi):
    return (x - lo) % (hi - lo + 1) + lo


def check_integers(folder):
    net, want = Net(folder), []
    for form, (lo, hi) in INTEGERS.items():
        x = np.arange(-40, 41)
        for dtype, array in ((INT8, x.astype(np.int8)), (INT64, x * (1 << 33) + x), (FLOAT, (x + 0.5).astype(np.float32))):
            packed = net.node("Cast", [net.input(dtype, array)], to=form)
            whole = np.trunc(array).astype(np.int64)
            for to in (INT8, FLOAT):
                net.output(net.node("Cast", [packed], to=to), to)
                want.append(wrapped(whole, lo, hi))
    for got, expected in zip(net.run(), want):
        assert np.array_equal(got, expected), (got, expected)


def check_movement(folder, rng):
    net, want = Net(folder), []
    i64 = lambda *v: net.constant(np.array(v, np.int64))
    for form in [21, 26, E2M1, 17]:
        lo, hi = INTEGERS.get(form, (0, 15))
        whole = rng.integers(lo, hi + 1, (3, 5)).astype(np.int8)
        if form in INTEGERS:
            x = net.node("Cast", [net.input(INT8, whole)], to=form)
        else:
            source = net.input(UINT8, whole.astype(np.uint8))
            x = net.node("BitCast", [net.node("Cast", [source], to=21) if form == E2M1 else source], to=form)
        condition = rng.integers(0, 2, (3, 5)).astype(np.bool_)
        moved = [(net.node("Transpose", [x]), whole.T), (net.node("Reshape", [x, i64(5, 3)]), whole.reshape(5, 3)),
                 (net.node("Slice", [x, i64(1), i64(5), i64(1)]), whole[:, 1:5]), (net.node("Concat", [x, x], axis=1), np.concatenate([whole, whole], 1)),
                 (net.node("Gather", [x, i64(2, 0, -1)], axis=0), whole[[2, 0, -1]]), (net.node("Pad", [x, i64(0, 1, 0, 2)], mode="edge"), np.pad(whole, ((0, 0), (1, 2)), "edge")),
                 (net.node("Where", [net.input(9, condition), x, net.node("Expand", [net.node("Slice", [x, i64(0), i64(1), i64(0)]), i64(3, 5)])]), np.where(condition, whole, whole[:1])),
                 (net.node("Identity", [x]), whole)]
        for name, expected in moved:
            if form in INTEGERS:
                net.output(net.node("Cast", [name], to=INT8), INT8)
            else:
                as_bytes(net, name, form)
            want.append(expected)
    for got, expected in zip(net.run(), want):
        assert np.array_equal(got, expected), (got, expected)


def main():
    rng = np.random.default_rng(int(os.environ.get("MCC_TEST_SEED", "1")))
    with tempfile.TemporaryDirectory() as folder:
        check_casts(folder, rng)
        check_integers(folder)
        check_movement(folder, rng)
    return 0


sys.exit(main())
