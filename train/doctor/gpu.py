"""GPUs: what the driver says in /proc and /dev, without loading CUDA, and a probe where there is something to probe.

Whether an MPI takes device memory has no portable question, and a wrong guess is a segmentation fault. So it is tried,
in a child that may die of it (GH JuliaParallel/MPI.jl#886).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from ...mpi.world import aware as probe
from .check import Case, Check, note
from .mpi import unlaunched

SYSTEM = Path("/")
UNUSED = "shoal's kernels run on the CPU"


def names(system: Path) -> list[str]:
    """Of the GPUs: NVIDIA's by model, AMD's by their number."""
    told = sorted(system.glob("proc/driver/nvidia/gpus/*/information"))
    models = [found[1].strip() for file in told if (found := re.search(r"Model:(.*)", file.read_text()))]
    nvidia = models or ["NVIDIA GPU" for _ in system.glob("dev/nvidia[0-9]*")]
    nodes = system.glob("sys/class/kfd/kfd/topology/nodes/*/properties")
    return nvidia + ["AMD GPU" for node in nodes if re.search(r"simd_count [1-9]", node.read_text())]


def gpus(case: Case) -> list[Check]:
    found = names(SYSTEM)
    if not found:
        return [Check("GPUs", "none")]
    models = ", ".join(f"{count} x {name}" for name, count in Counter(found).items())
    version = SYSTEM / "proc/driver/nvidia/version"
    driver = re.search(r"\s(\d+\.[\d.]+)\s", version.read_text()) if version.exists() else None
    cupy = "CuPy is installed" if find_spec("cupy") else "no CuPy"
    return [note("GPUs", f"{models}, driver {driver[1] if driver else 'unknown'}, {cupy}; {UNUSED}")]


def aware(case: Case) -> list[Check]:
    """Whether MPI takes memory of a GPU."""
    if not names(SYSTEM):
        return [Check("GPU-aware MPI", "no GPU")]
    if not find_spec("cupy") or "version" not in case.mpi:
        return [Check("GPU-aware MPI", "not asked: that needs CuPy and mpi4py")]
    child = [sys.executable, "-P", probe.__file__]
    done = subprocess.run(child, capture_output=True, text=True, timeout=60, check=False, env=unlaunched())
    if done.returncode == 0:
        return [Check("GPU-aware MPI", "yes: a message from device memory arrived")]
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return [note("GPU-aware MPI", f"no: the probe ended with {done.returncode} {last}".rstrip())]
