"""Draws what tables cannot show: kernels under the roof of this machine, and what more ranks bring.

python bench/plots.py [FOLDER]      reads the results in FOLDER (bench/results), writes roofline.svg and scaling.svg there

The pictures are the same bytes for the same results, so a changed picture is a changed result.
"""

import sys
from pathlib import Path
from statistics import median

import matplotlib
import numpy as np
from kinds import HOW

from shoal.jobs.measured import Result

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "shoal", "svg.fonttype": "none", "font.size": 8})
from matplotlib import pyplot  # noqa: E402

ALL = HOW[-1]


def roofline(results):
    """GFLOP/s by operations for each compulsory byte; the roof is the triad's slope and the multiply-add limit, all threads."""
    axes = pyplot.subplots(figsize=(6.4, 4))[1]
    top = median(case.facts["limit"] for name, case in results["gemm"].cases.items() if name.endswith(ALL))
    slope = median(case.facts["limit"] for case in results["memory_bound"].cases.values())
    x = np.geomspace(0.05, 1000, 100)
    axes.loglog(x, np.minimum(slope * x, top), color="black")
    for question in ("gemm", "conv2d", "memory_bound", "optimizer"):
        found = results.get(question)
        cases = found.cases.items() if found else ()
        points = [_point(case) for name, case in cases if name.endswith(ALL) or not name.endswith(tuple(HOW))]
        if points:
            axes.loglog(*zip(*points, strict=True), ".", label=question)
    axes.set(xlabel="operations for each byte", ylabel="GFLOP/s", title=f"{slope:.0f} GB/s, {top:.0f} GFLOP/s")
    axes.legend()
    return axes.figure


def _point(case):
    intensity = case.facts["intensity"]
    return intensity, case.rates.get("GFLOP/s") or case.rates["GB/s"] * intensity


def scaling(results):
    """Left: efficiency of data parallelism by ranks.   Right: the allreduce by size, with the peers that were timed beside it."""
    left, right = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")[1]
    lines = {}
    for name, case in results["data_parallel"].cases.items():
        line = lines.setdefault(name.partition("-")[2].replace("-", ", "), [])
        line.append((case.facts["ranks"], case.ratios["efficiency"]))
    for name, points in lines.items():
        ranks, spreads = zip(*sorted(points), strict=True)
        middle = [spread.median for spread in spreads]
        below, above = zip(*((s.median - s.lowest, s.highest - s.median) for s in spreads), strict=True)
        left.errorbar(ranks, middle, (below, above), fmt=".-", capsize=2, label=name)
    counts = sorted({rank for points in lines.values() for rank, _ in points})
    left.set(xlabel="ranks", ylabel="efficiency", title="data parallelism", ylim=(0, None), xticks=counts)
    cases = results["allreduce"].cases.values()
    sizes = [case.facts["bytes"] for case in cases]
    right.loglog(sizes, [case.rates["GB/s"] for case in cases], ".-", label="in rank order")
    for peer in next(iter(cases)).ratios:
        right.loglog(sizes, [case.rates["GB/s"] / case.ratios[peer].median for case in cases], ".--", label=peer)
    right.set(xlabel="bytes", ylabel="GB/s", title="allreduce")
    for axes in (left, right):
        axes.legend()
    return left.figure


PLOTS = {"roofline": (roofline, {"gemm", "memory_bound"}), "scaling": (scaling, {"data_parallel", "allreduce"})}


def main(folder):
    names = {file.stem for file in Path(__file__).parent.glob("bench_*.py")}
    results = {f.stem: Result.load(f) for f in sorted(folder.glob("*.json")) if f"bench_{f.stem}" in names}
    for name, (draw, needs) in PLOTS.items():
        if needs <= results.keys():
            figure = draw(results)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
            pyplot.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("results"))
