"""What a wired table will take: time, memory and messages, from the costs of its parts.

The programs are walked in the order of the deadlock proof, so whatever an instruction waits for has been timed before it,
and its own time is a maximum and a sum; no queue of events is needed.

    compute  stop   = rank's clock + seconds of (kind, part)
    message  begin  = max(sender's clock, receive posted, pair of ranks free)
             arrive = begin + latency + bytes/bandwidth        the pair is free again after bytes/bandwidth
    receive  clock  = max(clock, arrive)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from ..core.errors import UsageError
from .deadlock import walk
from .graph import Edge
from .program import Compute, Message, Post, Receive, Send
from .schedule import KINDS
from .timeline import Span, Timeline
from .wiring import Wired


@dataclass(frozen=True)
class Costs:
    """What the parts of a model cost, for one micro-batch.

    seconds: by kind of action, for each part, {"forward": [...], "backward": [...]}; a kind that is not there takes none.
    bytes: of the tensor of each edge.   live: bytes of the activations that each part keeps from forward to backward.
    fixed: bytes that each part needs all the time: weights, gradients, the optimizer's state.
    """

    seconds: Mapping[str, Sequence[float]]
    bytes: Mapping[Edge, float] = field(default_factory=dict)
    live: Sequence[float] = ()
    fixed: Sequence[float] = ()


@dataclass(frozen=True)
class Link:
    """Between any two ranks: seconds a message takes at least, bytes per second, and whether a sender computes meanwhile."""

    latency: float = 0.0
    bandwidth: float = inf
    overlap: bool = True


@dataclass(frozen=True)
class Simulation:
    """Per rank: the most micro-batches live at once, the most bytes (fixed, live and receive buffers), messages and bytes sent."""

    timeline: Timeline
    peak_live: list[int]
    peak_bytes: list[float]
    messages: list[int]
    sent: list[float]


def simulate(wired: Wired, costs: Costs, link: Link | None = None) -> Simulation:
    """Times and counts one pass through the programs; UsageError for costs that do not fit the parts."""
    _fits(costs, wired.graph.parts)
    clocks, memory = _Clocks(costs, link or Link()), _Memory(wired, costs)
    messages, sent = [0] * len(wired.programs), [0.0] * len(wired.programs)
    for rank, instruction in walk(wired.programs):
        match instruction:
            case Post(message):
                clocks.posted[message] = clocks.now[rank]
                memory.post(rank, message)
            case Send(message):
                clocks.send(rank, message)
                messages[rank] += 1
                sent[rank] += costs.bytes.get(message.edge, 0.0)
            case Receive(message):
                clocks.now[rank] = max(clocks.now[rank], clocks.arrival[message])
            case Compute():
                clocks.compute(rank, instruction)
                memory.compute(rank, instruction)
    timeline = Timeline(len(wired.programs), clocks.spans)
    return Simulation(timeline, memory.most_live, memory.most_bytes, messages, sent)


def _fits(costs: Costs, parts: int) -> None:
    if unknown := costs.seconds.keys() - KINDS.keys():
        raise UsageError(
            f"there are no actions of kind {', '.join(sorted(unknown))}", f"the kinds are {', '.join(KINDS)}"
        )
    given = {f"seconds[{kind!r}]": row for kind, row in costs.seconds.items()} | {
        "live": costs.live,
        "fixed": costs.fixed,
    }
    for name, row in given.items():
        if len(row) != parts and (row or name.startswith("seconds")):
            raise UsageError(f"{name} has {len(row)} costs for {parts} parts", "give one for each part")


class _Clocks:
    """The time on every rank, and when messages were posted and arrive."""

    def __init__(self, costs: Costs, link: Link):
        self.costs, self.link = costs, link
        self.now: dict[int, float] = defaultdict(float)
        self.free: dict[tuple[int, int], float] = defaultdict(float)
        self.posted: dict[Message, float] = {}
        self.arrival: dict[Message, float] = {}
        self.spans: list[Span] = []

    def compute(self, rank: int, compute: Compute) -> None:
        seconds = self.costs.seconds.get(compute.action.kind)
        start = self.now[rank]
        self.now[rank] = start + (seconds[compute.part] if seconds else 0.0)
        self.spans.append(Span(rank, compute.action, start, self.now[rank]))

    def send(self, rank: int, message: Message) -> None:
        pair, size = (message.source, message.target), self.costs.bytes.get(message.edge, 0.0)
        begin = max(self.now[rank], self.posted[message], self.free[pair])
        self.free[pair] = begin + size / self.link.bandwidth
        self.arrival[message] = self.free[pair] + self.link.latency
        if not self.link.overlap:
            self.now[rank] = self.arrival[message]


class _Memory:
    """Bytes on every rank, counted in the order of its program."""

    def __init__(self, wired: Wired, costs: Costs):
        ranks = len(wired.programs)
        self.costs = costs
        self.live, self.most_live = [0] * ranks, [0] * ranks
        held = [{one.part for one in program if isinstance(one, Compute)} for program in wired.programs]
        self.bytes = [sum((costs.fixed[part] for part in parts), 0.0) if costs.fixed else 0.0 for parts in held]
        self.most_bytes = list(self.bytes)

    def post(self, rank: int, message: Message) -> None:
        self._add(rank, self.costs.bytes.get(message.edge, 0.0))

    def compute(self, rank: int, compute: Compute) -> None:
        live = KINDS[compute.action.kind].live
        self.live[rank] += live
        self.most_live[rank] = max(self.most_live[rank], self.live[rank])
        buffers = sum(self.costs.bytes.get(message.edge, 0.0) for message in compute.takes if message.source != rank)
        self._add(rank, (live * self.costs.live[compute.part] if self.costs.live else 0.0) - buffers)

    def _add(self, rank: int, size: float) -> None:
        self.bytes[rank] += size
        self.most_bytes[rank] = max(self.most_bytes[rank], self.bytes[rank])
