"""The last word of a run: one table for a person, the same figures as JSON for a machine.

Messages and bytes are what all ranks sent; the time is that of the slowest rank, because the others waited for it;
compute, communication and idle are the mean over the ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..mpi.communicator import Communicator
from . import confusion
from .metrics import Figures, words
from .pace import Pace, clock
from .terminal import console, say_json, table

NARROW = 36  # columns: below, no table


@dataclass(frozen=True)
class Scored:
    """figures: of the test split, by train.metrics."""

    figures: Figures

    @property
    def accuracy(self) -> float:
        return self.figures["accuracy"]

    @property
    def test_loss(self) -> float:
        return self.figures["test_loss"]

    def rows(self) -> list[tuple[str, str]]:
        """(what, figure) as the table shows them."""
        return words(self.figures)

    def facts(self) -> dict[str, Any]:
        """All of it for a machine: the figures beside the other fields."""
        fields = asdict(self)
        return fields.pop("figures") | fields


@dataclass(frozen=True)
class Summary(Scored):
    """seconds: of training, without start-up and evaluation.   compute, communication, idle: fractions of them.

    memory: bytes of the rank that held most: its arenas and all that its pools ever held.   forecast_memory: of that rank.
    best: of train.watch, where checkpoint.best is kept.   stopped: why, if before the last epoch.
    """

    loss: float
    steps: int
    ranks: int
    seconds: float
    samples_per_second: float
    compute: float
    communication: float
    idle: float
    messages: int
    bytes: int
    memory: int
    forecast_memory: int
    checkpoint: str
    best: dict[str, Any] | None
    stopped: str

    def rows(self) -> list[tuple[str, str]]:
        per_rank = f"{self.ranks} ranks" if self.ranks > 1 else "1 rank"
        where = " on the rank that held most" if self.ranks > 1 else ""
        busy = f"compute {self.compute:.0%}, communication {self.communication:.0%}, idle {self.idle:.0%}"
        rows = [
            *super().rows(),
            ("training loss", f"{self.loss:.4f}"),
            ("steps", f"{self.steps:,}"),
            ("training time", f"{clock(self.seconds)} ({self.seconds:.1f} s) on {per_rank}"),
            ("speed", f"{self.samples_per_second:,.0f} samples/s"),
            ("time spent", busy),
            ("sent", f"{self.messages:,} messages, {size(self.bytes)}"),
            ("memory", f"{size(self.memory)}{where}, {size(self.forecast_memory)} forecast"),
            ("checkpoint", self.checkpoint),
        ]
        if self.best:
            rows.append(("best checkpoint", "{figure} {value:.4f} at step {step:,}".format(**self.best)))
        return [*rows, ("stopped early", self.stopped)] if self.stopped else rows


def summarise(
    comm: Communicator,
    pace: Pace,
    figures: Figures,
    checkpoint: str,
    best: dict[str, Any] | None = None,
    stopped: str = "",
    memory: tuple[int, int] = (0, 0),
) -> Summary:
    """The figures of the whole job; a collective call.   memory: bytes of this rank, measured and forecast."""
    counters = comm.counters
    mine = {
        "seconds": pace.seconds,
        "messages": counters.messages,
        "bytes": counters.bytes,
        "memory": memory,
        **pace.shares(),
    }
    ranks = comm.allgather_obj(mine, "summary")
    fullest = max(rank["memory"] for rank in ranks)
    slowest = max(ranks, key=lambda rank: rank["seconds"])
    return Summary(
        figures=figures,
        loss=pace.loss,
        steps=pace.done,
        ranks=comm.size,
        seconds=slowest["seconds"],
        samples_per_second=pace.samples / slowest["seconds"] if slowest["seconds"] else 0.0,
        **{part: sum(rank[part] for rank in ranks) / len(ranks) for part in ("compute", "communication", "idle")},
        messages=sum(rank["messages"] for rank in ranks),
        bytes=sum(rank["bytes"] for rank in ranks),
        memory=fullest[0],
        forecast_memory=fullest[1],
        checkpoint=checkpoint,
        best=best,
        stopped=stopped,
    )


def show(result: Scored) -> None:
    """A table on stdout, and below it the confusion matrix, where that was asked for."""
    screen = console()
    if screen.width < NARROW:
        screen.print(*_stacked(result.rows()), sep="\n")
    else:
        made = table(("", ""), result.rows())
        made.columns[0].style = "bold"
        screen.print(made)
    if "confusion" in result.figures:
        screen.print(confusion.table(result.figures["confusion"]))


def _stacked(rows: list[tuple[str, str]]) -> Iterator[Any]:
    """A name on a line, its figure below: for where two columns have no room."""
    from rich.padding import Padding
    from rich.text import Text

    for name, figure in rows:
        yield Text(name, "bold")
        yield Padding(Text(figure, overflow="fold"), (0, 0, 0, 2))


def show_json(result: Scored) -> None:
    """One line of JSON on stdout; JSON has no word for infinity or what is not a number, they become null."""
    say_json(result.facts())


def size(count: float) -> str:
    """1.5 MB: bytes in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1000
    return f"{count:.3g} TB"
