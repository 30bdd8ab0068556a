"""Progress: rank 0 speaks, in a bar where a person looks and in few plain lines where a file listens.

Under mpirun a rank's output is a pipe although a person looks at the launcher's terminal. So the question "is this a
terminal?" is also asked of the parent process, which on one machine is the launcher; SHOAL_PROGRESS or --progress
("bar", "lines", "none") overrides the answer. Progress goes to stderr: stdout is for results.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Literal, get_args

from ..core.errors import UsageError
from .pace import Pace

Mode = Literal["auto", "bar", "lines", "none"]
LINE_EVERY = 100  # steps between plain lines


class Silent:
    """Says nothing: every rank but 0."""

    compiled = loaded = 0

    def say(self, text: str) -> None:
        """One line that stays."""

    def prepare(self) -> None:
        """The warm-up begins."""
        self.since = time.perf_counter()

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        """A kernel is about to be made ready (seconds None), or is; a listener of kernels.cpu.compile."""
        if seconds is not None:
            self.loaded, self.compiled = self.loaded + from_cache, self.compiled + (not from_cache)

    def begin(self, pace: Pace) -> None:
        """The warm-up is over, training begins."""

    def step(self, epoch: str, pace: Pace) -> None:
        """Steps were done."""

    def close(self) -> None:
        """No more is coming."""


class Lines(Silent):
    """Plain lines: one per LINE_EVERY steps, and those that stay."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        if seconds is not None and not from_cache and not self.compiled:
            self.say("compiling kernels for this CPU, which is done once ...")
        super().made(name, seconds, from_cache)

    def begin(self, pace: Pace) -> None:
        self.say(self.readiness())

    def readiness(self) -> str:
        seconds = time.perf_counter() - self.since
        return f"kernels ready after {seconds:.1f} s: {self.compiled} compiled, {self.loaded} loaded"

    def step(self, epoch: str, pace: Pace) -> None:
        if pace.done % LINE_EVERY == 0:
            self.say(f"{epoch}, step {pace.done}/{pace.total}: {pace}")


class Bar(Lines):
    """A live bar of one line; what is said stays above it."""

    def __init__(self, width: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True, force_terminal=True, width=width)
        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[note]}"))
        self.live = Progress(*columns, console=console, auto_refresh=False, expand=True)
        self.task = self.live.add_task("", total=None, note="")
        self.drawn = 0.0
        self.live.start()

    def say(self, text: str) -> None:
        self.live.console.print(text, highlight=False, markup=False)

    def prepare(self) -> None:
        super().prepare()
        self._draw("warm-up", None, 0, "", now=True)

    def made(self, name: str, seconds: float | None, from_cache: bool) -> None:
        Silent.made(self, name, seconds, from_cache)
        note = f"{self.compiled} kernels compiled, {self.loaded} loaded" + (f", now {name}" if seconds is None else "")
        self._draw("warm-up", None, 0, note, now=seconds is None)

    def step(self, epoch: str, pace: Pace) -> None:
        busy = f"comp {pace.shares()['compute']:.0%} comm {pace.shares()['communication']:.0%}"
        note = f"loss {pace.loss:.4f}  {pace.speed:,.0f}/s  {busy}  {clock_left(pace)}"
        self._draw(epoch, pace.total, pace.done, note, now=pace.done == pace.total)

    def close(self) -> None:
        self.live.stop()

    def _draw(self, text: str, total: int | None, done: int, note: str, now: bool) -> None:
        """Ten times a second is enough for an eye, and a thread that redraws would take time from the kernels."""
        if now or time.perf_counter() - self.drawn > 0.1:
            self.drawn = time.perf_counter()
            self.live.update(self.task, description=text, total=total, completed=done, note=note, refresh=True)


def screen(mode: str | None, rank: int) -> Silent:
    """What this rank shows: mode, else SHOAL_PROGRESS, else by what is at the other end of stderr."""
    mode = mode or os.environ.get("SHOAL_PROGRESS") or "auto"
    if mode not in get_args(Mode):
        raise UsageError(f'progress "{mode}" is not known', f"use one of {', '.join(get_args(Mode))}")
    if rank or mode == "none":
        return Silent()
    width = terminal_width()
    return Bar(width) if mode == "bar" or (mode == "auto" and width) else Lines()


def terminal_width() -> int | None:
    """Columns of the terminal behind stderr, or behind the launcher's stderr; None where there is none."""
    launched = any(name in os.environ for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"))
    for place in ["/proc/self/fd/2"] + ([f"/proc/{os.getppid()}/fd/2"] if launched else []):
        try:
            target = os.readlink(place)
            if not target.startswith(("/dev/pts/", "/dev/tty")):
                continue
            with open(target, "rb", buffering=0) as terminal:
                return os.get_terminal_size(terminal.fileno()).columns or 80
        except OSError:
            continue
    return None
