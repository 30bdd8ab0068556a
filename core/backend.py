"""Which backend an array belongs to, found without importing CuPy."""

from __future__ import annotations

from functools import cache
from typing import Any

BACKENDS = ("reference", "cpu", "gpu")


def backend_of(array: Any) -> str:
    """ "gpu" for a CuPy array, "cpu" for anything else."""
    return _of(type(array))


@cache
def _of(kind: type) -> str:
    return "gpu" if kind.__module__.split(".")[0] == "cupy" else "cpu"
