"""A question and its answer: ok, bad or note, one line each, with a cure.

Bad is what ends a start, spoils it, or makes it slower than the machine is: each has a cure, and one is enough for exit
code 3. A note is worth knowing and nobody's fault, such as a GPU that nothing uses: it may have a cure and fails nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...core.errors import PlatformError
from ...mpi.communicator import Communicator
from ..terminal import console, say_json

STYLES = {"ok": "green", "bad": "bold red", "note": "yellow"}


@dataclass(frozen=True)
class Check:
    """name: the question.   found: the answer.   cure: what to do.   state: "ok", "bad" or "note"."""

    name: str
    found: str
    cure: str = ""
    state: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", self.state or ("bad" if self.cure else "ok"))

    @property
    def ok(self) -> bool:
        return self.state != "bad"


note = partial(Check, state="note")


@dataclass(frozen=True)
class Rank:
    """Where a rank is.   cores: in its mask.   given: in that of its launcher, which gave it `cores` of them."""

    host: str
    cores: frozenset[int]
    given: frozenset[int]


@dataclass(frozen=True)
class Case:
    """What is looked at: this start.

    folder: where runs will be kept.   launcher: the variable of who started this (mpi/start.py), "" for nobody.
    refused: why the ranks that were launched have no communicator.   threads: of this rank.   mpi: facts of mpi/world/ask.py.
    """

    comm: Communicator
    folder: Path
    launcher: str
    refused: PlatformError | None
    ranks: list[Rank]
    threads: int
    mpi: Mapping[str, Any]

    def here(self) -> list[Rank]:
        """The ranks of this machine."""
        host = self.ranks[self.comm.rank].host
        return [rank for rank in self.ranks if rank.host == host]


Question = Callable[[Case], list[Check]]


def show(checks: list[Check]) -> None:
    """One line each on stdout."""
    from rich.text import Text

    screen = console()
    for check in checks:
        line = Text.assemble((f"{check.state:4} ", STYLES[check.state]), f"{check.name}: ")
        screen.print(line.append(check.found), soft_wrap=True)
        if check.cure:
            screen.print(Text(f"     cure: {check.cure}"), soft_wrap=True)


def show_json(checks: list[Check]) -> None:
    """One line of JSON on stdout: {"ok": ..., "checks": [{"name", "found", "cure", "state", "ok"}, ...]}."""
    say_json(
        {"ok": all(check.ok for check in checks), "checks": [{**asdict(check), "ok": check.ok} for check in checks]}
    )
