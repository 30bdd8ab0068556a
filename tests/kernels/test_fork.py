"""Nothing in shoal forks: a child of fork with OpenMP's threads or InfiniBand's memory in it is broken from its birth."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import shoal
from shoal.kernels.cpu.threads import layer

PACKAGE = Path(shoal.__file__).parent
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py") if path.parent.name not in ("tests", "bench"))
FORKS = {"multiprocessing", "fork", "forkpty", "ProcessPoolExecutor"}

STORY = """import os
os.environ["NUMBA_NUM_THREADS"] = "2"
import numpy as np
from shoal.kernels.cpu import threads
from shoal.kernels.ops import relu
threads.set_threads(2)
x = np.ones(1 << 20, np.float32)
relu(x)
child = os.fork()
if child == 0:
    relu(x)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def forking(source: str) -> set[str]:
    """The names in a program by which processes are forked."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found & FORKS


def test_no_room_forks() -> None:
    """Data are read ahead by a thread (train/prefetch.py), and other programs are started by subprocess, which executes."""
    files = [file for room in ROOMS for file in room.rglob("*.py")]
    assert len(files) > 100
    assert {str(file) for file in files if forking(file.read_text())} == set()


def test_the_check_sees_a_fork() -> None:
    for program in (STORY, "import multiprocessing.pool", "from concurrent.futures import ProcessPoolExecutor as P"):
        assert forking(program)


@pytest.mark.skipif(layer() != "omp", reason="of GNU OpenMP, where there is no libgomp")
def test_why_a_forked_child_dies_at_its_first_parallel_kernel() -> None:
    """Numba's own words; its parent lives (GH numba/numba#7881)."""
    done = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, timeout=120, check=False)
    assert "fork() called from a process already using GNU OpenMP, this is unsafe" in done.stderr
    assert (done.returncode, int(done.stdout)) == (0, -15)
