"""The lease: one job writes into a run folder, and a job that died does not block the next.

A lock that a file system keeps would be simpler, and many shared ones keep none. So the lease is a file that says who
holds it (host, pid, the process's start time, a token nobody else has), and is

    taken      by a hard link to a file that is complete, which fails where the name exists
    inherited  from a dead holder by whoever takes, in the same way, a lease on doing so: lease.json.TOKEN, for the
               dead one's token, which then gets the name lease.json. Of two heirs one is late, and sees it
    checked    at every commit: the token must still be ours
    touched    every BEAT seconds by its holder
    abandoned  same host: no process of that pid and start time (a pid may be used again, the pair is not)
               other host: not touched for STALE seconds, both times by the file server's clock
"""

from __future__ import annotations

import errno
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
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # what file systems without hard links answer


class Lease:
    """The right to write into `folder`, held from creation to release().   inherited: from a job that died.

    CheckpointError if another living job holds it; OSError if the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.token = secrets.token_hex(8)
        self.inherited = False
        self._private = self.path.with_name(f"{NAME}.{self.token}{commit.TEMPORARY}")
        self._take()
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="lease", daemon=True).start()

    def _take(self) -> None:
        pid = os.getpid()
        record = {"host": socket.gethostname(), "pid": pid, "start": started(pid), "token": self.token}
        try:
            self._private.write_text(json.dumps(record) + "\n", encoding="utf-8")
            self._acquire(self.path)
            self._tidy()
        finally:
            self._private.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Removes what jobs that were killed while they took the lease have left."""
        for path in self.path.parent.glob(f"{NAME}.*"):
            with suppress(FileNotFoundError):
                if self._abandoned(path, _holder(path)):
                    path.unlink()

    def _acquire(self, path: Path) -> None:
        """Makes the lease `path` ours; CheckpointError if it has a living holder, or another heir was faster."""
        try:
            self._name(path)
            return
        except FileExistsError:
            dead = _holder(path)
            if not self._abandoned(path, dead):
                raise self._refusal("is in use by another job", path) from None
        right = self.path.with_name(f"{NAME}.{dead.get('token', 'unknown')}")
        self._acquire(right)
        commit.boundary(f"{NAME} inherited")
        if _holder(path) != dead:
            right.unlink()
            raise self._refusal("is in use by another job", path)
        right.replace(path)
        self.inherited = True
        commit.boundary(f"{NAME} renamed")

    def _name(self, path: Path) -> None:
        """Gives the private file the lease's name if it is free: an empty lease would keep everybody out."""
        try:
            path.hardlink_to(self._private)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            path.touch(exist_ok=False)
            self._private.replace(path)

    def _abandoned(self, path: Path, holder: dict[str, Any]) -> bool:
        return _abandoned(path, holder, self._private)

    def _refusal(self, what: str, path: Path) -> CheckpointError:
        holder = _holder(path) or _holder(self.path)  # an heir has just moved from the one to the other
        who = f"process {holder['pid']} on {holder['host']}" if holder else "a job that does not say who it is"
        return CheckpointError(
            f"{self.path.parent} {what}: {who}",
            f"end that job, or use another folder; if it is dead, the lease is free {STALE:.0f} s after its last sign "
            f"of life, or when you remove {self.path}",
        )

    def held(self) -> bool:
        return _holder(self.path).get("token") == self.token

    def check(self) -> None:
        """CheckpointError if the lease is no longer ours, or if that cannot be known."""
        try:
            holder = _read(self.path)
        except FileNotFoundError:
            raise CheckpointError(
                f"{self.path} was removed: another job may be writing here", "leave it there while this job runs"
            ) from None
        except OSError as error:
            raise CheckpointError(
                f"{self.path} cannot be read, so nobody knows whose it is: {error}",
                "start again once the folder can be read; earlier generations are untouched",
            ) from error
        if holder.get("token") != self.token:
            raise self._refusal("was taken over by another job", self.path)

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


def free(folder: Path) -> bool:
    """Whether a job that starts now would get the lease of `folder`; it is not taken, so its heir still learns of the death."""
    path, clock = folder / NAME, folder / f"{NAME}.{secrets.token_hex(8)}{commit.TEMPORARY}"
    try:
        return not path.exists() or _abandoned(path, _holder(path), clock)
    finally:
        clock.unlink(missing_ok=True)


def _abandoned(path: Path, holder: dict[str, Any], clock: Path) -> bool:
    """Whether the holder of a lease is dead.   clock: a file beside it, ours to touch."""
    if holder.get("host") == socket.gethostname():
        return not (_alive(holder["pid"]) and started(holder["pid"]) == holder["start"])
    return _silence(path, clock) > STALE


def _silence(path: Path, clock: Path) -> float:
    """Seconds since the holder last touched a lease, by the clock of the machine that keeps the folder."""
    clock.touch()
    return clock.stat().st_mtime - path.stat().st_mtime


def _holder(path: Path) -> dict[str, Any]:
    """_read; {} where there is no lease, or none that can be read."""
    try:
        return _read(path)
    except OSError:
        return {}


def _read(path: Path) -> dict[str, Any]:
    """What the lease says of its holder; {} if it is no lease. OSError if it cannot be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        lease = isinstance(record["pid"], int) and record["token"].isalnum() and {"host", "start"} <= record.keys()
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return record if lease else {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
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
