"""What the train tests share: a folder of tiny IDX files, and the command `shoal` as a child of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal.mpi.alone import Alone
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def pack(array: np.ndarray) -> bytes:
    """An array as the bytes of an IDX file."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """44 training and 10 test images of 8x8 in 4 classes: a bright quarter each, which can be learnt."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for count, (images, labels) in ((44, NAMES[:2]), (10, NAMES[2:])):
        y = np.arange(count) % 4
        x = rng.integers(0, 60, (count, 8, 8))
        for i, k in enumerate(y):
            x[i, 4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] += 150
        (folder / images).write_bytes(pack(x))
        (folder / labels).write_bytes(pack(y))
    return folder


@pytest.fixture
def tiny(idx_folder: Path) -> list[str]:
    """Overrides that make digits-cnn a run of a second, without a compiler: 5 steps an epoch, the last of 4 samples."""
    return [
        "data.source=idx",
        f"data.path={idx_folder}",
        "train.batch=10",
        "train.epochs=2",
        "train.backend=reference",
        "optim.lr=0.02",
    ]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of digits-cnn after one epoch, not to be written to: 10 classes of 8 x 8 grey pixels from 0 to 16."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    settings = ["train.epochs=1", "train.backend=reference", "train.batch=240", f"run.folder={folder}"]
    start.train(load("digits-cnn", settings), Alone(), Silent())
    return folder


@pytest.fixture
def shoal(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in an empty folder, as one process."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shoal", *args]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run
