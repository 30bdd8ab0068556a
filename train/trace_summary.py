"""Where the time of a traced window went, in figures: what a person would measure in the picture.

Of the seconds of each rank within steps, by the rules of pace.py: blocked is waiting in the communicator, idle waiting for
data, compute the rest; so the figures of a window that is the whole run are those of the run's summary. With a pipeline, of
its actions: the bubble is the part of the ranks' time, from the first start of a step's actions to their last stop, in
which they are at none (plan.timeline).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..plan.bubble import bubble
from ..plan.schedule import Action, PipelineShape
from ..plan.timeline import Span, Timeline
from . import chrome
from .spans import Spans
from .terminal import console, say_json, table
from .tracing import NAME, OWN

MOST = 10  # operations listed


@dataclass(frozen=True)
class Rank:
    """seconds: within steps.   compute, blocked, idle: parts of them that add up to 1.   overlap: of train.spans.

    bubble: the part of the pipeline's time in which this rank was at no action, None without a pipeline.
    """

    rank: int
    seconds: float
    compute: float
    blocked: float
    idle: float
    overlap: float | None
    bubble: float | None


@dataclass(frozen=True)
class Operation:
    """All spans of one name, without what lies inside them.   longest: seconds.   rank: that the longest one was on."""

    name: str
    count: int
    seconds: float
    longest: float
    rank: int


@dataclass(frozen=True)
class Bubble:
    """measured: in the trace.   formula: of the schedule, all stages alike.   stages: of the schedule, by the stages' own times."""

    measured: float
    formula: float
    stages: float


@dataclass(frozen=True)
class Traced:
    """steps: [first, last).   critical: the rank that computed most: others wait for it.   bound: seconds that clocks may differ by.

    arrows: messages with both ends in the trace.   lost: spans that had no room.
    """

    steps: tuple[int, int]
    critical: int
    ranks: list[Rank]
    bubble: Bubble | None
    slowest: list[Operation]
    bound: float
    arrows: int
    lost: int


def load(path: Path) -> list[dict[str, Any]]:
    """The documents of a trace file, or of a run folder: that of all ranks, or what ranks left that ended alone."""
    files = [path]
    if path.is_dir():
        files = [path / NAME] if (path / NAME).exists() else sorted(path.glob(OWN.format("*")))
    if not files:
        raise DataError(f"there is no trace in {path}", "train with --trace, or with run.trace=FIRST:LAST")
    return [chrome.read(file) for file in files]


def summarise(documents: Sequence[dict[str, Any]]) -> Traced:
    """The figures of what these documents hold together."""
    events: dict[int, list[dict[str, Any]]] = defaultdict(list)
    whole = [event for document in documents for event in document["traceEvents"]]
    for event in whole:
        if event["ph"] == "X":
            events[event["pid"]].append(event)
    spans = [Spans(rank, events[rank]) for rank in sorted(events)]
    facts = [document["otherData"] for document in documents]
    pipes = timelines(spans, facts[0]["stages"])
    ranks = [_rank(one, pipes, facts[0]["stages"]) for one in spans]
    return Traced(
        steps=(min(one["steps"][0] for one in facts), max(one["steps"][1] for one in facts)),
        critical=max(ranks, key=lambda one: one.compute * one.seconds).rank,
        ranks=ranks,
        bubble=_bubble(pipes, facts[0]) if pipes else None,
        slowest=_slowest(spans),
        bound=max((clock["bound_s"] for one in facts for clock in one["clocks"].values()), default=0.0),
        arrows=sum(event["ph"] == "s" for event in whole),
        lost=sum(sum(one["lost"]) for one in facts),
    )


def timelines(spans: Sequence[Spans], stages: int) -> dict[tuple[int, str], Timeline]:
    """(pipeline, step) -> the actions of its stages, where all of them are in the trace."""
    found: dict[tuple[int, str], list[Span]] = defaultdict(list)
    for one in spans:
        for action in one.within("action"):
            if action.args["action"] != "update":  # its time is not an action's: it follows the step's last sum
                what = Action(action.args["action"], action.args["micro_batch"])
                place = Span(one.rank % stages, what, action.start, action.stop)
                found[one.rank // stages, str(one.step(action))].append(place)
    whole = {key: row for key, row in found.items() if len({span.rank for span in row}) == stages > 1}
    return {key: Timeline(stages, row) for key, row in whole.items()}


def _rank(spans: Spans, pipes: dict[tuple[int, str], Timeline], stages: int) -> Rank:
    seconds = sum(step.seconds for step in spans.steps)
    blocked, idle = spans.seconds("wait"), spans.seconds("data")
    compute, blocked, idle = (part / (seconds or 1.0) for part in (seconds - blocked - idle, blocked, idle))
    mine = [timeline for (row, _), timeline in pipes.items() if row == spans.rank // stages]
    time = sum(timeline.makespan for timeline in mine)
    still = sum(timeline.idle(spans.rank % stages) for timeline in mine) / time if time else None
    return Rank(spans.rank, seconds, compute, blocked, idle, spans.overlap(), still)


def _bubble(pipes: dict[tuple[int, str], Timeline], facts: dict[str, Any]) -> Bubble:
    shape = PipelineShape(facts["stages"], facts["micro_batches"])
    whole = sum(one.ranks * one.makespan for one in pipes.values())
    busy = sum(one.busy(rank) for one in pipes.values() for rank in range(one.ranks))
    seconds = {kind: _mean(pipes.values(), kind, shape.stages) for kind in ("forward", "backward")}
    return Bubble(1 - busy / whole, bubble(facts["schedule"], shape), bubble(facts["schedule"], shape, seconds))


def _mean(pipes: Iterable[Timeline], kind: str, stages: int) -> list[float]:
    """Seconds of an action of this kind, for each stage."""
    times: list[list[float]] = [[] for _ in range(stages)]
    for span in (span for pipe in pipes for span in pipe.spans if span.action.kind == kind):
        times[span.rank].append(span.stop - span.start)
    return [sum(row) / len(row) if row else 0.0 for row in times]


def _slowest(spans: Sequence[Spans]) -> list[Operation]:
    groups: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in spans:
        for span in one.since_first_step():
            name = "step" if span.kind == "step" else f"{span.kind} {span.name}" if span.kind == "wait" else span.name
            groups[name].append((span.own, one.rank))
    made = [Operation(name, len(own), sum(seconds for seconds, _ in own), *max(own)) for name, own in groups.items()]
    return sorted(made, key=lambda one: -one.seconds)[:MOST]


def show(path: Path, as_json: bool) -> None:
    """Says it: tables, or one line of JSON."""
    found = summarise(load(path))
    if as_json:
        say_json(asdict(found))
        return
    titles = ["rank", "in steps", "compute", "blocked", "idle", "bubble", "overlap", ""]
    rows = [_row(one, one.rank == found.critical and len(found.ranks) > 1) for one in found.ranks]
    console().print(table(titles, rows))
    titles = ["operation", "times", "seconds", "longest", "on rank"]
    if found.slowest:
        console().print(table(titles, map(_operation, found.slowest)))
    for line in _words(found):
        console().print(line, markup=False, soft_wrap=True)


def _operation(one: Operation) -> list[str]:
    return [one.name, f"{one.count:,}", f"{one.seconds:.3f}", f"{one.longest * 1e3:.3g} ms", str(one.rank)]


def _row(one: Rank, critical: bool) -> list[str]:
    parts = [_percent(part) for part in (one.compute, one.blocked, one.idle, one.bubble, one.overlap)]
    return [str(one.rank), f"{one.seconds:.3f} s", *parts, "critical" if critical else ""]


def _words(found: Traced) -> list[str]:
    first, last = found.steps
    lines = [f"steps {first} to {last - 1}" if last > first else "no step was traced"]
    if len(found.ranks) > 1:
        lines.append(f"rank {found.critical} computed most: the others wait for it")
    if one := found.bubble:
        ideal = f"the schedule has {one.formula:.1%} with stages that are alike, {one.stages:.1%} with these"
        lines.append(f"bubble {one.measured:.1%}: {ideal}")
    if len(found.ranks) > 1:
        lines.append(f"{found.arrows:,} messages; the clocks of the ranks agree within {found.bound * 1e6:,.0f} us")
    if found.lost:
        lines.append(f"{found.lost:,} spans had no room: trace fewer steps")
    return lines


def _percent(part: float | None) -> str:
    return "" if part is None else f"{part:.1%}"
