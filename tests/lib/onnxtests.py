"""ONNX's own tests: where they are, and what `mcc verify` says of them."""
import collections
import os
import random
import re
import shutil
import subprocess
import tarfile

SOURCE, BUILD, MCC = (os.environ[name] for name in ("SOURCE", "BUILD", "MCC"))
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


def directories(root):
    for suite in SUITES:
        folder = os.path.join(root, suite)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if os.path.exists(os.path.join(folder, name, "model.onnx")):
                yield os.path.join(folder, name)


def tests(everything, size):
    """The folders of the tests: a seeded sample ($MCC_TEST_SEED, $MCC_TEST_SAMPLE), or all of them; none where they are not here."""
    paths = [path for root in (unpacked(), debian()) if root for path in directories(root)]
    if everything or not paths:
        return paths
    seed = int(os.environ.get("MCC_TEST_SEED", "1"))
    size = min(int(os.environ.get("MCC_TEST_SAMPLE", size)), len(paths))
    print("a sample of %d from %d, seed %d" % (size, len(paths), seed))
    return sorted(random.Random(seed).sample(paths, size))


def verify(paths, options=(), environment=None):
    """(outcome, name, reason) of each path, in order."""
    done = subprocess.run([MCC, "verify", "-j2", "--timeout=300", *options, *paths], stdout=subprocess.PIPE, text=True, errors="replace",
                          env=environment)
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
