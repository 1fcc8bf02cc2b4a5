"""--quantize=int8 --emit=onnx: ONNX Runtime loads the QDQ model and gives what mcc makes of the same model, within 0.02 of a
probability; mcc compiles the written model to the bits of the direct way. So do dynamic, w8 and w4, within 1e-4."""
import os
import subprocess
import tempfile
import numpy as np
import onnx
import peer
from model import Model

MCC = os.environ["MCC"]


def mcc(*args):
    p = subprocess.run([MCC, *args], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr


def compiled(model, name, *flags):
    mcc(model, "-o", name + ".so", "--emit=shared", "--name=" + name, *flags)
    return Model(os.path.abspath(name + ".so"), name)


def digits(count):
    """The first pictures of the held-out digits: a class, then bytes, of which 0 is followed by how many zeros there are."""
    data, at, out = open(os.path.join(peer.SOURCE, "examples", "digits", "heldout.rle"), "rb").read(), 0, []
    while len(out) < count:
        pixels, at = [], at + 1
        while len(pixels) < 784:
            zeros = data[at] == 0
            pixels += [0] * data[at + 1] if zeros else [data[at]]
            at += 2 if zeros else 1
        out.append(np.array(pixels, np.float32).reshape(1, 1, 28, 28) / 255)
    return out


def main():
    library = peer.onnxruntime()
    source, images = os.path.join(peer.SOURCE, "examples", "digits", "digits.onnx"), digits(200)
    os.mkdir("samples")
    for i, image in enumerate(images[:50]):
        np.save("samples/%d.npy" % i, image)
    flags = ["--quantize=int8", "--calibrate=samples"]
    mcc(source, "--emit=onnx", "-o", "q.onnx", *flags)
    kinds = [n.op_type for n in onnx.load("q.onnx").graph.node]
    assert kinds.count("QuantizeLinear") >= 2 and kinds.count("DequantizeLinear") >= 4, kinds
    sizes = os.path.getsize("q.onnx"), os.path.getsize(source)
    assert sizes[0] * 3 < sizes[1], sizes
    session, direct, again = peer.ort.Session(library, "q.onnx"), compiled(source, "direct", *flags), compiled("q.onnx", "again")
    apart, agree, same = 0.0, 0, True
    for image in images[50:]:
        (want,), (got,), (twice,) = session.run([image]), direct.check([image]), again.check([image])
        same = same and np.array_equal(got, twice)
        agree += want.argmax() == got.argmax()
        apart = max(apart, float(np.abs(want - got).max()))
    print("%d of %d bytes; ONNX Runtime agrees on %d of 150 digits, outputs at most %.2g apart; %s the direct way's bits" %
          (*sizes, agree, apart, "the written model gives" if same else "the written model does not give"))
    assert agree >= 149 and apart <= 0.02 and same
    for mode in ("dynamic", "w8", "w4"):
        mcc(source, "--emit=onnx", "-o", mode + ".onnx", "--quantize=" + mode)
        opset = onnx.load(mode + ".onnx").opset_import[0].version
        session, direct = peer.ort.Session(library, mode + ".onnx"), compiled(source, mode, "--quantize=" + mode)
        apart = max(float(np.abs(session.run([i])[0] - direct.check([i])[0]).max()) for i in images[:50])
        print("%s: opset %d, outputs at most %.2g apart" % (mode, opset, apart))
        assert apart <= 1e-4 and opset == (21 if mode == "w4" else 18)


with tempfile.TemporaryDirectory() as temp:
    os.chdir(temp)
    main()
