"""Models of nodes side by side, each with inputs of its own and what it must give; compiled, and run between pages that cannot be touched."""
import os
import subprocess
import numpy as np
from onnx import helper, numpy_helper, save
from model import Model

MCC = os.environ["MCC"]


def proto(dtype):
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) if hasattr(helper, "np_dtype_to_tensor_dtype") else numpy_helper.from_array(np.zeros(1, dtype)).data_type


class Net:
    """Nodes side by side, each with inputs of its own; what each must give."""

    def __init__(self):
        self.nodes, self.inputs, self.outputs, self.arrays, self.constants, self.want = [], [], [], [], [], []

    def add(self, op, inputs, wants, constant=(), **attrs):
        """inputs: arrays or None; those whose places are in `constant` are known when compiling; wants: arrays or None"""
        k, names = len(self.nodes), []
        for i, a in enumerate(inputs):
            name = "" if a is None else f"i{k}_{i}"
            names.append(name)
            if a is None:
                continue
            if i in constant:
                self.constants.append(numpy_helper.from_array(np.asarray(a), name))
            else:
                self.inputs.append(helper.make_tensor_value_info(name, proto(a.dtype), a.shape))
                self.arrays.append(a)
        outs = [f"o{k}_{i}" if w is not None else "" for i, w in enumerate(wants)]
        for name, w in zip(outs, wants):
            if w is not None:
                self.outputs.append(helper.make_tensor_value_info(name, proto(w.dtype), None))
                self.want.append((op, attrs, w))
        self.nodes.append(helper.make_node(op, names, outs, **attrs))

    def compile(self, folder, *flags, opset=18):
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        stem = self.stem = os.path.join(folder, "m%d" % len(os.listdir(folder)))
        save(model, stem + ".onnx")
        subprocess.run([MCC, stem + ".onnx", "--emit=shared", "--name=m", "-O1", "--max-dim=*=64", "-Wno-shape", "-o", stem + ".so", *flags], check=True)
        return Model(stem + ".so", "m")

    def check(self, folder, *flags, opset=18):
        for got, (op, attrs, want) in zip(self.compile(folder, *flags, opset=opset).check(self.arrays), self.want):
            want = np.asarray(want)
            assert got.shape == want.shape and got.dtype == want.dtype, (op, attrs, got.shape, got.dtype, want.shape, want.dtype)
            assert np.array_equal(got, want, equal_nan=want.dtype.kind == "f"), (op, attrs, got, want)
