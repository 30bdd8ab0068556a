"""The generation of most merit: kept beside the newest, found without ranks, and never in doubt after a crash."""

from __future__ import annotations

import pytest
from killed import killed_at

from shoal.checkpoint.history import best, generations, newest, open_generation
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError, UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run

FIRST, BETTER, WORSE = ("accuracy", 0.5), ("accuracy", 0.75), ("accuracy", 0.25)


def steps(folder):
    return sorted(int(path.name.removeprefix("step-")) for path in generations(folder))


def committed(folder, make_state, saves, keep=1):
    """A run folder after these saves, {step: merit}."""
    with Store(folder, Alone(), keep=keep) as store:
        for step, merit in saves.items():
            store.save(make_state(step), merit)


def test_the_best_outlives_the_newest_until_a_better_one_is_committed(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: FIRST, 20: BETTER, 30: WORSE, 40: None, 50: FIRST}, keep=2)
    assert steps(tmp_path) == [20, 40, 50]
    assert (tmp_path / "best").read_text() == "step-00000020\n"
    assert (tmp_path / "latest").read_text() == "step-00000050\n"
    assert is_same(best(tmp_path), make_state(20)) and is_same(newest(tmp_path), make_state(50))
    committed(tmp_path, make_state, {60: ("accuracy", 0.8), 70: WORSE}, keep=2)
    assert steps(tmp_path) == [60, 70]
    assert is_same(open_generation(tmp_path, choose=best), make_state(60))


def test_without_merits_nothing_more_is_kept(tmp_path, make_state):
    """The test above can fail."""
    committed(tmp_path, make_state, dict.fromkeys([10, 20, 30]))
    assert steps(tmp_path) == [30] and not (tmp_path / "best").exists()
    with pytest.raises(CheckpointError, match="no checkpoint of which a merit is known") as caught:
        open_generation(tmp_path, choose=best)
    assert "--best" in caught.value.cure and "checkpoint.best=" in caught.value.cure


def test_of_equals_the_first_stays(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: BETTER, 20: BETTER})
    assert is_same(best(tmp_path), make_state(10))


def test_merits_of_another_figure_do_not_count(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: BETTER, 20: ("loss", -3.0), 30: ("loss", -4.0), 40: None})
    assert is_same(best(tmp_path), make_state(20)) and steps(tmp_path) == [20, 40]


def test_a_step_saved_again_has_its_new_merit(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: FIRST, 20: BETTER})
    committed(tmp_path, make_state, {20: WORSE, 30: None}, keep=3)
    assert is_same(best(tmp_path), make_state(20))  # 10 was removed when 20 was better, and is not made up for
    committed(tmp_path, make_state, {40: FIRST}, keep=3)
    assert is_same(best(tmp_path), make_state(40))


def test_a_damaged_best_is_passed_over_aloud_for_the_next_best(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: WORSE, 20: BETTER, 30: FIRST}, keep=3)
    file = tmp_path / "generations" / "step-00000020" / "rank-0000.h5"
    file.write_bytes(file.read_bytes()[:-1])
    heard = []
    assert is_same(best(tmp_path, lambda path, problem: heard.append(problem)), make_state(30))
    assert len(heard) == 1 and str(file) in heard[0] and "falling back to the next best" in heard[0]


def test_a_best_that_was_found_damaged_is_not_kept_as_the_best(tmp_path, make_state, is_same):
    committed(tmp_path, make_state, {10: FIRST, 20: BETTER}, keep=2)
    file = tmp_path / "generations" / "step-00000020" / "rank-0000.h5"
    file.write_bytes(file.read_bytes()[:-1])
    with Store(tmp_path, Alone(), keep=1, reject=lambda path, problem: None) as store:
        assert is_same(store.newest(), make_state(10))
        store.save(make_state(30), WORSE)
    assert is_same(best(tmp_path), make_state(10)) and (tmp_path / "best").read_text() == "step-00000010\n"


def test_two_ranks_keep_the_same_best_as_one(tmp_path, make_state, is_same):
    def program(communicator):
        with Store(tmp_path, communicator, keep=1) as store:
            for step, merit in {10: BETTER, 20: WORSE, 30: FIRST}.items():
                store.save(make_state(step), merit)

    run(2, program)
    assert is_same(best(tmp_path), make_state(10)) and steps(tmp_path) == [10, 30]


def test_a_merit_that_is_no_number_is_refused(tmp_path, make_state):
    with Store(tmp_path, Alone()) as store, pytest.raises(UsageError, match="merit of nan"):
        store.save(make_state(10), ("loss", float("nan")))


# ---------------------------------------------------------------------------------------------- killed at a boundary

REPLACING = ["manifest.json synced", "manifest.json renamed", "latest durable"]
REPLACING += ["best written", "best renamed", "best durable", "step-00000010 disowned", "step-00000010 removed"]


@pytest.mark.parametrize("name", REPLACING)
def test_killed_while_a_better_one_replaces_it_a_best_can_be_believed(tmp_path, make_state, is_same, name):
    committed(tmp_path, make_state, {10: FIRST, 20: WORSE})
    assert killed_at(name, lambda: committed(tmp_path, make_state, {30: BETTER}))
    replaced = REPLACING.index(name) >= REPLACING.index("manifest.json renamed")
    assert is_same(best(tmp_path), make_state(30 if replaced else 10))  # by a reader, while the debris lies there
    committed(tmp_path, make_state, {40: WORSE})  # the next job finishes what the killed one began
    assert is_same(best(tmp_path), make_state(30 if replaced else 10))
    assert (tmp_path / "best").read_text() == f"step-{30 if replaced else 10:08d}\n"
    assert steps(tmp_path) == [30 if replaced else 10, 40]


def test_a_kill_that_never_comes_is_noticed(tmp_path, make_state):
    assert not killed_at("best written", lambda: committed(tmp_path, make_state, {30: None}))
