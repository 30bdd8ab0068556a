"""What stands beside every result: the machine and the versions it was measured with."""

import os
import platform
from importlib.metadata import version


def machine(*packages):
    """{"cpu": ..., "cores": ..., "versions": {...}}; the CPU by the name LLVM gives it."""
    from llvmlite import binding

    versions = {"python": platform.python_version(), **{package: version(package) for package in packages}}
    return {"cpu": binding.get_host_cpu_name(), "cores": len(os.sched_getaffinity(0)), "versions": versions}
