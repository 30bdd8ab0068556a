"""DataParallel equals the serial loop, on any ranks and shares, and its ranks equal each other to the bit."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import equals
import numpy as np
import pytest
from equals import Case
from launch import mpirun
from oracle import torch

from shoal.core.context import Context
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.strategy import Report
from shoal.mpi.threads import run
from shoal.nn import CrossEntropy

QUICK = [case for ranks in equals.SHARES for case in equals.cases(ranks)]
LONG = [case for ranks in equals.SHARES for case in equals.product(ranks) if case not in QUICK]
ALL = [*QUICK, *(pytest.param(case, marks=pytest.mark.long) for case in LONG)]
SMALL = Case("digits-cnn", "momentum", (4, 1, 0, 2))


def over_threads(program: Any, ranks: int) -> list[Any]:
    return run(ranks, program, deadline=300, backend=equals.BACKEND)


@cache
def threaded(case: Case) -> tuple[equals.Trained, list[str]]:
    """Rank 0's result and every rank's digest."""
    results = over_threads(lambda c: equals.trained(c, case), case.ranks)
    return results[0], [equals.digest(result) for result in results]


def assert_equals_serial(case: Case, weights: np.ndarray, losses: Any, right: Any) -> None:
    expected = equals.serial(case.model, case.optimizer, split=case.split, clip=case.clip)
    assert equals.difference(weights, expected.weights) <= 1e-10
    assert np.allclose(losses, expected.losses, rtol=1e-10)
    assert list(right) == expected.right


# ---------------------------------------------------------------------------------------------------- equals serial


@pytest.mark.parametrize("case", ALL, ids=str)
def test_equals_serial_over_threads(case: Case) -> None:
    result, digests = threaded(case)
    assert_equals_serial(case, result.weights, result.losses, result.right)
    assert set(digests) == {equals.digest(result)}


@pytest.fixture(scope="session")
def under_mpirun(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(ranks, which cases) -> (folder of weights, digests by case), from one child for all of them."""

    @cache
    def train(ranks: int, which: str) -> tuple[Path, dict[str, list[str]]]:
        folder = tmp_path_factory.mktemp(f"ranks-{ranks}")
        finished = mpirun(ranks, Path(equals.__file__), str(folder), which, timeout=280 if which == "cases" else 1800)
        assert finished.code == 0, finished.text
        return folder, json.loads(finished.out[0][-1])

    return train


@pytest.mark.parametrize("case", ALL, ids=str)
def test_equals_serial_under_mpirun(case: Case, under_mpirun: Any) -> None:
    folder, digests = under_mpirun(case.ranks, "cases" if case in QUICK else "product")
    with np.load(folder / f"{case}.npz") as saved:
        assert_equals_serial(case, saved["weights"], saved["losses"], saved["right"])
    assert digests[str(case)] == threaded(case)[1], "threads and MPI must give the same bits"


@pytest.mark.parametrize("model", ["mlp", "lenet", "digits-cnn"])
def test_one_step_in_float32_has_the_serial_gradients(model: str) -> None:
    case = Case(model, "sgd", (4, 1, 0, 2))
    expected = equals.serial(model, "sgd", "float32", steps=1)
    for result in over_threads(lambda c: equals.trained(c, case, "float32", steps=1), 4):
        assert equals.difference(result.gradients, expected.gradients) <= 1e-5


def test_a_batch_smaller_than_the_ranks_leaves_some_without_work() -> None:
    def program(c: Communicator) -> tuple[list[Report], int]:
        trainer = equals.strategy(c, Case("digits-cnn", "sgd", (1, 1, 1, 1)))
        return trainer.feed(np.array([3, 17])), len(trainer.needs(np.array([3, 17])))

    results = over_threads(program, 4)
    assert [need for _, need in results] == [1, 1, 0, 0]
    serial = equals.strategy(Alone(), Case("digits-cnn", "sgd", (1,))).feed(np.array([3, 17]))
    for reports, _ in results:
        assert reports[0].loss == pytest.approx(serial[0].loss, rel=1e-12)


def test_the_serial_loop_equals_pytorch() -> None:
    """The judge is judged: digits-cnn after 3 steps of momentum, no dropout, float64."""
    t = torch()
    from shoal.core.spec import Spec
    from shoal.nn import Arena, Layout

    model, optimizer = "digits-cnn without dropout", "momentum"
    build, shape = equals.MODELS[model]
    layout = Layout(build().specs(shape))
    start = Arena(layout, "float64").initialise(equals.SEED, equals.BACKEND)

    def theirs(spec: Spec, array: np.ndarray) -> Any:
        array = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
        return t.tensor(np.ascontiguousarray(array), requires_grad=True)

    w = {spec.name: theirs(spec, start[spec.name]) for spec in layout.owned()}
    rule = equals.OPTIMIZERS[optimizer]
    decayed, plain = ([w[s.name] for s in layout.owned() if s.decay == decay] for decay in (True, False))
    groups = [{"params": decayed, "weight_decay": rule.weight_decay}, {"params": plain}]
    torch_rule = t.optim.SGD(groups, lr=rule.lr, momentum=rule.momentum, nesterov=rule.nesterov)
    fetch, f = equals.fetching(model, "float64"), t.nn.functional
    for batch in equals.batches(3):
        x, labels = fetch(batch)
        y = f.relu(f.conv2d(t.tensor(x.transpose(0, 3, 1, 2)), w["0.weight"], w["0.bias"], padding=1))
        y = f.max_pool2d(f.relu(f.conv2d(y, w["1.weight"], w["1.bias"], padding=1)), 2)
        z = y.permute(0, 2, 3, 1).flatten(1) @ w["5.weight"].T + w["5.bias"]
        torch_rule.zero_grad()
        f.cross_entropy(z, t.tensor(labels)).backward()
        torch_rule.step()
    ours = Arena(layout, "float64")
    ours.flat[:] = equals.serial(model, optimizer, steps=3).weights
    for spec in layout.owned():
        expected = w[spec.name].detach().numpy()
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
        assert equals.difference(ours[spec.name], expected) <= 1e-12, spec.name


# -------------------------------------------------------------------------------------------------- each check can fail


def own_mean(trainer: DataParallel) -> None:
    """The gradient of the share's mean: right only where shares are equal."""

    class Own(CrossEntropy):
        def __call__(self, z: Any, labels: Any, scale: float, ctx: Context) -> Any:
            return super().__call__(z, labels, 1 / len(labels), ctx)

    trainer.loss = Own()


def local_indices(trainer: DataParallel) -> None:
    """Random bits by the position within the share instead of the global index."""
    context = trainer._context
    trainer._context = lambda samples, training: context(np.arange(len(samples)), training)  # type: ignore[method-assign]


def dropped_rank(trainer: DataParallel) -> None:
    """Rank 1's gradients do not arrive."""
    c = trainer.communicator
    good = c.iallreduce

    def iallreduce(a: np.ndarray, name: str) -> Any:
        a[...] = 0 if c.rank == 1 and name.startswith("gradients") else a
        return good(a, name)

    c.iallreduce = iallreduce  # type: ignore[method-assign]


@pytest.mark.parametrize("mistake", [own_mean, local_indices, dropped_rank])
def test_a_mistake_is_seen(mistake: Any) -> None:
    def program(c: Communicator) -> np.ndarray:
        trainer = equals.strategy(c, SMALL)
        mistake(trainer)
        for batch in equals.batches(equals.STEPS):
            trainer.feed(batch)
        return trainer.replica.weights.flat

    expected = equals.serial(SMALL.model, SMALL.optimizer)
    assert equals.difference(over_threads(program, 4)[0], expected.weights) > 1e-4


# ---------------------------------------------------------------------------------------------------- buckets


@pytest.mark.parametrize("bucket_bytes", [1, 5000, 1 << 30])
def test_bits_do_not_depend_on_the_buckets(bucket_bytes: int) -> None:
    for result in over_threads(lambda c: equals.trained(c, SMALL, bucket_bytes=bucket_bytes), 4):
        assert equals.digest(result) == threaded(SMALL)[1][0]


def test_buckets_leave_while_backward_works() -> None:
    """digits-cnn with one bucket a tensor: each leaves as soon as its block has returned."""

    def program(c: Communicator) -> list[str]:
        trainer, log = equals.strategy(c, Case("digits-cnn", "sgd", (1, 1)), bucket_bytes=1), []
        allreduce = c.iallreduce

        def iallreduce(a: np.ndarray, name: str) -> Any:
            log.append(name)
            return allreduce(a, name)

        def logged(i: int, backward: Any) -> Any:
            def call(*args: Any) -> Any:
                dx = backward(*args)
                log.append(f"block {i}")
                return dx

            return call

        c.iallreduce = iallreduce  # type: ignore[method-assign]
        for i, block in enumerate(trainer.part.blocks):
            block.backward = logged(i, block.backward)
        trainer.feed(np.arange(8))
        return log

    expected = """loss / block 5 / gradients 0 / gradients 1 / block 4 / block 3 / block 2 / block 1 / gradients 2 /
        gradients 3 / block 0 / gradients 4 / gradients 5"""
    for log in over_threads(program, 2):
        assert log == [word.strip() for word in expected.split("/")]


def test_a_step_sends_what_the_formula_says() -> None:
    """Per bucket 2(p-1) messages; bytes as 2(p-1)/p of the arena (its size divides by 2), and the loss's 16."""

    def program(c: Communicator) -> tuple[int, int, int, int]:
        trainer = equals.strategy(c, Case("digits-cnn", "sgd", (1, 1)), "float32")
        messages, sent = c.counters.messages, c.counters.bytes
        trainer.feed(np.arange(8))
        counted = c.counters.messages - messages, c.counters.bytes - sent
        return *counted, len(trainer.buckets), trainer.replica.gradients.flat.nbytes

    for messages, sent, buckets, arena in over_threads(program, 2):
        assert messages == 2 * (buckets + 1)
        assert sent == arena + 16


# ---------------------------------------------------------------------------------------------------- costs and state


def test_nothing_is_allocated_after_the_first_steps() -> None:
    def program(c: Communicator) -> list[int]:
        trainer, misses = equals.strategy(c, Case("digits-cnn", "momentum", SMALL.shares[: c.size])), []
        for batch in equals.batches(9):
            trainer.feed(batch)
            misses.append(trainer.pool.misses + (c.pool.misses if c.size > 1 else 0))  # type: ignore[attr-defined]
        return misses

    for misses in [*over_threads(program, 4), program(Alone())]:
        assert misses[3:] == [misses[2]] * 6  # the first three batches hold both sizes

    def warmed(c: Communicator) -> int:
        trainer = equals.strategy(c, SMALL)
        trainer.warm_up([8, 3])
        before = trainer.pool.misses + c.pool.misses  # type: ignore[attr-defined]
        for batch in equals.batches(6):
            trainer.feed(batch)
        return trainer.pool.misses + c.pool.misses - before  # type: ignore[attr-defined]

    assert over_threads(warmed, 4) == [0] * 4


def test_warm_up_changes_nothing_and_has_no_deadline() -> None:
    def program(c: Communicator) -> tuple[str, float]:
        trainer = equals.strategy(c, SMALL)
        seen, barrier = [], c.barrier
        c.barrier = lambda name: (seen.append(c.deadline), barrier(name))[1]  # type: ignore[method-assign,func-returns-value]
        trainer.warm_up([8, 3])
        reports = [report for batch in equals.batches(equals.STEPS) for report in trainer.feed(batch)]
        losses, right = [r.loss for r in reports], [r.right for r in reports]
        result = equals.Trained(trainer.replica.weights.flat, trainer.replica.gradients.flat, losses, right)
        assert (seen, c.deadline) == ([float("inf")], 300)
        return equals.digest(result)

    assert over_threads(program, 4) == threaded(SMALL)[1]


def test_one_rank_alone_sends_nothing_and_equals_serial_to_the_bit() -> None:
    c = Alone()
    result = equals.trained(c, Case("digits-cnn", "momentum", (1,)))
    assert (c.counters.messages, c.counters.bytes) == (0, 0)
    assert result.weights.tobytes() == equals.serial("digits-cnn", "momentum").weights.tobytes()


def test_evaluation_counts_the_whole_batch_on_every_rank() -> None:
    def program(c: Communicator) -> Report:
        trainer = equals.strategy(c, Case("digits-cnn", "sgd", (3, 1, 0, 1)[: c.size]))
        before = trainer.replica.weights.flat.copy()
        report = trainer.evaluate(np.arange(19), equals.fetching("digits-cnn", "float64"))
        assert (trainer.replica.weights.flat == before).all()
        return report

    alone = program(Alone())
    assert alone.samples == 19
    for report in over_threads(program, 4):
        assert (report.step, report.samples, report.right) == (0, 19, alone.right)
        assert report.loss == pytest.approx(alone.loss, rel=1e-12)


def test_shares_are_the_whole_batch_in_order_and_fetch_sees_the_empty_one() -> None:
    batch = np.array([9, 2, 7, 1, 15, 0, 4, 3])

    def program(c: Communicator) -> tuple[list[int], list[list[int]]]:
        trainer = equals.strategy(c, SMALL)
        asked, fetch = [], trainer.fetch
        trainer.fetch = lambda indices: (asked.append(indices.tolist()), fetch(indices))[1]  # type: ignore[func-returns-value]
        trainer.feed(batch)
        return trainer.needs(batch).tolist(), asked

    results = over_threads(program, 4)
    assert [index for needs, _ in results for index in needs] == batch.tolist()
    assert [asked for _, asked in results] == [[needs] for needs, _ in results]
    assert results[2][0] == []


def test_state_names_every_tensor_and_continues_to_the_bit() -> None:
    def program(c: Communicator) -> str:
        first = equals.strategy(c, SMALL)
        every = equals.batches(equals.STEPS)
        early = [report for batch in every[:7] for report in first.feed(batch)]
        state = first.state()
        saved = {name: (spec, array.copy()) for name, (spec, array) in state.tensors.items()}
        second = equals.strategy(c, SMALL)
        second.load_state(lambda name, spec: saved[name][1], state.meta)
        late = [report for batch in every[7:] for report in second.feed(batch)]
        assert second.drain() == []
        reports = early + late
        losses, right = [r.loss for r in reports], [r.right for r in reports]
        assert [r.step for r in reports] == list(range(equals.STEPS))
        assert state.meta == {"step": 7}
        assert sorted(state.tensors) == sorted(
            f"{kind}/{i}.{leaf}"
            for kind in ("model", "optimizer/velocity")
            for i in (0, 1, 5)
            for leaf in ("weight", "bias")
        )
        return equals.digest(equals.Trained(second.replica.weights.flat, second.replica.gradients.flat, losses, right))

    assert over_threads(program, 4) == threaded(SMALL)[1]


def test_an_error_in_one_ranks_data_ends_the_others() -> None:
    def program(c: Communicator) -> None:
        trainer = equals.strategy(c, SMALL)
        if c.rank == 3:
            trainer.fetch = lambda indices: 1 / 0
        trainer.feed(np.arange(8))

    with pytest.raises(ZeroDivisionError):
        over_threads(program, 4)
