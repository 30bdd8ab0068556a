"""The run folder: all that one run was made of and all that it wrote; no other run ever overwrites it.

    config.toml           the resolved configuration; `shoal train runs/x/config.toml` is the same run again
    environment.jsonl     versions, command line, and which rank sat where with how many threads; one line a start
    events-RANK.jsonl     what happened, by core.events
    generations/ ...      checkpoints, by checkpoint.store

A folder that holds a checkpoint belongs to that run: it is continued with resume, or left alone.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from ..checkpoint.history import generations
from ..core.errors import UsageError
from . import tables
from .config import FIXED_BY_CHECKPOINT, Config

PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "mpi4py", "tbb")


def prepare(config: Config, resume: bool) -> Path:
    """The run folder, made if need be; UsageError where it cannot be written or belongs to another run."""
    folder = Path(config.run.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".writable-{socket.gethostname()}-{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise UsageError(
            f"the run folder {folder} cannot be written: {error.strerror}", "give run.folder=FOLDER that you may write"
        ) from error
    if resume:
        _same_run(folder / "config.toml", config)
    elif generations(folder):
        raise UsageError(
            f"{folder} holds the checkpoint of an earlier run",
            "pass --resume to continue it, or run.folder=FOLDER to start another",
        )
    return folder


def record(folder: Path, config: Config, hosts: list[dict[str, Any]]) -> None:
    """Writes config.toml and adds a line to environment.jsonl; rank 0 only."""
    (folder / "config.toml").write_text(tables.write(config), encoding="utf-8")
    start = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": sys.argv, "versions": versions(), "ranks": hosts}
    with (folder / "environment.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(start) + "\n")


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


def _same_run(file: Path, config: Config) -> None:
    """UsageError if the folder's run differs in what its checkpoint stands for."""
    if not generations(file.parent) or not file.is_file():
        return
    then = tables.flat(tables.read(Config, tomllib.loads(file.read_text(encoding="utf-8"))))
    now = tables.flat(config)
    for key in FIXED_BY_CHECKPOINT:
        if then[key] != now[key]:
            raise UsageError(
                f"{file.parent} was trained with {key} = {then[key]!r}, this run has {now[key]!r}",
                f"give {key}={then[key]}, or run.folder=FOLDER to start another",
            )
