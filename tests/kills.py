"""A job that is killed at a passage of the checkpoint's protocol, and what it is held to afterwards.

    python kills.py SHAPE FOLDER FATE PASSAGES        as a rank of mpirun

A passage is logged before the kill, so the parent knows how far the protocol came. A boundary's name says whose it is: a
rank writes its own file, and rank 0 all the rest.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from launch import mpirun

from shoal.checkpoint import commit, history
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.start import connect
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent

RENAMED = "manifest.json renamed"  # from here on the generation is there
SETTINGS = [
    *("data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=40"),
    *("train.backend=reference", "train.batch=8", "train.epochs=2", "optim.lr=0.02"),
    *("checkpoint.every_steps=1", "checkpoint.keep=2", "checkpoint.best=loss"),
]  # 4 steps an epoch, one save a step
PIPELINE = "parallel.mesh={pipeline = 2}"  # both ranks write
SHAPES = {
    "one process": [],
    "two threads": [PIPELINE],
    "two threads, in the background": [PIPELINE, "checkpoint.background=true"],
    "mpirun": [PIPELINE],
}


@dataclass(frozen=True)
class Fate:
    """To die at the so-many-th passage of a boundary; "" for never."""

    kind: str = ""
    times: int = 1


def kind(boundary: str) -> str:
    """A boundary without the step and the edition in its name."""
    return re.sub(r"(rank-\d{4})-\d+", r"\1", re.sub(r"step-\d+", "step", boundary))


def doom(folder: Path, fate: Fate, passages: Path) -> None:
    """Lets this process log its passages and meet its fate."""
    log, seen = os.open(passages, os.O_WRONLY | os.O_APPEND | os.O_CREAT), Counter[str]()

    def boundary(name: str) -> None:
        passed = kind(name)
        seen[passed] += 1
        newest = history.readable(folder)[0][0] if passed == RENAMED else None
        os.write(log, f"{json.dumps([passed, newest and newest.serial])}\n".encode())
        if (passed, seen[passed]) == (fate.kind, fate.times):
            os.kill(os.getpid(), signal.SIGKILL)

    commit.boundary = boundary


def train(shape: str, folder: Path, comm: Communicator) -> None:
    settings = [*SETTINGS, *SHAPES[shape], f"run.folder={folder}"]
    start.train(load("digits-cnn", settings), comm, Silent(), resume=True)


def life(shape: str, folder: Path, fate: Fate, passages: Path) -> bool:
    """One start of the job, with resume; whether it met its fate before it was done."""
    if shape == "mpirun":
        arguments = [shape, str(folder), json.dumps([fate.kind, fate.times]), str(passages)]
        done = mpirun(2, Path(__file__), *arguments)
        assert done.code in (0, 128 + signal.SIGKILL), done.text
        return done.code != 0
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            doom(folder, fate, passages)
            if shape == "one process":
                train(shape, folder, Alone())
            else:
                threads.run(2, lambda comm: train(shape, folder, comm))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), f"the job ended with {code}"
    return code != 0


def passed(passages: Path) -> list[tuple[str, int | None]]:
    """(kind, serial of the generation if this is its commit) of all passages."""
    lines = passages.read_text().splitlines() if passages.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def main(shape: str, folder: str, fate: str, passages: str) -> None:
    doom(Path(folder), Fate(*json.loads(fate)), Path(passages))
    train(shape, Path(folder), connect(backend="reference"))


if __name__ == "__main__":
    main(*sys.argv[1:])
