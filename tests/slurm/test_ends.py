"""How a job ends before its time, and that it goes on from there: asked to save, cancelled, a node gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster import Job

from shoal.checkpoint.history import open_generation
from shoal.mpi.alone import Alone
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent


def weights(folder: Path) -> dict[str, bytes]:
    """Every stored byte of the newest generation, by file."""
    return {path.name: path.read_bytes() for path in open_generation(folder).path.glob("*.h5")}


def newest(folder: Path) -> int:
    """The step of the newest generation, of which every byte was compared with its checksum."""
    return open_generation(folder).meta["fed"]


def starts(folder: Path) -> list[str]:
    """The Slurm job of each start, as the run folder knows them."""
    lines = (folder / "environment.jsonl").read_text().splitlines()
    return [json.loads(line)["ranks"][0]["job"] for line in lines]


def completed(job: Job) -> None:
    if job.ended() != "COMPLETED":
        job.fail(f"job {job.id} did not complete")


def test_sigusr1_saves_requeues_and_ends_in_the_bits_of_an_uncut_run(gated, whole) -> None:
    """The signal to the batch script alone, as --signal=B:USR1@seconds sends it."""
    job = gated.submit(settings=["checkpoint.every_epochs=0"])
    job.signal("USR1")
    job.requeued()
    completed(job)
    assert "ended by SIGUSR1 to 4 of 4 ranks" in job.said
    assert starts(gated.folder) == [job.id, job.id]
    assert weights(gated.folder) == weights(whole[1])


@pytest.mark.long
def test_slurm_sends_the_signal_before_the_time_limit(gated, whole) -> None:
    """Slurm looks at its clock every half minute, so it may come that much sooner than asked."""
    job = gated.submit("--time=1", "--signal=B:USR1@45")
    job.requeued()
    completed(job)
    assert "ended by SIGUSR1 to 4 of 4 ranks" in job.said
    assert starts(gated.folder) == [job.id, job.id]
    assert weights(gated.folder) == weights(whole[1])


@pytest.mark.long
def test_srun_hands_on_the_signal_as_mpirun_does(gated, whole, mpich) -> None:
    gated.launcher, gated.python = "srun --mpi=pmi2", mpich
    job = gated.submit()
    job.signal("USR1")
    job.requeued()
    completed(job)
    assert "ended by SIGUSR1 to 4 of 4 ranks" in job.said
    assert weights(gated.folder) == weights(whole[1])


@pytest.mark.long
def test_scancel_under_srun_saves_and_ends(gated, mpich) -> None:
    """Slurm gives each rank SIGTERM and then KillWait seconds. A job that is cancelled is not queued again."""
    gated.nodes, gated.launcher, gated.python = 2, "srun --mpi=pmi2", mpich
    job = gated.submit(settings=["checkpoint.every_epochs=0"])
    job.cancel()
    assert job.ended() == "CANCELLED"
    job.until(job.gone, 60, "the end of all ranks")
    assert "ended by SIGTERM to 2 of 2 ranks" in job.said
    assert newest(gated.folder) > 3
    assert job.facts()["Restarts"] == "0"


def test_scancel_under_mpirun_leaves_the_newest_periodic_generation(gated) -> None:
    """mpirun ends its ranks at once, whatever they would still do. Any number of ranks goes on from there."""
    gated.nodes = 2
    job = gated.submit(settings=["checkpoint.every_steps=1"])
    job.cancel()
    assert job.ended() == "CANCELLED"
    job.until(job.gone, 60, "the end of all ranks")
    assert newest(gated.folder) >= 3
    assert start.train(load(str(gated.folder / "config.toml")), Alone(), Silent(), resume=True).steps == 10


def test_a_slurmd_that_dies_under_a_job_costs_the_steps_since_the_last_save(gated) -> None:
    """When the controller gives the node up it ends the job and queues it again, without a word to the batch script."""
    gated.nodes = 2
    job = gated.submit(settings=["checkpoint.every_steps=1"])
    gated.cluster.slurmd_dies("node2")
    gated.cluster.node_lost("node2")
    job.requeued()
    completed(job)
    assert "DUE TO NODE FAILURE" in job.said
    assert starts(gated.folder) == [job.id, job.id]
    assert newest(gated.folder) == 10


@pytest.mark.long
def test_a_job_whose_first_node_dies_is_queued_again_and_ends_in_the_same_bits(gated, whole) -> None:
    """The batch script and mpirun die with it; the ranks on the other nodes are ended by Slurm, or find that they are orphans."""
    job = gated.submit(settings=["checkpoint.every_steps=1"])
    gated.cluster.node_dies("node1")
    gated.cluster.node_lost("node1")
    job.requeued()
    gated.cluster.node_up("node1")
    completed(job)
    assert weights(gated.folder) == weights(whole[1])


@pytest.mark.long
def test_where_mpirun_misses_a_node_before_slurm_does_its_zero_is_not_believed(gated, whole) -> None:
    """Open MPI's mpirun says that it has lost a node, and ends with 0: the job would count as completed."""
    job = gated.submit(settings=["checkpoint.every_steps=1"])
    gated.cluster.node_dies("node3")
    job.until(lambda: "lost communication with a remote daemon" in job.said, 60, "mpirun's last word")
    gated.cluster.node_up("node3")
    job.requeued()
    completed(job)
    assert starts(gated.folder) == [job.id, job.id]
    assert weights(gated.folder) == weights(whole[1])
