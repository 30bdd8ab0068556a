"""Makes the modules that these tests share importable, here and in the children of mpirun; one thread a rank."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Ranks that are threads of this process share its cores, so each computes with one."""
    from shoal.kernels.cpu import threads

    before = threads.threads()
    threads.set_threads(1)
    yield
    threads.set_threads(before)
