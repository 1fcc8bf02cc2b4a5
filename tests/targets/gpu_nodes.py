"""ONNX's node tests on a GPU, or by the emulator of its driver that tests/cuda builds: what passes on this machine passes there.
$MCC_TEST_SAMPLE of them (60), or all with MCC_TEST_ALL=1."""
import ctypes
import os
import subprocess
import sys
import onnxtests

EMULATOR = os.path.join(onnxtests.BUILD, "tests", "cuda")


def driver():
    """The environment in which a driver is found; None: there is none."""
    env = dict(os.environ)
    if os.path.exists(os.path.join(EMULATOR, "libcuda.so.1")) and not os.environ.get("MCC_TEST_GPU"):
        env["LD_LIBRARY_PATH"] = EMULATOR
        return env
    try:
        ctypes.CDLL("libcuda.so.1")
        return env
    except OSError:
        return None


def verify(options, paths, env):
    """{name: line} of `mcc verify`"""
    done = subprocess.run([onnxtests.MCC, "verify", "-j2", "--timeout=300", *options, *paths], stdout=subprocess.PIPE, text=True, errors="replace", env=env)
    return {line.split(" ", 1)[1].partition(":")[0]: line for line in done.stdout.splitlines()[:-1]}


def main():
    env = driver()
    paths = onnxtests.tests(bool(os.environ.get("MCC_TEST_ALL")), 60)
    if env is None or not paths:
        print("SKIPPED: no %s" % ("driver, and no emulator of it" if paths else "tests of ONNX's"))
        return 77
    here = verify([], paths, os.environ)
    there = verify(["--target=nvptx64"], [p for p in paths if here.get(os.path.basename(p), "").startswith("PASS")], env)
    wrong = [line for line in there.values() if not line.startswith("PASS")]
    print("\n".join(wrong + ["%d of %d as on this machine" % (len(there) - len(wrong), len(there))]))
    return bool(wrong) or not there


sys.exit(main())
