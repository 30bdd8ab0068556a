"""A launcher and all its ranks, as one thing that can be watched, told and ended for certain.

A process group is not enough: mpirun gives each rank a group of its own. So the launcher is started as the leader of a
session, and whoever is of that session is found in /proc. The leader is not waited for before the others are gone: its
number, which is the session's, cannot meanwhile become another process's. Ranks on other machines are their launcher's
to end, as they are when there is no supervisor.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ..checkpoint.lease import started
from ..core.errors import PlatformError
from ..mpi.orphan import SET_PARENT_DEATH_SIGNAL
from ..mpi.start import LAUNCHERS

GRACE = 10.0  # seconds that processes have to end after they were asked, or after their launcher ended
TICK = 0.05  # seconds between two looks
PROC = Path("/proc")


class Session:
    """words: the command. It has this process's stdin, stdout and stderr, and ends, by SIGTERM, where this process dies."""

    def __init__(self, words: Sequence[str]):
        if not (PROC / "self" / "stat").exists():
            raise PlatformError(
                "the ranks of a job are found in /proc, which this system lacks", "use shoal run on Linux"
            )
        self.process = subprocess.Popen(words, start_new_session=True, preexec_fn=_bound_to(os.getpid()))
        self.leader = self.process.pid

    @property
    def over(self) -> bool:
        """Whether the launcher has ended; its ranks may not have."""
        return os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def members(self) -> list[int]:
        """The living processes of the session."""
        return [pid for pid in _processes() if _session(pid) == self.leader and started(pid) is not None]

    def ranks(self) -> list[int]:
        """Those members that a launcher has told that they are ranks."""
        told = [f"{name}=".encode() for name in LAUNCHERS if name not in os.environ]
        return [pid for pid in self.members() if any(line.startswith(tuple(told)) for line in _environment(pid))]

    def written(self) -> int:
        """Bytes the launcher has written so far, which is what its ranks said; 0 where the kernel does not count them."""
        with suppress(OSError):
            for line in (PROC / str(self.leader) / "io").read_text().splitlines():
                if line.startswith("wchar:"):
                    return int(line.split()[1])
        return 0

    def send(self, number: int) -> None:
        """A signal to the launcher, who knows which of them are for its ranks."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Ends every process of the session: they are asked, and after GRACE seconds killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            _send(number, self.members())
            if self._empty(GRACE):
                return
        raise PlatformError(
            f"processes {self.members()} do not end, {GRACE:.0f} s after SIGKILL",
            "they wait for a device or a file server: see to that, then continue with --resume",
        )

    def close(self) -> int:
        """Sees that all have ended; the exit code of the launcher, 128 + N where signal N ended it."""
        if not self._empty(GRACE if self.over else 0.0):
            self.end()
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    def _empty(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while members := self.members():
            if time.monotonic() >= until:
                return False
            time.sleep(TICK)
        return not members


def _bound_to(parent: int) -> Callable[[], None]:
    """What a child does before it becomes the command: it asks to be ended with its parent (Linux)."""
    library = ctypes.CDLL(None)

    def bind() -> None:
        library.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it died before that
            os._exit(128 + signal.SIGTERM)

    return bind


def _processes() -> Iterable[int]:
    return (int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit())


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return []


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
