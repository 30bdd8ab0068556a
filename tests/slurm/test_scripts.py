"""The scripts that users copy, and what `shoal submit` writes, on a real Slurm: signals, requeues, scancel, scaling.

The programs are the real ones too; only `shoal` is a line that starts this Python, since it may not be installed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster, Job

ROOT = Path(__file__).parents[2]
TINY = ["data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=50", "train.batch=8"]
NET = ["digits-cnn", *TINY, "train.backend=reference"]
# The first start would train for hours; the one after a requeue has only to find that enough is done.
SHOAL = 'exec {python} -m shoal "$@" ${{SLURM_RESTART_COUNT:+train.epochs=1}}'
ENDLESS = ["train.epochs=100000", "checkpoint.every_steps=5"]


@pytest.fixture
def path(tmp_path: Path, bin_with: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A desk with slurm/ in it, in which the test stands; PATH with a Python's shoal and its mpirun."""
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMPI_MCA_osc", "^ucx")

    def of(python: str = sys.executable) -> str:
        return f"{bin_with(SHOAL.format(python=python), python)}:{Path(python).parent}:{os.environ['PATH']}"

    return of


@pytest.fixture
def submitted(cluster: Cluster, path: Callable[..., str], tmp_path: Path) -> Callable[..., Job]:
    """shoal submit --run: the job, whose output is where its script says. The cluster's nodes state no memory."""

    def submit(name: str, *words: str, python: str = sys.executable) -> Job:
        flags = ["--nodes", "2", "--ranks-per-node", "1", "--mem", "0", "--run"]
        command = [sys.executable, "-m", "shoal", "submit", *NET, f"run.folder={tmp_path / name}", *words, *flags]
        done = cluster.command(*command, PATH=path(python))
        number = done.text.splitlines()[-1]
        assert done.code == 0 and number.isdigit(), done.text
        return Job(cluster, number, tmp_path / f"{name}-{number}.out")

    return submit


def test_a_submitted_job_saves_queues_itself_again_and_trains_to_the_end(
    submitted: Callable[..., Job], tmp_path: Path
) -> None:
    job = submitted("run", *ENDLESS)
    job.until((tmp_path / "run" / "latest").exists, what="the first save")
    job.signal("USR1")
    if job.ended() != "COMPLETED":
        job.fail("the job was not continued")
    assert (job.facts()["Restarts"], job.code) == ("1", 0)
    assert "ended by SIGUSR1" in job.said and "resuming " in job.said, job.said
    starts = [json.loads(line) for line in (tmp_path / "run" / "environment.jsonl").read_text().splitlines()]
    assert [len(start["ranks"]) for start in starts] == [2, 2]


def cancelled(job: Job) -> None:
    """Cancels it, and looks when its last process is gone: it must not be in the queue again."""
    job.cancel()
    job.until(job.cluster.idle, what="the end of its last process")
    facts = job.facts()
    assert (facts["JobState"], facts["Restarts"]) == ("CANCELLED", "0"), job.said


@pytest.mark.long
def test_a_cancelled_job_stays_cancelled(submitted: Callable[..., Job], tmp_path: Path) -> None:
    job = submitted("run", *ENDLESS)
    job.until((tmp_path / "run" / "latest").exists, what="the first save")
    cancelled(job)


def test_a_cancelled_job_of_srun_saves_and_stays_cancelled(
    submitted: Callable[..., Job], tmp_path: Path, mpich: str
) -> None:
    """srun's ranks have the time that mpirun's have not; they end with 75, which here does not mean: start me again.

    Slurm would do so: scontrol requeue brings a cancelled job back.
    """
    job = submitted("run", *ENDLESS, python=mpich)
    job.until((tmp_path / "run" / "latest").exists, what="the first save")
    cancelled(job)
    assert "ended by SIGTERM" in job.said and job.code == 75, job.said


def test_scaling_runs_on_one_node_and_on_two_and_compares_them(
    cluster: Cluster, path: Callable[..., str], tmp_path: Path
) -> None:
    words = [*NET, "train.epochs=1"]
    options = ["--parsable", "--nodes=2", "--ntasks-per-node=1"]
    done = cluster.command("sbatch", *options, "slurm/scaling.sbatch", *words, PATH=path())
    assert done.code == 0, done.text
    job = Job(cluster, done.text.strip(), tmp_path / f"scaling-{done.text.strip()}.out")
    if job.ended() != "COMPLETED":
        job.fail("scaling failed")
    folder = tmp_path / f"scaling-{job.id}"
    assert [json.loads(line)["ranks"] for line in (folder / "results.jsonl").read_text().splitlines()] == [1, 2]
    rows = [line.split() for line in (folder / "table.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == ["ranks", "1", "2"] and rows[1][2:4] == ["1.00", "100%"]


@pytest.mark.long
def test_a_question_of_shoal_bench_is_answered_on_the_ranks_of_an_allocation(
    cluster: Cluster, path: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("bench", "pyproject.toml"):  # the checkout in which the questions are
        (tmp_path / name).symlink_to(ROOT / name)
    options = ["--parsable", "--nodes=2", "--ntasks-per-node=1"]
    done = cluster.command("sbatch", *options, "slurm/scaling.sbatch", "bench", "allreduce", "--quick", PATH=path())
    assert done.code == 0, done.text
    job = Job(cluster, done.text.strip(), tmp_path / f"scaling-{done.text.strip()}.out")
    if job.ended() != "COMPLETED":
        job.fail("the question was not answered")
    answer = json.loads((tmp_path / f"scaling-{job.id}" / "allreduce-2.json").read_text())
    assert answer["setting"]["ranks"] == 2 and answer["cases"]
