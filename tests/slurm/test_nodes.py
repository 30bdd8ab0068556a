"""Training across the nodes of an allocation: by mpirun in a batch script, by srun, and to the same bits."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import NODES, Cluster, Job

from shoal.checkpoint.history import open_generation


def weights(folder: Path) -> dict[str, bytes]:
    """Every stored byte of the newest generation, by file."""
    return {path.name: path.read_bytes() for path in open_generation(folder).path.glob("*.h5")}


def last_start(folder: Path) -> dict[str, Any]:
    """What the run folder knows of its last start."""
    return json.loads((folder / "environment.jsonl").read_text().splitlines()[-1])


def test_mpirun_in_a_batch_script_takes_the_nodes_of_the_allocation(whole: tuple[Job, Path]) -> None:
    """No -n, no host list: Open MPI reads them from Slurm, and starts a daemon on each node by srun."""
    job, folder = whole
    ranks = last_start(folder)["ranks"]
    assert [rank["node"] for rank in ranks] == list(NODES)
    assert {rank["job"] for rank in ranks} == {job.id}
    assert len(list(folder.glob("events-*.jsonl"))) == 4


def test_srun_with_mpich_ends_in_the_bits_of_mpirun_with_open_mpi(
    cluster: Cluster, training: Callable[..., str], tmp_path: Path, mpich: str, whole: tuple[Job, Path]
) -> None:
    """Four ranks that add in rank order: which MPI carries the messages changes no bit."""
    options = ["--mpi=pmi2", "--nodes=4", "--ntasks=4"]
    done = cluster.command("srun", *options, *shlex.split(training("run", python=mpich)))
    assert done.code == 0, done.text
    assert [rank["node"] for rank in last_start(tmp_path / "run")["ranks"]] == list(NODES)
    assert weights(tmp_path / "run") == weights(whole[1])
