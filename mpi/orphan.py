"""Ranks whose launcher is gone end at once: what they would still write, a restarted job is already writing.

A launcher that ends in order ends its ranks first. Killed by SIGKILL or the out-of-memory killer it cannot, and its
ranks train on, unseen, under the lease of a job that for everybody else is dead. So each rank asks the kernel to be killed
with the process that launched it. That is its parent, and one system call does it; or, where a shell or a profiler
stands between, an ancestor, which a thread then waits for. It sleeps in the kernel and needs no timer.

Which ancestor it is the environment tells: the nearest that does not have the variable its launcher sets for ranks.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
from pathlib import Path

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)


def end_with_launcher(variable: str) -> None:
    """From now on this process is killed when its launcher is gone; elsewhere than on Linux nothing happens.

    variable: what this launcher sets in the environment of its ranks and does not have in its own.
    """
    if sys.platform != "linux":
        return
    if (found := launcher(variable)) == os.getppid():
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    else:
        _watch(found)
    if launcher(variable) != found:  # it ended in between, and an heir has this process now
        _end()


def launcher(variable: str) -> int:
    """The nearest ancestor without `variable`; 1 where an heir of a launcher that is gone is the nearest."""
    pid = os.getppid()
    while pid > 1 and _has(pid, variable):
        pid = _parent(pid)
    return pid


def _has(pid: int, variable: str) -> bool:
    """Whether a process was started with `variable`; False for one of another user, as slurmstepd is."""
    try:
        return f"\0{variable}=".encode() in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has just ended
        return 1


def _watch(launcher: int) -> None:
    """A thread that kills this process when `launcher` ends."""
    try:
        handle = os.pidfd_open(launcher)
    except OSError:  # it has ended, which the caller finds out, or the kernel is older than 5.3
        return

    def wait() -> None:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        ended.poll()
        _end()

    threading.Thread(target=wait, name="launcher", daemon=True).start()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
