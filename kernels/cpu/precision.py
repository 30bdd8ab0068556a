"""One source for two precisions: written with numbers of 64 bits, compiled for float32 with numbers of 32.

In Numba's language a float64 constant turns a whole float32 expression into float64, at half the speed. So a function
marked here is copied for float32, and in the copy every number is rounded: the literals, and the module's constants,
unless the module's table SINGLE says what float32 has instead (shorter polynomials).
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compile import specialised


def by_precision(function: Any) -> Any:
    """A function of numbers, compiled in the precision of the first of them; only compiled code can call it."""

    def implementation(*numbers: Any) -> Any:
        return _single(function) if numbers[0] == types.float32 else function

    implementation.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # Numba compares the two
    overload(function, jit_options={"error_model": "numpy", "forceinline": True})(implementation)
    return function


def _single(function: Any) -> Any:
    seen = function.__globals__
    constants = {name: value for name, value in seen.items() if name.isupper()} | seen.get("SINGLE", {})
    copy = specialised(function, f"{function.__name__}_single", **{name: _rounded(c) for name, c in constants.items()})
    copy.__code__ = copy.__code__.replace(co_consts=tuple(_rounded(c) for c in copy.__code__.co_consts))
    return copy


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(v) for v in value)
    return np.float32(value) if isinstance(value, float) else value
