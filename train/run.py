"""The run folder: all that one run was made of and all that it wrote; no other run ever overwrites it.

    config.toml           the resolved configuration; `shoal train runs/x/config.toml` is the same run again
    environment.jsonl     versions, command line, and which rank sat where (host; node and job of Slurm) with how many threads;
                          one line a start
    events-RANK.jsonl     what happened, by core.events
    trace.json.gz         where the time of some steps went, on all ranks, by train.tracing; only with run.trace
    generations/ ...      checkpoints, by checkpoint.store

A folder that holds a checkpoint belongs to that run: it is continued with resume, or left alone. Nothing is written
before the folder's lease is held and the checkpoint is believed, so a job that is refused leaves no trace; and what
resume is compared with is the configuration inside the checkpoint, which has a checksum, not a file anybody may edit.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from ..checkpoint.commit import publish
from ..checkpoint.history import generations
from ..core.errors import UsageError
from ..core.events import Events
from ..mpi.communicator import Communicator
from . import tables
from .config import Config

PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "mpi4py", "tbb")
SLURM = {"node": "SLURMD_NODENAME", "job": "SLURM_JOB_ID"}


def prepare(config: Config, resume: bool, comm: Communicator) -> Path:
    """The run folder, made if need be; UsageError where it cannot be written, or holds a run and resume is not asked for.

    Collective: where each machine has a folder of its own, rank 0's is the one that holds the run.
    """
    folder = Path(config.run.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".writable-{socket.gethostname()}-{os.getpid()}"
        trial.touch()
        trial.unlink(missing_ok=True)  # ranks as threads share it
    except OSError as error:
        raise UsageError(
            f"the run folder {folder} cannot be written: {error.strerror}", "give run.folder=FOLDER that you may write"
        ) from error
    held = comm.broadcast_obj(comm.rank == 0 and bool(generations(folder)), 0, "run folder")
    if held and not resume:
        raise UsageError(
            f"{folder} holds the checkpoint of an earlier run",
            "pass --resume to continue it, or run.folder=FOLDER to start another",
        )
    return folder


@contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Takes an empty run folder away again where a job ends in an error before it wrote anything."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty, or gone
            folder.rmdir()
        raise


def place(threads: int) -> dict[str, Any]:
    """Where this rank sits, for `record`."""
    named = {key: os.environ[name] for key, name in SLURM.items() if name in os.environ}
    return {"host": socket.gethostname(), "threads": threads, **named}


def record(folder: Path, config: Config, hosts: list[dict[str, Any]], rank: int) -> Events:
    """Rank 0 writes config.toml and adds a line to environment.jsonl; every rank opens its event file."""
    start = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": sys.argv, "versions": versions(), "ranks": hosts}
    try:
        if rank == 0:
            publish(folder / "config.toml", lambda path: path.write_text(tables.write(config), encoding="utf-8"))
            with (folder / "environment.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(start) + "\n")
        return Events(folder, rank)
    except OSError as error:
        problem = f"{error.filename} cannot be written: {error.strerror}"
        raise UsageError(problem, "move it away, or give run.folder=FOLDER that you may write") from error


def versions() -> dict[str, str]:
    """Versions that results may depend on; "" for what is not installed."""
    found = {"shoal": _version(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


def _version() -> str:
    from .. import __version__

    return __version__
