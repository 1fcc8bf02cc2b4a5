#!/usr/bin/python3
"""mcc tune writes a file that --tune takes without a warning; code made with it is the same every time and computes the same
within 1e-5; every form that a file may ask for does, too; what a target cannot do is left out with a warning."""
import os
import pathlib
import re
import subprocess
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper

MCC = os.environ["MCC"]
RNG = numpy.random.default_rng(3)


def weights(name, *dims):
    values = RNG.standard_normal(dims) / numpy.sqrt(numpy.prod(dims[1:]))
    return helper.make_tensor(name, TensorProto.FLOAT, dims, values.flatten())


def write_model(path):
    constants = [weights("a", 20, 3, 3, 3), weights("b", 24, 20, 3, 3), weights("c", 24, 1, 3, 3), weights("d", 40, 24, 1, 1),
                 weights("e", 40, 8, 2, 2), weights("f", 8, 30)]
    nodes = [helper.make_node("Conv", ["x", "a"], ["1"], strides=[2, 2], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["1"], ["2"]),
             helper.make_node("Conv", ["2", "b"], ["3"], pads=[1, 1, 1, 1]),
             helper.make_node("Conv", ["3", "c"], ["4"], pads=[1, 1, 1, 1], group=24),
             helper.make_node("Conv", ["4", "d"], ["5"]),
             helper.make_node("ConvTranspose", ["5", "e"], ["6"], strides=[2, 2]),
             helper.make_node("Transpose", ["6"], ["7"], perm=[0, 2, 3, 1]),
             helper.make_node("MatMul", ["7", "f"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 25, 29])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def run(*command):
    done = subprocess.run([MCC, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"mcc {' '.join(map(str, command))}: {done.stdout}"
    return done.stdout


def outputs(model, folder, *options):
    run("run", model, "--random=1", f"--output-dir={folder}", *options)
    return numpy.load(folder / "y.npy")


def check_choices(model, folder, layers, want):
    """One file a form, for all layers at once."""
    for choice in ("direct", "direct rows=1", "direct rows=2 vecs=1", "direct rows=3 unroll=1 run=1", "direct run=1000000000",
                   "winograd-f2", "winograd-f4 rows=1 run=1", "winograd-f4 rows=2 vecs=1 unroll=2 run=5"):
        path = folder / "one.tune"
        path.write_text("\n".join(["mcc-tune 1 x y"] + [f"{layer}: {choice}" for layer in layers]))
        for more in ([], ["--threads=openmp"]):
            said = run("run", model, "--random=1", f"--output-dir={folder}", f"--tune={path}", *more)
            got = numpy.load(folder / "y.npy")
            assert numpy.abs(got - want).max() <= 1e-5 * numpy.abs(want).max(), f"{choice}: too far from the untuned outputs"
        assert "was measured on x (y)" not in said and "was measured on y (x)" in said, said
        if "winograd" in choice:
            assert said.count("not used") == len(layers) - 1, said
            assert re.search(r"warning: node .*one\.tune:\d+: not used: ", said), said


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model, tune = folder / "m.onnx", folder / "m.tune"
        write_model(model)
        plain = outputs(model, folder)
        said = run("tune", model, "-o", tune, "--seconds=6", "-v")
        print(said)
        text = tune.read_text()
        print(text)
        assert text.startswith("mcc-tune 1 ") and "layers measured" in text.splitlines()[1]
        layers = [re.sub("^# ", "", line).split(":")[0] for line in text.splitlines()[2:]]
        assert len(layers) == 6 and all(layer in said for layer in layers)
        tuned = outputs(model, folder, f"--tune={tune}", "-Werror")
        assert numpy.abs(tuned - plain).max() <= 1e-5 * numpy.abs(plain).max()
        check_choices(model, folder, layers, plain)
        forced = folder / "forced.tune"
        forced.write_text(text.splitlines()[0] + "\n" + "\n".join(f"{layer}: direct rows=2" for layer in layers))
        objects = []
        for i in range(2):
            run(model, "-o", folder / "m.o", "-mcpu=native", f"--tune={forced}", "-Werror", "-MD")
            objects.append((folder / "m.o").read_bytes())
        assert objects[0] == objects[1], "two compilations differ"
        assert str(forced) in (folder / "m.d").read_text()
        run(model, "-o", folder / "m.o", "-mcpu=native")
        assert objects[0] != (folder / "m.o").read_bytes(), "the file had no effect"
        for path in folder.iterdir():
            assert not path.name.startswith(".mcc"), path


main()
