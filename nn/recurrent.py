"""Recurrent layers: one GEMM for the input of all steps, the recurrence as an op, one GEMM over all steps for every weight.

Every sequence starts at the state 0: a state kept from batch to batch would be something a layer remembers. A batch of
sequences of unequal lengths is the ops' argument `lengths`; a layer is given arrays only, so it takes all steps as real.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape, some
from ..core.spec import Init, Spec
from ..kernels import ops
from .linear import project, project_back
from .module import Module


class Recurrent(Module):
    """What the three share.   x: (N, T, C)   ->   h: (N, T, width), or with sequence=False its last step, (N, width).

    Weights are PyTorch's, without the suffix of a layer: weight_ih (G*width, C), weight_hh (G*width, width), bias_ih and
    bias_hh (G*width,) for G gates; all start uniform in +-1/sqrt(width).
    """

    gates = 1

    def __init__(self, width: int, *, sequence: bool = True):
        self.width = some("width", width)
        self.sequence = sequence

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        rows, start = self.gates * self.width, Init("uniform", 1 / sqrt(self.width))
        weights = [Spec("weight_ih", (rows, shape[1]), start), Spec("weight_hh", (rows, self.width), start)]
        return weights + [Spec(name, (rows,), start, decay=False) for name in ("bias_ih", "bias_hh")]

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or min(shape) < 1:
            raise UsageError(f"{type(self).__name__}({self.width}) takes samples of shape (T, C), not {shape}")
        return (shape[0], self.width) if self.sequence else (self.width,)

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        a = project(x, p["weight_ih"], p["bias_ih"], ctx)
        place = {"pool": ctx.pool, "backend": ctx.backend}
        h, *kept = self.run(a, p["weight_hh"], p["bias_hh"], place)
        return h if self.sequence else ops.last_step(h, **place), (x, h, kept)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, h, kept = saved
        place = {"pool": ctx.pool, "backend": ctx.backend}
        da, ds = self.run_back(dy, h, kept, p["weight_hh"], place)
        ops.column_sum(ds, accumulate=True, out=g["bias_hh"], **place)
        self.recurrent_dw(ds, h, kept, g["weight_hh"], place)
        return project_back(x, da, p["weight_ih"], g["weight_ih"], g["bias_ih"], ctx)

    def run(self, a: Any, u: Any, b: Any, place: dict[str, Any]) -> tuple:
        """(h, whatever else backward needs) from the input's share of the gates."""
        raise NotImplementedError

    def run_back(self, dy: Any, h: Any, kept: Any, u: Any, place: dict[str, Any]) -> tuple[Any, Any]:
        """The gradients by the input's and by the recurrent share of the gates."""
        raise NotImplementedError

    def recurrent_dw(self, ds: Any, h: Any, kept: Any, into: Any, place: dict[str, Any]) -> None:
        ops.recurrent_dw(ds, h, accumulate=True, out=into, **place)


class RNN(Recurrent):
    """h[n,t] = tanh( W_ih x[n,t] + b_ih + W_hh h[n,t-1] + b_hh ), as torch.nn.RNN. See Recurrent for shapes and weights."""

    def run(self, a: Any, u: Any, b: Any, place: dict[str, Any]) -> tuple:
        return (ops.rnn(a, u, b, **place),)

    def run_back(self, dy: Any, h: Any, kept: Any, u: Any, place: dict[str, Any]) -> tuple[Any, Any]:
        da = ops.rnn_dx(dy, h, u, **place)
        return da, da


class LSTM(Recurrent):
    """Long short-term memory as torch.nn.LSTM: gates in the order i, f, g, o; kernels/ops/lstm.py has the formula.

    See Recurrent for shapes and weights.
    """

    gates = 4

    def run(self, a: Any, u: Any, b: Any, place: dict[str, Any]) -> tuple:
        return ops.lstm(a, u, b, **place)

    def run_back(self, dy: Any, h: Any, kept: Any, u: Any, place: dict[str, Any]) -> tuple[Any, Any]:
        da = ops.lstm_dx(dy, *kept, u, **place)
        return da, da


class GRU(Recurrent):
    """Gated recurrent unit, gates in the order r, z, n; kernels/ops/gru.py and gru_cho.py have the formulas.

    variant: "torch", the reset gate after the matrix product, as torch.nn.GRU; "cho", before it, as published. Weights do
    not transfer between them. See Recurrent for shapes and weights.
    """

    gates = 3

    def __init__(self, width: int, *, variant: str = "torch", sequence: bool = True):
        super().__init__(width, sequence=sequence)
        if variant not in ("torch", "cho"):
            raise UsageError(f'GRU variant "{variant}" is not known', 'use "torch" or "cho"')
        self.variant = variant

    def run(self, a: Any, u: Any, b: Any, place: dict[str, Any]) -> tuple:
        return (ops.gru if self.variant == "torch" else ops.gru_cho)(a, u, b, **place)

    def run_back(self, dy: Any, h: Any, kept: Any, u: Any, place: dict[str, Any]) -> tuple[Any, Any]:
        gates, m = kept
        if self.variant == "torch":
            return ops.gru_dx(dy, h, gates, m, u, **place)
        da = ops.gru_cho_dx(dy, h, gates, u, **place)
        return da, da

    def recurrent_dw(self, ds: Any, h: Any, kept: Any, into: Any, place: dict[str, Any]) -> None:
        if self.variant == "torch":
            super().recurrent_dw(ds, h, kept, into, place)
            return
        rz = 2 * self.width  # r and z read the state, n reads m = r * h
        ops.recurrent_dw(ds, h, stop=rz, accumulate=True, out=into[:rz], **place)
        ops.recurrent_dw(ds, kept[1], shift=0, start=rz, accumulate=True, out=into[rz:], **place)
