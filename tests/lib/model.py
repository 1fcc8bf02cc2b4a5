"""A compiled model from Python: the shared object that `mcc --emit=shared` writes, through its description (mcc_model.run)."""
import ctypes as C
import mmap
import numpy as np

RANK = 8
DTYPE = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
         10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.uint16}


class Tensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("bytes", C.c_size_t), ("dtype", C.c_int32), ("rank", C.c_int32),
                ("dims", C.c_int64 * RANK)]


class Info(C.Structure):
    _fields_ = [("name", C.c_char_p), ("dtype", C.c_int32), ("rank", C.c_int32), ("dims", C.c_int64 * RANK),
                ("max_dims", C.c_int64 * RANK)]


RUN = C.CFUNCTYPE(C.c_int, C.POINTER(Tensor), C.POINTER(Tensor), C.c_void_p)


class Description(C.Structure):
    _fields_ = [("abi", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p), ("build_id", C.c_char_p),
                ("n_inputs", C.c_int32), ("n_outputs", C.c_int32), ("inputs", C.POINTER(Info)),
                ("outputs", C.POINTER(Info)), ("workspace_bytes", C.c_size_t), ("workspace_align", C.c_size_t), ("run", RUN)]


class Guarded:
    """Bytes that end (or start) at a page which cannot be touched."""

    def __init__(self, size, at_end=True, align=1):
        page = mmap.PAGESIZE
        body = max(page, (size + page - 1) // page * page)
        self.map = mmap.mmap(-1, body + 2 * page)
        base = C.addressof(C.c_char.from_buffer(self.map))
        libc = C.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [C.c_void_p, C.c_size_t, C.c_int]
        for guard in (base, base + page + body):
            if libc.mprotect(guard, page, 0):
                raise OSError(C.get_errno(), "mprotect")
        room = (size + align - 1) // align * align
        self.address = base + page + (body - room if at_end else 0)
        self.size = size

    def fill(self, byte):
        C.memset(self.address, byte, self.size)

    def put(self, data):
        C.memmove(self.address, data, len(data))

    def bytes(self, n):
        return C.string_at(self.address, n)


class Model:
    def __init__(self, path, name):
        self.lib = C.CDLL(path)
        self.d = Description.in_dll(self.lib, name + "_model")
        self.inputs = [self.d.inputs[i] for i in range(self.d.n_inputs)]
        self.outputs = [self.d.outputs[i] for i in range(self.d.n_outputs)]

    def run(self, arrays, at_end=True, fill=0x5a):
        """arrays: one a graph input, in order. Returns the outputs; raises RuntimeError with the code."""
        buffers = []
        tin, tout = (Tensor * max(1, len(arrays)))(), (Tensor * max(1, len(self.outputs)))()
        for t, a, info in zip(tin, arrays, self.inputs):
            a = np.ascontiguousarray(a).reshape(np.shape(a))
            b = Guarded(a.nbytes, at_end, a.itemsize)
            b.put(a.tobytes())
            buffers.append(b)
            t.data, t.bytes, t.dtype, t.rank = b.address, a.nbytes, info.dtype, a.ndim
            t.dims[:a.ndim] = a.shape
        out = []
        for t, info in zip(tout, self.outputs):
            dt = np.dtype(DTYPE[info.dtype])
            size = int(np.prod([info.max_dims[i] for i in range(info.rank)], dtype=np.int64)) * dt.itemsize
            b = Guarded(size, at_end, dt.itemsize)
            b.fill(0xcd)
            out.append(b)
            t.data, t.bytes, t.dtype = b.address, size, info.dtype
        work = Guarded(self.d.workspace_bytes, at_end, self.d.workspace_align)
        work.fill(fill)
        status = self.d.run(tin, tout, work.address)
        if status:
            raise RuntimeError(f"run returned {status}")
        result = []
        for t, b, info in zip(tout, out, self.outputs):
            shape = list(t.dims)[:t.rank]
            dt = np.dtype(DTYPE[info.dtype])
            n = int(np.prod(shape, dtype=np.int64))
            result.append(np.frombuffer(b.bytes(n * dt.itemsize), dt).reshape(shape).copy())
        return result

    def check(self, arrays):
        """Runs twice, against both guards, over workspaces of 0x00 and 0xFF: the outputs must be the same bits."""
        a, b = self.run(arrays, True, 0x00), self.run(arrays, False, 0xff)
        for i, (x, y) in enumerate(zip(a, b)):
            if x.tobytes() != y.tobytes():
                raise AssertionError(f"output {i} depends on the workspace's contents or on where the buffers lie")
        return a
