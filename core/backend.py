"""Which backend an array belongs to, and which library its arrays are made with; CuPy is imported when it is asked for."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy

from .errors import PlatformError

BACKENDS = ("reference", "cpu", "gpu")


def library(backend: str) -> Any:
    """The module that makes arrays of a backend: NumPy, or CuPy for "gpu"; PlatformError (code 3) where that is missing."""
    if backend != "gpu":
        return numpy
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        cure = 'pip install "shoal[cuda13]" (or cuda12, as the driver allows)'
        raise PlatformError(f"the gpu backend needs CuPy: {error}", cure) from error


def backend_of(array: Any) -> str:
    """ "gpu" for a CuPy array, "cpu" for anything else."""
    return _of(type(array).__module__)


@cache
def _of(module: str) -> str:
    return "gpu" if module.split(".")[0] == "cupy" else "cpu"
