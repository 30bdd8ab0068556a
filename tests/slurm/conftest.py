"""What the tests on a real Slurm share: the cluster, a tiny training, and the environment with MPICH's wheel."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import launch
import pytest
from cluster import Cluster, installed, started

TINY = ["data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=50", "train.batch=8"]
SETTINGS = [*TINY, "train.backend=reference", "train.epochs=2", "--progress", "none"]


@pytest.fixture(scope="session")
def running() -> Iterator[Cluster]:
    installed()
    with started() as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """Four idle nodes, node1 to node4, of two CPUs each; jobs that a test leaves behind are cancelled."""
    yield running
    running.clear()


@pytest.fixture(scope="session")
def mpich() -> str:
    return launch.mpich()


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., str]:
    """training("run", "train.epochs=3"): the words of a tiny training in a run folder of that name; 5 steps an epoch."""

    def words(name: str, *settings: str, python: str = sys.executable) -> str:
        command = [python, "-m", "shoal", "train", "digits-cnn", *SETTINGS, *settings, f"run.folder={tmp_path / name}"]
        return shlex.join(command)

    return words
