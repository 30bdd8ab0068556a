"""Ending: what follows a layer, done by the layer's own op while its sums are in registers.

Training needs what stands between a convolution, its batch norm and the sum of a residual block; where no backward follows
(`Module.infer`), nothing does. Then a batch norm is a factor and a bias for each channel, and all of it is the epilogue of one
op. Who joins what: a list gathers the endings of the blocks behind a block that `carries` them, and Residual hands its sum
and its activation to the end of its body.

    conv - norm - relu - conv - norm - ( + x ) - relu        2 calls instead of 6
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from ..core.context import Context
from ..core.errors import UsageError
from ..kernels import ops


class Ending(NamedTuple):
    """act( scale[k] * y[..,k] + bias[k] + residual[..,k] ), as far as given.   activation: None, "relu" or "gelu"."""

    scale: Any = None
    bias: Any = None
    residual: Any = None
    activation: str | None = None

    def then(self, more: Ending) -> Ending | None:
        """Both, one after the other, as one; None where that is none."""
        if not more.given():
            return self
        if self.activation or self.residual is not None:
            return None
        scale, bias = self.scale, self.bias
        if more.scale is not None:
            scale = more.scale if scale is None else scale * more.scale
            bias = None if bias is None else bias * more.scale
        if more.bias is not None:
            bias = more.bias if bias is None else bias + more.bias
        return Ending(scale, bias, more.residual, more.activation)

    def given(self) -> dict[str, Any]:
        """Its parts, as hyper-parameters of an op."""
        return {name: part for name, part in self._asdict().items() if part is not None}

    def within(self, names: Collection[str]) -> bool:
        """Whether it has no other parts than these."""
        return self.given().keys() <= set(names)

    def applied(self, y: Any, ctx: Context) -> Any:
        """A sum and an activation, by ops of their own."""
        if self.residual is not None:
            y = ops.add(y, self.residual, pool=ctx.pool, backend=ctx.backend)
        if self.activation:
            y = {"relu": ops.relu, "gelu": ops.gelu}[self.activation](y, pool=ctx.pool, backend=ctx.backend)
        return y


NOTHING = Ending()


def trained(layer: str, activation: str | None) -> str | None:
    """An activation that a layer has in training too: one whose gradient is made from its result."""
    if activation not in (None, "relu"):
        raise UsageError(
            f'{layer}: activation "{activation}" is not known', 'use None or "relu", or put a layer behind it'
        )
    return activation
