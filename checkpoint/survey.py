"""What lies in a run folder, good or not, for somebody who looks on: nothing is taken, swept or written.

The job that owns the folder may be writing meanwhile. A generation that it removed or saved again while we read it is
no damage, so a verdict against a generation counts only if its manifest still is the one that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CheckpointError
from . import history, manifest, shard
from .manifest import File, Manifest

Check = Callable[[Path, File], str]  # shard.misfit looks at sizes, shard.damage reads every byte


@dataclass(frozen=True)
class Found:
    """One generation.   manifest: None if it cannot be believed.   problems: what is wrong, with the files' names."""

    path: Path
    manifest: Manifest | None
    problems: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.manifest.files) if self.manifest else 0


def examine(path: Path, check: Check) -> Found | None:
    """The generation in the folder `path`; None if there is none, or none any more."""
    while True:
        try:
            read = manifest.load(path)
        except CheckpointError as error:
            return Found(path, None, (error.problem,)) if (path / manifest.NAME).exists() else None
        problems = tuple(problem for file in read.files if (problem := check(path, file)))
        if not problems or history.stands(path, read):
            return Found(path, read, problems)


def look(folder: Path, check: Check) -> Iterator[Found]:
    """All generations of a run folder, or the one that `folder` is; by step, highest first. CheckpointError if there are none.

    If the job has removed all that were there before we came to them, it has saved others.
    """
    found = False
    while not found and (paths := [folder] if (folder / manifest.NAME).is_file() else history.generations(folder)):
        for path in paths:
            if one := examine(path, check):
                found = True
                yield one
    if not found:
        raise history.nothing(folder)


def survey(folder: Path) -> list[Found]:
    """All generations of a run by their sizes, the last committed first; those of an unreadable manifest, whose age is unknown, last."""
    found = look(folder, shard.misfit)
    return sorted(found, key=lambda one: one.manifest.serial if one.manifest else 0, reverse=True)


def marks(found: list[Found]) -> dict[str, Path]:
    """{"latest": ..., "best": ...} of those without a problem: what a resume and --best would use, as far as was checked."""
    good = [(one.manifest, one.path) for one in found if one.manifest and not one.problems]
    good.sort(key=lambda pair: pair[0].serial, reverse=True)
    ranking = {history.LATEST: good, history.BEST: history.by_merit(good)}
    return {mark: ranked[0][1] for mark, ranked in ranking.items() if ranked}


def unfinished(folder: Path) -> list[Path]:
    """Folders of generations without a manifest: a save that is under way, or what a killed one left."""
    return [path for path in reversed(history.folders(folder)) if not (path / manifest.NAME).exists()]
