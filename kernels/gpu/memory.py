"""Memory beside an array, wherever that is: scratch, and small tables that are sent to a device once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def scratch(pool: Any, like: Any, shape: Any, dtype: Any) -> Any:
    """An uninitialised array where `like` is: NumPy asks CuPy for it when `like` is CuPy's."""
    return np.empty_like(like, shape=shape, dtype=dtype) if pool is None else pool.empty(shape, dtype)


_constants: dict[tuple, Any] = {}


def constant(like: Any, key: tuple, make: Callable[[], np.ndarray]) -> Any:
    """What make() returns, on the device of `like`; made and sent at the first call with this key."""
    name = (type(like), str(getattr(like, "device", "cpu")), *key)
    if name not in _constants:
        _constants[name] = np.asarray(make(), like=like)
    return _constants[name]
