"""Random valid ONNX models: draw(seed) makes one, always the same. Steps are grouped by what they do; a theme says which groups
a graph draws from and what its inputs are."""
import math
import random
from . import elementwise, flow, microsoft, movement, networks, newer, patterns, quantized, sampling, selecting, sums
from .maker import SMALL, Maker, Refused, from_bfloat16, is_float, read_names

__all__ = ["draw", "theme_of", "from_bfloat16", "is_float"]


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


def broad_inputs(m):
    m.dice.choice([any_inputs, any_inputs, image_inputs, sequence_inputs])(m)


def coded_inputs(m):
    sequence_inputs(m)
    for rank in m.dice.sample([1, 2, 3, 4], 2):
        dims, dtype = [m.dim(m.one(1, 2, 3, 5)) for _ in range(rank - 1)] + [m.dim(m.one(4, 8, 11))], m.one("u8", "i8")
        for _ in range(m.one(1, 2)):
            m.keep(m.input(dtype, dims, -128, 255))


E, M = elementwise.STEPS, movement.STEPS
THEMES = {
    "any": (any_inputs, ("N", "S"), weighted((E, 10), (M, 7), (sums.REDUCTIONS, 4), (sums.PRODUCTS, 2), (patterns.ANY, 1), (newer.CASTS, 0.7), (flow.STEPS, 0.7))),
    "images": (image_inputs, ("N", "H", "W"), weighted((sums.IMAGES, 8), (patterns.IMAGES, 4), (E, 3), (M, 3), (patterns.ANY, 1), (sums.REDUCTIONS, 1), (flow.STEPS, 0.4))),
    "sequences": (sequence_inputs, ("N", "S"), weighted((patterns.SEQUENCES, 5), (sums.PRODUCTS, 5), (E, 4), (M, 4), (sums.REDUCTIONS, 2), (flow.STEPS, 0.5))),
    "broad": (broad_inputs, ("N", "S"), weighted((selecting.STEPS, 8), (networks.NORMS, 2), (networks.OTHERS, 3), (sampling.SIGNALS, 1.5), (E, 4), (M, 4),
                                                 (sums.REDUCTIONS, 2), (flow.STEPS, 1.5), (newer.CASTS, 2.5), (newer.TEXT, 0.5), (newer.DRAWN, 1))),
    "pictures": (image_inputs, ("N", "H", "W"), weighted((sampling.IMAGES, 8), (sums.IMAGES, 4), (selecting.STEPS, 1), (E, 2), (M, 2), (networks.NORMS, 1), (flow.STEPS, 0.5))),
    "attentive": (sequence_inputs, ("N", "S"), weighted((networks.ATTENTION, 6), (networks.NORMS, 2), (networks.OTHERS, 2), (microsoft.FLOATS, 3), (E, 2), (M, 3),
                                                        (sums.PRODUCTS, 1), (flow.STEPS, 1), (newer.STATES, 3))),
    "microsoft": (coded_inputs, ("N", "S"), weighted((microsoft.FLOATS, 5), (microsoft.INTEGERS, 5), (newer.CODES_INSIDE, 0.6), (flow.STEPS, 0.5), (E, 1.5), (M, 2), (sums.PRODUCTS, 1))),
    "flow": (any_inputs, ("N", "S"), weighted((flow.STEPS, 9), (E, 6), (M, 5), (sums.REDUCTIONS, 2), (sums.PRODUCTS, 1), (selecting.STEPS, 1), (networks.OTHERS, 0.5), (newer.DRAWN, 0.5), (newer.CASTS, 0.7))),
    "quantized": (quantized_inputs, ("N",), weighted((quantized.STEPS, 12), (E, 2), (M, 3), (sums.IMAGES, 1), (sums.PRODUCTS, 1), (sums.REDUCTIONS, 1), (flow.STEPS, 0.5)))}
OPSETS = {"quantized": [21, 23], "any": [25, 26], "broad": [19, 22, 24, 25, 26, 26], "pictures": [19, 22], "attentive": [23, 23, 23, 24, 27, 27, 27], "flow": [19, 23, 26]}
SIZES = {"N": [(3, 2, 1), (4, 3, 1)], "S": [(17, 9, 4), (12, 5, 1), (24, 10, 7)], "H": [(16, 11, 8), (20, 12, 9)], "W": [(18, 10, 7), (14, 13, 6)]}


SHARES = {"any": 2, "images": 2, "sequences": 1, "quantized": 2, "broad": 3, "pictures": 2, "attentive": 2, "microsoft": 1, "flow": 3}


def theme_of(seed):
    return draw_theme(seed)[1]


def draw_theme(seed):
    dice = random.Random(seed * 2654435761 + 1)
    return dice, dice.choice([t for t, n in SHARES.items() for _ in range(n)])


def draw(seed):
    """A Maker whose graph is complete, with .outputs (Values), .theme and .symbols ({name: sizes in each run})"""
    dice, theme = draw_theme(seed)
    inputs, names, steps = THEMES[theme]
    symbols = {n: dice.choice(SIZES[n]) for n in names if dice.random() < 0.6} if dice.random() < 0.4 else {}
    if "N" in symbols and inputs is not image_inputs and dice.random() < 0.15:
        symbols["N"] = (2, 1, 0)
    m = Maker(seed, dice.random() < 0.15, symbols, dice.choice([13, 17, 17, 18, 20, 21] + OPSETS.get(theme, [])))
    m.theme = theme
    inputs(m)
    m.choices = list(zip(*steps))
    wanted, tries = dice.choice([1, 2, 3, 4, 5, 7, 9, 12]), 0
    while wanted > 0 and (tries < 200 or not m.nodes):
        tries += 1
        wanted -= m.step()
        if tries == 200:
            m.choices = list(zip(*E))
    choose_outputs(m, dice)
    return m


def choose_outputs(m, dice):
    """What nothing reads, and one or two of the others; first nodes go whose results have lost too many digits to be compared."""
    sharp = lambda v: v.err <= max(v.mag, SMALL) * (0.1 if v.dtype in ("f16", "bf16") else 1e-2)
    for node in m.nodes[::-1]:
        read = {name for n in m.nodes for name in read_names(n)}
        if not any(name in read or (name and sharp(m.values[name])) for name in node.output) and len(m.nodes) > 1:
            m.nodes.remove(node)
    made = [name for node in m.nodes for name in node.output if name and not m.values[name].hidden]
    read = {name for node in m.nodes for name in read_names(node)}
    ends, inner = [n for n in made if n not in read], [n for n in made if n in read]
    chosen = ends[-6:] + dice.sample(inner, min(len(inner), dice.choice([0, 0, 1, 2])))
    m.outputs = [m.values[n] for n in chosen]
    used = read | set(chosen)
    m.inputs = [v for v in m.inputs if v.name in used]
