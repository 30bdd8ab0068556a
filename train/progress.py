"""Progress: rank 0 speaks, in a bar where a person looks and in few plain lines where a file listens.

`terminal.py` tells which it is, under mpirun too; SHOAL_PROGRESS or --progress ("bar", "lines", "none") overrides it.
Progress goes to stderr: stdout is for results.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Literal, get_args

from ..core.errors import UsageError
from .pace import Pace, clock
from .terminal import console, redrawn, width

Mode = Literal["auto", "bar", "lines", "none"]
LINE_EVERY = 100  # steps between plain lines
SHORTEST = 5  # columns of a bar


class Silent:
    """Says nothing: every rank but 0."""

    compiled = made_ready = 0

    def say(self, text: str) -> None:
        """One line that stays."""

    def prepare(self) -> None:
        """The warm-up begins."""
        self.since = time.perf_counter()

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        """A kernel is about to be made ready (seconds None), or is; a listener of kernels.cpu.compile."""
        if seconds is not None:
            self.made_ready, self.compiled = self.made_ready + 1, self.compiled + (not from_cache)

    def kernels(self) -> str:
        """How many are ready; what this rank did not compile came from the cache, or from a rank that it waited for."""
        return f"{self.made_ready} kernels ready, {self.compiled} compiled by this rank"

    def ready(self) -> None:
        """The warm-up is over, training begins."""

    def step(self, epoch: str, pace: Pace) -> None:
        """Steps were done."""

    def close(self) -> None:
        """No more is coming."""


class Lines(Silent):
    """Plain lines: one per LINE_EVERY steps, and those that stay."""

    announced = False

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        if seconds is not None and (not from_cache or seconds > 1) and not self.announced:  # or it waited for a rank
            self.announced = True
            self.say("compiling kernels for this CPU, which is done once ...")
        super().made(name, seconds, from_cache)

    def ready(self) -> None:
        seconds = time.perf_counter() - self.since
        self.say(f"ready after {seconds:.1f} s" + (f"; {self.kernels()}" if self.made_ready else ""))

    def step(self, epoch: str, pace: Pace) -> None:
        if pace.done % LINE_EVERY == 0:
            self.say(f"{epoch}, step {pace.done}/{pace.total}: {pace}")


class Bar(Lines):
    """A live bar of one line; what is said stays above it. Of its notes the first are shown, as many as there is room for."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[note]}"))
        screen = console(stderr=True, force=True)
        self.live = Progress(*columns, console=screen, auto_refresh=False, expand=True)
        self.task = self.live.add_task("", total=None, note="")
        self.drawn = 0.0

    def say(self, text: str) -> None:
        self._fit()
        self.live.console.print(text, highlight=False, markup=False)

    def prepare(self) -> None:
        super().prepare()
        self.live.start()
        self.live.console.show_cursor(True)  # a job that is killed could not bring it back
        self._draw("warm-up", None, 0, [], now=True)

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        Silent.made(self, name, seconds, from_cache)
        notes, began = [f"{self.made_ready} kernels ready", f"{self.compiled} compiled"], seconds is None
        self._draw("warm-up", None, 0, [*notes, f"now {name}"] if began else notes, now=began)

    def ready(self) -> None:
        super().ready()
        self._draw("first step", None, 0, [], now=True)  # it may be a slow one

    def step(self, epoch: str, pace: Pace) -> None:
        busy = " ".join(f"{name[:4]} {share:.0%}" for name, share in pace.shares().items())
        notes = [f"loss {pace.loss:.4f}", f"{clock(pace.left)} left", f"{pace.speed:,.0f}/s", busy]
        self._draw(epoch, pace.total, pace.done, notes, now=pace.done == pace.total)

    def close(self) -> None:
        self.live.stop()

    def _draw(self, text: str, total: int | None, done: int, notes: list[str], now: bool) -> None:
        """Ten times a second is enough for an eye, and a thread that redraws would take time from the kernels."""
        if now or time.perf_counter() - self.drawn > 0.1:
            self.drawn = time.perf_counter()
            self._fit()
            note = first(notes, self.live.console.width - len(text) - SHORTEST - 2)
            self.live.update(self.task, description=text, total=total, completed=done, note=note, refresh=True)

    def _fit(self) -> None:
        """Windows are resized, and a line that is wider than its window cannot be drawn again in place."""
        self.live.console.width = width(2) or self.live.console.width


def first(notes: list[str], room: int) -> str:
    """The first of the notes, two spaces between them: as many as fit into so many columns."""
    shown = ""
    for note in notes:
        longer = f"{shown}  {note}" if shown else note
        if len(longer) > room:
            break
        shown = longer
    return shown


def screen(mode: str | None, rank: int) -> Silent:
    """What this rank shows: mode, else SHOAL_PROGRESS, else by what is at the other end of stderr."""
    mode = mode or os.environ.get("SHOAL_PROGRESS") or "auto"
    if mode not in get_args(Mode):
        raise UsageError(f'progress "{mode}" is not known', f"use one of {', '.join(get_args(Mode))}")
    if rank or mode == "none":
        return Silent()
    return Bar() if mode == "bar" or (mode == "auto" and redrawn()) else Lines()
