"""Normalisation: three numbers of the configuration, measured once on the training part where nobody says them.

    x = (value / white - mean) / deviation

white is what 1.0 is stored as: 255 for bytes, 1 for everything else. mean and deviation, one for each channel (the last
axis) or, with more than 64 channels, one for all, are measured on all of the training part up to 64 MiB, else on 1,024
samples evenly spread. They are rounded to four digits, because unequal CPUs add in unequal orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import UsageError
from ...core.shape import prod
from ..config import Data
from .stored import Rows, Scale, finite

MEASURED, SAMPLES, CHANNELS, PIECE = 64 << 20, 1024, 64, 1 << 20


def filled(data: Data, **found: Any) -> Data:
    """The configuration with what was found, where it says nothing itself."""
    return replace(data, **{name: value for name, value in found.items() if not getattr(data, name)})


def normal(name: str, data: Data, channels: int, x: Rows, which: np.ndarray | None = None) -> Data:
    """The configuration with white, mean and deviation; x: stored values, of which `which` are the training part."""
    data = filled(data, white=255.0 if x.dtype == np.uint8 else 1.0)
    if data.mean and data.deviation:
        return data
    mean, deviation = measure(name, x, which, data.white, channels)
    return filled(data, mean=mean, deviation=deviation)


def scale_of(data: Data, channels: int) -> Scale:
    """The normalisation as one multiplication and one addition."""
    for key_, numbers in (("mean", data.mean), ("deviation", data.deviation)):
        if len(numbers) not in (1, channels):
            problem = f"data.{key_} has {len(numbers)} numbers, samples have {channels} channels"
            raise UsageError(problem, f"give 1 or {channels} numbers")
    if not all(deviation > 0 for deviation in data.deviation):
        raise UsageError(f"data.deviation = {list(data.deviation)} must be above 0", "leave it out, and it is measured")
    mean, deviation = np.array(data.mean), np.array(data.deviation)
    return Scale(1 / (data.white * deviation), -mean / deviation)


def measure(
    name: str, x: Rows, which: np.ndarray | None, white: float, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of value / white, each for one channel or for all.

    A channel that never changes has deviation 1. Pieces are joined by their counts, means and squares: Chan, Golub,
    LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    width = channels if channels <= CHANNELS else 1
    count, mean, squares = 0, np.zeros(width), np.zeros(width)
    for rows in _pieces(x, which):
        stored = np.asarray(x[rows])
        finite(name, stored, rows)
        values = stored.reshape(-1, width) / white
        n, here = len(values), values.mean(axis=0)
        squares += ((values - here) ** 2).sum(axis=0) + (here - mean) ** 2 * (count * n / (count + n))
        mean += (here - mean) * (n / (count + n))
        count += n
    deviation = np.sqrt(squares / count)
    deviation[deviation == 0] = 1
    return _rounded(mean), _rounded(deviation)


def _pieces(x: Rows, which: np.ndarray | None) -> Iterator[np.ndarray]:
    """The rows to measure, a megabyte at a time."""
    samples = x.shape[0] if which is None else len(which)
    size = prod(x.shape[1:]) * x.dtype.itemsize
    chosen = np.arange(samples)
    if samples * size > MEASURED:
        chosen = np.linspace(0, samples - 1, min(samples, SAMPLES)).astype(np.int64)
    rows = chosen if which is None else which[chosen]
    step = max(1, PIECE // size)
    return (rows[i : i + step] for i in range(0, len(rows), step))


def _rounded(numbers: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{number:.4g}") for number in numbers)
