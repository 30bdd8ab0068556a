"""Buckets: slices of the gradient arena that leave while backward still works on the rest.

The arena is laid out in forward order and backward ends in reverse, so a bucket is a run of neighbouring tensors
counted from the end, and it leaves when the last of its blocks has returned. A tied tensor belongs to every block
that uses it, and is ready after the lowest of them. Buckets leave in one order on all ranks, because that order is
computed, not observed.

    blocks      0           1        2     3           backward: 3, 2, 1, 0
    arena   |---------------|--------|-----|-----|
    buckets |----- c -------|----- b ------|- a -|     a leaves after block 3, b after 1, c after 0
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..nn.arena import Layout
from .communicator import Communicator, Request


class Bucket(NamedTuple):
    """arena[start:stop], complete when backward has returned from `block`."""

    block: int
    start: int
    stop: int


def cut(layout: Layout, elements: int) -> list[Bucket]:
    """Buckets of whole tensors in leaving order, each closed once it holds `elements`; together they are the arena."""
    ready: dict[str, int] = {}
    for spec in layout.specs.values():
        owner, block = spec.alias_of or spec.name, int(spec.name.split(".")[0])
        ready[owner] = min(block, ready.get(owner, block))
    buckets, stop, block = [], layout.size, max(ready.values(), default=0)
    for spec in reversed(layout.owned()):
        block, start = min(block, ready[spec.name]), layout.offsets[spec.name]
        if stop - start >= elements or start == 0:
            buckets.append(Bucket(block, start, stop))
            stop = start
    return buckets


class Flight:
    """The buckets of one backward pass: send what is ready, poll what is under way, wait for the rest.

    Requests are kept to the end, and their scratch with them: so what a step needs does not depend on its timing.
    """

    def __init__(self, communicator: Communicator, gradients: np.ndarray, buckets: Iterable[Bucket]):
        self.communicator, self.gradients = communicator, gradients
        self.waiting = list(enumerate(buckets))
        self.flying: list[Request] = []

    def depart(self, a: np.ndarray, name: str) -> None:
        """Starts the sum of a small array that is complete."""
        self.flying.append(self.communicator.iallreduce(a, name))

    def after(self, block: int) -> None:
        """Backward has returned from `block`. MPI moves nothing by itself, so what is under way is polled here."""
        if self.flying:
            self.flying[0].test()  # one test moves all
        while self.waiting and self.waiting[0][1].block >= block:
            number, bucket = self.waiting.pop(0)
            self.depart(self.gradients[bucket.start : bucket.stop], f"gradients {number}")

    def land(self) -> None:
        """Waits for all that has left."""
        for request in self.flying:
            request.wait()
