"""ONNX's own tests, through the objects that mcc emits.

Takes them from Debian's libonnx-testdata and from ../shared/data (or $MCC_SHARED/data), where they are there. Every result must be PASS
or UNSUPPORTED; tests that use only operators of required.txt must PASS, but for what exceptions.txt names, with a reason each.
A seeded sample by default ($MCC_TEST_SEED, $MCC_TEST_SAMPLE); all of them with MCC_TEST_ALL=1."""
import collections
import fnmatch
import os
import re
import sys
import onnxtests

HERE = os.path.join(os.environ["SOURCE"], "tests", "ops")


def fields(data):
    """(number, value) of each field of a protobuf message; bytes for those with a length."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(kind)
            size = varint() if size is None else size
            value = data[at:at + size]
            at += size
        yield key >> 3, value


def graph_operators(graph):
    for number, node in fields(graph):
        if number != 1:
            continue
        name = domain = ""
        for number, value in fields(node):
            if number == 4:
                name = value.decode()
            elif number == 7:
                domain = value.decode()
            elif number == 5:
                for number, value in fields(value):
                    if number == 6:
                        yield from graph_operators(value)
        yield name if domain in ("", "ai.onnx") else domain + "." + name


def operators(directory):
    with open(os.path.join(directory, "model.onnx"), "rb") as f:
        for number, value in fields(f.read()):
            if number == 7:
                yield from graph_operators(value)


def lines(name):
    with open(os.path.join(HERE, name)) as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                yield line


def main():
    paths = onnxtests.tests(os.environ.get("MCC_TEST_ALL") == "1", 200)
    if not paths:
        print("SKIPPED: neither libonnx-testdata nor ../shared/data/onnx-1.22-tests.tar.xz is here")
        return 77
    required = set(lines("required.txt"))
    exceptions = [line.split(None, 1) for line in lines("exceptions.txt")]
    wrong, reasons, counts = [], collections.Counter(), collections.Counter()
    for path, (outcome, name, reason) in zip(paths, onnxtests.verify(paths)):
        counts[outcome] += 1
        if outcome == "UNSUPPORTED":
            excused = any(fnmatch.fnmatch(name, pattern) and re.search(why, reason) for pattern, why in exceptions)
            must = required.issuperset(operators(path)) and not excused
            reasons[re.sub(r"'[^']*'( \([^)]*\))?", "…", reason)] += 1
            if must:
                wrong.append("%s %s: %s" % (outcome, path, reason))
        elif outcome != "PASS":
            wrong.append("%s %s: %s" % (outcome, path, reason))
    for reason, count in reasons.most_common():
        print("%5d unsupported: %s" % (count, reason))
    print("\n".join(wrong))
    print(", ".join("%d %s" % (count, outcome) for outcome, count in sorted(counts.items())), "- %d wrong" % len(wrong))
    return 1 if wrong else 0


sys.exit(main())
