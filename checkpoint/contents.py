"""What a generation holds, tensor by tensor, and what lies in one of them.

Figures are of the finite elements, in float64; how many are not finite is said beside them. So one NaN does not hide
what the other numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import UsageError, nearest
from ..core.shape import Shape, prod
from ..core.spec import Spec
from .generation import Generation
from .manifest import Manifest

FIRST = 6  # values that are shown


@dataclass(frozen=True)
class Tensor:
    """One logical tensor.   bytes: of its numbers.   slices: into which it was cut.   files: that hold them."""

    name: str
    shape: Shape
    dtype: str
    bytes: int
    slices: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Statistics:
    """min, max, mean, std, norm (the root of the sum of squares): of the finite elements; None without any.

    nan, inf: how many elements are so.   first: the first elements.
    """

    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    norm: float | None
    nan: int
    inf: int
    first: tuple[float, ...]


def tensors(manifest: Manifest) -> dict[str, Tensor]:
    """{logical name: Tensor}, in the order in which they were written."""
    names = dict.fromkeys(one.name for file in manifest.files for one in file.slices)
    return {name: _tensor(name, manifest) for name in names}


def _tensor(name: str, manifest: Manifest) -> Tensor:
    files, slices = zip(*manifest.slices(name), strict=True)
    shape, dtype = slices[0].global_shape, slices[0].dtype
    return Tensor(name, shape, dtype, prod(shape) * np.dtype(dtype).itemsize, len(slices), tuple(f.name for f in files))


def read(generation: Generation, name: str) -> np.ndarray:
    """A logical tensor, whole; UsageError if there is none of that name."""
    known = tensors(generation.manifest)
    if name not in known:
        raise UsageError(f"{generation.path} holds no tensor {name!r}", nearest(name, list(known)) if known else "")
    return generation.read(name, Spec(name, known[name].shape))


def statistics(array: np.ndarray) -> Statistics:
    values = np.asarray(array, np.float64).reshape(-1)
    real = values[np.isfinite(values)]
    figures = (real.min(), real.max(), real.mean(), real.std(), np.linalg.norm(real)) if real.size else ()
    least, greatest, mean, std, norm = map(float, figures) if figures else (None,) * 5
    nan = int(np.isnan(values).sum())
    first = tuple(map(float, values[:FIRST]))
    return Statistics(least, greatest, mean, std, norm, nan, values.size - real.size - nan, first)
