"""Names in a model are data: whatever bytes they hold, the model compiles, and its header is C that a strict compiler takes."""
import os
import subprocess
import sys
import tempfile
from onnx_wire import *

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
NAMES = [b'quote"s', b"*/ int bad; /*", b"/* open", b"line\nbreak\r\n#error no", b"nul\0byte", b"\xff\xfe not UTF-8", b"back\\slash\\", b"??/",
         b"%s%n%d", b"int", b"x" * 5000, "\u65e5\u672c\u8a9e".encode(), b"a.b", b"a_b", b"a/b", b"\x1b[31m", b"//", b"\\u0041", b"'"]
USE = """#include "model.h"
int main(void) {
    return model_model.n_inputs != %d || model_model.n_outputs != %d || !model_model.inputs[0].name;
}
"""


def odd_model(names):
    """Each name is an input's; made longer by a byte it is an output's, a node's, an initializer's, the graph's."""
    nodes, inputs, outputs, weights = [], [], [], []
    for name in names:
        inputs.append(value(name, FLOAT, (2,)))
        weights.append(tensor(name + b"w", FLOAT, (2,), floats(1, 2)))
        nodes.append(node("Add", [name, name + b"w"], [name + b"!"], name=name))
        outputs.append(value(name + b"!", FLOAT, (2,)))
    return model(graph(nodes, inputs, outputs, weights, name=names[0]))


def compiles(folder, names):
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(odd_model(names))
    with open(os.path.join(folder, "use.c"), "w") as f:
        f.write(USE % (len(names), len(names)))
    include = "-I" + os.path.join(SOURCE, "include")
    for command in ([MCC, "model.onnx", "-o", "model.o"],
                    ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", include, "use.c", "model.o", "-o", "use"], ["./use"]):
        p = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if p.returncode:
            print("FAIL %r: %s: exit %d: %s" % (names[0][:40], command[0], p.returncode, p.stdout.decode(errors="replace")[:500]))
            return False
    return True


def main():
    names = NAMES
    good = True
    for group in [[n] for n in names] + [names[:10], names[10:]]:
        with tempfile.TemporaryDirectory() as folder:
            good = compiles(folder, group) and good
    print("%d names" % len(names))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
