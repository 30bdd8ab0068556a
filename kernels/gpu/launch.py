"""A launch: arguments are compared with the kernel's own declaration before they reach the GPU.

A wrong pointer on a GPU is no error but a wrong number, or the end of the context. So the parameters are read from the
source, once, and what is passed must fit them: an array of the declared type, all `real` arrays of one dtype, a number
where a number is. Who executes a kernel is a Device: CUDA's, or one that a test puts in its place.

    _kernels = Source("activation.cu")          _kernels.launch("relu", *cover(n), x, out, n)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...core.errors import UsageError
from .compile import SOURCES

BLOCK = 256  # threads of a block, where nothing asks for another number
WAVES = 132 * 16  # blocks at most: enough to fill the largest GPU so far; each then walks on by the grid's stride
PACK = 4  # elements that a thread takes at once
TYPES = {
    "double": np.float64,
    "float": np.float32,
    "long": np.int64,
    "int": np.int32,
    "unsigned": np.uint32,
    "bool": np.bool_,
}

_KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)")


class Parameter(NamedTuple):
    """One parameter of a kernel as its source declares it. kind: "real" or a key of TYPES."""

    name: str
    kind: str
    pointer: bool


class Device(Protocol):
    """Executes kernels: numbers are NumPy scalars of the declared types, arrays belong to it."""

    def run(self, file: str, name: str, dtype: np.dtype, grid: int, block: int, shared: int, args: tuple) -> None: ...


_device: list[Device] = []  # the last one is in charge


@contextmanager
def executed_by(device: Any) -> Iterator[Any]:
    """Launches inside go to `device`, a Device."""
    _device.append(device)
    try:
        yield device
    finally:
        _device.remove(device)


class Source:
    """The kernels of one .cu file."""

    def __init__(self, file: str):
        self.file = file

    @cached_property
    def kernels(self) -> dict[str, list[Parameter]]:
        """The parameters of each kernel, read from the source."""
        text = re.sub(r"//[^\n]*", "", (SOURCES / self.file).read_text())
        return {name: [_parameter(one) for one in declared.split(",")] for name, declared in _KERNEL.findall(text)}

    def launch(self, name: str, grid: int, block: int, *args: Any, shared: int = 0) -> None:
        """Starts kernel `name` on `grid` blocks of `block` threads, in the current stream; nothing waits for it.

        shared: bytes of dynamic shared memory.   Raises UsageError where an argument is not what the source declares.
        """
        if grid == 0:
            return
        parameters = self.kernels[name]
        if len(args) != len(parameters):
            raise UsageError(f"{self.file}: {name} takes {len(parameters)} arguments, not {len(args)}")
        reals = [
            a for p, a in zip(parameters, args, strict=True) if p.kind == "real" and p.pointer and hasattr(a, "dtype")
        ]
        dtype = reals[0].dtype if reals else np.dtype(np.float32)
        ready = tuple(self._fitting(name, p, a, dtype) for p, a in zip(parameters, args, strict=True))
        (_device[-1] if _device else _cuda()).run(self.file, name, dtype, grid, block, shared, ready)

    def _fitting(self, kernel: str, p: Parameter, value: Any, dtype: np.dtype) -> Any:
        declared = np.dtype(dtype if p.kind == "real" else TYPES[p.kind])
        if not p.pointer:
            return declared.type(value)
        if not hasattr(value, "dtype") or value.dtype != declared or not value.flags.c_contiguous:
            found = f"{value.dtype}{value.shape}, strides {value.strides}" if hasattr(value, "dtype") else repr(value)
            raise UsageError(f"{self.file}: {p.name} of {kernel} is {found}, not a contiguous array of {declared}")
        return value


def cover(n: int, of_a_thread: int = PACK) -> tuple[int, int]:
    """Grid and block for n elements, each thread taking so many at a time."""
    return min(-(-n // (BLOCK * of_a_thread)), WAVES), BLOCK


def _parameter(text: str) -> Parameter:
    words = re.sub(r"\b(const|__restrict__)\b", "", text).replace("*", " * ").split()
    return Parameter(words[-1], words[0], "*" in words)


def _cuda() -> Device:
    from .cuda import DEVICE

    return DEVICE
