"""The last word of a run: one table for a person, the same figures as JSON for a machine.

Messages and bytes are what all ranks sent; the time is that of the slowest rank, because the others waited for it;
compute, communication and idle are the mean over the ranks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ..core.events import finite
from ..mpi.communicator import Communicator
from ..mpi.strategy import Report
from .pace import Pace, clock
from .terminal import console


@dataclass(frozen=True)
class Summary:
    """seconds: of training, without start-up and evaluation.   compute, communication, idle: fractions of them."""

    accuracy: float
    test_loss: float
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
    checkpoint: str

    def rows(self) -> list[tuple[str, str]]:
        """(what, figure) as the table shows them."""
        per_rank = f"{self.ranks} ranks" if self.ranks > 1 else "1 rank"
        busy = f"compute {self.compute:.0%}, communication {self.communication:.0%}, idle {self.idle:.0%}"
        return [
            ("test accuracy", f"{self.accuracy:.2%}"),
            ("test loss", f"{self.test_loss:.4f}"),
            ("training loss", f"{self.loss:.4f}"),
            ("steps", f"{self.steps:,}"),
            ("training time", f"{clock(self.seconds)} ({self.seconds:.1f} s) on {per_rank}"),
            ("speed", f"{self.samples_per_second:,.0f} samples/s"),
            ("time spent", busy),
            ("sent", f"{self.messages:,} messages, {size(self.bytes)}"),
            ("checkpoint", self.checkpoint),
        ]


def summarise(comm: Communicator, pace: Pace, test: Report, checkpoint: str) -> Summary:
    """The figures of the whole job; a collective call."""
    counters = comm.counters
    mine = {"seconds": pace.seconds, "messages": counters.messages, "bytes": counters.bytes, **pace.shares()}
    ranks = comm.allgather_obj(mine, "summary")
    slowest = max(ranks, key=lambda rank: rank["seconds"])
    return Summary(
        accuracy=test.right / test.mass,
        test_loss=test.loss,
        loss=pace.loss,
        steps=pace.done,
        ranks=comm.size,
        seconds=slowest["seconds"],
        samples_per_second=pace.samples / slowest["seconds"] if slowest["seconds"] else 0.0,
        **{part: sum(rank[part] for rank in ranks) / len(ranks) for part in ("compute", "communication", "idle")},
        messages=sum(rank["messages"] for rank in ranks),
        bytes=sum(rank["bytes"] for rank in ranks),
        checkpoint=checkpoint,
    )


def show(rows: list[tuple[str, str]]) -> None:
    """A table on stdout."""
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_json(figures: Any) -> None:
    """One line of JSON on stdout; JSON has no word for infinity or what is not a number, they become null."""
    print(json.dumps(finite(asdict(figures))), flush=True)


def size(count: float) -> str:
    """1.5 MB: bytes in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1000
    return f"{count:.3g} TB"
