"""Stash and Pop: long skips by name, so that a model stays a list and a partition stays a cut of it.

    Stash("a") ----------------------------- Pop("a", C)          forward: x is put by, then taken
        |   x                                   ^  x               backward: its gradient is put by, then added
        '-- ctx.stash["a"] ---------------------'

Ordinary layers in between know nothing of it. MaxPool2d and MaxUnpool2d pass on integers in the same way, which have no
gradient, so their backwards pass nothing. Pop says how many channels it brings, so that every block's output shape
follows from its input's alone; that the saying is true is checked for the list as a whole, by `live`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..kernels import ops
from .module import Module


class Stash(Module):
    """y = x, and x is put by under `name` for the Pop of that name further down the same list."""

    def __init__(self, name: str):
        self.name = name

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def puts(self, shape: Shape) -> dict[str, Shape]:
        return {self.name: shape}

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        ctx.stash[self.name] = x
        return x, None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        skipped = ctx.stash.pop(self.name)
        return ops.add(dy, skipped, out=dy, backend=ctx.backend) if ctx.input_gradient else None


class Pop(Module):
    """Joins what was put by under `name`: y = [x, stash] over the last axis ("concat"), or y = x + stash ("add").

    channels: of what was put by; its other axes must be those of x.
    """

    def __init__(self, name: str, channels: int, how: Literal["concat", "add"] = "concat"):
        if how not in ("concat", "add"):
            raise UsageError(f'Pop("{name}"): how = "{how}" is not known', 'use "concat" or "add"')
        self.name, self.channels, self.how = name, channels, how

    def out_shape(self, shape: Shape) -> Shape:
        if self.how == "concat":
            return (*shape[:-1], shape[-1] + self.channels)
        if self.channels != shape[-1]:
            raise UsageError(f'Pop("{self.name}") adds {self.channels} channels to {shape[-1]}')
        return shape

    def takes(self, shape: Shape) -> dict[str, Shape]:
        return {self.name: (*shape[:-1], self.channels)}

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        join = ops.concat if self.how == "concat" else ops.add
        return join(x, ctx.stash.pop(self.name), pool=ctx.pool, backend=ctx.backend), None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        place = {"pool": ctx.pool, "backend": ctx.backend}
        if self.how == "concat":
            dx, ctx.stash[self.name] = ops.split(dy, (dy.shape[-1] - self.channels, self.channels), **place)
            return dx
        ctx.stash[self.name] = ops.copy(dy, **place)
        return dy


def live(blocks: Sequence[Module], shape: Shape) -> list[dict[str, Shape]]:
    """What is put by before each block of a list, {name: shape of one sample}: what a cut there must carry besides x.

    UsageError for a block that takes what was not put by, or is not of the shape it says; for a name put by twice, or never
    taken.
    """
    found: list[dict[str, Shape]] = []
    now: dict[str, Shape] = {}
    used: set[str] = set()
    for i, block in enumerate(blocks):
        found.append(dict(now))
        kind = f"block {i}: {block.kind}"
        for name, said in block.takes(shape).items():
            if name not in now:
                raise UsageError(f'{kind}("{name}"), but what is put by there is {", ".join(now) or "nothing"}')
            there = now.pop(name)
            if there != said:
                raise UsageError(f'{kind}("{name}") expects {said}, but {there} was put by')
        for name, put in block.puts(shape).items():
            if name in used:
                raise UsageError(f'{kind}("{name}") is the second of that name', "give each skip its own name")
            used.add(name)
            now[name] = put
        shape = block.out_shape(shape)
    if now:
        raise UsageError(f"stashed and never popped: {', '.join(now)}", "add a Pop of that name, or take the Stash out")
    return found
