"""Resume: what a checkpoint fixes, what a resumed run may change, and that it says so.

Weights, the optimizer's state and the position in the data mean something only beside the settings they were made with: those
are fixed, and another value is an error that names it. All other settings are the user's to change, ranks and meshes with
them, and one line says which did, so that nobody has to compare two files to know why a curve bends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..checkpoint.shared import SharedGeneration
from ..core.errors import DataError, UsageError
from ..core.partition import Partition
from ..optim import Optimizer
from . import tables
from .build import Job, optimizer
from .config import FIXED_BY_CHECKPOINT, Config
from .parallel import mesh

# where a run lies, who watches it, how it once started
BESIDE = ("run.folder", "run.trace", "model.weights", "model.fresh")


def compare(generation: SharedGeneration, job: Job) -> list[str]:
    """What a user must know of the differences between a run that was saved and this job, which is to continue it.

    Raises as `same_run` does.
    """
    same_run(
        generation.path, generation.meta, job.config, job.dataset.digest, job.config.train.epochs * len(job.sampler)
    )
    then = tables.read(Config, generation.meta["config"])
    saved, given = tables.flat(then), tables.flat(job.config)
    changes = [f"ranks {generation.ranks} -> {job.comm.size}"] * (generation.ranks != job.comm.size)
    differ = [key for key in given if key not in BESIDE and saved[key] != given[key]]
    changes += [f"{key} {tables.toml(saved[key])} -> {tables.toml(given[key])}" for key in differ]
    lines = ["changed since the checkpoint: " + ", ".join(changes)] * bool(changes)
    if job.strategy.normalises and seen_at_once(then, generation.ranks) != seen_at_once(job.config, job.comm.size):
        lines.append(
            "normalisation sees other parts of each batch than before: this is not what the run uncut would compute"
        )
    return lines


def same_run(path: Path, meta: Mapping[str, Any], config: Config, digest: str, steps: int) -> None:
    """UsageError or DataError where a checkpoint's weights, slots or position would mean something else to this run.

    meta: the facts of the checkpoint in `path`.   digest: of the data of this run.   steps: of all of it.
    """
    then = tables.read(Config, meta["config"])
    saved, given = tables.flat(then), tables.flat(config)
    _same(path, FIXED_BY_CHECKPOINT, saved, given)
    before = optimizer(then.optim, steps // config.train.epochs * then.train.epochs)
    rule = optimizer(config.optim, steps)
    if not set(rule.kept) <= set(before.kept):
        own = {one.name: getattr(before, one.name) for one in fields(before)}
        _same(path, [f"optim.{key}" for key, value in own.items() if _decides_slots(rule, key, value)], saved, given)
    if meta["data"] != digest:
        raise DataError(
            f"{path} was trained on other data than {config.data.path or config.data.source} holds now",
            "give data.path=FOLDER with the data of that run, or run.folder=FOLDER to start another",
        )


def _same(path: Path, keys: Sequence[str], saved: dict[str, Any], given: dict[str, Any]) -> None:
    """UsageError where one of these settings is not the saved one."""
    for key in keys:
        if saved[key] != given[key]:
            cure = f"give {key}={tables.toml(saved[key]).strip(chr(34))}, or run.folder=FOLDER to start another"
            weights = f"; model.weights={path} starts it from these weights" * key.startswith("optim.")
            problem = f"{path} was trained with {key} = {saved[key]!r}, this run has {given[key]!r}"
            raise UsageError(problem, cure + weights)


def _decides_slots(rule: Optimizer, name: str, value: Any) -> bool:
    """Whether a rule would keep other state with this value of a setting."""
    try:
        return replace(rule, **{name: value}).kept != rule.kept
    except UsageError:  # another setting presumes the one that is asked about
        return True


def seen_at_once(config: Config, ranks: int) -> set[frozenset[int]]:
    """Which samples of a full batch layers that normalise see together, on so many ranks."""
    shares, parts = Partition.of(config.parallel.shares, mesh(config, ranks)["data"]), config.train.micro_batches
    rows = []
    for replica in range(len(shares.shares)):
        start, stop = shares.bounds(config.train.batch, replica)
        cuts = [Partition.of((), parts).bounds(stop - start, i) for i in range(parts)]
        rows.append([range(start + a, start + b) for a, b in cuts])
    columns = zip(*rows, strict=True) if config.parallel.norm == "batch" else ([part] for row in rows for part in row)
    return {frozenset(i for part in column for i in part) for column in columns} - {frozenset()}
