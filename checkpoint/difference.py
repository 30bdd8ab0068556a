"""How two generations differ: tensors to the bit, facts by key.

Both are read as logical tensors, so how many ranks wrote them and under which strategy plays no part. One tensor of each
is in memory at a time. Equal means the same bits: -0 and 0 differ, by 0; a NaN equals a NaN of the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import contents
from .contents import Tensor
from .generation import Generation


@dataclass(frozen=True)
class Difference:
    """A tensor that is not the same.   a, b: what each side has; None where it has none of that name.

    largest: max |a - b|.   relative: ‖a - b‖ / ‖a‖, the latter of the finite elements.   Both are None where the shapes
    differ, and not a number where an element is so on one side only.
    """

    name: str
    a: Tensor | None
    b: Tensor | None
    largest: float | None = None
    relative: float | None = None


def tensors(a: Generation, b: Generation) -> Iterator[Difference]:
    """The tensors that differ, in a's order; then those that only b has."""
    left, right = contents.tensors(a.manifest), contents.tensors(b.manifest)
    for name in left | right:
        x, y = left.get(name), right.get(name)
        if x is None or y is None or x.shape != y.shape:
            yield Difference(name, x, y)
        elif distance := _distance(contents.read(a, name), contents.read(b, name)):
            yield Difference(name, x, y, *distance)


def _distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float] | None:
    """largest and relative of a Difference; None if the bits are the same."""
    if a.dtype == b.dtype and a.tobytes() == b.tobytes():
        return None
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.where(equal, 0.0, a - b)
        norm, whole = np.linalg.norm(apart), np.linalg.norm(a[np.isfinite(a)])
        return float(np.abs(apart).max(initial=0.0)), float(np.divide(norm, whole)) if norm else 0.0


def facts(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(dotted key, {"a": value, "b": value}) of the facts that differ; a side that lacks the key is left out."""
    for key in a | b:
        sides = {side: known[key] for side, known in (("a", a), ("b", b)) if key in known}
        if all(isinstance(value, dict) for value in sides.values()):
            yield from facts(sides.get("a", {}), sides.get("b", {}), f"{prefix}{key}.")
        elif len(sides) < 2 or sides["a"] != sides["b"]:
            yield prefix + key, sides
