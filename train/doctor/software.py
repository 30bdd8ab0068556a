"""What is installed, and what Numba will compile for."""

from __future__ import annotations

import os
import platform
import sys
import tempfile

import numpy as np

from ...core.spec import Spec, State
from ...mpi.alone import Alone
from ..run import versions
from .check import Case, Check, note


def python(case: Case) -> list[Check]:
    fits = sys.version_info >= (3, 11)
    found = f"{platform.python_version()}, {sys.executable}"
    return [Check("Python", found, "" if fits else "use Python 3.11 or newer")]


def packages(case: Case) -> list[Check]:
    """The packages that every use needs; mpi4py is asked for under MPI."""
    found = versions()
    missing = [name for name in ("numpy", "numba", "h5py") if not found[name]]
    names = ("shoal", "numpy", "numba", "llvmlite", "h5py", "tbb")
    shown = ", ".join(f"{name} {found[name] or 'missing'}" for name in names)
    return [Check("packages", shown, f"pip install {' '.join(missing)}" if missing else "")]


def numba(case: Case) -> list[Check]:
    """The CPU that kernels are compiled for, and how wide its vectors are."""
    from ...kernels.cpu.compile import target

    name, text = target()
    features = set(text.split(","))
    bits = next((bits for feature, bits in (("+avx512f", 512), ("+avx2", 256)) if feature in features), 128)
    found = f"{name}, vectors of {bits} bits, {'with' if '+fma' in features else 'without'} FMA"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return [Check("Numba", f"NUMBA_DISABLE_JIT={os.environ['NUMBA_DISABLE_JIT']}: it compiles nothing", "unset it")]
    if told := [name for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES") if name in os.environ]:
        return [note("Numba", f"{found}, because {' and '.join(told)} says so")]
    return [Check("Numba", found)]


def hdf5(case: Case) -> list[Check]:
    """Writes a small checkpoint and reads it back."""
    from ...checkpoint import shard
    from ...checkpoint.store import Store

    sent = np.arange(3.0)
    with tempfile.TemporaryDirectory() as folder, Store(folder, Alone()) as store:
        store.save(State({"x": (Spec("x", (3,)), sent)}, {"step": 0}))
        generation = store.newest()
        same = generation is not None and np.array_equal(generation.read("x", Spec("x", (3,))), sent)
    found = f"{shard.hdf5()}, a checkpoint {'was' if same else 'was NOT'} read back; needs no file locks"
    return [Check("HDF5", found, "" if same else "pip install --force-reinstall h5py")]
