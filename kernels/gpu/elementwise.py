"""Arithmetic of arrays of one shape."""

from __future__ import annotations

from typing import Any

from .launch import Source, cover

kernels = Source("elementwise.cu")


def add(a: Any, b: Any, *, out: Any, pool: Any = None) -> None:
    """y = a + b"""
    kernels.launch("add", *cover(out.size), a, b, out, out.size)


def multiply(a: Any, b: Any, *, out: Any, pool: Any = None) -> None:
    """y = a * b"""
    kernels.launch("multiply", *cover(out.size), a, b, out, out.size)


def scaled(x: Any, *, s: float, out: Any, pool: Any = None) -> None:
    """y = s * x"""
    kernels.launch("scaled", *cover(out.size), x, out, s, out.size)


def add_bias(x: Any, bias: Any, *, out: Any, pool: Any = None) -> None:
    """y[n,e] = x[n,e] + bias[e]"""
    kernels.launch("add_bias", *cover(out.size, 1), x, bias, out, out.size, bias.size)
