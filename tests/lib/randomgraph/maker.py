"""A random ONNX graph while it is made: its values with their dims, bounds and error, its nodes, constants and inputs.

A graph runs at several sizes of its open dims: a dim is a tuple of its sizes in each of these runs, so that arithmetic on sizes is that of ONNX's text
and two dims are taken for one where they agree in every run. A value carries an interval that holds its elements and a bound
on how far two right evaluations may be apart (err; 0: exact). Discontinuous operators read exact values only."""
import math
import random
import numpy as np
import onnx
from onnx import helper, numpy_helper

NUMBER = {"f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "b": 9, "f16": 10, "f64": 11, "u32": 12, "u64": 13, "bf16": 16, "u4": 21, "i4": 22}
NUMPY = {"f32": np.float32, "u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16, "i32": np.int32, "i64": np.int64,
         "b": np.bool_, "f16": np.float16, "f64": np.float64, "u32": np.uint32, "u64": np.uint64, "bf16": np.uint16}
# What a result of magnitude 1 may be off by, an operator; and the digits of the significand
ROUNDING = {"f32": 1e-6, "f16": 4e-3, "bf16": 3e-2, "f64": 1e-14}
DIGITS = {"f32": 24, "f16": 11, "bf16": 8, "f64": 53}
FLOATS = list(ROUNDING)
PACKED = {"u4": np.uint8, "i4": np.int8}  # constants alone, a byte each until they are written
MOST_ELEMENTS = 24000
SMALL, LARGE = 1e-3, 100.0


def is_float(dtype):
    return dtype in ROUNDING


def int_range(dtype):
    if dtype == "b":
        return 0, 1
    info = np.iinfo(NUMPY[dtype])
    return int(info.min), int(info.max)


def to_bfloat16(array):
    bits = np.asarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(array):
    return np.asarray(array.astype(np.uint32) << np.uint32(16), np.uint32).view(np.float32)


class Value:
    """step: elements are multiples of it (a power of two); 0: nothing is known"""

    def __init__(self, name, dtype, dims, lo, hi, err=0.0, step=0.0):
        self.name, self.dtype, self.dims = name, dtype, tuple(dims)
        self.lo, self.hi, self.err, self.step = float(lo), float(hi), float(err), float(step)
        self.uses, self.fixed = 0, None
        self.given, self.unsized = None, False  # arrays of each run, where an input's are; whether dims are bounds only
        self.hidden = False  # neither an output of a model nor an input of a smaller one

    rank = property(lambda self: len(self.dims))
    mag = property(lambda self: max(abs(self.lo), abs(self.hi)))
    exact = property(lambda self: self.err == 0)

    def size(self, axis):
        """The dim, where it is the same in every run; else None."""
        d = self.dims[axis]
        return d[0] if len(set(d)) == 1 else None

    def open(self):
        return any(len(set(d)) > 1 for d in self.dims)


def bodies_of(node):
    return [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def read_names(node):
    """What a node reads, by its bodies too."""
    names = [name for name in node.input if name]
    for g in bodies_of(node):
        own = {v.name for v in g.input} | {t.name for t in g.initializer}
        made = {name for n in g.node for name in n.output}
        names += [n for n in [*free_names(g.node), *[o.name for o in g.output if o.name not in made]] if n not in own]
    return names


def free_names(nodes):
    """What nodes read that none of them makes, each once."""
    made, free = set(), {}
    for n in nodes:
        free.update(dict.fromkeys(name for name in read_names(n) if name not in made))
        made.update(n.output)
    return list(free)


def all_nodes(nodes, functions):
    """The lists of nodes: these, their bodies', the functions' with theirs."""
    waiting = [nodes, *[f.node for f in functions]]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += [g.node for n in each for g in bodies_of(n)]


class Refused(Exception):
    """A step cannot go on with what it drew: nothing of it stays in the pool."""


class Maker:
    def __init__(self, seed, wild, symbols, opset):
        """symbols: {name: sizes in each run}; {} makes one run. wild: dtypes that ONNX Runtime may not have."""
        self.seed, self.wild, self.symbols, self.opset = seed, wild, symbols, opset
        self.dice, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.runs = len(next(iter(symbols.values()))) if symbols else 1
        self.nodes, self.constants, self.inputs, self.values, self.pool = [], {}, [], {}, []
        self.named = {tuple(sizes): name for name, sizes in symbols.items()}
        self.functions, self.depth, self.bound = [], 0, 0  # bound: the largest dim that is known only when it runs
        self.owned, self.shared = set(), set()  # constants written in a body; those that several read

    # ---- choices ----
    def chance(self, p):
        return self.dice.random() < p

    def one(self, *options):
        return self.dice.choice(options)

    def pick(self, good=lambda v: True):
        """A value of the pool for which good holds, the younger the likelier."""
        fitting = [v for v in self.pool if good(v)]
        if not fitting:
            raise Refused
        return fitting[max(self.dice.randrange(len(fitting)), self.dice.randrange(len(fitting)))]

    def dim(self, n):
        return (n,) * self.runs

    def need(self, condition):
        if not condition:
            raise Refused

    def step(self):
        """Draws a step of the theme; whether it made nodes."""
        mark = len(self.nodes), len(self.pool), len(self.inputs), len(self.functions)
        step = self.dice.choices(*self.choices)[0]
        for _ in range(4):  # so that steps that are often refused are not rare
            try:
                step(self)
                return len(self.nodes) > mark[0]
            except (Refused, ArithmeticError, IndexError):
                del self.nodes[mark[0]:], self.pool[mark[1]:], self.inputs[mark[2]:], self.functions[mark[3]:]
        return False

    # ---- values ----
    def fresh(self):
        return f"v{len(self.values)}"

    def add_value(self, v):
        self.values[v.name] = v
        return v

    def draw(self, dtype, shape, lo=-2.0, hi=2.0):
        """Elements of a dtype; floats are multiples of 1/64, so that sums and products of a few are exact."""
        if not is_float(dtype):
            lo, hi = max(math.ceil(lo), int_range(dtype)[0]), min(math.floor(hi), int_range(dtype)[1])
            return self.numbers.integers(lo, hi + 1, shape).astype(NUMPY[dtype])
        a = np.clip(np.round(self.numbers.uniform(lo, hi, shape) * 64), math.ceil(lo * 64), math.floor(hi * 64)) / 64
        return to_bfloat16(np.round(a * 8) / 8) if dtype == "bf16" else a.astype(NUMPY[dtype])

    def constant(self, array, dtype=None):
        array = np.asarray(array)
        dtype = dtype or next(k for k, t in NUMPY.items() if t == array.dtype.type and k != "bf16")
        numbers = from_bfloat16(array) if dtype == "bf16" else array
        lo, hi = (float(numbers.min()), float(numbers.max())) if array.size else (0, 0)
        whole = not is_float(dtype) or bool(np.all(numbers.astype(np.float64) % 1 == 0))
        fine = is_float(dtype) and bool(np.all(numbers.astype(np.float64) * 64 % 1 == 0))
        v = self.add_value(Value(self.fresh(), dtype, [self.dim(n) for n in array.shape], lo, hi, 0, 1 if whole else 1 / 64 if fine else 0))
        v.fixed = array
        self.constants[v.name] = array
        return v

    def ints(self, *numbers):
        return self.constant(np.array(numbers, np.int64))

    def number(self, x, like):
        if like.dtype == "bf16":
            return self.constant(to_bfloat16(np.float32(x)), "bf16")
        return self.constant(np.array(x, NUMPY[like.dtype]))

    def weights(self, dtype, shape, fan_in):
        """Normal values scaled so that a sum of fan_in products keeps its size."""
        a = self.numbers.standard_normal(shape) / math.sqrt(max(fan_in, 1))
        return self.constant(to_bfloat16(a) if dtype == "bf16" else a.astype(NUMPY[dtype]), dtype)

    def input(self, dtype, dims, lo=-2.0, hi=2.0):
        if not is_float(dtype):
            lo, hi = max(lo, int_range(dtype)[0]), min(hi, int_range(dtype)[1])
        v = self.add_value(Value(self.fresh(), dtype, dims, lo, hi, 0, 1 if not is_float(dtype) else 1 / 8 if dtype == "bf16" else 1 / 64))
        self.inputs.append(v)
        return v

    def given(self, dtype, arrays):
        """An input whose elements are these, an array for each run, all of the same dims."""
        numbers = [float(n) for a in arrays for n in np.ravel(a)] or [0.0]
        v = self.input(dtype, [self.dim(n) for n in arrays[0].shape], min(numbers), max(numbers))
        v.lo, v.hi, v.given, v.step = min(numbers), max(numbers), arrays, 1 if not is_float(dtype) else 1 / 64
        return v

    def bound_by(self, *dims):
        self.bound = max([self.bound, *[n for each in dims for d in each for n in d]])

    def tensor(self, dtype, dims, lo=-2.0, hi=2.0):
        """A constant, or where a dim is open (and sometimes elsewhere) an input."""
        if any(len(set(d)) > 1 for d in dims):
            self.need(all(len(set(d)) == 1 or d in self.named for d in dims))
            return self.input(dtype, dims, lo, hi)
        if self.chance(0.25):
            return self.input(dtype, dims, lo, hi)
        return self.constant(self.draw(dtype, [d[0] for d in dims], lo, hi), dtype)

    # ---- nodes ----
    def emit(self, op, ins, results, **attrs):
        """ins: values or None. results: Values without a name (None: left out). Refuses what is too large or too wrong to be compared."""
        for r in results:
            if r is not None:
                self.need(all(math.prod(d[k] for d in r.dims) <= MOST_ELEMENTS for k in range(self.runs)) and r.rank <= 6)
                self.need(all(n >= 0 for d in r.dims for n in d))
                self.need(math.isfinite(r.lo) and math.isfinite(r.hi) and math.isfinite(r.err))
                self.round(r)
        names = []
        for r in results:
            if r is not None:
                r.name = self.fresh()
                self.add_value(r)
            names.append(r.name if r is not None else "")
        for v in ins:
            if v is not None:
                v.uses += 1
        self.nodes.append(helper.make_node(op, [v.name if v is not None else "" for v in ins], names,
                                           **{k: a for k, a in attrs.items() if a is not None}))
        return results

    def round(self, r):
        """Exact where the result's multiples of step fit into the significand. Of dtypes that numpy lacks a step says all itself."""
        if r.dtype not in NUMPY:
            return
        if is_float(r.dtype):
            self.need(r.mag < (6e4 if r.dtype == "f16" else 1e9))
            if r.err == 0 and r.step and r.mag / r.step >= 2 ** DIGITS[r.dtype]:
                r.err, r.step = ROUNDING[r.dtype] * r.mag, 0
        else:
            lo, hi = int_range(r.dtype)
            self.need(r.lo >= lo and r.hi <= hi and r.mag < 2 ** 50)

    def node(self, op, ins, dims, lo, hi, err=None, step=0.0, dtype=None, growth=1.0, exactly=False, **attrs):
        """One result. err is growth times the operands' unless given, plus a rounding; exactly: the operator rounds nothing."""
        dtype = dtype or ins[0].dtype
        if err is None:
            err = growth * max([v.err for v in ins if v is not None], default=0)
        if not (exactly or (step and all(v.exact for v in ins if v is not None))) and is_float(dtype):
            err += ROUNDING[dtype] * max(abs(lo), abs(hi), SMALL)
        return self.emit(op, ins, [Value("", dtype, dims, lo, hi, err, step if err == 0 else 0)], **attrs)[0]

    def like(self, op, ins, x=None, dims=None, **attrs):
        """A result that holds elements of x (default: the first operand) only."""
        x = x or ins[0]
        return self.emit(op, ins, [Value("", x.dtype, x.dims if dims is None else dims, x.lo, x.hi, x.err, x.step)], **attrs)[0]

    def keep(self, v):
        """Puts a result into the pool, made smaller first where it may be large; what lost its digits is left out."""
        if is_float(v.dtype) and v.mag > LARGE:
            scale = 2.0 ** -math.ceil(math.log2(v.mag / 4))
            self.need(v.dtype not in ("f16", "bf16") or scale > 2.0 ** -10)
            self.need(not v.unsized)
            v = self.node("Mul", [v, self.number(scale, v)], v.dims, v.lo * scale, v.hi * scale, v.err * scale, v.step * scale)
        if v.err > max(v.mag, SMALL) * (0.1 if v.dtype in ("f16", "bf16") else 2e-3):
            return v
        self.pool.append(v)
        if v.fixed is not None:
            self.shared.add(v.name)
        return v

    # ---- the finished model ----
    def model(self, outputs):
        def info(v, name_dims):
            dims = [self.named.get(d, None) if len(set(d)) > 1 else d[0] for d in v.dims] if name_dims else None
            return helper.make_tensor_value_info(v.name, NUMBER[v.dtype], dims)

        used = {n for node in self.nodes for n in read_names(node)}
        graph = helper.make_graph(self.nodes, "random", [info(v, True) for v in self.inputs], [info(v, False) for v in outputs],
                                  [self.tensor_proto(name) for name in self.constants if name in used])
        called = {n.op_type for body in all_nodes(self.nodes, self.functions) for n in body if n.domain == "own"}
        kept = [f for f in self.functions if f.name in called]
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in ("com.microsoft", "own")]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset >= 21 else 8)
        model.functions.extend(kept)
        return model

    def tensor_proto(self, name):
        """A constant as ONNX writes it."""
        array = self.constants[name]
        t = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        if self.values[name].dtype == "bf16":
            t.data_type = 16
        if self.values[name].dtype in PACKED:
            flat = np.append(array.reshape(-1), np.zeros(array.size % 2, array.dtype)).astype(np.int64) & 15
            t.data_type, t.raw_data = NUMBER[self.values[name].dtype], (flat[::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
        return t

    def feed(self, run):
        """{input: array} for a run, always the same for a seed."""
        feed, numbers = {}, self.numbers
        self.numbers = np.random.default_rng([self.seed, run])
        for v in self.inputs:
            drawn = self.draw(v.dtype, [d[run] for d in v.dims], v.lo, v.hi)
            feed[v.name] = drawn if v.given is None else v.given[run].astype(NUMPY[v.dtype])
        self.numbers = numbers
        return feed
