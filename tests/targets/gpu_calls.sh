#!/usr/bin/env bash
# Every call of a model for a GPU, in and out of order, through the emulator of the driver or the real one: gpu_calls.c.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
emulator=$BUILD/tests/cuda
if [ ! -e "$emulator/libcuda.so.1" ] && ! grep -q libcuda.so.1 <<<"$(ldconfig -p)"; then
    echo "SKIPPED: no driver, and no emulator of it"
    exit 77
fi
/usr/bin/python3 - "$dir/add.onnx" <<'PYTHON'
import sys
import onnx
from onnx import TensorProto, helper
table = helper.make_tensor("table", TensorProto.FLOAT, [4], [0, 10, 20, 30])
info = helper.make_tensor_value_info
graph = helper.make_graph([helper.make_node("Gather", ["table", "i"], ["t"]), helper.make_node("Add", ["a", "t"], ["y"])], "add",
                          [info("a", TensorProto.FLOAT, ["n"]), info("i", TensorProto.INT64, ["n"])], [info("y", TensorProto.FLOAT, ["n"])], [table])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), sys.argv[1])
PYTHON
"$MCC" --target=nvptx64 --max-dim n=12 "$dir/add.onnx" -o "$dir/add.o"
cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$SOURCE/include" -I"$dir" "$SOURCE/tests/targets/gpu_calls.c" "$dir/add.o" -L"$(dirname "$BUILD/libmcc_cuda.a")" \
    -lmcc_cuda -ldl -lpthread -o "$dir/calls"
[ ! -e "$emulator/libcuda.so.1" ] || export LD_LIBRARY_PATH=$emulator
"$dir/calls"
