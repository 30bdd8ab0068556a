"""Weights in files: our own checkpoints, safetensors and NPZ, the last two in our names and axes or in PyTorch's.

Names cannot tell the two apart: "0.weight" may be either, and a 3x3 kernel on three channels has one shape in both. So a
file written here says in its metadata that it is ours, and any other file is taken for PyTorch's, unless only our names fit.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.commit import publish, writing
from ..checkpoint.generation import Generation
from ..checkpoint.history import open_generation
from ..core.errors import DataError, PlatformError, UsageError
from ..core.shape import Shape
from ..core.spec import Spec
from ..nn import exchange
from ..nn.sequential import Sequential

OURS = {"format": "shoal"}
PYTORCH = {"format": "pt"}  # what the safetensors library writes for PyTorch, and other programs look for
METADATA = "__metadata__"  # in an NPZ file, a string with the same facts as JSON
KINDS = (".safetensors", ".npz")
PREFIX = "model/"  # of weights and buffers in a checkpoint


@dataclass(frozen=True)
class Weights:
    """Arrays by name, and the facts that stand with them."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def read(path: Path) -> Weights:
    """The weights in a run folder, a generation, a .safetensors or an .npz file; DataError where it cannot be read."""
    if path.suffix not in KINDS:
        if not path.exists():
            raise DataError(
                f"there is nothing at {path}", f"give a run folder, a generation, or a file {' or '.join(KINDS)}"
            )
        return Weights(of_generation(open_generation(path)), OURS)
    if not path.is_file():
        raise DataError(
            f"there is no file {path}", "give model.weights a run folder, a generation, or a file that is there"
        )
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_npz(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def of_generation(generation: Generation) -> dict[str, np.ndarray]:
    """Weights and buffers of a checkpoint, whole, by their logical names."""
    stored = {one.name: one for file in generation.manifest.files for one in file.slices if one.name.startswith(PREFIX)}
    return {
        name.removeprefix(PREFIX): generation.read(name, Spec(name, one.global_shape)) for name, one in stored.items()
    }


def write(path: Path, weights: Weights) -> None:
    """Writes a .safetensors or .npz file, whole or not at all; UsageError for another kind, or where there is no folder for it."""
    if path.suffix not in KINDS:
        raise UsageError(f'"{path.name}" is not a file of weights', f"end its name in {' or '.join(KINDS)}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} into", "make it, or give another file")
    arrays = {name: np.ascontiguousarray(a) for name, a in weights.arrays.items()}
    save = _save_safetensors if path.suffix == ".safetensors" else _save_npz
    with writing(path, sum(a.nbytes for a in arrays.values()), "free space there, or give a file that can be written"):
        publish(path, lambda temporary: save(temporary, arrays, weights.metadata))


def fit(
    weights: Weights, model: Sequential, shape: Shape, family: str = "", fresh: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays under our names and with our axes; UsageError that lists what does not fit the model.

    family: the model's name.   fresh: blocks or tensors that need not be there.
    """
    wanted = {
        spec.name: spec.global_shape for spec in model.specs(shape) if spec.role != "statistic" and not spec.alias_of
    }
    if unknown := [name for name in fresh if not any(exchange.covers([name], tensor) for tensor in wanted)]:
        problem = f"model.fresh names {', '.join(unknown)}, which the model does not have"
        raise UsageError(
            problem, f"its blocks are 0 to {len(model) - 1}, its tensors {', '.join(list(wanted)[:3])}, ..."
        )
    try:
        if weights.metadata.get("format") == OURS["format"] or _more_ours(weights, wanted, model, shape, family):
            wanted = {name: size for name, size in wanted.items() if not exchange.covers(fresh, name)}
            given = {name: a for name, a in weights.arrays.items() if not exchange.covers(fresh, name)}
            exchange.compare(wanted, given)
            return given
        naming = max((family, ""), key=lambda one: _matches(weights, _theirs(model, shape, one)))
        return exchange.from_torch(model, shape, weights.arrays, naming, fresh)
    except UsageError as error:
        raise UsageError(
            error.problem, "give model.fresh the blocks that shall start anew, such as model.fresh=6"
        ) from error


def _more_ours(weights: Weights, wanted: dict[str, Shape], model: Sequential, shape: Shape, family: str) -> bool:
    return _matches(weights, wanted) > max(_matches(weights, _theirs(model, shape, one)) for one in (family, ""))


def _theirs(model: Sequential, shape: Shape, family: str) -> dict[str, Shape]:
    return {tensor.theirs: tensor.their_shape for tensor in exchange.tensors(model, shape, family)}


def _matches(weights: Weights, wanted: dict[str, Shape]) -> int:
    """How many arrays have a wanted name and its shape."""
    return sum(name in weights.arrays and weights.arrays[name].shape == size for name, size in wanted.items())


def _save_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    _safetensors().save_file(arrays, path, metadata=metadata)


def _save_npz(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    members: dict[str, Any] = {**arrays, METADATA: np.array(json.dumps(metadata))}
    with path.open("wb") as file:  # given a name, NumPy would add an ending
        np.savez(file, **members)


def _read_npz(path: Path) -> Weights:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    facts = arrays.pop(METADATA, None)
    return Weights(arrays, {} if facts is None else json.loads(str(facts)))


def _read_safetensors(path: Path) -> Weights:
    library = _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        return Weights(library.load_file(path), metadata)
    except SafetensorError as error:
        raise DataError(f"{path} is not a safetensors file: {error}") from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise PlatformError("the safetensors library is not installed", 'pip install "shoal[exchange]"') from error
    return safetensors.numpy
