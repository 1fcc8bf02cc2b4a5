"""ONNX Runtime as the peer to time against: its C library through ctypes, sessions on one or more threads.

The library is npm's onnxruntime-node (or any build of it): ORT_LIB names libonnxruntime.so.1, else a node_modules folder
beside the checkout or above the working directory is searched. The numbers are the places of functions in the table that
the C API hands out; the table only grows at its end."""
import ctypes
import os
import pathlib

import numpy

PLACE = {
    "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
    "SetIntraOpNumThreads": 24, "SetInterOpNumThreads": 25, "SessionGetInputCount": 30, "SessionGetOutputCount": 31,
    "SessionGetInputName": 36, "SessionGetOutputName": 37, "CreateTensorWithDataAsOrtValue": 49,
    "GetTensorMutableData": 51, "GetDimensionsCount": 61, "GetDimensions": 62, "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69, "GetAllocatorWithDefaultOptions": 78, "ReleaseValue": 96,
    "ReleaseTensorTypeAndShapeInfo": 99,
}
API_VERSION = 18
FLOAT, INT64, INT32, BOOL, DOUBLE = 1, 7, 6, 9, 11
NUMBER = {numpy.dtype("float32"): FLOAT, numpy.dtype("int64"): INT64, numpy.dtype("int32"): INT32,
          numpy.dtype("bool"): BOOL, numpy.dtype("float64"): DOUBLE}
POINTER = ctypes.c_void_p


def find_library():
    """The path of libonnxruntime.so.1, or None."""
    if os.environ.get("ORT_LIB"):
        return os.environ["ORT_LIB"]
    here = pathlib.Path.cwd()
    for folder in (here, *here.parents):
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
        self.env = self.make("CreateEnv", ctypes.c_int(3), b"bench")

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
    def __init__(self, library, model, threads=1):
        self.lib = library
        options = library.make("CreateSessionOptions")
        library.call("SetIntraOpNumThreads", options, ctypes.c_int(threads))
        library.call("SetInterOpNumThreads", options, ctypes.c_int(1))
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

    def prepare(self, arrays):
        """A closure that runs once on these inputs (in the session's order) and keeps its outputs in self.values."""
        lib, n_in, n_out = self.lib, len(self.inputs), len(self.outputs)
        arrays = [numpy.ascontiguousarray(a) for a in arrays]
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
        """The outputs of the last run, as arrays of their bytes, and gives them back."""
        lib, found = self.lib, []
        for i, value in enumerate(self.values):
            info = lib.make("GetTensorTypeAndShape", POINTER(value))
            rank = lib.make("GetDimensionsCount", info, kind=ctypes.c_size_t).value
            dims = (ctypes.c_int64 * max(rank, 1))()
            lib.call("GetDimensions", info, ctypes.cast(dims, POINTER), ctypes.c_size_t(rank))
            data = lib.make("GetTensorMutableData", POINTER(value))
            lib.release("ReleaseTensorTypeAndShapeInfo", info)
            shape = tuple(dims[:rank])
            count = int(numpy.prod(shape, dtype=numpy.int64))
            found.append((shape, ctypes.string_at(data.value, count * 4) if count else b""))
            lib.release("ReleaseValue", POINTER(value))
            self.values[i] = None
        return found

    def drop(self):
        for i, value in enumerate(self.values):
            if value:
                self.lib.release("ReleaseValue", POINTER(value))
            self.values[i] = None
