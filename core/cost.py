"""Cost: what one block of a network takes, in the units that planners and people count in.

Everything is per sample, because a partition is made before anybody knows the batch; a batch of N takes N times the
flops and bytes, and the parameters once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from .shape import Shape


@dataclass(frozen=True)
class Cost:
    """One block, for one sample.

    parameters: weights it owns (aliases count where their storage is).   forward, backward: floating point operations.
    activations: bytes that must stay from forward to backward and that no earlier block keeps already.
    output: bytes that a cut behind this block would send, skips not counted.
    sums: elements of each float64 array that it adds up over replicas, once a micro-batch, whatever its size.
    """

    name: str
    kind: str
    shape: Shape
    parameters: int = 0
    forward: int = 0
    backward: int = 0
    activations: int = 0
    output: int = 0
    sums: tuple[int, ...] = ()


def total(costs: Iterable[Cost]) -> Cost:
    """The sum over the blocks of a network; shape and output are those of the last."""
    costs = list(costs)
    sums = {f.name: sum(getattr(cost, f.name) for cost in costs) for f in fields(Cost) if f.name in _ADDITIVE}
    return Cost("", "", costs[-1].shape, output=costs[-1].output, **sums)


_ADDITIVE = ("parameters", "forward", "backward", "activations")
