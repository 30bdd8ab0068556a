"""The manifest: what a generation holds, in JSON that a person can read and that vouches for every byte.

It carries the size and sha256 of each file, and its own sha256 over its content, so a damaged manifest is never taken
for a true one. `serial` counts commits: after a fall back to an older generation, steps repeat and serials do not, so
the newest generation is the one of the highest serial.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import CheckpointError
from .slices import Slice

Merit = tuple[str, float]
NAME = "manifest.json"
FORMAT = "shoal generation"
VERSION = 1  # of the layout on disk; a reader refuses a higher one. In all of them "version" and "sha256" mean the same


class NewerFormat(CheckpointError):
    """A manifest that is whole, and of a format that this shoal does not know."""


@dataclass(frozen=True)
class File:
    """One file of a generation.   bytes: its size.   sha256: of the whole file.   slices: what it holds."""

    name: str
    bytes: int
    sha256: str
    slices: tuple[Slice, ...]

    def fields(self) -> dict[str, Any]:
        tensors = [one.fields() for one in self.slices]
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256, "tensors": tensors}

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> File:
        slices = tuple(Slice.parse(one) for one in fields["tensors"])
        return cls(fields["name"], fields["bytes"], fields["sha256"], slices)


@dataclass(frozen=True)
class Manifest:
    """serial: commits before this one in the folder, plus 1.   ranks: of the job that wrote it.   written: UTC time.

    meta: the facts of the State, as given.   merit: (figure, value), the larger the better; what `best` goes by.
    """

    serial: int
    step: int
    ranks: int
    written: str
    meta: dict[str, Any]
    files: tuple[File, ...]
    merit: Merit | None = None

    def slices(self, name: str) -> Iterator[tuple[File, Slice]]:
        """Every stored slice of one logical tensor and the file it is in."""
        return ((file, one) for file in self.files for one in file.slices if one.name == name)

    def text(self) -> str:
        body = {
            "format": FORMAT,
            "version": VERSION,
            "shoal": __version__,
            "serial": self.serial,
            "step": self.step,
            "ranks": self.ranks,
            "written": self.written,
            "merit": self.merit,
            "meta": self.meta,
            "files": [file.fields() for file in self.files],
        }
        return _lines({**body, "sha256": _digest(body)}) + "\n"


def load(folder: Path) -> Manifest:
    """The manifest of the generation in `folder`; CheckpointError, naming the file, if it is not to be believed.

    NewerFormat where that is no damage.
    """
    path = folder / NAME
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        version, digest = body["version"], body.pop("sha256")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error
    if digest != _digest(body):
        raise CheckpointError(f"{path} is damaged: its content does not have the sha256 it states")
    if version != VERSION:
        cure = "use the shoal that wrote it, or a newer one; or move that generation away to go on without it"
        raise NewerFormat(f"{path} has format version {version}, this shoal reads {VERSION}", cure)
    files = tuple(File.parse(fields) for fields in body["files"])
    merit = tuple(body["merit"]) if body.get("merit") else None  # older manifests do not speak of it
    return Manifest(body["serial"], body["step"], body["ranks"], body["written"], body["meta"], files, merit)


def check_meta(meta: dict[str, Any]) -> None:
    """CheckpointError unless json gives these facts back as they are, and "step" is one of them."""
    if not isinstance(meta.get("step"), int):
        raise CheckpointError(f"a state needs its step as a fact; its facts are {sorted(meta)}")
    try:
        json.dumps(meta)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the facts of a state must be what json can hold: {error}") from error
    if number := _number_as_key(meta):
        raise CheckpointError(f"the facts of a state have the key {number}, which json would make a text")


def _number_as_key(value: Any) -> str:
    if isinstance(value, dict):
        found = [repr(key) for key in value if not isinstance(key, str)] + [_number_as_key(v) for v in value.values()]
    elif isinstance(value, list | tuple):
        found = [_number_as_key(v) for v in value]
    else:
        return ""
    return next(filter(None, found), "")


def _lines(value: Any, depth: int = 0) -> str:
    """JSON with one line for each tensor, which lies four levels deep."""
    if depth == 4 or not value or not isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(one, depth + 1)}" for key, one in value.items()]
    else:
        parts = [_lines(one, depth + 1) for one in value]
    inner = ",\n".join(" " * (depth + 1) + part for part in parts)
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{inner}\n{' ' * depth}{right}"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
