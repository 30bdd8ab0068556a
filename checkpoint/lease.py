"""The lease: one job writes into a run folder, and a job that died does not block the next.

A lock that a file system keeps would be simpler, and many shared ones keep none. So the lease is a file that says who
holds it (host, pid, the process's start time, a token nobody else has), and is

    taken      by creating it exclusively
    checked    at every commit: the token must still be ours
    touched    every BEAT seconds by its holder
    abandoned  same host: no process of that pid and start time (a pid may be used again, the pair is not)
               other host: not touched for STALE seconds, both times by the file server's clock
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError
from . import commit

NAME = "lease.json"
BEAT = 15.0  # seconds
STALE = 120.0  # seconds: eight beats missed


class Lease:
    """The right to write into `folder`, held from creation to release().

    CheckpointError if another living job holds it; OSError if the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.token = secrets.token_hex(8)
        self._take()
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="lease", daemon=True).start()

    def _take(self) -> None:
        pid = os.getpid()
        record = {"host": socket.gethostname(), "pid": pid, "start": started(pid), "token": self.token}
        text = json.dumps(record) + "\n"
        try:
            file = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            if not self._abandoned():
                raise self._refusal("is in use by another job") from None
            commit.publish(self.path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            return
        try:
            with file:
                file.write(text)
        except OSError:  # a full disk: an empty lease would keep everybody out
            self.path.unlink(missing_ok=True)
            raise

    def _abandoned(self) -> bool:
        holder = _holder(self.path)
        if holder.get("host") == socket.gethostname():
            return not (_alive(holder["pid"]) and started(holder["pid"]) == holder["start"])
        return self._silence() > STALE

    def _silence(self) -> float:
        """Seconds since the holder last touched the lease, by the clock of the machine that keeps the folder."""
        probe = self.path.with_name(f"{NAME}.{self.token}{commit.TEMPORARY}")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now - self.path.stat().st_mtime

    def _refusal(self, what: str) -> CheckpointError:
        holder = _holder(self.path)
        who = f"process {holder['pid']} on {holder['host']}" if holder else "a job that does not say who it is"
        return CheckpointError(
            f"{self.path.parent} {what}: {who}",
            f"end that job, or use another folder; if it is dead, the lease is free {STALE:.0f} s after its last sign "
            f"of life, or when you remove {self.path}",
        )

    def held(self) -> bool:
        return _holder(self.path).get("token") == self.token

    def check(self) -> None:
        """CheckpointError if the lease is no longer ours."""
        if not self.held():
            raise self._refusal("was taken over by another job")

    def _beat(self) -> None:
        """Touches the lease until it names somebody else; one that cannot be read for a moment is still ours."""
        while not self._released.wait(BEAT) and _holder(self.path).get("token", self.token) == self.token:
            with suppress(OSError):
                os.utime(self.path)

    def release(self) -> None:
        """Gives the folder free, if it is still ours."""
        self._released.set()
        if self.held():
            self.path.unlink()


def _holder(path: Path) -> dict[str, Any]:
    """What the lease says of its holder; {} while it is being written, and where there is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and {"host", "pid", "start", "token"} <= record.keys() else {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where it has ended, or /proc does not exist."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])  # field 22 of proc(5); Z, X: dead, not yet waited for
