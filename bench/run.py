#!/usr/bin/python3
"""Times models compiled by mcc beside ONNX Runtime, in one process, in turn, on a machine whose limits it measures first.

    bench/run.py MODEL[:INPUT=1x3x640x640] …     these models
    bench/run.py --all --write=docs/benchmarks.md     all of bench/models.txt and bench/layers, as a page with a picture

Prints for each model the minimum and the median of both in milliseconds, ONNX Runtime's minimum over ours, GFLOP/s (two a
multiply-add of the graph, whatever the algorithm spares) and the part of the machine's peak, the relative L2 distance of the outputs,
workspace and object in MiB, seconds and MiB of compiling. MCC names the compiler (default: build/mcc), ORT_LIB the
peer's library; without it only our times stand there. A model that mcc refuses stays in the list, with its reason."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import graph
import layers
import ort
import report
import tools


def read_models(folder):
    """(name, path, shapes) of bench/models.txt; models/, int8/ and dynamic/ are in that folder, npm/ where ONNX Runtime's package lies."""
    packages = next((p for p in pathlib.Path(ort.find_library() or "/").parents if p.name == "node_modules"), None)
    for line in (tools.HOME / "bench" / "models.txt").read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place, _, rest = words[1].partition("/")
        roots = {"models": folder, "int8": folder / "int8", "dynamic": folder / "dynamic"}
        root = roots.get(place) or packages or pathlib.Path("node_modules")
        yield words[0], root / rest, dict(map(tools.read_shape, words[2:]))


def read_spec(text):
    path, _, shape = text.partition(":")
    return pathlib.Path(path).stem, pathlib.Path(path), dict([tools.read_shape(shape)] if shape else [])


def bench(name, path, shapes, threads, options):
    """One row: a dict of everything measured, or of the reason why not."""
    row = {"model": name, "threads": threads}
    if not path.exists():
        return {**row, "why": f"{path.name} is not there"}
    library = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            compiled = tools.Compiled(path, shapes, folder, threads, options.mcpu, options.option)
            library = compiled.library
            row.update(compile_s=compiled.seconds, compile_bytes=compiled.memory, object_bytes=compiled.object_bytes,
                       workspace_bound=compiled.workspace_bound)
        except tools.Failure as failure:
            row["why"] = str(failure)
        try:
            if library or ort.find_library():
                row.update(tools.time_model(path, library, shapes, threads, options.seconds, options.cpu_time))
        except tools.Failure as failure:
            row["why"] = str(failure)
    listing = tools.graph_listing(path, shapes)
    row["macs"] = graph.count_macs(path, shapes, listing)
    row["quantized"] = graph.is_quantized(path)
    return row


def export_models(folder):
    """Exports what is missing; a machine without torchvision goes on without those models."""
    paths = [path for _, path, _ in read_models(folder)]
    for tool, arguments, parents in (("export_models.py", [folder], [folder]),
                                     ("quantize_models.py", [folder, folder], [folder / "int8", folder / "dynamic"])):
        if all(path.exists() for path in paths if path.parent in parents):
            continue
        if subprocess.call([sys.executable, tools.HOME / "bench" / tool, *arguments]):
            print(f"what bench/{tool} would write is left out", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="times models compiled by mcc beside ONNX Runtime")
    parser.add_argument("models", nargs="*", metavar="MODEL[:INPUT=DIMS]")
    parser.add_argument("--all", action="store_true", help="all of bench/models.txt and bench/layers")
    parser.add_argument("--models", dest="folder", type=pathlib.Path, default=tools.BUILD.parent / "models",
                        help="where the exported models are, or go (default: build/models)")
    parser.add_argument("--threads", help="how many, such as 1,2 (default 1; with --all, 1 and 2)")
    parser.add_argument("--seconds", type=float, default=2, help="of timing for each model (default 2)")
    parser.add_argument("--cpu-time", action="store_true", help="the thread's own time, on a machine that others use too")
    layers.add_options(parser)
    parser.add_argument("--option", action="append", default=[], help="one more for mcc, such as --option=-Os")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE.md", help="the page; FILE.svg beside it")
    parser.add_argument("--machine", default=report.describe_machine(), help="how the page calls this machine")
    options = parser.parse_args()
    if not options.all and not options.models:
        parser.error("which models? name some, or --all")
    counts = [int(n) for n in (options.threads or ("1,2" if options.all else "1")).split(",")]
    if max(counts) > 1 and not tools.can_thread():
        print("mcc has no --threads=openmp yet: one thread only", file=sys.stderr)
        counts = [1]
    if not ort.find_library():
        print("ONNX Runtime was not found (set ORT_LIB): our times alone", file=sys.stderr)

    if options.all:
        export_models(options.folder)
    specs = list(read_models(options.folder)) if options.all else []
    specs += [read_spec(text) for text in options.models]
    results = {"machine": options.machine, "cpu_time": options.cpu_time, "limits": [], "models": [], "layers": []}
    for threads in counts:
        limits = tools.measure_limits(threads, options.vector_bits)
        results["limits"].append(limits)
        print(report.limits_line(limits))
    for limits in results["limits"]:
        print(report.HEADINGS)
        for name, path, shapes in specs:
            row = bench(name, path, shapes, limits["threads"], options)
            row["speedup"] = report.speedup_of(row, results["models"])
            results["models"].append(row)
            print(report.model_line(row, limits), flush=True)
        print(report.mean_line(results["models"], limits["threads"]))
    if options.all:
        results["layers"] = layers.bench_all(results["limits"][0], options)
    if options.write:
        report.write_page(results, options.write)


if __name__ == "__main__":
    main()
