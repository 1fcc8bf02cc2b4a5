"""ONNX's own tests, through the objects that mcc emits.

Takes them from Debian's libonnx-testdata and from ../shared/data (or $MCC_SHARED/data), where they are there. Every result must be PASS
or UNSUPPORTED; tests that use only operators of required.txt must PASS, but for what exceptions.txt names, with a reason each.
A seeded sample by default ($MCC_TEST_SEED, $MCC_TEST_SAMPLE); all of them with MCC_TEST_ALL=1."""
import collections
import fnmatch
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile

SOURCE, BUILD, MCC = (os.environ[name] for name in ("SOURCE", "BUILD", "MCC"))
HERE = os.path.join(SOURCE, "tests", "ops")
SHARED = os.environ.get("MCC_SHARED", os.path.join(SOURCE, os.pardir, "shared"))
SUITES = ("node", "simple", "pytorch-operator", "pytorch-converted")


def unpacked():
    """The folder of the tests that the archive holds; None without it. Unpacked once, whole or not at all."""
    archive = os.path.join(SHARED, "data", "onnx-1.22-tests.tar.xz")
    folder = os.path.join(BUILD, "onnx-tests")
    if os.path.isdir(folder):
        return folder
    if not os.path.exists(archive):
        return None
    temp = "%s.%d" % (folder, os.getpid())
    with tarfile.open(archive) as tar:
        tar.extractall(temp)
    try:
        os.rename(temp, folder)
    except OSError:  # another run was faster
        shutil.rmtree(temp)
    return folder


def debian():
    try:
        listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    found = re.search(r"^(.*)/node$", listed.stdout, re.M)
    return found.group(1) if listed.returncode == 0 and found else None


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


def directories(root):
    for suite in SUITES:
        folder = os.path.join(root, suite)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if os.path.exists(os.path.join(folder, name, "model.onnx")):
                yield os.path.join(folder, name)


def verify(paths):
    """(outcome, name, reason) of each path, in order."""
    done = subprocess.run([MCC, "verify", "-j2", "--timeout=300", *paths], stdout=subprocess.PIPE, text=True, errors="replace")
    output = done.stdout.splitlines()
    results = []
    for line in output[:-1]:
        outcome, rest = line.split(" ", 1)
        name, _, reason = rest.partition(": ")
        results.append((outcome, name, reason))
    counts = collections.Counter(outcome for outcome, _, _ in results)
    failed = counts["FAIL"] + counts["CRASH"] + counts["TIMEOUT"]
    assert output and output[-1] == "%d passed, %d failed, %d unsupported" % (counts["PASS"], failed, counts["UNSUPPORTED"]), output[-1:]
    assert [name for _, name, _ in results] == [os.path.basename(path) for path in paths]
    assert done.returncode == (1 if failed else 0), done.returncode
    return results


def main():
    roots = [root for root in (unpacked(), debian()) if root]
    if not roots:
        print("SKIPPED: neither libonnx-testdata nor ../shared/data/onnx-1.22-tests.tar.xz is here")
        return 77
    required = set(lines("required.txt"))
    exceptions = [line.split(None, 1) for line in lines("exceptions.txt")]
    paths = [path for root in roots for path in directories(root)]
    if os.environ.get("MCC_TEST_ALL") != "1":
        seed = int(os.environ.get("MCC_TEST_SEED", "1"))
        size = min(int(os.environ.get("MCC_TEST_SAMPLE", "200")), len(paths))
        print("a sample of %d from %d, seed %d" % (size, len(paths), seed))
        paths = sorted(random.Random(seed).sample(paths, size))
    wrong, reasons, counts = [], collections.Counter(), collections.Counter()
    for path, (outcome, name, reason) in zip(paths, verify(paths)):
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
