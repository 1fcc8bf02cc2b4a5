"""ONNX Runtime, the oracle of tests/models and the peer to time against: its C library through ctypes.

The library is npm's onnxruntime-node (or any build of it): ORT_LIB names libonnxruntime.so.1, else a node_modules folder
of the build (scripts/test makes it) or above the working directory is searched. The numbers are the places of functions in the table that
the C API hands out; the table only grows at its end."""
import ctypes
import os
import pathlib

import numpy

PLACE = {
    "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
    "SetOptimizedModelFilePath": 11, "SetSessionGraphOptimizationLevel": 23,
    "SetIntraOpNumThreads": 24, "SetInterOpNumThreads": 25, "SessionGetInputCount": 30, "SessionGetOutputCount": 31,
    "SessionGetInputTypeInfo": 33, "SessionGetInputName": 36, "SessionGetOutputName": 37,
    "CreateTensorWithDataAsOrtValue": 49, "GetTensorMutableData": 51, "CastTypeInfoToTensorInfo": 55,
    "GetTensorElementType": 60, "GetDimensionsCount": 61, "GetDimensions": 62, "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69, "GetAllocatorWithDefaultOptions": 78, "ReleaseValue": 96,
    "ReleaseTensorTypeAndShapeInfo": 99,
}
API_VERSION = 18
DTYPE = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
         11: "float64", 12: "uint32", 13: "uint64"}
NUMBER = {numpy.dtype(name): number for number, name in DTYPE.items()}
POINTER = ctypes.c_void_p


def find_library():
    """The path of libonnxruntime.so.1, or None."""
    if os.environ.get("ORT_LIB"):
        return os.environ["ORT_LIB"]
    here, build = pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parent.parent / "build" / "npm"
    for folder in (build, here, *here.parents):
        found = sorted(folder.glob("node_modules/onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1"))
        if found:
            return str(found[-1])
    return None


class Library:
    def __init__(self, path):
        base = ctypes.CDLL(path).OrtGetApiBase
        base.restype = ctypes.POINTER(POINTER)
        get_api = ctypes.CFUNCTYPE(POINTER, ctypes.c_uint32)(base()[0])
        self.table = ctypes.cast(get_api(API_VERSION), ctypes.POINTER(POINTER))
        self.env = self.make("CreateEnv", ctypes.c_int(3), b"mcc")

    def function(self, name, *types, result=POINTER):
        return ctypes.CFUNCTYPE(result, *types)(self.table[PLACE[name]])

    def call(self, name, *args):
        types = [ctypes.c_char_p if isinstance(a, bytes) else type(a) if isinstance(a, ctypes._SimpleCData) else POINTER
                 for a in args]
        self.check(self.function(name, *types)(*args))

    def check(self, status):
        if status:
            text = self.function("GetErrorMessage", POINTER, result=ctypes.c_char_p)(status)
            raise RuntimeError(text.decode(errors="replace"))

    def make(self, name, *args, kind=POINTER):
        """Calls a function whose last argument is where its result goes."""
        out = kind()
        self.call(name, *args, ctypes.cast(ctypes.byref(out), POINTER))
        return out

    def release(self, name, thing):
        self.function(name, POINTER, result=None)(thing)


class Session:
    def __init__(self, library, model, threads=1, optimise=True, written=None):
        """optimise=False: operators one by one, as the standard defines them; written: where its optimised graph goes, as ONNX"""
        self.lib = library
        options = library.make("CreateSessionOptions")
        library.call("SetIntraOpNumThreads", options, ctypes.c_int(threads))
        library.call("SetInterOpNumThreads", options, ctypes.c_int(1))
        if not optimise:
            library.call("SetSessionGraphOptimizationLevel", options, ctypes.c_int(0))
        if written:
            library.call("SetOptimizedModelFilePath", options, str(written).encode())
        self.handle = library.make("CreateSession", library.env, str(model).encode(), options)
        self.memory = library.make("CreateCpuMemoryInfo", ctypes.c_int(1), ctypes.c_int(0))
        self.inputs = self.names("Input")
        self.outputs = self.names("Output")

    def names(self, side):
        lib = self.lib
        allocator = lib.make("GetAllocatorWithDefaultOptions")
        count = lib.make(f"SessionGet{side}Count", self.handle, kind=ctypes.c_size_t).value
        found = []
        for i in range(count):
            name = lib.make(f"SessionGet{side}Name", self.handle, ctypes.c_size_t(i), allocator)
            found.append(ctypes.string_at(name.value))
        return found

    def describe(self, info):
        """The dtype and the dims (-1: open) of a tensor's type."""
        lib = self.lib
        number = lib.make("GetTensorElementType", info, kind=ctypes.c_int).value
        rank = lib.make("GetDimensionsCount", info, kind=ctypes.c_size_t).value
        dims = (ctypes.c_int64 * max(rank, 1))()
        lib.call("GetDimensions", info, ctypes.cast(dims, POINTER), ctypes.c_size_t(rank))
        return numpy.dtype(DTYPE[number]), tuple(dims[:rank])

    def input_types(self):
        """(dtype, dims) of each input; all of them must be tensors."""
        lib, found = self.lib, []
        for i in range(len(self.inputs)):
            info = lib.make("SessionGetInputTypeInfo", self.handle, ctypes.c_size_t(i))
            found.append(self.describe(lib.make("CastTypeInfoToTensorInfo", info)))
        return found

    def run(self, arrays):
        """The outputs for these inputs, both in the session's order."""
        self.lib.check(self.prepare(arrays)())
        return self.take()

    def prepare(self, arrays):
        """A closure that runs once on these inputs (in the session's order) and keeps its outputs in self.values."""
        lib, n_in, n_out = self.lib, len(self.inputs), len(self.outputs)
        arrays = [numpy.ascontiguousarray(a).reshape(numpy.shape(a)) for a in arrays]  # which makes numbers vectors
        tensors = (POINTER * n_in)()
        for i, a in enumerate(arrays):
            dims = (ctypes.c_int64 * max(a.ndim, 1))(*a.shape)
            tensors[i] = lib.make("CreateTensorWithDataAsOrtValue", self.memory, POINTER(a.ctypes.data),
                                  ctypes.c_size_t(a.nbytes), ctypes.cast(dims, POINTER), ctypes.c_size_t(a.ndim),
                                  ctypes.c_int(NUMBER[a.dtype])).value
        in_names, out_names = (ctypes.c_char_p * n_in)(*self.inputs), (ctypes.c_char_p * n_out)(*self.outputs)
        self.values = (POINTER * n_out)()
        self.kept = arrays, tensors, in_names, out_names
        size = ctypes.c_size_t
        run = lib.function("Run", POINTER, POINTER, POINTER, POINTER, size, POINTER, size, POINTER)
        args = (self.handle, None, ctypes.cast(in_names, POINTER), ctypes.cast(tensors, POINTER), n_in,
                ctypes.cast(out_names, POINTER), n_out, ctypes.cast(self.values, POINTER))
        return lambda: run(*args)

    def take(self):
        """The outputs of the last run, as arrays; gives their memory back."""
        lib, found = self.lib, []
        for i, value in enumerate(self.values):
            info = lib.make("GetTensorTypeAndShape", POINTER(value))
            dtype, shape = self.describe(info)
            lib.release("ReleaseTensorTypeAndShapeInfo", info)
            data = lib.make("GetTensorMutableData", POINTER(value))
            count = int(numpy.prod(shape, dtype=numpy.int64))
            raw = ctypes.string_at(data.value, count * dtype.itemsize) if count else b""
            found.append(numpy.frombuffer(raw, dtype).reshape(shape))
            lib.release("ReleaseValue", POINTER(value))
            self.values[i] = None
        return found
