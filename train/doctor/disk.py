"""Where runs and compiled kernels will be kept: who sees the folder, what keeps it, how fast it makes bytes durable.

Nobody is asked what kind of folder it is; it is tried, by the means of checkpoint/private.py. Only rank 0 measures: where
ranks do not share a folder it is rank 0's that checkpoints go to.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...checkpoint import private
from ...checkpoint.agreement import on_rank_0
from .check import Case, Check, note

NETWORK = re.compile(
    r"nfs|lustre|gpfs|cifs|smb|beegfs|ceph|panfs|weka|afs|9p|gluster|orangefs|pvfs|glusterfs|fuse\.(sshfs|glusterfs|ceph|s3fs|juicefs)"
)
MEMORY = ("tmpfs", "ramfs", "rootfs")
FULL, TIGHT = 100 << 20, 1 << 30  # bytes free: no run fits, a large one may not
SLOW = 0.5  # seconds of an fsync: a save in the background hides it


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((path for path in (folder, *folder.parents) if os.access(path, os.F_OK)), Path())


def folder(case: Case) -> list[Check]:
    """Whether all ranks see what one writes, and how much more there is room for. Collective."""
    blind = private.blind(case.comm, nearest(case.folder))
    path, free = on_rank_0(case.comm, "doctor folder", lambda: _room(nearest(case.folder)))
    found = f"{path}, {free / 1e9:,.1f} GB free"
    if free < FULL:
        return [Check("run folder", found, "free space there, or give run.folder=FOLDER elsewhere")]
    if blind:
        ranks = f"{len(blind)} of {case.comm.size} ranks do not see what rank 0 writes there"
        return [note("run folder", f"{found}; {ranks}: rank 0 will write for all", "a folder that all machines see")]
    shared = f", shared by all {case.comm.size} ranks" if case.comm.size > 1 else ""
    return [Check("run folder", found + shared, state="note" if free < TIGHT else "ok")]


def _room(path: Path) -> tuple[str, int]:
    return str(path.absolute()), shutil.disk_usage(path).free


def speed(case: Case) -> list[Check]:
    """Kind of the file system, seconds to make a small file durable, and whether it has locks. Collective."""
    told = on_rank_0(case.comm, "doctor disk", lambda: _tried(nearest(case.folder)))
    kind = f"{told['kind']}{' (memory: gone when the machine is off)' if told['kind'] in MEMORY else ''}"
    kind += " (network)" if NETWORK.match(told["kind"]) else ""
    locks = "has file locks" if told["locks"] else "has no file locks: shoal needs none"
    found = f"{kind} at {told['mount']}, fsync of 4 kB in {1e3 * told['fsync']:.1f} ms, {locks}"
    if told["fsync"] > SLOW:
        return [note("disk", found, "checkpoint.background = true, and saves further apart")]
    return [Check("disk", found, state="note" if told["kind"] in MEMORY else "ok")]


def _tried(path: Path) -> dict[str, Any]:
    mount, kind = mounted(path, Path("/proc/self/mounts").read_text().splitlines())
    with tempfile.NamedTemporaryFile(dir=path, prefix=".probe-") as file:
        seconds = []
        for _ in range(3):
            file.write(bytes(4096))
            began = time.perf_counter()
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
        return {"mount": mount, "kind": kind, "fsync": sorted(seconds)[1], "locks": _locks(file.fileno())}


def _locks(file: int) -> bool:
    """Both kinds, as HDF5 wants them."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def mounted(path: Path, mounts: Iterable[str]) -> tuple[str, str]:
    """(mount point, kind) of the file system that keeps `path`.   mounts: the lines of /proc/self/mounts."""
    found = Path("/"), "unknown"
    for line in mounts:
        _, point, kind, *_ = line.split()
        place = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point))
        if path.resolve().is_relative_to(place) and len(place.parts) >= len(found[0].parts):
            found = place, kind
    return str(found[0]), found[1]


def cache(case: Case) -> list[Check]:
    """Where compiled kernels are kept, what is there, and whether other machines may use it too."""
    from ...kernels.cpu.compile import folder as kernels

    path = kernels()
    if path is None:
        found = "no folder can be written, every start compiles again"
        return [Check("kernel cache", found, "set SHOAL_CACHE_DIR to a folder you may write")]
    kind = mounted(path, Path("/proc/self/mounts").read_text().splitlines())[1]
    who = "shared by the machines that mount it" if NETWORK.match(kind) else "this machine's own"
    mine, all_ = _bytes(path), _bytes(path.parent)
    more = f"; {(all_ - mine) / 1e6:.0f} MB of other versions beside it may be deleted" if all_ - mine > 1e9 else ""
    count = sum(1 for _ in path.rglob("*.nbi"))
    return [Check("kernel cache", f"{path}, {count} kernels, {mine / 1e6:.0f} MB, {kind}, {who}{more}")]


def _bytes(path: Path) -> int:
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
            except OSError:  # another process tidies
                continue
    return total
