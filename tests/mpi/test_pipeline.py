"""Pipelines: what is sent and kept is what the plan says, a cut changes nothing, and each mistake is seen.

That training equals serial is tested with all strategies, by equals.py.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import equals
import numpy as np
import pytest
from equals import Case

from shoal.checkpoint import history
from shoal.checkpoint.store import Store
from shoal.core.errors import RankDied, Stalled, UsageError
from shoal.core.partition import Partition
from shoal.core.trace import Trace, span
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.stages import Stages
from shoal.mpi.strategy import Report
from shoal.mpi.synchronous import Synchronous
from shoal.mpi.threads import run
from shoal.mpi.traffic import Step
from shoal.nn import (
    BatchNorm,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    Module,
    Reshape,
    Residual,
    Sequential,
    Stash,
    recomputed,
)
from shoal.nn.cost import measure
from shoal.nn.loss import CrossEntropy
from shoal.optim import SGD
from shoal.plan import cut
from shoal.train import chrome, trace_summary

WIDTH = 6
SAMPLES = np.random.default_rng(2).standard_normal((16, WIDTH))
LABELS = np.arange(16) % WIDTH


def over_threads(program: Any, ranks: int, deadline: float = 60) -> list[Any]:
    return run(ranks, program, deadline=deadline, backend="reference")


def layers(n: int = 4) -> Sequential:
    return Sequential(*(Linear(WIDTH, activation="relu") for _ in range(n)))


def pipeline(c: Communicator, model: Sequential, stages: int, micro_batches: int, **settings: Any) -> Pipeline:
    """Of small matrices, cut by count, computed by the definitions: nothing is compiled."""
    known: dict[str, Any] = {"shape": (WIDTH,), "seed": 1, "dtype": "float64", "backend": "reference"}
    known |= {"fetch": lambda indices: (SAMPLES[indices], LABELS[indices])}
    known |= {"bounds": cut([1.0] * len(model), stages).bounds} | settings
    return Pipeline(model, SGD(0.1), c, Partition.of((), c.size // stages), micro_batches=micro_batches, **known)


def skips(c: Communicator, stages: int, **settings: Any) -> Synchronous:
    """The model with a long skip, tied weights and statistics, in micro-batches: as a pipeline, or on one rank."""
    return equals.strategy(c, Case("skips", "momentum", (1,) * (c.size // stages), 4, stages=stages), **settings)


# ---------------------------------------------------------------------------------------------------- counters


def test_two_stages_send_each_sample_once_in_each_direction() -> None:
    """A cut inside the skip sends x and the skip, (8, 8, 4) both, in 4 micro-batches; and 16 bytes of loss, halved."""

    def program(c: Communicator) -> tuple[int, int]:
        trainer = skips(c, 2, bounds=((0, 5), (5, 13)))
        messages, sent = c.counters.messages, c.counters.bytes
        trainer.feed(np.arange(19))
        return c.counters.messages - messages, c.counters.bytes - sent

    assert over_threads(program, 2) == [(4 * 2 + 2, 19 * 2 * 256 * 8 + 16)] * 2


TRAFFIC = [
    (Case("skips", "sgd", (1,), 4, stages=3), {}),
    (Case("skips", "sgd", (1,), 4, stages=4, schedule="gpipe", clip=0.5), {}),
    (Case("skips", "sgd", (3, 1), 3, stages=2), {"loss": CrossEntropy(ignore=3)}),  # synchronised, asks for the mass
    (Case("skips", "sgd", (2, 1), 2, stages=2, norm="share"), {"bounds": ((0, 3), (3, 13))}),  # a tie and a skip across
    (Case("skips", "sgd", (1, 2, 0), 2, clip=0.5), {}),  # no pipeline
    (Case("digits-cnn", "sgd", (1, 1), 5, stages=2), {"bucket_bytes": 1000}),
]


@pytest.mark.parametrize("case, settings", TRAFFIC, ids=[str(case) for case, _ in TRAFFIC])
def test_every_rank_sends_what_is_counted_without_ranks(case: Case, settings: dict[str, Any]) -> None:
    def program(c: Communicator) -> tuple[int, int]:
        trainer = equals.strategy(c, case, **settings)
        messages, sent = c.counters.messages, c.counters.bytes
        trainer.feed(np.arange(17))
        return c.counters.messages - messages, c.counters.bytes - sent

    build, shape = equals.MODELS[case.model]
    model = build()
    bounds = settings.get("bounds") or cut([1.0] * len(model), case.stages).bounds
    stages = Stages(model, shape, bounds, case.schedule, case.micro_batches)
    parts = [stages.part(k) for k in range(case.stages)]
    step = Step(
        stages,
        [measure(part, before, "float64", stash=stash) for part, before, stash in parts],
        Partition(case.shares),
        case.micro_batches,
        "float64",
        settings.get("bucket_bytes", 1 << 16),
        norm=case.norm,  # type: ignore[arg-type]
        clip_norm=case.clip,
        even="loss" not in settings,
    )
    assert over_threads(program, case.ranks) == [step.sent(rank, 17) for rank in range(case.ranks)]


@pytest.mark.parametrize("micro_batches", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "schedule, most",
    [("naive", lambda m, p, k: 1), ("gpipe", lambda m, p, k: m), ("1f1b", lambda m, p, k: min(m, p - k))],
)
def test_live_activations_are_the_closed_form(schedule: str, most: Any, micro_batches: int) -> None:
    def program(c: Communicator) -> int:
        trainer = pipeline(c, layers(), 3, micro_batches, schedule=schedule)
        trainer.feed(np.arange(16))
        return trainer.most_live

    assert over_threads(program, 3) == [most(micro_batches, 3, k) for k in range(3)]


def test_nothing_is_allocated_after_warm_up() -> None:
    def program(c: Communicator) -> int:
        trainer = skips(c, 4)
        trainer.warm_up([8, 3])
        before = trainer.pool.misses
        for batch in equals.batches(6):
            trainer.feed(batch)
        return trainer.pool.misses - before

    assert over_threads(program, 4) == [0] * 4


# ---------------------------------------------------------------------------------------------------- equal results


def close(a: Report, b: Report) -> None:
    assert (a.step, a.samples, a.right, a.mass) == (b.step, b.samples, b.right, b.mass)
    assert a.loss == pytest.approx(b.loss, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_ragged_and_empty_micro_batches_weigh_what_they_hold(size: int) -> None:
    def program(c: Communicator) -> tuple[Report, np.ndarray]:
        trainer = pipeline(c, layers(3), c.size, 4)
        report = trainer.feed(np.arange(size))[0]
        return report, np.concatenate([[0.0], *c.allgather_obj(trainer.replica.weights.flat.tolist(), "weights")])

    report, expected = program(Alone())
    for found, after in over_threads(program, 3):
        close(found, report)
        assert np.abs(after - expected).max() <= 1e-14


def test_a_pipeline_of_one_is_data_parallelism_of_one_to_the_bit() -> None:
    def trained(kind: Any, **more: Any) -> bytes:
        settings: dict[str, Any] = {"shape": (WIDTH,), "seed": 1, "backend": "reference", "micro_batches": 3}
        settings |= {"fetch": lambda i: (SAMPLES[i].astype("f"), LABELS[i])}
        trainer = kind(layers(), SGD(0.1), Alone(), Partition.of((), 1), **settings, **more)
        trainer.feed(np.arange(16))
        return trainer.replica.weights.flat.tobytes()

    assert trained(Pipeline, bounds=[(0, 4)]) == trained(DataParallel)


def test_stages_in_between_fetch_nothing() -> None:
    def program(c: Communicator) -> tuple[list[int], list[list[int]]]:
        trainer, asked = pipeline(c, layers(), 4, 2), []
        fetch = trainer.fetch
        trainer.fetch = lambda indices: (asked.append(indices.tolist()), fetch(indices))[1]  # type: ignore[func-returns-value]
        trainer.feed(np.array([4, 0, 3]))
        return trainer.needs(np.array([4, 0, 3])).tolist(), asked

    assert over_threads(program, 4) == [([4, 0, 3], [[4, 0, 3]]), *[([], [[]])] * 2, ([4, 0, 3], [[4, 0, 3]])]


def test_a_stage_may_hold_no_weights_at_all() -> None:
    """Stage 1 of digits-cnn is a pooling and a reshape."""

    def program(c: Communicator) -> Report:
        trainer = equals.strategy(c, Case("digits-cnn", "momentum", (1,), 2, stages=c.size, clip=0.5))
        trainer.warm_up([8])
        return [trainer.feed(batch)[0] for batch in equals.batches(4)][-1]

    for report in over_threads(program, 3):
        close(report, program(Alone()))


def test_evaluation_and_prediction_are_the_serial_ones() -> None:
    fetch = equals.fetching("skips", "float64")

    def program(c: Communicator) -> tuple[Report, dict[int, np.ndarray], list[int]]:
        trainer, seen, observed = skips(c, 2 if c.size > 1 else 1), {}, []
        trainer.predict(
            np.arange(19), fetch, lambda indices, z: seen.update(zip(indices.tolist(), z.copy(), strict=True))
        )
        report = trainer.evaluate(np.arange(19), fetch, lambda indices, z, target: observed.extend(indices.tolist()))
        return report, seen, observed

    expected, outputs, _ = program(Alone())
    results = over_threads(program, 4)  # 2 pipelines of 2 stages
    for report, _, _ in results:
        close(report, expected)
    assert [len(seen) for _, seen, _ in results] == [0, 10, 0, 9]  # only last stages have outputs
    assert [observed for _, _, observed in results] == [[], list(range(10)), [], list(range(10, 19))]
    for i, z in (results[1][1] | results[3][1]).items():
        assert equals.difference(z, outputs[i]) <= 1e-10


def test_recomputed_blocks_change_no_bit_of_synchronised_stages() -> None:
    def block() -> Residual:
        return Residual(
            Sequential(Linear(WIDTH), BatchNorm(activation="relu"), Dropout(0.2), Linear(WIDTH), BatchNorm())
        )

    def program(model: Sequential) -> Any:
        def body(c: Communicator) -> tuple[bytes, bytes]:
            trainer = pipeline(c, model, 2, 3)
            for _ in range(3):
                trainer.feed(np.arange(16))
            return trainer.replica.weights.flat.tobytes(), trainer.replica.buffers.flat.tobytes()

        return body

    plain = Sequential(block(), block(), block(), block())
    wrapped = recomputed(plain, (WIDTH,))
    assert [one.kind for one in wrapped.blocks] == ["Residual, recomputed"] * 4
    assert over_threads(program(wrapped), 4) == over_threads(program(plain), 4)


# ---------------------------------------------------------------------------------------------------- ties, state


def test_a_tied_weight_is_the_same_bits_in_every_forward_and_stored_once() -> None:
    def program(c: Communicator) -> tuple[list[bytes], list[str]]:
        trainer, used = skips(c, 4), []
        for name, block in trainer.part.children():
            if name in ("1", "4"):
                block.forward = watched(block.forward, used)  # type: ignore[method-assign]
                block.ending = watched(block.ending, used)  # type: ignore[method-assign]
        for batch in equals.batches(4):
            trainer.feed(batch)
        trainer.evaluate(np.arange(4), trainer.fetch)
        return used, list(trainer.state().tensors)

    def watched(forward: Any, used: list[bytes]) -> Any:
        return lambda p, *more: (used.append(p["weight"].tobytes()), forward(p, *more))[1]

    results = over_threads(program, 4)
    owner, borrower = (used for used, _ in results if used)
    assert owner == borrower and len(set(owner)) == 5  # at 4 steps, and after them
    stored = [name for _, names in results for name in names]
    assert len(stored) == len(set(stored))
    assert "model/1.weight" in stored and "model/4.weight" not in stored


def test_state_of_a_pipeline_is_that_of_data_parallelism(tmp_path: Path) -> None:
    """Trained as a pipeline, saved, loaded whole, saved, loaded in other stages: the same bits all the way."""

    def first(c: Communicator) -> None:
        trainer = skips(c, 4)
        for batch in equals.batches(3):
            trainer.feed(batch)
        with Store(tmp_path / "a", c) as store:
            store.save(trainer.state())

    def convert(source: str, target: str, stages: int) -> Any:
        def program(c: Communicator) -> None:
            trainer = skips(c, stages)
            with Store(tmp_path / source, c) as store:
                generation = store.newest()  # whose reads are collective
                assert generation is not None
                trainer.load_state(generation.read, generation.meta)
            assert trainer.step == 3
            with Store(tmp_path / target, c) as store:
                store.save(trainer.state())

        return program

    over_threads(first, 4)
    over_threads(convert("a", "b", 1), 2)
    over_threads(convert("b", "c", 3), 3)
    a, b, c = (history.open_generation(tmp_path / name) for name in "abc")
    state = skips(Alone(), 1).state()
    for name, (spec, _) in state.tensors.items():
        read = a.read(name, spec).tobytes()
        assert read == b.read(name, spec).tobytes() == c.read(name, spec).tobytes(), name
    assert a.meta == b.meta == c.meta


# ---------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_cut_is_said_with_numbers() -> None:
    unpooled = Sequential(MaxPool2d(2, stash="where"), MaxUnpool2d(2, stash="where"))
    for make, words in [
        (lambda c: pipeline(c, layers(), 3, 2), "3 stages on 4 ranks"),
        (lambda c: pipeline(c, layers(2), 4, 2), "4 stages of 2 blocks"),
        (lambda c: pipeline(c, layers(), 4, 0), "must be at least 1"),
        (lambda c: pipeline(c, layers(), 2, 2, bounds=[(0, 1), (1, 3)]), "end with block 2 of 4 blocks"),
        (lambda c: pipeline(c, layers(), 2, 2, bounds=[(0, 1), (2, 4)]), r"bounds \[\(0, 1\), \(2, 4\)\]"),
        (lambda c: pipeline(c, layers(), 2, 2, schedule="2f2b"), 'no schedule "2f2b"'),
        (
            lambda c: pipeline(c, unpooled, 2, 2, shape=(4, 4, 1)),
            'cut before block 1 would part block 0 from block 1, which takes its indices "where"',
        ),
    ]:
        with pytest.raises(UsageError, match=words):
            over_threads(make, 4)
    with pytest.raises(UsageError, match="3 shares for 2 replicas"):
        over_threads(
            lambda c: DataParallel(layers(), SGD(), c, Partition.of((), 3), shape=(WIDTH,), fetch=None, seed=0), 2
        )  # type: ignore[arg-type]


def test_integers_do_not_cross_a_cut() -> None:
    """Tokens that are reshaped before anything makes numbers of them."""

    def program(c: Communicator) -> None:
        trainer = pipeline(c, Sequential(Reshape(2, 3), Flatten(), Linear(WIDTH)), 3, 1)
        trainer.fetch = lambda indices: (SAMPLES[indices].astype(np.int64), LABELS[indices])
        trainer.feed(np.arange(4))

    with pytest.raises(UsageError, match="a cut before block 1 would send int64"):
        over_threads(program, 3)


def test_a_cut_may_part_a_stash_from_its_pop_but_the_remark_is_rank_0s_to_make() -> None:
    """Statistics are in stage 0 of skips only; whoever speaks must know of them."""

    def program(norm: str) -> Any:
        return lambda c: skips(c, 2, norm=norm).remarks(64)

    batch, share = (over_threads(program(norm), 4) for norm in ("batch", "share"))
    assert batch == [["normalisation sees a part of each batch at a time: 64 samples in 4 parts"]] * 4
    assert share == [["normalisation sees a part of each batch at a time: 64 samples in 8 parts"]] * 4
    assert over_threads(lambda c: pipeline(c, layers(), 2, 4).remarks(64), 2) == [[]] * 2


# ---------------------------------------------------------------------------------------------------- mistakes, failures


def lost_gradient(trainer: Pipeline) -> None:
    """What a tied weight learnt elsewhere does not arrive."""
    trainer._collect = lambda: None  # type: ignore[method-assign]


def no_skip_gradient(trainer: Pipeline) -> None:
    """The gradient of a skip is lost on its way back."""
    for block in trainer.part.blocks:
        if isinstance(block, Stash):
            block.backward = lambda p, g, saved, dy, ctx: dy  # type: ignore[method-assign]


@pytest.mark.parametrize("mistake", [lost_gradient, no_skip_gradient])
def test_a_mistake_is_seen(mistake: Any) -> None:
    case = Case("skips", "momentum", (1,), 4, stages=4)

    def program(c: Communicator) -> np.ndarray:
        trainer = equals.strategy(c, case)
        mistake(trainer)
        for batch in equals.batches(3):
            trainer.feed(batch)
        return equals.whole(c, case, [trainer.replica.weights], "weight")

    expected = equals.serial("skips", "momentum", steps=3, split=case.split).weights
    found = over_threads(program, 4)[0]
    assert equals.difference(found, expected[: found.size]) > 1e-5


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_error_on_one_stage_ends_the_others(culprit: int) -> None:
    """In the data of the first or the last, in a block of the middle one."""
    ended = []

    def program(c: Communicator) -> None:
        trainer = pipeline(c, layers(3), 3, 4)
        if c.rank == culprit:
            broken = lambda *args: 1 / 0  # noqa: E731
            trainer.fetch = trainer.fetch if culprit == 1 else broken
            trainer.part.blocks[0].backward = broken  # type: ignore[method-assign]
        try:
            trainer.feed(np.arange(8))
        except Exception as error:
            ended.append((c.rank, type(error)))
            raise

    with pytest.raises(ZeroDivisionError):
        over_threads(program, 3)
    assert sorted(ended, key=str) == sorted(
        [(rank, ZeroDivisionError if rank == culprit else RankDied) for rank in range(3)], key=str
    )


def test_a_stage_that_hangs_is_named_with_the_message_that_is_missing() -> None:
    def program(c: Communicator) -> None:
        trainer = pipeline(c, layers(2), 2, 2)
        if c.rank == 1:
            trainer.part.blocks[0].backward = lambda *args: time.sleep(3)  # type: ignore[method-assign]
        trainer.feed(np.arange(8))

    with pytest.raises(Stalled, match=r"recv 'B0 x 1>0' at step 0, waiting for rank 1"):
        over_threads(program, 2, deadline=0.5)


def test_a_batch_of_ignored_labels_teaches_nothing() -> None:
    """Its mass is 0; the zeros of a warm-up are such a batch where 0 is the label to ignore."""

    def program(c: Communicator) -> tuple[Report, bool]:
        trainer = pipeline(c, layers(2), 2, 2, loss=CrossEntropy(ignore=0))
        trainer.warm_up([4])
        before = trainer.replica.weights.flat.copy()
        report = trainer.feed(np.array([0, 6, 12]))[0]
        return report, bool((trainer.replica.weights.flat == before).all())

    assert over_threads(program, 2) == [(Report(0, 3, 0.0, 0, 0.0), True)] * 2


# ---------------------------------------------------------------------------------------------------- the trace


class Sleep(Module):
    """Takes the same time in both directions, and no core."""

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def forward(self, p: Any, x: Any, ctx: Any) -> tuple[Any, Any]:
        time.sleep(SLEEP)
        return x.copy(), None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Any) -> Any:
        time.sleep(SLEEP)
        return dy.copy()


SLEEP = 0.08


@pytest.mark.parametrize("stages", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_the_bubble_of_a_trace_is_the_formula(schedule: str, stages: int) -> None:
    """Within 5 % of (p-1)/(m+p-1). A busy machine may wake a rank late, so of three traces the best counts."""
    m = 4

    def program(c: Communicator) -> dict[str, Any]:
        c.trace = Trace(c.rank)
        trainer = pipeline(c, Sequential(*(Sleep() for _ in range(stages))), stages, m, schedule=schedule)
        c.trace.recording = True
        with span(c.trace, "step", "step 0"):
            trainer.feed(np.arange(16))
        return {"rank": c.rank, "name": "", "records": c.trace.take()}

    facts = {"steps": [0, 1], "stages": stages, "schedule": schedule, "micro_batches": m, "clocks": {}, "lost": []}

    expected = (stages - 1) / (m + stages - 1)
    bubbles = []
    while len(bubbles) < 3 and (not bubbles or abs(bubbles[-1] / expected - 1) > 0.05):
        found = trace_summary.summarise([chrome.merge(over_threads(program, stages), facts)])
        assert found.bubble and found.bubble.formula == pytest.approx(expected)
        bubbles.append(found.bubble.measured)
    assert bubbles[-1] == pytest.approx(expected, rel=0.05), bubbles
