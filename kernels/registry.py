"""Which function serves which op on which backend: said by the names of the files.

The rule of an op stands in `ops/FILE.py`, its kernel in `BACKEND/FILE.py` under the op's own name. Nothing is scanned and
nothing is imported before its first call. A missing kernel is an error that names what to write; there is no silent
fall-back to another backend or across a bus.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from ..core.backend import BACKENDS
from ..core.errors import PlatformError, UsageError


@cache
def find(file: str, op: str, backend: str) -> Callable:
    """The kernel `op` in `file` of `backend`; PlatformError (code 3) if nobody wrote it."""
    if backend not in BACKENDS:
        raise UsageError(f'backend "{backend}" is not known', f"use one of {', '.join(BACKENDS)}")
    name = f"{__package__}.{backend}.{file}"
    try:
        return getattr(import_module(name), op)
    except ModuleNotFoundError as error:
        if error.name not in (name, name.rpartition(".")[0]):
            raise
    except AttributeError:
        pass
    raise PlatformError(f"op {op} has no {backend} kernel", f"write {op} in kernels/{backend}/{file}.py")
