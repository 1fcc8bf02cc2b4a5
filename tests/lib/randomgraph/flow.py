"""Control flow and functions: If, Loop, Scan and calls of the model's own functions, whose bodies are made of the steps of the graph's
theme, other bodies among them, and read what stands outside.

What a turn of a loop hands to the next keeps to the bounds and to the error that the body was drawn with: it is made smaller and clipped until it does."""
import math
import numpy as np
from onnx import AttributeProto, helper
from .maker import NUMBER, SMALL, Value, all_nodes, free_names, is_float

LOOSE = {"f32": 1e-4, "f64": 1e-9, "f16": 2e-2}
DEEPEST = 2


class Inside:
    """The maker drawing a body: nodes of its own; a pool of what it is handed, and of some that stands outside"""

    def __init__(self, m, given, captured):
        self.m, self.pool = m, captured + given

    def __enter__(self):
        m = self.m
        self.outer = m.nodes, m.pool
        m.nodes, m.pool, m.depth = [], list(self.pool), m.depth + 1
        return self

    def __exit__(self, *_):
        m = self.m
        self.nodes, self.drawn = m.nodes, m.pool[len(self.pool):]
        m.nodes, m.pool = self.outer
        m.depth -= 1
        return False


def captures(m, most=3):
    return m.dice.sample(m.pool, min(len(m.pool), m.dice.randrange(most + 1)))


def fill(m, steps):
    """So many steps, as far as they can go"""
    for _ in range(steps):
        m.step()


def typed(m, v, ranked):
    """A body's parameter or result: its dims, or no word of them; ONNX Runtime asks for the rank where that is 0, and in a Scan"""
    dims = [d[0] if len(set(d)) == 1 else None for d in v.dims]
    return helper.make_tensor_value_info(v.name, NUMBER[v.dtype], dims if ranked or not dims or m.chance(0.6) else None)


def parameter(m, v, dims=None, err=None):
    """What the body calls v"""
    step = v.step if err is None else 0
    return m.add_value(Value(m.fresh(), v.dtype, v.dims if dims is None else dims, v.lo, v.hi, v.err if err is None else err, step))


def written(m, nodes, ins, outs, ranked=False):
    """The body as a graph: constants that it alone reads are written in it, or stand outside. Its results are made by its own nodes."""
    made = {name for n in nodes for name in n.output}
    results, more = [], []
    for v in outs:
        if v.name not in made or v.name in [r.name for r in results]:
            same = m.add_value(Value(m.fresh(), v.dtype, v.dims, v.lo, v.hi, v.err, v.step))
            more.append(helper.make_node("Identity", [v.name], [same.name]))
            v = same
        results.append(v)
    nodes = list(nodes) + more
    first, initial = [], []
    for name in sorted({name for n in nodes for name in n.input if name in m.constants}, key=lambda s: int(s[1:])):
        kind = m.one("outside", "outside", "node", "initializer")
        if name in m.owned or name in m.shared or kind == "outside":
            m.shared.add(name)
            continue
        m.owned.add(name)
        if kind == "node" and m.values[name].dtype not in ("u4", "i4"):
            first.append(helper.make_node("Constant", [], [name], value=m.tensor_proto(name)))
        else:
            initial.append(m.tensor_proto(name))
    return helper.make_graph(first + nodes, "body", [typed(m, v, ranked) for v in ins], [typed(m, v, ranked) for v in results], initial)


def told(dims, known):
    """Whether the next steps may read a result: its dims are known without running, or seen to be open"""
    return known or any(len(set(d)) > 1 for d in dims)


# ---- If ----
def condition(m):
    """(a bool of no dims, what it is in each run or None)"""
    kind = m.one("given", "given", "constant", "computed")
    if kind == "given":
        runs = [bool(m.numbers.integers(0, 2)) for _ in range(m.runs)]
        return m.given("b", [np.array(r) for r in runs]), runs
    if kind == "constant":
        hold = bool(m.numbers.integers(0, 2))
        return m.constant(np.array(hold)), [hold] * m.runs
    x = m.pick(lambda v: v.exact and v.dtype in ("f32", "i32", "i64") and not any(0 in d for d in v.dims) and v.rank >= 1)
    most = m.node("ReduceMax", [x], [], x.lo, x.hi, step=x.step, exactly=True, keepdims=0)
    middle = m.number(math.floor((x.lo + x.hi) / 2), x)
    return m.node(m.one("Less", "Greater", "Equal"), [most, middle], [], 0, 1, dtype="b"), None


def branch(m):
    """A condition chooses between two bodies; where the test knows which, their results may have other sizes"""
    m.need(m.depth < DEEPEST)
    c, runs = condition(m)
    with Inside(m, [], captures(m)) as yes:
        fill(m, m.dice.randrange(1, 4))
    m.need(yes.drawn)
    wanted = m.dice.sample(yes.drawn, min(len(yes.drawn), m.one(1, 1, 2)))
    partners = []
    with Inside(m, [], captures(m)) as no:
        fill(m, m.dice.randrange(0, 4))
        for v in wanted:
            fits = [w for w in m.pool if w.dtype == v.dtype and w.rank == v.rank and (w.dims == v.dims or runs)]
            if not fits:
                m.need(not v.open())
                fits = [m.constant(m.draw(v.dtype, [d[0] for d in v.dims], *((-1, 1) if is_float(v.dtype) else (0, 1))), v.dtype)]
            partners.append(m.dice.choice(fits))
    results = []
    for v, w in zip(wanted, partners):
        dims = [tuple(a[k] if not runs or runs[k] else b[k] for k in range(m.runs)) for a, b in zip(v.dims, w.dims)]
        results.append(Value("", v.dtype, dims, min(v.lo, w.lo), max(v.hi, w.hi), max(v.err, w.err), min(v.step, w.step)))
        m.bound_by(v.dims, w.dims)
    bodies = dict(then_branch=written(m, yes.nodes, [], wanted), else_branch=written(m, no.nodes, [], partners))
    for r, v, w in zip(m.emit("If", [c], results, **bodies), wanted, partners):
        if told(r.dims, v.dims == w.dims):
            m.keep(r)


# ---- Loop, Scan ----
def carried(m):
    """Values that a loop starts with, and the parameters they are inside"""
    count = m.one(1, 1, 2)
    starts, inside = [], []
    for _ in range(count):
        loose = m.chance(0.6)
        v = m.pick(lambda v: (v.dtype in LOOSE and v.err <= LOOSE[v.dtype] * max(v.mag, SMALL) and v.mag > SMALL) if loose else v.exact)
        starts.append(v)
        inside.append(parameter(m, v, err=LOOSE[v.dtype] * max(v.mag, SMALL) if loose else None))
    return starts, inside


def next_state(m, p, drawn):
    """A value of the body that may take p's place in the next turn"""
    fits = [v for v in drawn if v.dtype == p.dtype and v.dims == p.dims and (not p.exact or v.exact)]
    if fits:
        y = m.dice.choice(fits)
    elif is_float(p.dtype):
        y = m.node("Mul", [p, m.number(0.5, p)], p.dims, p.lo / 2, p.hi / 2, p.err / 2, p.step / 2)
        m.need(not p.exact or y.exact)
    else:
        y = m.node("Identity", [p], p.dims, p.lo, p.hi, 0, p.step)
    if not p.exact and y.err > 0.9 * p.err:
        scale = 2.0 ** math.floor(math.log2(0.5 * p.err / y.err))
        y = m.node("Mul", [y, m.number(scale, y)], y.dims, y.lo * scale, y.hi * scale, y.err * scale)
    if y.lo < p.lo or y.hi > p.hi:
        m.need(p.dtype != "b")
        whole = 0 if is_float(p.dtype) else None
        lo, hi = (p.lo, p.hi) if whole is not None else (math.ceil(p.lo), math.floor(p.hi))
        y = m.node("Clip", [y, m.number(lo, y), m.number(hi, y)], y.dims, max(lo, min(y.lo, hi)), min(hi, max(y.hi, lo)), y.err, min(y.step, p.step), exactly=True)
    if p.exact and is_float(p.dtype):  # multiples of p's step, or the significand fills up turn by turn
        m.need(y.step >= p.step > 0)
    m.need(y.err <= p.err)
    return y


def stacked(m, drawn, count):
    """Values of the body that each turn adds to a result"""
    fits = [v for v in drawn if v.rank < 6]
    return m.dice.sample(fits, min(len(fits), m.one(0, 1, 1, 2)))


def after(m, starts, inside, states, scans, count):
    results = [Value("", p.dtype, p.dims, p.lo, p.hi, p.err, p.step) for p in inside]
    for r, v in zip(results, starts):
        r.lo, r.hi = min(r.lo, v.lo), max(r.hi, v.hi)
    results += [Value("", v.dtype, [count, *v.dims], v.lo, v.hi, v.err, v.step) for v in scans]
    m.bound_by(*[r.dims for r in results])
    return results


def loop(m):
    m.need(m.depth < DEEPEST)
    kind = m.one("constant", "constant", "given", "dim", "none")
    turns = [m.dice.randrange(0 if m.chance(0.1) else 1, 5)] * m.runs
    most = None
    if kind == "given":
        turns = [m.dice.randrange(0 if m.chance(0.2) else 1, 5) for _ in range(m.runs)]
        most = m.given("i64", [np.array(n, np.int64) for n in turns])
    elif kind == "dim":
        x = m.pick(lambda v: v.rank >= 1 and max(max(d) for d in v.dims) <= 12)
        axis = m.dice.randrange(x.rank)
        sizes = m.node("Shape", [x], [m.dim(x.rank)], 0, 2 ** 20, dtype="i64")
        most, turns = m.node("Gather", [sizes, m.constant(np.array(axis, np.int64))], [], 0, 2 ** 20, axis=0), list(x.dims[axis])
    elif kind == "constant":
        most = m.constant(np.array(turns[0], np.int64))
    stop = m.dice.randrange(0, 4) if kind == "none" or m.chance(0.3) else None  # the last turn's number
    begin = m.one(None, None, "true", "given") if kind != "none" else "true"
    going, goes = None, [True] * m.runs
    if begin == "given":
        goes = [m.dice.random() < 0.8 for _ in goes]
        going = m.given("b", [np.array(g) for g in goes])
    elif begin:
        going = m.constant(np.array(True))
    starts, inside = carried(m)
    number = m.add_value(Value(m.fresh(), "i64", [], 0, 16, 0, 1))
    before = m.add_value(Value(m.fresh(), "b", [], 0, 1, 0, 1))
    handed = [number] + inside if m.chance(0.3) else inside
    with Inside(m, handed, captures(m)) as body:
        fill(m, m.dice.randrange(1, 4))
        drawn = m.pool[len(body.pool):]
        scans = stacked(m, drawn, turns)
        states = [next_state(m, p, drawn) for p in inside]
        if m.chance(0.2) and len(states) == 2 and all(getattr(inside[0], k) == getattr(inside[1], k) for k in ("dtype", "dims", "lo", "hi", "err", "step")):
            states.reverse()
        if stop is not None:
            limit = m.constant(np.array(stop, np.int64)) if m.chance(0.6) else m.given("i64", [np.array(stop, np.int64)] * m.runs)
            on = m.node("Less", [number, limit], [], 0, 1, dtype="b")
        else:
            on = before if going is not None and m.chance(0.5) else m.constant(np.array(True))
    if stop is not None:
        turns = [stop + 1 if kind == "none" else min(n, stop + 1) for n in turns]
    count = tuple(n if g else 0 for n, g in zip(turns, goes))
    graph = written(m, body.nodes, [number, before, *inside], [on, *states, *scans])
    results, known = after(m, starts, inside, states, scans, count), kind in ("constant", "dim") and stop is None and begin != "given"
    for i, r in enumerate(m.emit("Loop", [most, going, *starts], results, body=graph)):
        if i < len(states) or told(r.dims[:1], known):
            m.keep(r)


def scan(m):
    m.need(m.depth < DEEPEST)
    x = m.pick(lambda v: v.rank >= 1 and max(max(d) for d in v.dims) <= 24)
    axis = m.dice.randrange(x.rank) if m.chance(0.3) else 0
    length = x.dims[axis]
    m.need(0 not in length)
    others = [(v, a) for v in m.pool for a in range(v.rank) if v.dims[a] == length]
    read = [(x, axis)] + ([m.dice.choice(others)] if m.chance(0.3) else [])
    m.need(not any(0 in d for v, _ in read for d in v.dims))  # ONNX Runtime divides by 0 there, along axes other than the first
    slices = [parameter(m, v, dims=[d for i, d in enumerate(v.dims) if i != a]) for v, a in read]
    starts, inside = carried(m) if m.chance(0.8) else ([], [])
    with Inside(m, inside + slices, captures(m)) as body:
        fill(m, m.dice.randrange(1, 4))
        drawn = m.pool[len(body.pool):]
        scans = stacked(m, drawn, length)
        states = [next_state(m, p, drawn) for p in inside]
    m.need(states or scans)
    graph = written(m, body.nodes, [*inside, *slices], [*states, *scans], ranked=True)
    results = after(m, starts, inside, states, scans, length)
    attrs = dict(num_scan_inputs=len(read))
    if any(a for _, a in read) or m.chance(0.2):
        attrs["scan_input_axes"] = [a - v.rank if m.chance(0.3) else a for v, a in read]
    if m.chance(0.3):
        attrs["scan_input_directions"] = [m.one(0, 1) for _ in read]
    if scans and m.chance(0.3):
        attrs["scan_output_directions"] = [m.one(0, 1) for _ in scans]
    if scans and m.chance(0.2):
        places = [m.dice.randrange(v.rank + 1) for v in scans]
        attrs["scan_output_axes"] = places
        for r, v, p in zip(results[len(states):], scans, places):
            r.dims = tuple([*v.dims[:p], length, *v.dims[p:]])
    for r in m.emit("Scan", [*starts, *[v for v, _ in read]], results, body=graph, **attrs):
        m.keep(r)


# ---- functions ----
def hand_over(m, nodes):
    """An attribute of one of these nodes becomes the function's own: {its name: value}"""
    for n in nodes:
        for a in n.attribute:
            if a.name in ("epsilon", "alpha") and m.chance(0.7):
                value = a.f
                ref = AttributeProto()
                ref.name, ref.ref_attr_name, ref.type = a.name, "part", AttributeProto.FLOAT
                a.CopyFrom(ref)
                return {"part": value}
    return {}


def call(m):
    """Some steps as a function of the model, called once or twice"""
    m.need(m.depth < DEEPEST)
    with Inside(m, captures(m, 4), []) as body:
        fill(m, m.dice.randrange(1, 5))
    m.need(body.drawn)
    made = {name for n in body.nodes for name in n.output}
    wanted = [v for v in m.dice.sample(body.drawn, min(len(body.drawn), m.one(1, 1, 2))) if v.name in made]
    m.need(wanted)
    reads = [n for n in free_names(body.nodes)]
    local = [n for n in reads if n in m.constants and n not in m.owned and n not in m.shared and m.values[n].dtype not in ("u4", "i4") and m.chance(0.7)]
    m.owned.update(local)
    m.shared.update(n for n in reads if n in m.constants and n not in local)
    nodes = [helper.make_node("Constant", [], [n], value=m.tensor_proto(n)) for n in local] + list(body.nodes)
    ins = [n for n in reads if n not in local]
    m.need(ins)
    attrs = hand_over(m, nodes)
    name = f"f{len(m.functions)}"
    opsets = [helper.make_opsetid("", m.opset)] + [helper.make_opsetid(d, 1) for d in sorted({n.domain for each in all_nodes(nodes, []) for n in each} - {""})]
    m.functions.append(helper.make_function("own", name, ins, [v.name for v in wanted], nodes, opsets, list(attrs)))
    copies = lambda: [Value("", v.dtype, v.dims, v.lo, v.hi, v.err, v.step) for v in wanted]
    arguments = [m.values[n] for n in ins]
    for r in m.emit(name, arguments, copies(), domain="own", **attrs):
        m.keep(r)
    again = [(i, v) for i, a in enumerate(arguments) for v in m.pool
             if v is not a and v.dtype == a.dtype and v.dims == a.dims and a.lo <= v.lo and v.hi <= a.hi and v.err <= a.err and (v.step >= a.step or not a.step)
             and a.fixed is None and a.given is None]
    if again and m.chance(0.5):
        i, v = m.dice.choice(again)
        for r in m.emit(name, [v if k == i else a for k, a in enumerate(arguments)], copies(), domain="own", **attrs):
            m.keep(r)


STEPS = [(branch, 3), (loop, 4), (scan, 3), (call, 3)]
