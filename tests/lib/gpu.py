"""What runs code for GPUs here: a GPU with its driver, or the emulator of tests/cuda in its place."""
import ctypes
import os
import re
import peer

EMULATOR = os.path.join(os.environ["BUILD"], "tests", "cuda")
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…


def real_sm():
    """The level of the GPU that is here, 80 for sm_80; None without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    for value, attribute in ((major, MAJOR), (minor, MINOR)):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
    return major.value * 10 + minor.value


def runners(wanted):
    """(options of mcc, environment) for each of the wanted levels that can run here; skips the test where none can."""
    level = None if os.environ.get("MCC_TEST_EMULATED") else real_sm()
    if level:
        print("on a GPU, sm_%d" % level)
    elif os.path.exists(os.path.join(EMULATOR, "libcuda.so.1")):
        print("no GPU here: emulated")
    else:
        peer.skip("neither a GPU nor the emulator of libcuda.so.1")
    found = []
    for sm in wanted:
        environment = dict(os.environ)
        if not level:
            path = [EMULATOR] + [p for p in [os.environ.get("LD_LIBRARY_PATH")] if p]
            environment.update(LD_LIBRARY_PATH=":".join(path), MCC_CUDA_SM=re.sub(r"\D", "", sm), MCC_CUDA_RACES="1")
        elif level < int(re.sub(r"\D", "", sm)):
            print("SKIPPED %s: the GPU is older" % sm)
            continue
        found.append((["--target=nvptx64", "-mcpu=" + sm], environment))
    return found
