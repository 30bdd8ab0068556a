"""Which function serves which op on which backend: a table, read lazily.

Nothing is scanned and nothing is imported before its first call. Adding a kernel is one file and one line here. A missing
kernel is an error that names the file to write; there is no silent fall-back to another backend or across a bus.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from ..core.backend import BACKENDS
from ..core.errors import PlatformError, UsageError

# op -> the file it stands in, the same in every backend folder
FILES = {
    "gemm": "gemm",
    "column_sum": "gemm",
    "conv2d": "conv2d",
    "conv2d_dx": "conv2d_gradient",
    "conv2d_dw": "conv2d_gradient",
    "relu": "activation",
    "relu_dx": "activation",
    "max_pool2d": "pooling",
    "max_pool2d_dx": "pooling",
    "cross_entropy": "loss",
    "dropout": "dropout",
    "random_bits": "philox",
    "fill_uniform": "philox",
    "fill_normal": "philox",
    "sgd": "optimizer",
    "momentum": "optimizer",
    "ordered_sum": "reduction",
}

# The registry: {op: {backend: "module:function"}}. A backend appears in a row once its file is written.
KERNELS: dict[str, dict[str, str]] = {
    op: {backend: f"{backend}.{file}:{op}" for backend in ("reference", "cpu")} for op, file in FILES.items()
}


@cache
def find(op: str, backend: str) -> Callable:
    """The kernel of `op` on `backend`; PlatformError (code 3) if nobody wrote it."""
    if backend not in BACKENDS:
        raise UsageError(f'backend "{backend}" is not known', f"use one of {', '.join(BACKENDS)}")
    try:
        module, function = KERNELS[op][backend].split(":")
    except KeyError:
        raise PlatformError(
            f"op {op} has no {backend} kernel",
            f"write kernels/{backend}/{FILES[op]}.py:{op} and add it to kernels/registry.py",
        ) from None
    return getattr(import_module(f".{module}", __package__), function)
