"""Models of opsets 1 to 6 mean what they meant: operands broadcast from an axis, attributes that became inputs, defaults that
changed. Each is compiled and held against numbers computed here."""
import os
import subprocess
import sys
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from model import Model

MCC, WORK = os.environ["MCC"], os.path.join(os.environ["BUILD"], "ancient")
info, node, F = helper.make_tensor_value_info, helper.make_node, TensorProto.FLOAT
x = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32)
c = np.array([2, -3, 5], np.float32)
CASES = [
    ("add_axis", 6, [node("Add", ["x", "c"], ["y"], axis=1, broadcast=1)], x + c[:, None, None]),
    ("add_axis_of_a_node", 5, [node("Abs", ["x"], ["t"], consumed_inputs=[0]), node("Mul", ["t", "c"], ["y"], axis=-3, broadcast=1)],
     np.abs(x) * c[:, None, None]),
    ("prelu", 6, [node("PRelu", ["x", "c"], ["y"])], np.where(x < 0, x * c[:, None, None], x)),
    ("reshape", 4, [node("Reshape", ["x"], ["y"], shape=[0, -1])], x.reshape(2, 60)),
    ("concat_default", 3, [node("Concat", ["x", "x"], ["y"])], np.concatenate([x, x], 1)),
    ("pad", 1, [node("Pad", ["x"], ["y"], paddings=[0, 0, 1, 0, 0, 0, 0, 2])], np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))),
    ("cast", 5, [node("Cast", ["x"], ["i"], to="INT32"), node("Cast", ["i"], ["y"], to="FLOAT")], np.trunc(x)),
    ("selu_defaults", 1, [node("Selu", ["x"], ["y"])],
     np.float32(1.0507) * np.where(x > 0, x, np.float32(1.6732) * (np.exp(np.minimum(x, 0)) - 1))),
    ("batch_norm", 6, [node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], is_test=1, epsilon=0.0)],
     (x - np.float32(2)) / np.sqrt(np.float32(2)) * 2 + 2),
    ("upsample", 1, [node("Upsample", ["x"], ["y"], height_scale=2.0, width_scale=3.0, mode="nearest")], x.repeat(2, 2).repeat(3, 3)),
    ("dropout", 6, [node("Dropout", ["x"], ["y"], is_test=1, ratio=0.5)], x),
]


def run(name, opset, nodes, want):
    used = {i for n in nodes for i in n.input}
    constants = {"c": c, "s": np.full(3, 2, np.float32)}
    g = helper.make_graph(nodes, "g", [info("x", F, x.shape)], [info("y", F, want.shape)],
                          [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)])
    m.ir_version = 3
    path, shared = os.path.join(WORK, name + ".onnx"), os.path.join(WORK, name + ".so")
    with open(path, "wb") as f:
        f.write(m.SerializeToString())
    done = subprocess.run([MCC, path, "--emit=shared", "--name=m", "-o", shared], capture_output=True, text=True)
    if done.returncode:
        return done.stderr
    got = Model(shared, "m").check([x])[0]
    return "" if got.shape == want.shape and np.allclose(got, want, 1e-4, 1e-5) else f"got {got}, want {want}"


os.makedirs(WORK, exist_ok=True)
failed = 0
for case in CASES:
    why = run(*case)
    failed += why != ""
    print("FAIL" if why else "ok  ", case[0], why)
sys.exit(f"{failed} failed" if failed else 0)
