"""Pooling and its gradients.

max_pool2d_dx knows the winners but not the window they came from, so it walks the outputs of a channel in order, as the CPU does.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Window, prod
from .conv import geometry
from .launch import Source, cover

_kernels = Source("pooling.cu")


def max_pool2d(x: Any, window: Window, *, out: Any, pool: Any = None) -> None:
    """Maximum over a window, and where it was found."""
    y, argmax = out
    told = geometry(x, x.shape[1:], y.shape[1:], window, 1)
    _kernels.launch("max_pool2d", *cover(y.size, 1), x, y, argmax, told, y.size)


def max_pool2d_dx(dy: Any, argmax: Any, size: Pair, *, out: Any, pool: Any = None) -> None:
    """dy goes to the element that won."""
    n, p, q, channels = dy.shape
    lanes = n * channels
    _kernels.launch("max_unpool2d", *cover(lanes, 1), dy, argmax, out, lanes, channels, p * q, prod(size))


def max_unpool2d_dx(dy: Any, argmax: Any, *, out: Any, pool: Any = None) -> None:
    """What is where the winner was."""
    outputs, inputs = prod(argmax.shape[1:3]), prod(dy.shape[1:3])
    _kernels.launch("max_unpool2d_dx", *cover(out.size, 1), dy, argmax, out, out.size, dy.shape[3], outputs, inputs)


def avg_pool2d(x: Any, window: Window, *, out: Any, pool: Any = None, count_include_pad: bool = True) -> None:
    """Mean over a window."""
    told = geometry(x, x.shape[1:], out.shape[1:], window, 1)
    _kernels.launch("avg_pool2d", *cover(out.size, 1), x, out, told, out.size, count_include_pad)


def avg_pool2d_dx(
    dy: Any, window: Window, size: Pair, *, out: Any, pool: Any = None, count_include_pad: bool = True
) -> None:
    """Every element of a window gets its share of dy."""
    told = geometry(dy, out.shape[1:], dy.shape[1:], window, 1)
    _kernels.launch("avg_pool2d_dx", *cover(out.size, 1), dy, out, told, out.size, count_include_pad)
