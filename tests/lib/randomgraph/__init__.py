"""Random valid ONNX models: draw(seed) makes one, always the same. Steps are grouped by what they do; a theme says which groups
a graph draws from and what its inputs are."""
import math
import random
from . import elementwise, movement, patterns, quantized, sums
from .maker import SMALL, Maker, Refused, from_bfloat16, is_float

__all__ = ["draw", "from_bfloat16", "is_float"]


def image_inputs(m):
    for _ in range(m.one(1, 1, 2)):
        rank = m.one(4, 4, 4, 4, 3, 5)
        spatial = [m.symbols.get("H") or m.dim(m.one(1, 4, 7, 9, 12, 16, 19)), m.symbols.get("W") or m.dim(m.one(4, 6, 8, 13, 16)), m.dim(5)]
        dims = [m.symbols.get("N") or m.dim(m.one(1, 1, 2)), m.dim(m.one(1, 3, 4, 8, 16, 16, 20, 32)), *spatial[:rank - 2]]
        m.keep(m.input(m.one("f32", "f32", "f32", "f32", "f16") if m.wild else "f32", dims))


def sequence_inputs(m):
    for _ in range(m.one(1, 2)):
        dims = [m.symbols.get("N") or m.dim(m.one(1, 2, 3)), m.symbols.get("S") or m.dim(m.one(1, 4, 7, 10, 16)), m.dim(m.one(4, 8, 12, 16, 24, 32))]
        m.keep(m.input("f32", dims))
    if m.chance(0.4):
        m.keep(m.input("i64", dims[:2], -4, 4))


def any_inputs(m):
    dtypes = ["f32", "f32", "f32", "f64", "f16", "i64", "i32", "u8", "i8", "b"] + (["bf16", "u16", "i16", "u32", "u64", "bf16"] if m.wild else [])
    base = [m.dim(m.one(1, 2, 3, 4, 5, 6, 8)) for _ in range(6)]
    if m.chance(0.04) and not m.symbols:
        base[m.dice.randrange(6)] = m.dim(0)
    for i, sizes in enumerate(m.symbols.values()):
        base[5 - i] = sizes
    for _ in range(m.one(2, 3, 4)):
        rank = m.one(0, 1, 1, 2, 2, 3, 3, 4, 5, 6)
        dims = base[6 - rank:]
        if m.chance(0.3):
            dims = [m.dim(1) if m.chance(0.4) else d for d in dims]
        dtype = m.dice.choice(dtypes)
        while math.prod(max(d) for d in dims) > 3000:
            dims = dims[1:]
        m.keep(m.input(dtype, dims, *m.one((-2, 2), (-2, 2), (0.25, 3), (-8, 8))) if is_float(dtype) else m.input(dtype, dims, *m.one((-8, 8), (0, 5), (1, 20))))
    if m.chance(0.3):
        m.keep(m.constant(m.draw("f32", [m.one(1, 3, 4)])))


def quantized_inputs(m):
    m.dice.choice([image_inputs, sequence_inputs])(m)
    if m.chance(0.4):
        m.keep(m.input(m.one("u8", "i8"), [m.dim(m.one(1, 2)), m.dim(m.one(3, 8, 16)), m.dim(m.one(4, 7, 9)), m.dim(m.one(4, 8))], -128, 255))


def weighted(*groups):
    """[(steps, weight of the group)] to [(step, weight)]"""
    return [(step, w * share / sum(k for _, k in steps)) for steps, share in groups for step, w in steps]


E, M = elementwise.STEPS, movement.STEPS
THEMES = {
    "any": (any_inputs, ("N", "S"), weighted((E, 10), (M, 7), (sums.REDUCTIONS, 4), (sums.PRODUCTS, 2), (patterns.ANY, 1))),
    "images": (image_inputs, ("N", "H", "W"), weighted((sums.IMAGES, 8), (patterns.IMAGES, 4), (E, 3), (M, 3), (patterns.ANY, 1), (sums.REDUCTIONS, 1))),
    "sequences": (sequence_inputs, ("N", "S"), weighted((patterns.SEQUENCES, 5), (sums.PRODUCTS, 5), (E, 4), (M, 4), (sums.REDUCTIONS, 2))),
    "quantized": (quantized_inputs, ("N",), weighted((quantized.STEPS, 12), (E, 2), (M, 3), (sums.IMAGES, 1), (sums.PRODUCTS, 1), (sums.REDUCTIONS, 1)))}
SIZES = {"N": [(3, 2, 1), (4, 3, 1)], "S": [(17, 9, 4), (12, 5, 1), (24, 10, 7)], "H": [(16, 11, 8), (20, 12, 9)], "W": [(18, 10, 7), (14, 13, 6)]}


def draw(seed):
    """A Maker whose graph is complete, with .outputs (Values), .theme and .symbols ({name: sizes in each run})"""
    dice = random.Random(seed * 2654435761 + 1)
    theme = dice.choice(["any", "any", "images", "images", "sequences", "quantized", "quantized"])
    inputs, names, steps = THEMES[theme]
    symbols = {n: dice.choice(SIZES[n]) for n in names if dice.random() < 0.6} if dice.random() < 0.3 else {}
    m = Maker(seed, dice.random() < 0.15, symbols, dice.choice([13, 17, 17, 18, 20, 21] + [21, 23] * (theme == "quantized")))
    m.theme = theme
    inputs(m)
    wanted, tries = dice.choice([1, 2, 3, 4, 5, 7, 9, 12]), 0
    choices, weights = zip(*steps)
    while wanted > 0 and tries < 200:
        tries += 1
        mark = len(m.nodes), len(m.pool), len(m.inputs)
        step = m.dice.choices(choices, weights)[0]
        for _ in range(4):  # so that steps that are often refused are not rare
            try:
                step(m)
                wanted -= len(m.nodes) > mark[0]
                break
            except (Refused, OverflowError):
                del m.nodes[mark[0]:], m.pool[mark[1]:], m.inputs[mark[2]:]
    choose_outputs(m, dice)
    return m


def choose_outputs(m, dice):
    """What nothing reads, and one or two of the others; first nodes go whose results have lost too many digits to be compared."""
    sharp = lambda v: v.err <= max(v.mag, SMALL) * (0.1 if v.dtype in ("f16", "bf16") else 1e-2)
    for node in m.nodes[::-1]:
        read = {name for n in m.nodes for name in n.input}
        if not any(name in read or (name and sharp(m.values[name])) for name in node.output) and len(m.nodes) > 1:
            m.nodes.remove(node)
    made = [name for node in m.nodes for name in node.output if name]
    read = {name for node in m.nodes for name in node.input}
    ends, inner = [n for n in made if n not in read], [n for n in made if n in read]
    chosen = ends[-6:] + dice.sample(inner, min(len(inner), dice.choice([0, 0, 1, 2])))
    m.outputs = [m.values[n] for n in chosen]
    used = read | set(chosen)
    m.inputs = [v for v in m.inputs if v.name in used]
