"""What shape rules have in common: the checks that several of them make, said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import UsageError
from ...core.shape import Shape

RELU = (None, "relu")  # what an epilogue can apply; that of a product or a convolution can more
GELU = (*RELU, "gelu")


def need(true: bool, problem: Callable[[], str], cure: str = "") -> None:
    """Raises UsageError unless true; the words are only put together then (a dtype takes microseconds to print)."""
    if not true:
        raise UsageError(problem(), cure)


def epilogue(
    name: str, shape: Shape, activation: str | None, known: tuple = RELU, *, residual: Any = None, **rows: Any
) -> None:
    """What is done to the sums of a result of `shape`: rows, such as a bias, are (columns,) each, a residual is like it."""
    need(activation in known, lambda: f"{name}: activation {activation!r} is not one of {known}")
    for what, row in rows.items():
        need(
            row is None or row.shape == shape[-1:],
            lambda what=what, row=row: f"{name}: {what} {row.shape} for {shape[-1]} columns",
        )
    need(residual is None or residual.shape == shape, lambda: f"{name}: residual {residual.shape} for a result {shape}")


def inside(name: str, shape: Shape, origin: Shape, whole: Shape) -> None:
    need(bool(origin) == bool(whole), lambda: f"{name}: origin {origin} and whole {whole} go together")
    if whole:
        fits = len(whole) == len(origin) == len(shape)
        fits = fits and all(o + n <= w for o, n, w in zip(origin, shape, whole, strict=True))
        need(fits, lambda: f"{name}: a slice {shape} at {origin} leaves {whole}")


def buffers(name: str, *arrays: Any, decay: Any = None, spare: tuple = ()) -> tuple:
    """Of an update rule, which has no outputs: flat buffers of one length; a spare one may be empty, for not used."""
    shapes = [a.shape for a in [*arrays, *(a for a in spare if a.shape != (0,))]]
    need(
        len(set(shapes)) == 1 and len(shapes[0]) == 1,
        lambda: f"{name}: buffers {shapes} must be flat and of one length",
    )
    ranges = decay is None or (decay.shape[1:] == (2,) and decay.dtype == "int64")
    need(ranges, lambda: f"{name}: decay {decay.dtype}{decay.shape}; need int64 (k, 2)")
    return ()
