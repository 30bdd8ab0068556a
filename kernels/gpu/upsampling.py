"""Upsampling of images."""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair
from .indexing import kernels
from .launch import cover


def upsample2d(x: Any, scale: Pair, mode: str, *, out: Any, pool: Any = None) -> None:
    """Every pixel becomes scale[0] x scale[1] pixels."""
    kernels.launch("upsample2d", *cover(out.size, 1), x, out, out.size, *x.shape[1:], *scale, mode == "linear")


def upsample2d_dx(dy: Any, scale: Pair, mode: str, *, out: Any, pool: Any = None) -> None:
    """Every pixel of dx collects what it gave."""
    kernels.launch("upsample2d_dx", *cover(out.size, 1), dy, out, out.size, *out.shape[1:], *scale, mode == "linear")
