"""mpirun for tests: a child in its own session, with a hard deadline, the whole session killed, stderr by rank.

A test that hangs must neither hang the suite nor leave ranks behind, and must still show what every rank last said.
A process group is not enough: mpirun gives each rank a group of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT_MAY = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_ALLOW_RUN_AS_ROOT": "1",
}
OPTIONS = ("--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx")
TAG = re.compile(r"^\[[^\]]*,(\d+)\]<(stdout|stderr)>: ?(.*)$")


@dataclass
class Finished:
    """code: mpirun's exit code.   out: lines of stdout by rank.   err: (rank, line) of stderr as they came."""

    code: int
    out: dict[int, list[str]]
    err: list[tuple[int, str]]
    text: str

    def said(self, rank: int) -> str:
        return "\n".join(line for r, line in self.err if r == rank)


def launcher() -> str:
    """The mpirun beside this Python, else the one on PATH; a named skip without one, in CI a failure."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found and "Open MPI" in subprocess.run([found, "--version"], capture_output=True, text=True).stdout:
        return found
    reason = "mpirun: Open MPI's mpirun is not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must run its tests", pytrace=False)
    pytest.skip(reason)


def mpich() -> str:
    """The Python of the environment with MPICH's wheel; a named skip without one, in CI a failure."""
    python = os.environ.get("SHOAL_MPICH_PYTHON", f"{sys.prefix}-mpich/bin/python")
    if Path(python).exists():
        return python
    reason = f"MPICH: there is no {python} (make mpich makes it beside .venv, SHOAL_MPICH_PYTHON names another)"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must run its tests", pytrace=False)
    pytest.skip(reason)


def mpirun(
    ranks: int, program: str | Path, *args: str, timeout: float = 90, environment: dict[str, str] | None = None
) -> Finished:
    """Runs a Python program (a file, or its text) on so many ranks."""
    source = [str(program)] if isinstance(program, Path) else ["-c", program]
    return run(
        [launcher(), *OPTIONS, "--output", "tag", "-n", str(ranks), sys.executable, *source, *args],
        timeout,
        {**ROOT_MAY, **(environment or {})},
    )


def run(command: list[str], timeout: float, environment: dict[str, str], cwd: Path | None = None) -> Finished:
    """Runs a command in a session of its own; the test fails, with all that was said, if it takes too long."""
    child = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=cwd,
    )
    try:
        text, _ = child.communicate(timeout=timeout)
    except BaseException as error:  # whatever ends the wait, the test runner's own timeout included, ends the ranks
        for process in session(child.pid):
            os.kill(process, signal.SIGKILL)
        text, _ = child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            pytest.fail(f"did not end within {timeout} s:\n{text}", pytrace=False)
        raise
    return _sorted(child.returncode, text)


def session(leader: int) -> list[int]:
    """The processes of a session, found in /proc (Linux)."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and os.getsid(int(folder.name)) == leader:
                found.append(int(folder.name))
        except ProcessLookupError:
            pass
    return found


def _sorted(code: int, text: str) -> Finished:
    finished = Finished(code, {}, [], text)
    for line in text.splitlines():
        if match := TAG.match(line):
            rank, stream, rest = int(match[1]), match[2], match[3]
            if stream == "stdout":
                finished.out.setdefault(rank, []).append(rest)
            else:
                finished.err.append((rank, rest))
    return finished
