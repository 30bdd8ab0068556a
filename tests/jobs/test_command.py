"""What a restart changes in a command line, and that it changes nothing else."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shoal.core.errors import UsageError
from shoal.jobs.command import JOINED, SEPARATE, Command

STARTS = ["shoal train", "python -m shoal train", "python -mshoal train", "/opt/env/bin/shoal train"]
STARTS += ["python -u /opt/env/bin/shoal train", "env OMP_NUM_THREADS=1 shoal train"]
COUNTS = ["-n 4", "-np 4", "--np 4", "--n 4", "--ntasks 4", "--ntasks=4", "-n4", "--np=4"]


def command(text: str) -> Command:
    return Command.of(shlex.split(text))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_restart_resumes_and_has_as_many_ranks_as_it_is_told(start: str, count: str) -> None:
    given = command(f"mpirun --oversubscribe {count} --mca osc ^ucx {start} digits-cnn optim.lr=0.1")
    assert given.ranks == 4
    fewer = count.replace("4", "3")
    again = f"mpirun --oversubscribe {fewer} --mca osc ^ucx {start} --resume digits-cnn optim.lr=0.1"
    assert str(given.resumed().on(3)) == again
    assert given.resumed().resumed() == given.resumed()
    assert given.arguments == ("digits-cnn", "optim.lr=0.1")


def test_a_command_that_resumes_already_stays_as_it_is() -> None:
    given = command("srun -n 2 shoal train digits-cnn --resume")
    assert given.resumed() is given


def test_one_process_is_a_command_too() -> None:
    assert str(command("shoal train digits-cnn").resumed()) == "shoal train --resume digits-cnn"
    assert command("shoal train digits-cnn").launcher == ()


@pytest.mark.parametrize(
    "text", ["", "mpirun -n 2", "train", "shoal", "shoal eval runs/x", "bash -c 'shoal train x'", "mpirun train shoal"]
)
def test_what_does_not_train_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="no command after --" if not text else 'no "shoal train" in it') as refused:
        command(text)
    assert "mpirun -n 4 shoal train" in refused.value.cure


@pytest.mark.parametrize(
    "launcher, found",
    [
        ("mpirun", "no number"),
        ("mpirun -n 2 nice -n 10", "2 numbers"),
        ("mpirun -n all", "no number"),
        ("", "no number"),
    ],
)
def test_a_number_of_ranks_that_is_not_one_cannot_be_lowered(launcher: str, found: str) -> None:
    with pytest.raises(UsageError, match=f"has {found} of ranks"):
        _ = command(f"{launcher} shoal train digits-cnn -n 3").ranks


@pytest.mark.parametrize("option", ["--wdir /tmp", "--wdir=/tmp", "-wdir /tmp", "--chdir=/tmp"])
def test_a_launcher_that_starts_its_ranks_elsewhere_is_known(option: str) -> None:
    assert command(f"mpirun {option} -n 2 shoal train x").moves
    assert not command(f"mpirun -n 2 shoal train {option}").moves


def innocent(word: str) -> bool:
    return word not in SEPARATE and not JOINED.fullmatch(word) and word.rsplit("/", 1)[-1] not in ("shoal", "-mshoal")


WORDS = some.lists(some.text(min_size=1).filter(innocent), max_size=4)


@given(WORDS, WORDS, WORDS, some.integers(1, 999), some.integers(1, 999))
def test_nothing_else_is_changed(
    before: list[str], between: list[str], after: list[str], ranks: int, other: int
) -> None:
    after = [word for word in after if word != "--resume"]
    given = Command.of([*before, "-n", str(ranks), *between, "shoal", "train", *after])
    assert given.ranks == ranks
    assert given.on(other).on(ranks) == given
    assert given.on(other).words == (*before, "-n", str(other), *between, "shoal", "train", *after)
    words = list(given.resumed().words)
    words.remove("--resume")
    assert tuple(words) == given.words
