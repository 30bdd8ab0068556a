"""shoal run over real ranks: killed, stopped or wrong at a given step, the run ends as one that was never disturbed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from launch import ROOT_MAY, Finished, launcher, run

from shoal.checkpoint.history import newest
from shoal.core.spec import Spec
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.threads import run as on_threads
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent

# The command shoal, whose rank RANK meets a FAULT before the step that follows 7 others; once, or each time.
SHOAL = """
import os, signal
from pathlib import Path
from shoal.train import loop
feed, mark = loop.Loop._feed, Path(__file__).with_name("met")
def faulty(self, name, batch):
    if self.job.comm.rank == RANK and self.fed == 7 and (ALWAYS or not mark.exists()):
        mark.touch()
        FAULT
    return feed(self, name, batch)
loop.Loop._feed = faulty
from shoal.cli import main
main()
"""
SETTINGS = [
    *("data.source=synthetic", "data.kind=classes", "data.samples=55", "data.shape=8,8,1", "data.classes=4"),
    *("train.backend=reference", "train.batch=10", "train.epochs=2", "train.dtype=float64", "checkpoint.every_steps=3"),
]
MPIRUN = ("--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx")


def supervised(
    here: Path, ranks: int, fault: str, *options: str, settings: tuple[str, ...] = (), always: bool = False
) -> Finished:
    """shoal run over so many ranks, of which the last one, or the only one, is faulty; its run folder is here/run."""
    text = SHOAL.replace("RANK", str(ranks - 1)).replace("FAULT", fault).replace("ALWAYS", str(always))
    (here / "shoal").write_text(text)
    start = [launcher(), *MPIRUN, "-n", str(ranks)] if ranks > 1 else []
    train = [
        sys.executable,
        str(here / "shoal"),
        "train",
        "digits-cnn",
        *SETTINGS,
        *settings,
        f"run.folder={here / 'run'}",
    ]
    command = [sys.executable, "-m", "shoal", "run", *options, "--", *start, *train]
    return run(command, 90, {**ROOT_MAY, "PYTHONPATH": os.environ.get("PYTHONPATH", "")})


def undisturbed(here: Path, ranks: int) -> dict[str, np.ndarray]:
    """The weights at the end of the same run, on ranks as threads, that nothing happened to."""
    config = load("digits-cnn", [*SETTINGS, f"run.folder={here / 'whole'}"])

    def train(comm: Communicator) -> None:
        start.train(config, comm, Silent())

    train(Alone()) if ranks == 1 else on_threads(ranks, train)
    return weights(here / "whole")


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the newest generation, which is that of the end, the optimizer's among them."""
    generation = newest(folder)
    assert generation is not None and generation.meta["step"] == 10
    slices = {one.name: one.global_shape for file in generation.manifest.files for one in file.slices}
    return {name: generation.read(name, Spec(name.rpartition("/")[2], shape)) for name, shape in slices.items()}


def test_a_rank_that_is_killed_costs_no_bit(tmp_path: Path) -> None:
    done = supervised(tmp_path, 2, "os.kill(os.getpid(), signal.SIGKILL)")
    assert done.code == 0, done.text
    words = f"with code 137 (killed by SIGKILL); restart 1 of 3 continues from {tmp_path}/run/generations/step-00000006"
    assert words in done.text and "ended with code 0 (done) after 1 restart\n" in done.text
    end = newest(tmp_path / "run")
    assert end is not None and end.meta["life"]["failures"] == 1  # checkpoint.auto learns of it
    whole = undisturbed(tmp_path, 2)
    assert {name: a.tobytes() for name, a in weights(tmp_path / "run").items()} == {
        name: a.tobytes() for name, a in whole.items()
    }


def test_a_rank_that_stops_is_a_stall_and_fewer_ranks_end_where_serial_does(tmp_path: Path) -> None:
    fault = "os.kill(os.getpid(), signal.SIGSTOP)"
    done = supervised(tmp_path, 3, fault, "--fewer", settings=("parallel.deadline=0.5",))
    assert done.code == 0, done.text
    assert "in allreduce" in done.text and "waiting for rank 2" in done.text
    words = f"with code 7 (stalled); restart 1 of 3 continues from {tmp_path}/run/generations/step-00000006"
    assert f"{words}; 2 ranks instead of 3: the same as serial up to rounding, not the same bits" in done.text
    serial = undisturbed(tmp_path, 1)
    found = weights(tmp_path / "run")
    assert any(array.tobytes() != serial[name].tobytes() for name, array in found.items())
    for name, array in found.items():
        assert np.linalg.norm(array - serial[name]) <= 1e-10 * np.linalg.norm(serial[name]), name


def test_an_error_of_the_program_comes_back_and_is_not_started_for_ever(tmp_path: Path) -> None:
    done = supervised(tmp_path, 1, "raise ZeroDivisionError('planted')", "--max-restarts", "9", always=True)
    assert done.code == 1, done.text
    assert done.text.count("ZeroDivisionError: planted") == 3
    assert "after 2 restarts: two deaths in a row without a newer checkpoint or a later step" in done.text


def test_a_supervisor_that_is_sent_usr1_ends_saved_and_starts_nothing(tmp_path: Path) -> None:
    parent = "int(Path(f'/proc/{os.getppid()}/stat').read_text().rpartition(')')[2].split()[1])"  # mpirun's
    done = supervised(tmp_path, 2, f"os.kill({parent}, signal.SIGUSR1)", settings=("train.epochs=99999",))
    assert done.code == 75, done.text
    assert "ended with code 75 after 0 restarts, as it was asked to by SIGUSR1" in done.text
    found = newest(tmp_path / "run")
    assert found is not None and found.meta["step"] >= 8
