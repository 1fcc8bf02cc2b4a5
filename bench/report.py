"""How the benchmarks' results look: lines in the terminal, a Markdown page, and a picture that reads in light and dark."""
import math
import os

import tools

MIB = 2 ** 20
# The columns of a model: key, heading and width in the terminal, heading on the page.
COLUMNS = [
    ("mcc", "mcc: min", 9, "mcc, ms"), ("mcc_median", "median", 9, "median"), ("ort", "| ORT: min", 10, "ORT, ms"),
    ("ort_median", "median", 9, "median"), ("ratio", "| ratio", 7, "ORT / mcc"), ("gflops", "GFLOP/s", 8, "GFLOP/s"),
    ("peak", "peak", 6, "of peak"), ("apart", "rel. L2", 9, "rel. L2"), ("workspace", "ws MiB", 13, "workspace, MiB"),
    ("object", "obj MiB", 7, "object, MiB"), ("seconds", "comp s", 6, "compile, s"), ("memory", "MiB", 5, "compile, MiB"),
    ("load", "ORT s", 6, "ORT loads, s"), ("speedup", "threads", 7, "over 1 thread"),
]
HEADINGS = " ".join([f"{'':20}", *(f"{heading:>{width}}" for _, heading, width, _ in COLUMNS)])


def describe_machine():
    names = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo", errors="replace") if line.startswith("model name")]
    return f"{os.cpu_count()}-core {names[0] if names else os.uname().machine}"


def ratio_of(row):
    """ONNX Runtime's minimum over ours; None where one is missing."""
    return row["ort"]["min_us"] / row["mcc"]["min_us"] if "ort" in row and "mcc" in row else None


def speedup_of(row, rows):
    """How many times faster than with one thread; None where that was not measured."""
    one = next((r for r in rows if r["model"] == row["model"] and r["threads"] == 1), None)
    return one["mcc"]["min_us"] / row["mcc"]["min_us"] if one and "mcc" in one and "mcc" in row else None


def gflops_of(row):
    return 2e-3 * row["macs"] / row["mcc"]["min_us"] if row.get("macs") and "mcc" in row else None


def mean_of(rows):
    """(geometric mean of the ratios, how many there are)."""
    ratios = [ratio_of(r) for r in rows if ratio_of(r)]
    return (math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None), len(ratios)


def number(value, digits=1):
    return "–" if value is None else f"{value:.{digits}f}"


def percent(part):
    return "–" if part is None else f"{100 * part:.0f} %"


def milliseconds(microseconds):
    """Three significant digits, or whole microseconds."""
    if microseconds is None:
        return "–"
    ms = microseconds / 1e3
    return f"{ms:.1f}" if ms >= 100 else f"{ms:.2f}" if ms >= 1 else f"{ms:.4f}"


def cells(row, limits):
    """The text of each column."""
    def side(name, key):
        return milliseconds(row[name][key] if name in row else None)

    def scaled(key, unit, digits):
        return number(row[key] / unit if key in row else None, digits)

    gflops, bound = gflops_of(row), row.get("workspace_bound")
    peak = tools.peak_of(limits, "int8" if row.get("quantized") else "f32")
    workspace = scaled("workspace", MIB, 2) if "mcc" in row else "–"
    return {
        "mcc": side("mcc", "min_us"), "mcc_median": side("mcc", "median_us"),
        "ort": side("ort", "min_us"), "ort_median": side("ort", "median_us"),
        "ratio": number(ratio_of(row), 2), "gflops": number(gflops),
        "peak": percent(gflops and peak and gflops / peak),
        "apart": f"{row['apart']:.1e}" if "apart" in row else "–",
        "workspace": workspace + (f" ({row['workspace'] / bound:.2f})" if bound and "mcc" in row else ""),
        "object": scaled("object_bytes", MIB, 1), "seconds": scaled("compile_s", 1, 1), "memory": scaled("compile_bytes", MIB, 0),
        "load": number(row["load_s"], 2) if "ort" in row else "–", "speedup": number(row.get("speedup"), 2),
    }


def limits_line(limits):
    peaks = ", ".join(f"{k} {v:.0f}" for k, v in limits["gflops"].items())
    reads = ", ".join(f"{k} {v:.0f}" for k, v in limits["gbytes"].items())
    trip = f"; to the other core and back {limits['round_trip_ns']:.0f} ns" if "round_trip_ns" in limits else ""
    return f"threads {limits['threads']}: GFLOP/s: {peaks}; GB/s: {reads}{trip}"


def model_line(row, limits):
    c = cells(row, limits)
    words = [f"{row['model'][:20]:20}", *(f"{c[key]:>{width}}" for key, _, width, _ in COLUMNS)]
    return " ".join(words) + (f"  {row['why']}" if "why" in row else "")


def mean_line(rows, threads):
    """One mean over the models in floats, one over those in integers"""
    parts = []
    for kind, quantized in (("float", False), ("int8", True)):
        chosen = [r for r in rows if r["threads"] == threads and r.get("quantized", False) == quantized]
        mean, count = mean_of(chosen)
        if chosen:
            parts.append(f"{number(mean, 2)} in {kind} ({count} of {len(chosen)} models)")
    return f"geometric mean of the ratios, {threads} thread{'s'[:threads > 1]}: " + ", ".join(parts)


def limits_table(limits):
    peaks, levels = limits[0]["gflops"], limits[0]["gbytes"]
    lines = ["| threads | " + " | ".join(f"{k}, GFLOP/s" for k in peaks) + " | " + " | ".join(f"{k}, GB/s" for k in levels) + " |",
             "|---" * (1 + len(peaks) + len(levels)) + "|"]
    for l in limits:
        values = [*l["gflops"].values(), *l["gbytes"].values()]
        lines.append(f"| {l['threads']} | " + " | ".join(f"{v:.0f}" for v in values) + " |")
    return lines


def models_table(rows, limits):
    threads = limits["threads"]
    lines = [f"## Models, {threads} thread{'s'[:threads > 1]}", "",
             "| model | " + " | ".join(heading for *_, heading in COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for row in rows:
        if row["threads"] == threads:
            c = cells(row, limits)
            c["ratio"] = row["why"] if "why" in row else f"**{c['ratio']}**"
            lines.append(f"| {row['model']} | " + " | ".join(c[key] for key, *_ in COLUMNS) + " |")
    mean = mean_line(rows, threads)
    return lines + ["", f"{mean[:1].upper()}{mean[1:]}.", ""]


def layer_parts(row):
    """The columns of a layer after its name: microseconds, then parts of the bound."""
    side = lambda name, key: row.get(name, {}).get(key)
    gflops = 2e-3 * row["macs"] / side("mcc", "us") if "mcc" in row else None
    return [number(side("mcc", "us")), number(gflops), *(percent(side(s, k)) for k in ("alone", "inside") for s in ("mcc", "ort")),
            percent(row.get("onednn")), percent(row.get("openblas"))]


LAYER_COLUMNS = ["mcc, µs", "GFLOP/s", "alone: mcc", "ORT", "inside: mcc", "ORT", "oneDNN", "OpenBLAS"]
LAYER_HEADINGS = "".join(f"{c:>12}" for c in LAYER_COLUMNS)


def layer_line(row):
    return f"{row['layer']:48}" + "".join(f"{c:>12}" for c in layer_parts(row)) + (f"  {row['why']}" if "why" in row else "")


def layers_table(rows):
    lines = []
    for group in dict.fromkeys(r["group"] for r in rows):
        lines += [f"### {group}", "", "| layer | " + " | ".join(LAYER_COLUMNS) + " |", "|---|" + "--:|" * len(LAYER_COLUMNS)]
        for r in rows:
            if r["group"] == group:
                why = f" ({r['why']})" if "why" in r else ""
                lines.append(f"| {r['layer']}{why} | " + " | ".join(layer_parts(r)) + " |")
        lines.append("")
    return lines


INTRODUCTION = """# Benchmarks

Written by `bench/run.py --all --write=docs/benchmarks.md`. Measured on a {machine}. Times are those of one call, mcc's and
ONNX Runtime's (1.30, default options) in one process and in turn; the minimum says what the code can do, the median what else
the machine did. Models with random weights come from `bench/export_models.py`, their int8 twins (QDQ, dynamic) from
`bench/quantize_models.py`, the others from the packages that the tests use. GFLOP/s count two for each multiply-add of the graph, so
that Winograd may pass 100 % of the peak, which is that of int8 for those.

In parentheses stands the workspace over its lower bound, the most bytes that are alive at once. Relative L2 is the distance of
the two libraries' outputs on random inputs; against float64, ONNX Runtime's own outputs of these networks are off by up to 6e-6
(ShuffleNet). The detector sees no text in noise: all that its sigmoid says there is below either's error.
"""

CPU_TIME = """The times of models are the calling thread's own (`--cpu-time`), for other work ran on the machine.

"""

LAYERS = """Single layers of the shapes in `bench/layers/`, in parts of the bound: the peak (of f32; of int8 in integers.txt), or reading the weights from the
level that holds them. `alone` is a model of one node, whose object also turns layouts at its two ends; `inside` is what one more
of them costs in a chain, with other weights and its result added to the last. oneDNN works in layouts of its own choice, with
weights packed before; OpenBLAS packs in every call. With `-mcpu=haswell` the peak is that of 256-bit vectors, which also bind
oneDNN and OpenBLAS, but not ONNX Runtime.
"""


def write_page(results, path):
    picture = path.with_suffix(".svg")
    clock = CPU_TIME if results["cpu_time"] else ""
    lines = [INTRODUCTION.format(machine=results["machine"]), *clock.splitlines(), f"![ratios]({picture.name})", "", "## The machine", ""]
    lines += limits_table(results["limits"]) + [""]
    for limits in results["limits"]:
        lines += models_table(results["models"], limits)
    if results["layers"]:
        lines += ["## Layers, 1 thread", "", LAYERS]
        lines += layers_table(results["layers"])
    path.write_text("\n".join(lines).rstrip() + "\n")
    picture.write_text(draw(results))


STYLE = """text { font: 13px sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a }
.one { stroke: #57606a; stroke-dasharray: 3 3 } .t1 { fill: #2f6fb7 } .t2 { fill: #8db7e8 } .below { fill: #c9622b }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9aa4af } .one { stroke: #9aa4af }
.t1 { fill: #58a6ff } .t2 { fill: #2f5f9e } .below { fill: #e08a56 } }"""


def draw(results):
    """Bars of ONNX Runtime's time over ours, a group a model, a bar a thread count; the dashed line is equal speed."""
    rows = [r for r in results["models"] if ratio_of(r)]
    names = list(dict.fromkeys(r["model"] for r in rows))
    counts = [l["threads"] for l in results["limits"]]
    left, width, bar, gap = 150, 420, 12, 10
    most = max([ratio_of(r) for r in rows] + [1.5])
    scale = width / most
    height = 40 + len(names) * (bar * len(counts) + gap) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" width="{left + width + 60}">',
           f"<style>{STYLE}</style>", f'<text x="{left}" y="18">ONNX Runtime’s time / mcc’s (longer is better)</text>']
    y = 32
    for name in names:
        out.append(f'<text x="{left - 8}" y="{y + bar * len(counts) / 2 + 4}" text-anchor="end">{name}</text>')
        for row in (r for r in rows if r["model"] == name):
            ratio, place = ratio_of(row), y + bar * counts.index(row["threads"])
            kind = "below" if ratio < 1 else "t1" if row["threads"] == 1 else "t2"
            out.append(f'<rect class="{kind}" x="{left}" y="{place}" width="{ratio * scale:.1f}" height="{bar - 1}"/>')
            out.append(f'<text class="small" x="{left + max(ratio, 1) * scale + 5:.1f}" y="{place + bar - 2}">{ratio:.2f}</text>')
        y += bar * len(counts) + gap
    one = left + scale
    out.append(f'<line class="one" x1="{one:.1f}" y1="26" x2="{one:.1f}" y2="{y}"/>')
    legend = ", ".join(f"{n} thread{'s'[:n > 1]}" for n in counts)
    out.append(f'<text class="small" x="{left}" y="{y + 14}">{legend}; {results["machine"]}</text></svg>')
    return "\n".join(out) + "\n"
