"""The CUDA device of this process: modules are loaded once for each source and dtype, and kernels go to CuPy's stream."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ...core.errors import PlatformError
from .compile import cubin

EXACT = {90: "sm_90a", 100: "sm_100a"}  # where the architecture's own instructions want its exact name
STATIC = 48 * 1024  # bytes of shared memory that need no permission


class Cuda:
    """Runs kernels on CuPy's current device and stream."""

    def run(self, file: str, name: str, dtype: np.dtype, grid: int, block: int, shared: int, args: tuple) -> None:
        function = _function(file, name, dtype.name, _device())
        if shared > STATIC:
            function.max_dynamic_shared_size_bytes = shared
        function((grid,), (block,), args, shared_mem=shared)


def arch() -> str:
    """The architecture of the current device, such as "sm_90a"."""
    cupy = _cupy()
    number = int(cupy.cuda.Device().compute_capability)
    return EXACT.get(number, f"sm_{number}")


@cache
def _function(file: str, name: str, dtype: str, device: int) -> Any:
    return _module(file, dtype, device).get_function(name)


@cache
def _module(file: str, dtype: str, device: int) -> Any:
    module = _cupy().cuda.function.Module()
    module.load(cubin(file, arch(), dtype).code)
    return module


def _device() -> int:
    return int(_cupy().cuda.runtime.getDevice())


@cache
def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise PlatformError(
            f"the gpu backend needs CuPy: {error}", 'pip install "shoal[cuda13]" (or cuda12)'
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise PlatformError(f"no GPU can be used: {error}", "look at nvidia-smi; or use backend cpu") from error
    if not count:
        raise PlatformError("this machine has no GPU", "use backend cpu")
    return cupy


DEVICE = Cuda()
