"""The generations of one run folder: which there are, which is the newest to believe, which may go.

Belief comes from manifests alone. `latest` is a convenience for people and scripts: it is written after the manifest,
so it may be one generation behind, and nothing here trusts it. A folder without a manifest is what a killed save
left.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from ..core.errors import CheckpointError
from . import commit, manifest
from .generation import Generation
from .manifest import Manifest

LATEST = "latest"
Reject = Callable[[Path, str], None]  # the folder of a generation that is passed over, and why
START_OVER = "restore a generation from a copy, or start again in another folder"


def place(folder: Path, step: int) -> Path:
    return folder / "generations" / f"step-{step:08d}"


def generations(folder: Path) -> list[Path]:
    """The folders that state a generation, damaged or not; by step, highest first. [] where there is no run folder."""
    return sorted((path.parent for path in Path(folder).glob(f"generations/*/{manifest.NAME}")), reverse=True)


def warn(path: Path, problem: str) -> None:
    logging.getLogger("shoal.checkpoint").warning("%s", problem)


def _ignore(path: Path, problem: str) -> None:
    pass


def readable(folder: Path, reject: Reject = _ignore) -> list[tuple[Manifest, Path]]:
    """The generations whose manifest can be read, the last committed first; the others go to `reject`."""
    found = []
    for path in generations(folder):
        try:
            found.append((manifest.load(path), path))
        except CheckpointError as error:
            reject(path, f"{error.problem}; passing over this generation")
    return sorted(found, key=lambda pair: pair[0].serial, reverse=True)


def newest(folder: Path, reject: Reject = warn) -> Generation | None:
    """The last committed generation that verifies; None where nothing was ever saved.

    Those passed over go to `reject`. If there are some and none verifies, CheckpointError: to start from nothing is
    for a person to decide.
    """
    problems: list[str] = []

    def note(path: Path, problem: str) -> None:
        problems.append(problem)
        reject(path, problem)

    for _, path in readable(folder, note):
        try:
            return Generation(path)
        except CheckpointError as error:
            note(path, f"{error.problem}; falling back to the generation before")
    if problems:
        raise CheckpointError(f"no generation in {folder} can be believed:\n  " + "\n  ".join(problems), START_OVER)
    return None


def open_generation(path: Path | str, reject: Reject = warn) -> Generation:
    """A verified generation without ranks.   path: its folder, or a run folder for its newest that verifies."""
    path = Path(path)
    if (path / manifest.NAME).is_file():
        return Generation(path)
    found = newest(path, reject)
    if found is None:
        raise CheckpointError(f"{path} holds no checkpoint", "give the folder of a run that has saved")
    return found


def prune(folder: Path, keep: int, distrusted: Collection[Path]) -> None:
    """Removes all but the last `keep` generations.   distrusted: found damaged, so they do not count as kept.

    The last committed one is what `latest` names. Generations of an unreadable manifest stay: they may be a newer
    shoal's.
    """
    kept = 0
    for _, path in readable(folder):
        if kept >= keep:
            remove(path)
        kept += path not in distrusted


def remove(path: Path) -> None:
    """Removes a generation, its manifest first: killed half way, it is debris and no damaged generation."""
    (path / manifest.NAME).unlink()
    commit.sync_folder(path)
    commit.boundary(f"{path.name} disowned")
    shutil.rmtree(path)
    commit.boundary(f"{path.name} removed")


def sweep(folder: Path) -> None:
    """Removes what saves that did not finish have left; only for the holder of the lease, between its saves."""
    for path in Path(folder).glob("generations/*/"):
        if not (path / manifest.NAME).exists():
            shutil.rmtree(path, ignore_errors=True)
            continue
        with suppress(CheckpointError, OSError):  # an unreadable manifest: for a person to look at
            listed = {manifest.NAME, *(file.name for file in manifest.load(path).files)}
            for file in path.iterdir():
                if file.name not in listed:
                    file.unlink()
