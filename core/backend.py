"""Which backend an array belongs to, found without importing CuPy."""

from __future__ import annotations

from functools import cache
from typing import Any

BACKENDS = ("reference", "cpu", "gpu")


def backend_of(array: Any) -> str:
    """ "gpu" for a CuPy array, "cpu" for anything else."""
    return _of(type(array).__module__)


@cache
def _of(module: str) -> str:
    return "gpu" if module.split(".")[0] == "cupy" else "cpu"
