"""Draws the pictures of the documentation, from shoal's own objects: python docs/draw.py [--check]

A picture that somebody drew says what he believed. These say what the schedules, layouts, cuts and costs are, and a test holds
that they still do. Schedules are drawn by plan/draw.py, as `shoal train --dry-run --picture` does it.

    --check     fails where a picture in docs/pictures is not what would be drawn now
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

from shoal.core.partition import Partition
from shoal.mpi.allreduce import slices
from shoal.mpi.buckets import cut as buckets
from shoal.mpi.stages import Stages
from shoal.nn import Layout, Sequential, recomputed
from shoal.nn.cost import measure
from shoal.nn.models import build, find
from shoal.plan import Action, Costs, Mesh, PipelineShape, Span, Timeline, cut, draw, graph, simulate, table, wire
from shoal.train.config import load
from shoal.train.dry_run import plan

PICTURES = Path(__file__).with_name("pictures")
BLUE, ORANGE, GREEN, PINK, GREY = "#86b6e8", "#f0b27a", "#a9cf8f", "#e8a6c0", "#e3e3e3"
RANKS = (BLUE, ORANGE, GREEN, PINK, "#c3b1e1", "#f4e08a", "#8fd3cf", "#d0b49f")
KIB = 1024


class Sheet:
    """Boxes, words and arrows on white; places in pixels from the upper left."""

    def __init__(self, width: int, height: int):
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="12" style="background:#fff">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8Z"/></marker></defs>',
        ]

    def box(self, x: float, y: float, width: float, height: float, colour: str, words: str = "") -> None:
        self.lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}" stroke="white"/>'
        )
        if words and width > 6.4 * len(words):
            self.text(x + width / 2, y + height / 2 + 4, words, "middle")

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        self.lines.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def arrow(self, *places: tuple[float, float]) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in places)
        self.lines.append(f'<polyline points="{path}" fill="none" stroke="black" marker-end="url(#tip)"/>')

    def __str__(self) -> str:
        return "\n".join([*self.lines, "</svg>\n"])


def network(name: str) -> tuple[Sequential, tuple[int, ...]]:
    entry = find(name)
    return build(name, entry.shape, entry.classes), entry.shape


# ---------------------------------------------------------------------------------------------------- schedules


def schedule(name: str, stages: int, micro_batches: int) -> str:
    """Equal stages, a backward twice a forward; messages and updates that take no time, so updates are not seen."""
    wired = wire(table(name, PipelineShape(stages, micro_batches)), graph([(k, k + 1) for k in range(stages)]))
    spans = simulate(wired, Costs({"forward": [1] * stages, "backward": [2] * stages})).timeline.spans
    return draw.svg(Timeline(stages, [span for span in spans if span.stop > span.start], "forwards"))


def dry_run() -> str:
    """What `--dry-run --picture` draws: a real network's stages are not equal."""
    config = load("resnet20-digits", ["parallel.mesh.pipeline=2", "train.micro_batches=8"])
    found = plan(config, ranks=2).forecast
    return draw.svg(replace(found.simulation.timeline, unit="operations of a sample"))


def serial() -> str:
    """Three steps of one rank, one after the other."""
    once = [("forward", 1.0), ("backward", 2.0), ("update", 0.5)]
    spans, now = [], 0.0
    for step in range(3):
        for kind, time in once:
            spans.append(Span(0, Action(kind, step), now, now + time))
            now += time
    return draw.svg(Timeline(1, spans, "forwards"))


# ---------------------------------------------------------------------------------------------------- batches


def shares() -> str:
    """A batch of 64 over ranks with equal and with unequal shares."""
    sheet = Sheet(720, 110)
    for row, given in enumerate([(1.0, 1.0, 1.0, 1.0), (3.0, 1.0, 2.0, 2.0)]):
        partition, y = Partition(given), 8 + 50 * row
        sheet.text(4, y + 22, f"shares {':'.join(f'{one:g}' for one in given)}")
        for rank in range(len(given)):
            start, stop = partition.bounds(64, rank)
            sheet.box(110 + 9 * start, y, 9 * (stop - start), 34, RANKS[rank], f"rank {rank}: {stop - start}")
    return str(sheet)


def normalisation() -> str:
    """Which samples are normalised together: a column of micro-batches over replicas, or each on its own."""
    sheet, parts = Sheet(720, 150), Partition.of((), 4)
    for half, norm in enumerate(("batch", "share")):
        x0 = 20 + 360 * half
        sheet.text(x0, 16, f'parallel.norm = "{norm}"')
        for replica in range(2):
            sheet.text(x0, 50 + 44 * replica, f"replica {replica}")
            for part in range(4):
                start, stop = parts.bounds(32, part)
                colour = RANKS[part if norm == "batch" else part + 4 * replica]
                sheet.box(x0 + 66 + 8 * start, 28 + 44 * replica, 8 * (stop - start), 36, colour, f"m{part}")
        said = "one colour, one mean and variance" if norm == "batch" else "every box on its own"
        sheet.text(x0 + 66, 136, said)
    return str(sheet)


# ---------------------------------------------------------------------------------------------------- weights


def arena() -> str:
    """digits-cnn in one buffer; what is small is drawn wider than it is, or it would not be seen."""
    model, shape = network("digits-cnn")
    layout = Layout(model.specs(shape))
    owned = layout.owned()
    widths = [max(78.0, 440 * spec.size / layout.size) for spec in owned]
    sheet, x = Sheet(int(sum(widths)) + 60, 84), 8.0
    for spec, width in zip(owned, widths, strict=True):
        sheet.box(x, 8, width, 34, BLUE if spec.decay else GREY, spec.name)
        sheet.text(x, 58, str(layout.offsets[spec.name]))
        sheet.text(x, 74, "x".join(map(str, spec.shape)))
        x += width
    sheet.text(x, 58, str(layout.size))
    return str(sheet)


def overlap() -> str:
    """vgg11's backward pass, and its buckets of 1 MiB on the way; on a link that takes as long for all as backward."""
    model, shape = network("vgg11")
    costs, layout = measure(model, shape), Layout(model.specs(shape))
    cuts = buckets(layout, 2**20 // 4)
    whole = sum(cost.backward for cost in costs)
    sheet, scale = Sheet(880, 110), 560 / whole
    sheet.text(4, 30, "backward of block")
    sheet.text(4, 74, "buckets, KiB")
    now, ends = 0.0, {}
    for cost in reversed(costs):
        sheet.box(120 + now * scale, 12, cost.backward * scale, 30, ORANGE, cost.name)
        now += cost.backward
        ends[int(cost.name)] = now
    free = 0.0
    for bucket in cuts:
        size = (bucket.stop - bucket.start) * 4
        free = max(free, ends[bucket.block])
        took = whole * size / (4 * layout.size)
        sheet.box(120 + free * scale, 56, took * scale, 30, GREEN, f"{size // KIB:,}")
        free += took
    sheet.text(
        120, 104, f"{len(cuts)} buckets of 1 MiB or more: each leaves when the lowest of its blocks has returned"
    )
    return str(sheet)


def allreduce() -> str:
    """Three ranks add 12 numbers in rank order."""
    sheet, ranks, n = Sheet(720, 176), 3, 12
    for rank in range(ranks):
        y = 30 + 48 * rank
        sheet.text(4, y + 20, f"rank {rank}")
        for owner, (start, stop) in enumerate(slices(n, ranks)):
            width = 14 * (stop - start)
            sheet.box(60 + 14 * start, y, width, 30, RANKS[owner], f"a{rank}[{owner}]")
            sheet.box(510 + 14 * start, y, width, 30, RANKS[owner], f"y[{owner}]")
        start, stop = slices(n, ranks)[rank]
        sheet.box(285, y, 150, 30, RANKS[rank], f"y[{rank}] = (a0 + a1) + a2")
        sheet.arrow((232, y + 15), (281, y + 15))
        sheet.arrow((439, y + 15), (506, y + 15))
    for x, words in ((60, "each holds its gradients"), (285, "one adds each slice"), (510, "all hold the sum")):
        sheet.text(x, 18, words)
    return str(sheet)


# ---------------------------------------------------------------------------------------------------- ranks and parts


def mesh() -> str:
    """Two pipelines of three stages."""
    sheet, axes = Sheet(720, 176), Mesh.of({"data": 2, "pipeline": 3}, 6)
    for rank in range(6):
        place = axes.coordinate(rank)
        x, y = 120 + 190 * place["pipeline"], 34 + 70 * place["data"]
        sheet.box(x, y, 130, 44, RANKS[place["pipeline"]], f"rank {rank}")
        if place["pipeline"] < 2:
            sheet.arrow((x + 130, y + 16), (x + 190, y + 16))
            sheet.arrow((x + 190, y + 30), (x + 130, y + 30))
        if place["data"] == 0:
            sheet.arrow((x + 58, y + 44), (x + 58, y + 70))
            sheet.arrow((x + 72, y + 70), (x + 72, y + 44))
            sheet.text(x + 65, 20, f"stage {place['pipeline']}", "middle")
        if place["pipeline"] == 0:
            sheet.text(4, y + 28, f"data {place['data']}")
    sheet.text(
        120, 170, "along a row: activations and their gradients;   along a column: sums of the stage's gradients"
    )
    return str(sheet)


def skips() -> str:
    """A U-Net cut into three stages: the chain, and the long skips straight from where they are made to where they are popped."""
    model = build("unet", (32, 32, 3), 2, width=8, depth=2)
    costs = measure(model, (32, 32, 3))
    bounds = cut([float(cost.forward + cost.backward) for cost in costs], 3).bounds
    stages = Stages(model, (32, 32, 3), bounds, "1f1b", 4)
    sheet = Sheet(720, 150)
    for part, (start, stop) in enumerate(bounds):
        sheet.box(20 + 240 * part, 70, 160, 44, RANKS[part], f"blocks {start}..{stop - 1}")
        sheet.text(100 + 240 * part, 134, f"stage {part}", "middle")
    for number, edge in enumerate(stages.training.graph.edges):
        shape = "x".join(map(str, stages.shape(edge)))
        if edge.name == "x":
            sheet.arrow((180 + 240 * edge.source, 92), (20 + 240 * edge.target, 92))
            sheet.text(220 + 240 * edge.source, 86, shape, "middle")
        else:
            x, y, to = 160 - 30 * (number % 2) + 240 * edge.source, 46 - 22 * (number % 2), 80 + 240 * edge.target
            sheet.arrow((x, 70), (x, y), (to, y), (to, 70))
            sheet.text(x + 40, y - 4, f"{edge.name}: {shape}")
    return str(sheet)


def kept() -> str:
    """What the blocks of resnet20 keep from forward to backward, with and without recomputation."""
    model, shape = network("resnet20")
    plain, less = measure(model, shape), measure(recomputed(model, shape), shape)
    most = max(cost.activations for cost in plain)
    sheet = Sheet(720, 46 + 20 * len(plain))
    for row, (before, after) in enumerate(zip(plain, less, strict=True)):
        y = 24 + 20 * row
        sheet.text(4, y + 13, f"{before.name} {before.kind}")
        sheet.box(130, y, 480 * before.activations / most, 16, GREY)
        sheet.box(130, y, 480 * after.activations / most, 16, BLUE)
        sheet.text(
            134 + 480 * before.activations / most,
            y + 13,
            f"{before.activations // KIB} KiB, {after.activations // KIB} KiB",
        )
    totals = [sum(cost.activations for cost in costs) // KIB for costs in (plain, less)]
    sheet.text(130, 16, f"grey: kept for a sample, {totals[0]} KiB;   blue: with parallel.recompute, {totals[1]} KiB")
    return str(sheet)


DRAWN: dict[str, Callable[[], str]] = {
    "serial": serial,
    "accumulation": lambda: schedule("naive", 1, 4),
    "naive": lambda: schedule("naive", 4, 8),
    "gpipe": lambda: schedule("gpipe", 4, 8),
    "1f1b": lambda: schedule("1f1b", 4, 8),
    "resnet20": dry_run,
    "shares": shares,
    "normalisation": normalisation,
    "arena": arena,
    "overlap": overlap,
    "allreduce": allreduce,
    "mesh": mesh,
    "skips": skips,
    "kept": kept,
}


def main() -> None:
    for name, make in DRAWN.items():
        path, picture = PICTURES / f"{name}.svg", make()
        if "--check" in sys.argv and (not path.exists() or path.read_text(encoding="utf-8") != picture):
            raise SystemExit(f"docs/pictures/{name}.svg is not what is drawn now; run python docs/draw.py")
        path.write_text(picture, encoding="utf-8")
    if strange := {path.stem for path in PICTURES.glob("*.svg")} - DRAWN.keys():
        raise SystemExit(f"docs/pictures holds {', '.join(sorted(strange))}, which nothing here draws")


if __name__ == "__main__":
    main()
