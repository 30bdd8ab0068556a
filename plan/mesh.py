"""A mesh gives every rank a coordinate on named axes, so that strategies are combined without knowing of each other.

    mesh = {data = 2, pipeline = 2}         pipeline 0   pipeline 1
                                   data 0     rank 0       rank 1
                                   data 1     rank 2       rank 3

The last axis runs fastest: ranks that are neighbours on it are neighbours in the world, and so, as launchers place ranks,
mostly on one machine. Put last what talks most. Each strategy works in the group of the ranks that differ from it on its
own axis only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from ..core.errors import UsageError


@dataclass(frozen=True)
class Mesh:
    """names and sizes of the axes, slowest first."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, axes: Mapping[str, int], ranks: int) -> Mesh:
        """A mesh as configured; UsageError unless its axes multiply to the number of ranks."""
        mesh = cls(tuple(axes), tuple(axes.values()))
        if any(size < 1 for size in mesh.sizes) or prod(mesh.sizes) != ranks:
            said = ", ".join(f"{name} = {size}" for name, size in axes.items())
            raise UsageError(
                f"mesh {{{said}}} has {prod(mesh.sizes)} places for {ranks} ranks",
                f"let its axes, each at least 1, multiply to {ranks}, or start {prod(mesh.sizes)} ranks (mpirun -n, Slurm's --ntasks)",
            )
        return mesh

    def coordinate(self, rank: int) -> dict[str, int]:
        """Where a rank is on every axis."""
        places = []
        for size in reversed(self.sizes):
            rank, place = divmod(rank, size)
            places.append(place)
        return dict(zip(self.names, reversed(places), strict=True))

    def rank(self, coordinate: Mapping[str, int]) -> int:
        """The rank at a coordinate: sum_a coordinate[a] * (product of the sizes after a)."""
        rank = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            rank = rank * size + coordinate[name]
        return rank

    def group(self, rank: int, *axes: str) -> list[int]:
        """The ranks that differ from this one on `axes` only, itself among them, ascending."""
        self._known(axes)
        here = self.coordinate(rank)
        sizes = (
            range(size) if name in axes else (here[name],) for name, size in zip(self.names, self.sizes, strict=True)
        )
        return [self.rank(dict(zip(self.names, places, strict=True))) for places in product(*sizes)]

    def split(self, rank: int, *axes: str) -> tuple[int, int]:
        """(color, key) for Communicator.split: it gives every group of these axes its own communicator, in rank order."""
        group = self.group(rank, *axes)
        return group[0], group.index(rank)

    def _known(self, axes: tuple[str, ...]) -> None:
        if unknown := [name for name in axes if name not in self.names]:
            raise UsageError(f"the mesh has no axis {', '.join(unknown)}", f"its axes are {', '.join(self.names)}")
