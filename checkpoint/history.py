"""The generations of one run folder: which there are, which is the newest or the best to believe, which may go.

Belief comes from manifests alone, and a manifest says what its generation is worth. `latest` and `best` are a
convenience for people and scripts: they are written after the manifest, so they may be one generation behind, and
nothing here trusts them. A folder without a manifest is what a killed save left. What has another name than shoal gives
is somebody else's, and is neither read nor removed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from ..core.errors import CheckpointError
from . import commit, manifest
from .generation import Generation
from .manifest import Manifest

LATEST, BEST = "latest", "best"
PROBE = ".probe-"  # how the names begin by which private.py finds out who sees the folder
GENERATION = re.compile(r"step-\d{8,}")  # what `place` gives
OURS = re.compile(rf"rank-\d+(-\d+)?\.h5|.*\{commit.TEMPORARY}")  # what a save puts into one
Known = list[tuple[Manifest, Path]]
Reject = Callable[[Path, str], None]  # the folder of a generation that is passed over, and why
Choose = Callable[[Path, Reject], Generation | None]
START_OVER = "restore a generation from a copy, or start again in another folder"


def place(folder: Path, step: int) -> Path:
    return folder / "generations" / f"step-{step:08d}"


def generations(folder: Path) -> list[Path]:
    """The folders that state a generation, damaged or not; by step, highest first. [] where there is no run folder."""
    return [path for path in folders(folder) if (path / manifest.NAME).exists()]


def folders(folder: Path) -> list[Path]:
    """All that a save has made, with a manifest or without; by step, highest first."""
    found = (path for path in Path(folder).glob("generations/*/") if GENERATION.fullmatch(path.name))
    return sorted(found, reverse=True)


def respect(path: Path) -> None:
    """NewerFormat where a newer shoal wrote this generation: not to be passed over for an older one, nor replaced."""
    try:
        manifest.load(path)
    except manifest.NewerFormat:
        raise
    except CheckpointError:
        pass


def warn(path: Path, problem: str) -> None:
    logging.getLogger("shoal.checkpoint").warning("%s", problem)


def _ignore(path: Path, problem: str) -> None:
    pass


def readable(folder: Path, reject: Reject = _ignore) -> Known:
    """The generations whose manifest can be read, the last committed first; the others go to `reject`."""
    found = []
    for path in generations(folder):
        try:
            found.append((manifest.load(path), path))
        except CheckpointError as error:
            reject(path, f"{error.problem}; passing over this generation")
    return sorted(found, key=lambda pair: pair[0].serial, reverse=True)


def by_merit(known: Known) -> Known:
    """Those that have a merit, the best first, of equals the first committed; by the figure that was last given.

    known: the last committed first.   Merits of another figure cannot be compared, so they do not count.
    """
    rows = [(merit[0], -merit[1], one.serial, (one, path)) for one, path in known if (merit := one.merit)]
    return [pair for *_, pair in sorted(row for row in rows if row[0] == rows[0][0])]  # serials differ


def newest(folder: Path, reject: Reject = warn) -> Generation | None:
    """The last committed generation that verifies; None where nothing was ever saved. NewerFormat beside one of those.

    Those passed over go to `reject`. If there are some and none verifies, CheckpointError: to start from nothing is
    for a person to decide.
    """
    return _believable(folder, list, reject, "the generation before")


def best(folder: Path, reject: Reject = warn) -> Generation | None:
    """The generation of most merit that verifies, as `newest`; None where none has a merit."""
    return _believable(folder, by_merit, reject, "the next best")


def _believable(folder: Path, order: Callable[[Known], Known], reject: Reject, other: str) -> Generation | None:
    problems: list[str] = []
    for path in generations(folder):
        respect(path)

    def note(path: Path, problem: str) -> None:
        problems.append(problem)
        reject(path, problem)

    for known, path in order(readable(folder, note)):
        try:
            return Generation(path)
        except CheckpointError as error:
            if not stands(path, known):
                return _believable(folder, order, reject, other)
            note(path, f"{error.problem}; falling back to {other}")
    if problems:
        raise CheckpointError(f"no generation in {folder} can be believed:\n  " + "\n  ".join(problems), START_OVER)
    return None


def stands(path: Path, known: Manifest) -> bool:
    """Whether the generation still is the one that was known: a job that writes here may remove it, or save it again."""
    try:
        return manifest.load(path) == known
    except CheckpointError:
        return (path / manifest.NAME).exists()


def nothing(folder: Path) -> CheckpointError:
    return CheckpointError(f"{folder} holds no checkpoint", "give the folder of a run that has saved")


def open_generation(path: Path | str, reject: Reject = warn, choose: Choose = newest) -> Generation:
    """A verified generation without ranks.   path: its folder, or a run folder to `choose` from: newest or best."""
    path = Path(path)
    if (path / manifest.NAME).is_file():
        return Generation(path)
    found = choose(path, reject)
    if found is None and choose is best and generations(path):
        cure = "leave out --best for the newest one; a run keeps its best with checkpoint.best=loss, or another figure"
        raise CheckpointError(f"{path} holds no checkpoint of which a merit is known", cure)
    if found is None:
        raise nothing(path)
    return found


def point(folder: Path, name: str, path: Path) -> None:
    """Lets RUN/latest or RUN/best name a generation; nothing is written where it does already."""
    pointer, text = folder / name, f"{path.name}\n".encode()
    if not pointer.exists() or pointer.read_bytes() != text:
        commit.publish(pointer, lambda temporary: temporary.write_bytes(text))


def prune(folder: Path, keep: int, distrusted: Collection[Path], spare: Path | None = None) -> None:
    """Removes all but the last `keep` generations and `spare`.   distrusted: found damaged, they do not count as kept.

    The last committed one is what `latest` names. Generations of an unreadable manifest stay: they may be a newer
    shoal's.
    """
    kept = 0
    for _, path in readable(folder):
        if kept >= keep and path != spare:
            remove(path)
        kept += path not in distrusted


def remove(path: Path) -> None:
    """Removes a generation, its manifest first: killed half way, it is debris and no damaged generation.

    Where somebody moved it elsewhere and left a symbolic link, only the link is ours.
    """
    if path.is_symlink():
        path.unlink()
        return
    (path / manifest.NAME).unlink()
    commit.sync_folder(path)
    commit.boundary(f"{path.name} disowned")
    shutil.rmtree(path)
    commit.boundary(f"{path.name} removed")


def sweep(folder: Path) -> None:
    """Removes what a killed job has left; only for the holder of the lease, between its saves."""
    for probe in Path(folder).glob(f"{PROBE}*"):
        probe.unlink(missing_ok=True)
    for path in folders(folder):
        if not (path / manifest.NAME).exists():
            shutil.rmtree(path, ignore_errors=True)
            continue
        with suppress(CheckpointError, OSError):  # an unreadable manifest: for a person to look at
            listed = {manifest.NAME, *(file.name for file in manifest.load(path).files)}
            for file in path.iterdir():
                if file.name not in listed and OURS.fullmatch(file.name):
                    file.unlink()
