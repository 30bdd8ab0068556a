"""What the tests on a real Slurm share: the cluster, a tiny training, and the environment with MPICH's wheel."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import launch
import pytest
from cluster import Cluster, Job, installed, started

TINY = ["data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=50", "train.batch=8"]
SETTINGS = [*TINY, "train.backend=reference", "train.epochs=2", "--progress", "none"]

SCRIPTS = Path(__file__).parents[2] / "slurm"
MPIRUN = "mpirun --bind-to none --mca osc ^ucx"
FOUR = ("--nodes=4", "--ntasks-per-node=1")


def programs(folder: Path, shoal: str, python: str = sys.executable) -> str:
    """Makes `folder` a first place on PATH, where `shoal` is this shell line, for the MPI of this Python; the folder.

    Open MPI's mpirun looks for a program on other nodes beside itself first, where an installed shoal is: so it is told the path.
    """
    folder.mkdir()
    lines = {"shoal": shoal}
    if python == sys.executable:
        told = f'words=(); for word; do [ "$word" != shoal ] || word={folder}/shoal; words+=("$word"); done'
        lines["mpirun"] = f'{told}; exec {launch.launcher()} "${{words[@]}}"'
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/bash\n{line}\n")
        (folder / name).chmod(0o755)
    return str(folder)


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
def bin_with(tmp_path: Path) -> Callable[[str, str], str]:
    """bin_with(line, python): a folder for PATH in which `shoal` is this shell line."""
    return lambda shoal, python: programs(tmp_path / "bin", shoal, python)


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., str]:
    """training("run", "train.epochs=3"): the words of a tiny training in a run folder of that name; 5 steps an epoch."""

    def words(name: str, *settings: str, python: str = sys.executable) -> str:
        command = [python, "-m", "shoal", "train", "digits-cnn", *SETTINGS, *settings, f"run.folder={tmp_path / name}"]
        return shlex.join(command)

    return words


@pytest.fixture(scope="session")
def whole(running: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """The tiny training on four nodes, by mpirun in a batch script, as nothing disturbed it: its job and its run folder."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    words = [sys.executable, "-m", "shoal", "train", "digits-cnn", *SETTINGS, f"run.folder={folder}"]
    job = running.sbatch(f"{MPIRUN} {shlex.join(words)}", *FOUR)
    if job.ended() != "COMPLETED":
        job.fail("a training that nothing disturbs failed")
    return job, folder


@dataclass
class Gated:
    """A tiny training by slurm/train.sbatch, a rank on each node, where every rank waits before step 3 for a signal.

    folder: its run folder.   launcher, python: how its ranks are started, and with which MPI.
    """

    cluster: Cluster
    folder: Path
    nodes: int = 4
    launcher: str = MPIRUN
    python: str = sys.executable

    def submit(self, *options: str, settings: Sequence[str] = ()) -> Job:
        """Submits it, and waits until all ranks are at the gate."""
        gate = programs(
            self.folder.parent / "gate", f'exec {self.python} {Path(__file__).with_name("gated.py")} "$@"', self.python
        )
        job = self.cluster.submit(
            SCRIPTS / "train.sbatch",
            f"--nodes={self.nodes}",
            "--ntasks-per-node=1",
            *options,
            words=["digits-cnn", *SETTINGS, *settings, f"run.folder={self.folder}"],
            PATH=f"{gate}:{self.cluster.environment['PATH']}",
            GATE=gate,
            GATE_STEP="3",
            SHOAL_SLURM=str(SCRIPTS),
            SHOAL_LAUNCHER=self.launcher,
        )
        ranks = [Path(gate, f"rank-{rank}") for rank in range(self.nodes)]
        job.until(lambda: all(file.exists() for file in ranks), 60, "a rank at the gate")
        return job


@pytest.fixture
def gated(cluster: Cluster, tmp_path: Path) -> Gated:
    return Gated(cluster, tmp_path / "run")
