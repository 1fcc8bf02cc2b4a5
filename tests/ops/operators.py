"""docs/operators.md lists the operators that `mcc --print-operators` lists. `operators.py --write` makes it anew, with ONNX's node tests counted:
it runs them all, through the objects that mcc emits. The test compares the list alone, which changes with the compiler; counts take minutes."""
import collections
import os
import subprocess
import sys
import onnx
import onnxtests

SOURCE, MCC = os.environ["SOURCE"], os.environ["MCC"]
PAGE = os.path.join(SOURCE, "docs", "operators.md")
HEAD = """# Operators

Made by `tests/ops/operators.py --write` from `mcc --print-operators` and ONNX's node tests of opset 27; do not edit it.

*Since*: the opset in which the operator came; newer and older forms are brought to one (`frontend/upgrade.c`, `frontend/ancient.c`), up to opset 27. *Types* are those of the first input:
float is float16, bfloat16, float32 and float64, small the floats of 8 and 4 bits, packed the integers of 4 and 2 bits. *Form*: what becomes of it. *fused*: an expression of its
output's place, joined with its neighbours; *tuned*: code generated for the processor's tiles where the types are float32, 16-bit weights or quantized bytes, else its reference
kernel; *decomposed*: other operators; *reference*: a loop over elements in C, specialised to its shapes and compiled for the target; *control flow*: branches and loops of the object.
*Node tests*: how many of those whose model holds the operator pass, of all such; what does not pass is refused with its reason.

Refused: strings, sequences, optionals, complex numbers, ImageDecoder, ai.onnx.ml, training and preview operators. [numbers.md](numbers.md) defines edges of numbers and indices.
"""


def listed():
    """(domain, name, since, form, types) of each operator"""
    text = subprocess.run([MCC, "--print-operators"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in text.splitlines()[1:]:
        domain, name, since, rest = line.split(None, 3)
        form, types = rest.rsplit(None, 1)
        yield domain, name, since, form.strip(), types


def nodes_of(graph):
    for node in graph.node:
        yield node.domain or "ai.onnx", node.op_type
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs:
                yield from nodes_of(inner)


def counted():
    """{(domain, name): (passed, all)} of the node tests"""
    folder = os.path.join(onnxtests.unpacked(), "node")
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    counts = collections.defaultdict(lambda: [0, 0])
    for path, (outcome, _, _) in zip(paths, onnxtests.verify(paths)):
        for key in set(nodes_of(onnx.load(os.path.join(path, "model.onnx")).graph)):
            counts[key][0] += outcome == "PASS"
            counts[key][1] += 1
    return counts


def row(operator, tests):
    return "| %s | %s | %s | %s | %s |" % (*operator[1:4], operator[4].replace(",", ", "), tests)


def write():
    counts = counted()
    with open(PAGE, "w") as f:
        f.write(HEAD)
        for domain in "ai.onnx", "com.microsoft":
            f.write("\n## %s\n| operator | since | form | types | node tests |\n|---|---|---|---|---|\n" % domain)
            for operator in (o for o in sorted(listed()) if o[0] == domain):
                passed, every = counts[operator[:2]]
                f.write(row(operator, "%d of %d" % (passed, every) if every else "") + "\n")


def check():
    with open(PAGE) as f:
        there = {line.rsplit("|", 2)[0] for line in f if line.startswith("| ")}
    want = {row(operator, "").rsplit("|", 2)[0] for operator in listed()}
    stale = sorted(want - there)
    extra = sorted(line for line in there - want if not line.startswith("| operator"))
    print("\n".join(["docs/operators.md lacks " + line for line in stale] + ["docs/operators.md still has " + line for line in extra]))
    print("%d operators" % len(want))
    return 1 if stale or extra or len(want) < 150 else 0


sys.exit(write() if sys.argv[1:] == ["--write"] else check())
