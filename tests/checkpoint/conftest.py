"""What the checkpoint tests share: small states whose bits depend on the step, and the parts of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.checkpoint.store import Store
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone

SHAPES = {
    "model/0.weight": (6, 5),
    "model/0.bias": (6,),
    "optimizer/velocity/0.weight": (6, 5),
    "scale": (),
    "none": (0, 3),
}


def make(step: int, dtype: Any = "float32", version: int = 0) -> State:
    """A State of every kind of shape; its bits depend on step and version, and hold what arithmetic would lose."""
    rng = np.random.default_rng([step, version])
    tensors = {}
    for name, shape in SHAPES.items():
        array = np.asarray(rng.standard_normal(shape), dtype)
        if array.ndim == 2 and array.size:
            array[0] = [-0.0, np.inf, np.nan, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
        tensors[name] = (Spec(name.rpartition("/")[2], shape), array)
    return State(tensors, {"step": step, "version": version, "loss": 0.1 + 0.2})


def same(generation: Any, state: State) -> bool:
    """Whether a generation holds these tensors to the bit, and these facts."""
    read = {name: generation.read(name, spec) for name, (spec, _) in state.tensors.items()}
    return generation.meta == state.meta and all(
        (read[name].dtype, read[name].shape, read[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, (_, array) in state.tensors.items()
    )


def commit(folder: Path, *steps: int, keep: int = 9) -> list[Path]:
    """Generations of these steps, saved by one process that then ended."""
    with Store(folder, Alone(), keep=keep) as store:
        return [store.save(make(step)) for step in steps]


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture
def make_state() -> Callable[..., State]:
    return make


@pytest.fixture
def is_same() -> Callable[..., bool]:
    return same


@pytest.fixture
def saved() -> Callable[..., list[Path]]:
    return commit


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    return files
