"""A fake mpirun: what shoal run makes of a launcher that ends, hangs or leaves processes behind, without an MPI."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal.checkpoint import lease
from shoal.jobs.command import Command
from shoal.jobs.supervise import Limits, supervise
from shoal.train.config import Config, load

# A launcher that starts nothing: at its n-th start it does the n-th act, and it writes down how it was called. One that
# ends with 0 has trained to the end; os._exit(0) has not.
FAKE = """#!{python} -S
import json, os, pathlib, signal, subprocess, sys, time
here, run = pathlib.Path({here!r}), pathlib.Path({run!r})
run.mkdir(exist_ok=True)
with (here / "starts").open("a") as file: file.write(json.dumps(sys.argv[1:]) + "\\n")
n = len((here / "starts").read_text().splitlines()) - 1
def event(**fields):
    with (run / "events-0.jsonl").open("a") as file: file.write("\\n" + json.dumps(fields) + "\\n")
def step(number): event(event="step", step=number)
def child(text, **more):
    return subprocess.Popen([sys.executable, "-S", "-c", "import os, signal, time\\n" + text], env={{**os.environ, **more}})
def up(*pids): (here / "up.tmp").write_text(" ".join(map(str, [os.getpid(), *pids]))); (here / "up.tmp").rename(here / "up")
try: exec({acts!r}[n])
except SystemExit as end:
    if end.code: raise
event(event="end")
"""


class Launcher:
    """A fake mpirun in `here`, and the run folder that its run would have."""

    def __init__(self, here: Path, *acts: str):
        self.here, self.run, self.program = here, here / "run", here / "mpirun"
        self.program.write_text(FAKE.format(python=sys.executable, here=str(here), run=str(self.run), acts=acts))
        self.program.chmod(0o755)
        self.words = [str(self.program), "-n", "4", "shoal", "train", "digits-cnn", f"run.folder={self.run}"]

    @property
    def starts(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.here / "starts").read_text().splitlines()]

    def config(self, *settings: str) -> Config:
        return load("digits-cnn", [f"run.folder={self.run}", *settings])

    def supervised(self, *settings: str, **limits: Any) -> int:
        return supervise(Command.of([*self.words, *settings]), self.config(*settings), Limits(**limits))

    def in_a_child(self, **more: Any) -> subprocess.Popen[str]:
        """The command shoal run over it, once it is up."""
        command = [sys.executable, "-m", "shoal", "run", "--", *self.words]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, **more)
        assert eventually((self.here / "up").exists)
        return child

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.here / "up").read_text().split()]


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


def gone(pid: int) -> bool:
    return lease.started(pid) is None
