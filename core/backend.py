"""Which backend an array belongs to, found without importing CuPy."""

from __future__ import annotations

from typing import Any

BACKENDS = ("reference", "cpu", "gpu")


def backend_of(array: Any) -> str:
    """ "gpu" for a CuPy array, "cpu" for anything else."""
    return "gpu" if type(array).__module__.split(".")[0] == "cupy" else "cpu"
