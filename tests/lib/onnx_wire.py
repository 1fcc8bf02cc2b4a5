"""Writes ONNX's wire format by hand, right or wrong: tests need files that no ONNX library would write.

A message is a list of fields; a field is bytes. Names are the standard's, numbers come from the table below; what is not
in the table is written with field()."""
import struct

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64 = range(1, 14)


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """int: varint; float: 32 bits; bytes or str: with its length; list: each."""
    if isinstance(value, list):
        return b"".join(field(number, v) for v in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name="", dtype=FLOAT, dims=(), raw=None, external=None, extra=b""):
    out = b"".join(field(1, d) for d in dims) + field(2, dtype) + extra
    if name:
        out += field(8, name)
    if raw is not None:
        out += field(9, raw)
    if external is not None:
        out += b"".join(field(13, field(1, k) + field(2, v)) for k, v in external.items()) + field(14, 1)
    return out


def sparse(values, indices, dims):
    return field(1, values) + field(2, indices) + b"".join(field(3, d) for d in dims)


def floats(*v):
    return struct.pack("<%df" % len(v), *v)


def ints(*v):
    return struct.pack("<%dq" % len(v), *v)


def attr(name, value=None, kind=None, extra=b""):
    """kind: the number of AttributeType; bytes with kind 4, 5 or 11 are a tensor, a graph, a sparse tensor."""
    out = field(1, name)
    if kind in (4, 5, 11):
        out += field({4: 5, 5: 6, 11: 22}[kind], value)
    elif isinstance(value, float):
        out, kind = out + field(2, value), kind or 1
    elif isinstance(value, int):
        out, kind = out + field(3, value), kind or 2
    elif isinstance(value, (str, bytes)):
        out, kind = out + field(4, value), kind or 3
    elif value and isinstance(value[0], float):
        out, kind = out + field(7, value), kind or 6
    elif value and isinstance(value[0], int):
        out, kind = out + field(8, value), kind or 7
    elif value:
        out, kind = out + field(9, value), kind or 8
    return out + (field(20, kind) if kind else b"") + extra


def node(op, inputs, outputs, *attrs, name=None, domain=None):
    out = field(1, list(inputs)) + field(2, list(outputs)) + field(4, op)
    if name is not None:
        out += field(3, name)
    if domain is not None:
        out += field(7, domain)
    return out + field(5, list(attrs))


def shape(dims):
    """int: a size; str or bytes: a name; None: neither."""
    def dim(d):
        return b"" if d is None else field(1 if isinstance(d, int) else 2, d)
    return field(1, [dim(d) for d in dims])


def value(name, dtype=FLOAT, dims=(), type=None):
    if type is None:
        type = field(1, field(1, dtype) + (b"" if dims is None else field(2, shape(dims))))
    return field(1, name) + field(2, type)


def graph(nodes, inputs=(), outputs=(), initializers=(), infos=(), sparse=(), name="g"):
    return (field(1, list(nodes)) + field(2, name) + field(5, list(initializers)) + field(11, list(inputs)) +
            field(12, list(outputs)) + field(13, list(infos)) + field(15, list(sparse)))


def opset(version, domain=""):
    return field(8, (field(1, domain) if domain else b"") + field(2, version))


def model(graph, version=17, ir=8, extra=b""):
    return field(1, ir) + field(7, graph) + (opset(version) if version is not None else b"") + extra


def small(*nodes, dims=(2, 3), dtype=FLOAT, initializers=(), version=17, out="y", **more):
    """A model with input x, output y, and these nodes."""
    return model(graph(nodes, [value("x", dtype, dims)], [value(out, dtype, None)], initializers, **more), version)
