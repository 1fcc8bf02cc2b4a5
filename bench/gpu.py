#!/usr/bin/env python3
"""Measures mcc's code for an NVIDIA GPU, on a machine that has one: the GPU's peak and bandwidth as vendors' libraries reach them,
products against cuBLAS, models against ONNX Runtime's CUDA provider and PyTorch. What is not installed is named and left out.

  bench/gpu.py [--mcc build/mcc] [--models DIR] [--only products|models] [--cuda-lib libcuda.so.1] [--level sm_90]

Each figure is the least of several runs, alternating with the peer in one process. With --dry-run everything is compiled and
called once, and no time is told: that works with the emulator of the tests too."""
import argparse
import ctypes as C
import glob
import importlib.util
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ImportError:
    sys.exit("bench/gpu.py needs numpy")

PRODUCTS = [(512, 512, 512), (1024, 1024, 1024), (4096, 4096, 4096), (128, 3072, 768), (1, 4096, 4096), (8, 4096, 4096)]
KINDS = {"float32": (4, 1), "float16": (2, 10), "bfloat16": (2, 16)}  # bytes, ONNX's number


def say(*words):
    print(*words, flush=True)


# ---- the driver ----

class Cuda:
    """The driver API, in the device's primary context: what the models use too."""

    def __init__(self, name):
        self.lib = C.CDLL(name)
        self.call("cuInit", 0)
        device = C.c_int()
        self.call("cuDeviceGet", C.byref(device), 0)
        self.device = device
        self.context = C.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", C.byref(self.context), device)
        self.call("cuCtxSetCurrent", self.context)

    def call(self, name, *args):
        status = getattr(self.lib, name)(*args)
        if status:
            raise RuntimeError(f"{name} failed with {status}")

    def attribute(self, number):
        v = C.c_int()
        self.call("cuDeviceGetAttribute", C.byref(v), number, self.device)
        return v.value

    def name(self):
        text = C.create_string_buffer(100)
        self.call("cuDeviceGetName", text, 100, self.device)
        return text.value.decode()

    def level(self):
        return f"sm_{self.attribute(75)}{self.attribute(76)}"

    def alloc(self, size):
        p = C.c_uint64()
        self.call("cuMemAlloc_v2", C.byref(p), C.c_size_t(size))
        return p.value

    def free(self, p):
        self.call("cuMemFree_v2", C.c_uint64(p))

    def upload(self, array):
        array = np.ascontiguousarray(array)
        p = self.alloc(max(array.nbytes, 16))
        self.call("cuMemcpyHtoD_v2", C.c_uint64(p), C.c_void_p(array.ctypes.data), C.c_size_t(array.nbytes))
        return p

    def wait(self):
        self.call("cuCtxSynchronize")

    def bandwidth(self):
        """Bytes a second of copies within the device's memory, read and written."""
        size = 1 << 28
        a, b = self.alloc(size), self.alloc(size)
        least = fastest(self, lambda: self.call("cuMemcpyDtoDAsync_v2", C.c_uint64(a), C.c_uint64(b), C.c_size_t(size), None), 8)
        self.free(a), self.free(b)
        return 2 * size / least


def fastest(cuda, run, calls, rounds=10):
    """Seconds of one call, of `calls` queued behind each other: the least of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        cuda.wait()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        cuda.wait()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


def alternate(cuda, runs, calls, rounds=10):
    """The same for several peers in turn."""
    best = {name: float("inf") for name in runs}
    for name, run in runs.items():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            best[name] = min(best[name], fastest(cuda, run, calls, 1))
    return best


# ---- cuBLAS ----

class Blas:
    TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}  # cudaDataType
    FLOAT, FAST_TF32 = 68, 77  # cublasComputeType: CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32

    def __init__(self):
        self.lib, self.where = None, "libcublas is not installed"
        names = ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so"]
        spec = importlib.util.find_spec("nvidia")
        for folder in spec.submodule_search_locations if spec else []:
            names += glob.glob(os.path.join(folder, "*", "lib", "libcublas.so.*"))
        for name in names:
            try:
                self.lib = C.CDLL(name)
                self.where = name
                break
            except OSError:
                continue
        if self.lib:
            self.handle = C.c_void_p()
            if self.lib.cublasCreate_v2(C.byref(self.handle)):
                self.lib, self.where = None, "cublasCreate failed"

    def product(self, kind, m, n, k, a, b, y, tf32=False):
        """y = a · b, all row-major: what cuBLAS, which is column-major, sees as yᵀ = bᵀ · aᵀ"""
        one, zero, t = C.c_float(1), C.c_float(0), self.TYPES[kind]
        status = self.lib.cublasGemmEx(self.handle, 0, 0, n, m, k, C.byref(one), C.c_void_p(b), t, n, C.c_void_p(a), t, k,
                                       C.byref(zero), C.c_void_p(y), t, n, self.FAST_TF32 if tf32 else self.FLOAT, -1)
        if status:
            raise RuntimeError(f"cublasGemmEx failed with {status}")


# ---- models of mcc ----

class Compiled:
    """A model as a shared object; run queues it on the default stream, on device memory."""

    def __init__(self, options, path, flags=()):
        self.folder = tempfile.TemporaryDirectory()
        out, whole = os.path.join(self.folder.name, "m.o"), os.path.join(self.folder.name, "m.so")
        self.command([options.mcc, path, "--target=nvptx64", f"-mcpu={options.level}", "-O3", "--name=m", "-o", out, *flags])
        self.command(["cc", "-shared", "-o", whole, out, "-L" + options.lib, "-lmcc_cuda", "-ldl", "-lpthread"])
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
        import model
        self.model = model.Model(whole, "m")
        space = self.model.d.workspace_bytes
        self.raw = C.create_string_buffer(space + 64)
        self.space = (C.addressof(self.raw) + 63) // 64 * 64
        status = self.symbol("open")(C.c_void_p(self.space))
        if status:
            raise RuntimeError(f"the model cannot be opened: {status}")

    @staticmethod
    def command(command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or done.stdout.strip())

    def symbol(self, name):
        return getattr(self.model.lib, f"m_{name}")

    def runner(self, pointers, out):
        """A function that queues one run; pointers: device memory of the inputs and outputs."""
        run = self.symbol("run_on_stream")
        args = [C.c_void_p(p) for p in pointers + out]

        def call():
            status = run(*args, C.c_void_p(self.space), None)
            if status:
                raise RuntimeError(f"the model returned {status}")
        return call

    def close(self):
        self.symbol("close")(C.c_void_p(self.space))
        self.folder.cleanup()


def product_model(folder, kind, m, n, k):
    from onnx import helper, save
    number = KINDS[kind][1]
    info = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "g",
                              [info("a", number, [m, k]), info("b", number, [k, n])], [info("y", number, [m, n])])
    path = os.path.join(folder, f"{kind}_{m}_{n}_{k}.onnx")
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def numbers(kind, *dims):
    x = (np.random.default_rng(1).standard_normal(dims) * 0.25).astype("float32")
    if kind == "bfloat16":
        return (x.view("uint32") >> 16).astype("uint16")
    return x.astype(kind)


def measure_products(options, cuda):
    blas = Blas()
    say(f"\nproducts, TFLOP/s (cuBLAS: {blas.where})")
    say("kind         m     n     k        mcc     cuBLAS   ratio")
    with tempfile.TemporaryDirectory() as folder:
        for kind, flags in [("float32", []), ("float32", ["-mtf32"]), ("float16", []), ("bfloat16", [])]:
            for m, n, k in options.sizes:
                one_product(options, cuda, blas, folder, kind, flags, m, n, k)


def one_product(options, cuda, blas, folder, kind, flags, m, n, k):
    label = f"{kind + ' '.join([''] + flags):12} {m:5} {n:5} {k:5}"
    try:
        compiled = Compiled(options, product_model(folder, kind, m, n, k), flags)
    except RuntimeError as e:
        say(f"{label}  failed: {e}")
        return
    a, b, y = cuda.upload(numbers(kind, m, k)), cuda.upload(numbers(kind, k, n)), cuda.alloc(m * n * 4)
    runs = {"mcc": compiled.runner([a, b], [y])}
    if blas.lib:
        runs["cuBLAS"] = lambda: blas.product(kind, m, n, k, a, b, y, bool(flags))
    if options.dry_run:
        runs["mcc"]()
        cuda.wait()
        say(f"{label}  ran")
    else:
        calls = max(1, min(100, int(2e12 / (2.0 * m * n * k))))
        best = alternate(cuda, runs, calls)
        rate = {name: 2e-12 * m * n * k / t for name, t in best.items()}
        peer = f"{rate['cuBLAS']:10.1f} {rate['mcc'] / rate['cuBLAS']:7.2f}" if blas.lib else "         -       -"
        say(f"{label} {rate['mcc']:10.2f} {peer}")
    compiled.close()
    for p in (a, b, y):
        cuda.free(p)


# ---- models ----

def peer_of_onnxruntime(path, feeds):
    try:
        import onnxruntime as ort
    except ImportError:
        return None, "onnxruntime is not installed"
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return None, "this onnxruntime has no CUDA provider"
    session = ort.InferenceSession(path, providers=["CUDAExecutionProvider"])
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
    for out in session.get_outputs():
        binding.bind_output(out.name, "cuda")
    return (lambda: session.run_with_iobinding(binding)), None


def peer_of_torch(path, feeds):
    """The torchvision network of the file's name, compiled by nothing: what PyTorch takes as it comes."""
    try:
        import torch
        import torchvision
    except ImportError:
        return None, "torch and torchvision are not installed"
    name = os.path.basename(path).split(".")[0].replace("-", "_")
    make = getattr(torchvision.models, name, None)
    if not torch.cuda.is_available() or not make:
        return None, f"torchvision has no {name}" if torch.cuda.is_available() else "this torch has no CUDA"
    net = make().cuda().eval()
    x = torch.from_numpy(next(iter(feeds.values()))).cuda()

    def run():
        with torch.no_grad():
            net(x)
    return run, None


def measure_models(options, cuda):
    paths = sorted(glob.glob(os.path.join(options.models, "*.onnx"))) if options.models else []
    say("\nmodels, batch 1, ms a run")
    if not paths:
        say("none: name a folder of .onnx files with --models (bench/export_models.py makes one)")
    for path in paths:
        try:
            one_model(options, cuda, path)
        except RuntimeError as e:
            say(f"{os.path.basename(path)}: failed: {e}")


def one_model(options, cuda, path):
    compiled = Compiled(options, path)
    m = compiled.model
    dtype = __import__("model").DTYPE
    feeds, pointers = {}, []
    for info in m.inputs:
        shape = [d if d >= 0 else 1 for d in info.dims[:info.rank]]
        feeds[info.name.decode()] = array = (np.random.default_rng(1).standard_normal(shape)).astype(dtype[info.dtype])
        pointers.append(cuda.upload(array))
    if any(d < 0 for info in m.inputs for d in info.dims[:info.rank]):
        say(f"{os.path.basename(path)}: has open dims: left out")
        return
    out = [cuda.alloc(max(16, int(np.prod(info.max_dims[:info.rank], dtype=np.int64)) * 8)) for info in m.outputs]
    runs, missing = {"mcc": compiled.runner(pointers, out)}, []
    if options.dry_run:
        runs["mcc"]()
        cuda.wait()
        say(f"{os.path.basename(path)}: ran")
    else:
        for name, make in [("ONNX Runtime", peer_of_onnxruntime), ("PyTorch", peer_of_torch)]:
            run, why = make(path, feeds)
            if run:
                runs[name] = run
            else:
                missing.append(why)
        best = alternate(cuda, runs, 20)
        say(f"{os.path.basename(path)}: " + ", ".join(f"{name} {t * 1e3:.3f}" for name, t in best.items()) +
            (f" ({'; '.join(missing)})" if missing else ""))
    compiled.close()
    for p in pointers + out:
        cuda.free(p)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mcc", default=os.path.join(here, "..", "build", "mcc"))
    p.add_argument("--lib", default="", help="where libmcc_cuda.a is (default: beside mcc, or in ../lib)")
    p.add_argument("--models", default="")
    p.add_argument("--only", choices=["products", "models"])
    p.add_argument("--cuda-lib", default="libcuda.so.1")
    p.add_argument("--level", default="")
    p.add_argument("--sizes", default="", help="products as MxNxK, separated by commas")
    p.add_argument("--dry-run", action="store_true")
    options = p.parse_args()
    beside = os.path.dirname(os.path.abspath(options.mcc))
    options.lib = options.lib or next((d for d in (beside, os.path.join(beside, "..", "lib")) if os.path.exists(os.path.join(d, "libmcc_cuda.a"))), beside)
    options.sizes = [tuple(map(int, s.split("x"))) for s in options.sizes.split(",")] if options.sizes else PRODUCTS
    try:
        cuda = Cuda(options.cuda_lib)
    except (OSError, RuntimeError) as e:
        say(f"no NVIDIA GPU can be reached here ({e}): nothing is measured")
        sys.exit(77)
    known = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]
    here_is = cuda.level()
    options.level = options.level or max([k for k in known if k <= here_is], default="sm_75")
    say(f"{cuda.name()}, {here_is} (code for {options.level}), {time.strftime('%Y-%m-%d')}")
    if not options.dry_run:
        say(f"bandwidth of its memory: {cuda.bandwidth() / 1e9:.0f} GB/s")
    if options.only != "models":
        measure_products(options, cuda)
    if options.only != "products":
        measure_models(options, cuda)


if __name__ == "__main__":
    main()
