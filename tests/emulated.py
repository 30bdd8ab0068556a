"""A device that executes the CUDA sources on the CPU: g++ compiles the very files, and threads of a block are fibers.

What a kernel computes, where it reads and writes and where it waits is proven so without a GPU; what the hardware makes of it
is not: speed, memory order between blocks, and what nvcc's arithmetic rounds elsewhere. Each array lies between margins of
NaNs, so a read outside shows in the result and a write outside is an error; and every kernel runs twice, with its threads and
blocks in opposite orders: what differs then would be a race on a GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from shoal.kernels.gpu.compile import REAL, SOURCES, headers
from shoal.kernels.gpu.launch import Source

HERE = Path(__file__).parent
MARGIN = 64  # numbers on each side of an array
TYPES = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int64": ctypes.c_int64,
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
    "bool": ctypes.c_bool,
}


class Emulated:
    """A Device of shoal.kernels.gpu.launch over NumPy arrays. launched: the names of the kernels that ran."""

    def __init__(self) -> None:
        if not shutil.which("g++") and not os.environ.get("CI"):
            pytest.skip("g++ is not installed: CUDA sources are not executed")
        self.launched: list[str] = []

    def run(self, file: str, name: str, dtype: np.dtype, grid: int, block: int, shared: int, args: tuple) -> None:
        assert 1 <= block <= 1024 and grid >= 1 and shared <= 232448
        assert shared <= 48 * 1024 or file, "more needs max_dynamic_shared_size_bytes, which cuda.py sets"
        self.launched.append(name)
        ascending, descending = ([_Guarded(a) if isinstance(a, np.ndarray) else a for a in args] for _ in range(2))
        entry = getattr(_library(file, dtype.name), f"emulate_{name}")
        for order, copies in enumerate((ascending, descending)):
            given = [c.address if isinstance(c, _Guarded) else TYPES[c.dtype.name](c.item()) for c in copies]
            stuck = entry(ctypes.c_uint(grid), ctypes.c_uint(block), ctypes.c_bool(order), *given)
            assert not stuck, f"{name}: threads of a block wait for each other at different barriers"
        for a, one, other in zip(args, ascending, descending, strict=True):
            if isinstance(a, np.ndarray):
                one.unharmed(name)
                assert one.inside.tobytes() == other.inside.tobytes(), (
                    f"{name}: the result depends on the threads' order"
                )
                if not a.flags.writeable:
                    continue
                a[...] = one.inside


class _Guarded:
    """A copy of an array between two margins."""

    def __init__(self, a: np.ndarray):
        self.room = np.empty(a.size + 2 * MARGIN, a.dtype)
        self.room[...] = np.nan if a.dtype.kind == "f" else 77
        start = MARGIN + (a.ctypes.data % 64 - (self.room.ctypes.data + MARGIN * a.itemsize) % 64) % 64 // a.itemsize
        self.start = start if start + a.size <= self.room.size else MARGIN  # aligned as the array is
        self.inside = self.room[self.start : self.start + a.size].reshape(a.shape)
        self.inside[...] = a
        self.before = self._margins()
        self.address = ctypes.c_void_p(self.inside.ctypes.data)

    def _margins(self) -> bytes:
        return self.room[: self.start].tobytes() + self.room[self.start + self.inside.size :].tobytes()

    def unharmed(self, kernel: str) -> None:
        assert self._margins() == self.before, f"{kernel} writes outside its array of {self.inside.shape}"


@lru_cache
def _library(file: str, dtype: str) -> ctypes.CDLL:
    """The source file as a shared library with one entry for each kernel."""
    digest = hashlib.blake2b(digest_size=10)
    for path in (SOURCES / file, *headers(), HERE / "emulated.h"):
        digest.update(path.read_bytes())
    made = Path(tempfile.gettempdir()) / f"shoal-emulated-{Path(file).stem}-{dtype}-{digest.hexdigest()}.so"
    if not made.exists():
        flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-w", f"-Dreal={REAL[dtype]}", f"-I{SOURCES}", f"-I{HERE}"]
        with tempfile.NamedTemporaryFile(dir=made.parent, suffix=".so") as part:
            subprocess.run(
                ["g++", *flags, "-x", "c++", "-", "-o", part.name], input=_program(file), text=True, check=True
            )
            made.write_bytes(Path(part.name).read_bytes())
    return ctypes.CDLL(str(made))


def _program(file: str) -> str:
    entries = []
    for name, parameters in Source(file).kernels.items():
        declared = ", ".join(f"{p.kind} {'*' if p.pointer else ''}{p.name}" for p in parameters)
        passed = ", ".join(p.name for p in parameters)
        entries.append(
            f'extern "C" int emulate_{name}(unsigned grid_, unsigned block_, bool descending_, {declared}) '
            f"{{ return emulation::launch(grid_, block_, descending_, [=] {{ ::{name}({passed}); }}); }}"
        )
    return "\n".join(['#include "emulated.h"', f'#include "{file}"', *entries])
