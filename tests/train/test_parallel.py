"""[parallel]: what a configuration makes of its ranks, and that a forecast is what then happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shoal.core.errors import UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.threads import run
from shoal.train import start
from shoal.train.build import Job, build
from shoal.train.config import load
from shoal.train.dry_run import plan, show
from shoal.train.parallel import mesh
from shoal.train.progress import Silent


def over_threads(program: Any, ranks: int) -> list[Any]:
    return run(ranks, program, deadline=120) if ranks > 1 else [program(Alone())]


def one_step(job: Job) -> None:
    batch = job.sampler.batches(0)[0]
    with job.prefetch.reading([job.strategy.needs(batch)], job.dataset.train.read):
        job.strategy.feed(batch)


# ---------------------------------------------------------------------------------------------------- the mesh


@pytest.mark.parametrize(
    "settings, ranks, axes",
    [
        ([], 3, (3, 1)),
        (["parallel.mesh.pipeline=2"], 6, (3, 2)),
        (["parallel.mesh.data=2", "parallel.mesh.pipeline=2"], 4, (2, 2)),
        (["parallel.mesh.data=4"], 4, (4, 1)),
    ],
)
def test_what_is_not_said_follows_from_the_ranks(settings: list[str], ranks: int, axes: tuple[int, int]) -> None:
    assert tuple(mesh(load("digits-cnn", settings), ranks).values()) == axes


@pytest.mark.parametrize(
    "settings, words",
    [
        (["parallel.mesh.tensor=2"], "no axis tensor"),
        (["parallel.mesh.pipeline=3"], r"\{data = 1, pipeline = 3\} has 3 places for 4 ranks"),
        (["parallel.mesh.pipeline=0"], "pipeline = 0"),
        (["parallel.mesh.pipeline=2.5"], "pipeline = 2.5 is not a number of ranks"),
        (["parallel.mesh.pipeline=true"], "pipeline = True is not a number of ranks"),
        (["parallel.mesh.data=3", "parallel.mesh.pipeline=2"], "6 places for 4 ranks"),
    ],
)
def test_a_mesh_that_does_not_fit_says_its_numbers(settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        mesh(load("digits-cnn", settings), 4)


def test_more_stages_than_blocks_and_shares_for_other_replicas_are_refused(tiny: list[str]) -> None:
    with pytest.raises(UsageError, match="7 stages of 6 blocks"):
        plan(load("digits-cnn", [*tiny, "parallel.mesh.pipeline=7"]), 7)
    with pytest.raises(UsageError, match=r"3 shares .* for 2 ranks"):
        plan(
            load("digits-cnn", [*tiny, "parallel.mesh.pipeline=2", "parallel.mesh.data=2", "parallel.shares=1,1,1"]), 4
        )


@pytest.mark.parametrize(
    "by, bounds", [("count", ((0, 3), (3, 6))), ("flops", ((0, 1), (1, 6))), ("parameters", ((0, 2), (2, 6)))]
)
def test_the_measure_decides_the_cut(tiny: list[str], by: str, bounds: Any) -> None:
    settings = [*tiny, "parallel.mesh.pipeline=2", f"parallel.cut={by}"]
    for found in over_threads(lambda c: build(load("digits-cnn", settings), c).strategy.stages.bounds, 2):
        assert found == bounds


def test_a_cut_by_time_is_the_same_on_all_ranks(tiny: list[str]) -> None:
    settings = [*tiny, "parallel.mesh.pipeline=2", "parallel.cut=time"]
    first, second = over_threads(lambda c: build(load("digits-cnn", settings), c).strategy.stages.bounds, 2)
    assert first == second and (first[0][0], first[1][1]) == (0, 6)


def test_a_cut_stays_within_the_memory_of_a_rank_or_is_refused(tiny: list[str]) -> None:
    """resnet20, three stages: evenly cut, the first keeps the activations of three micro-batches, and has room for fewer blocks."""
    settings = [*tiny, "model.name=resnet20", "parallel.mesh.pipeline=3", "train.micro_batches=4", "train.batch=32"]
    free, tight = (plan(load("digits-cnn", [*settings, f"parallel.memory_mb={mb}"]), 3) for mb in (0, 2.4))
    assert [len(stage) for stage in tight.forecast.stages] != [len(stage) for stage in free.forecast.stages]
    with pytest.raises(
        UsageError, match=r"no cut of 13 blocks into 3 stages fits into memory.* and has 524,288"
    ) as caught:
        plan(load("digits-cnn", [*settings, "parallel.memory_mb=0.5"]), 3)
    assert "recomputation" in caught.value.cure
    with pytest.raises(UsageError, match="1 stages fits into memory"):
        plan(load("digits-cnn", [*tiny, "model.name=resnet20", "parallel.memory_mb=1"]), 2)


# ---------------------------------------------------------------------------------------------------- forecasts


@pytest.mark.parametrize(
    "ranks, settings",
    [
        (3, ["parallel.shares=2,0,1"]),
        (2, ["parallel.mesh.pipeline=2", "train.micro_batches=3"]),
        (4, ["parallel.mesh.pipeline=2", "parallel.cut=count", "optim.clip_norm=1", "parallel.bucket_mb=0.001"]),
        (4, ["model.name=resnet20", "parallel.mesh.pipeline=2", "parallel.recompute=true", "train.micro_batches=2"]),
        (2, ["model.name=resnet20", "parallel.norm=share", "loss.weights=1,2,1,1,1,1,1,1,1,1"]),
    ],
    ids=str,
)
def test_a_step_sends_what_is_forecast(tiny: list[str], ranks: int, settings: list[str]) -> None:
    config = load("digits-cnn", [*tiny, "data.source=digits", "data.path=", *settings])

    def program(c: Communicator) -> tuple[int, int]:
        job = build(config, c)
        messages, sent = c.counters.messages, c.counters.bytes
        one_step(job)
        return c.counters.messages - messages, c.counters.bytes - sent

    assert over_threads(program, ranks) == [(one.messages, one.bytes) for one in plan(config, ranks).ranks]


@pytest.mark.parametrize(
    "preset, ranks, settings",
    [
        ("digits-cnn", 1, []),
        pytest.param(
            *("digits-cnn", 2, ["parallel.mesh.pipeline=2", "train.micro_batches=4"]),
            marks=pytest.mark.xfail(reason="the scratch of the new products is 2.6 times a small forecast", strict=False),
        ),
        ("resnet20-digits", 1, []),
        ("resnet20-digits", 1, ["parallel.recompute=true"]),
        ("resnet20-digits", 2, ["parallel.mesh.pipeline=2", "train.micro_batches=4", "parallel.schedule=gpipe"]),
    ],
    ids=str,
)
def test_memory_is_within_a_factor_of_two_of_the_forecast(preset: str, ranks: int, settings: list[str]) -> None:
    """Not forecast is the scratch of kernels, and that a pool cannot give the buffer of one size to another."""
    config = load(preset, ["parallel.threads=1", *settings])

    def program(c: Communicator) -> float:
        job = build(config, c)
        one_step(job)
        return job.strategy.memory() / job.forecast.ranks[c.rank].memory

    ratios = over_threads(program, ranks)
    assert all(0.5 < ratio < 2 for ratio in ratios), ratios


def test_recomputation_is_forecast_to_need_less_memory_and_more_operations() -> None:
    plain, again = (plan(load("resnet20-digits", [f"parallel.recompute={on}"]), 1) for on in ("false", "true"))
    assert again.ranks[0].memory < 0.6 * plain.ranks[0].memory
    assert plain.forecast.loads[0] < again.forecast.loads[0] < 1.34 * plain.forecast.loads[0]
    assert plain.ranks[0].arenas == again.ranks[0].arenas


# ---------------------------------------------------------------------------------------------------- what is said


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_run_says_its_cut_at_the_start_and_its_memory_at_the_end(tiny: list[str], tmp_path: Path) -> None:
    settings = ["parallel.mesh.pipeline=2", "parallel.cut=count", "train.epochs=1", f"run.folder={tmp_path / 'run'}"]
    config = load("digits-cnn", [*tiny, *settings])
    screens = Heard(), Heard()
    summaries = over_threads(lambda c: start.train(config, c, screens[c.rank]), 2)
    _, cut, hint, *_ = screens[0].lines
    assert cut.startswith("2 stages: blocks 0..2 | 3..5, heaviest/mean 1.99, bubble ")
    assert hint == "train.micro_batches = 1 keeps at most 1 of 2 stages at work: give 8 or more"
    events = [json.loads(line) for r in range(2) for line in (tmp_path / "run" / f"events-{r}.jsonl").open()]
    memory = [event for event in events if event["event"] == "memory"]
    fullest = max(memory, key=lambda event: event["measured"])
    assert (summaries[0].memory, summaries[0].forecast_memory) == (fullest["measured"], fullest["planned"])
    assert [event["planned"] for event in memory] == [one.memory for one in plan(config, 2).ranks]


def test_a_dry_run_shows_stages_schedule_and_memory(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["parallel.mesh.pipeline=2", "train.micro_batches=4", "parallel.cut=count", "parallel.schedule=gpipe"]
    config = load("digits-cnn", [*tiny, *settings])
    show(config, plan(config, 1))  # of two ranks, seen from one
    said = capsys.readouterr().out
    for words in (
        "stages, cut by count",
        "0..2",
        "3..5",
        "gpipe, by counted operations",
        "\nstage 0 0>",
        "2 stages: blocks",
    ):
        assert words in said
    show(load("digits-cnn", tiny), plan(load("digits-cnn", tiny), 1))
    assert "stages, cut" not in capsys.readouterr().out


def test_without_a_pipeline_there_is_no_cut_to_speak_of(tiny: list[str]) -> None:
    job = build(load("digits-cnn", tiny), Alone())
    assert str(job.forecast) == "" and not isinstance(job.strategy, Pipeline) and start._cut(job) == []


def test_a_pipeline_resumes_and_its_weights_start_others(tiny: list[str], tmp_path: Path) -> None:
    """A resume once waited for ever: stages hold unequal numbers of tensors, and a read is collective."""
    folder = f"run.folder={tmp_path / 'run'}"
    pipeline = ["parallel.mesh.pipeline=2", "parallel.cut=count", "train.micro_batches=2"]

    def trained(ranks: int, *settings: str, resume: bool = False) -> Any:
        config = load("digits-cnn", [*tiny, *pipeline, *settings, "parallel.deadline=30"])
        return over_threads(lambda c: start.train(config, c, Silent(), resume), ranks)[0]

    trained(2, folder, "train.epochs=1")
    resumed = trained(4, folder, "train.epochs=2", resume=True)
    assert resumed.test_loss == pytest.approx(
        trained(2, f"run.folder={tmp_path / 'once'}", "train.epochs=2").test_loss, rel=1e-4
    )
    found = over_threads(lambda c: start.evaluate_checkpoint(str(tmp_path / "run"), pipeline[:1], c, Silent()), 2)
    assert found[0].test_loss == pytest.approx(resumed.test_loss, rel=1e-6)
    fine = trained(
        2,
        f"run.folder={tmp_path / 'fine'}",
        f"model.weights={tmp_path / 'run'}",
        'model.fresh=["5.bias"]',
        "optim.lr=0.0",
    )
    assert fine.steps == 10
