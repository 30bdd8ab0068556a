"""RNN, LSTM and GRU: against their definitions, PyTorch, and runs of each sequence alone."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import compile, threads

DTYPES = [np.float32, np.float64]
KINDS = {"rnn": 1, "lstm": 4, "gru": 3, "gru_cho": 3}  # op: gates
SHAPES = [(1, 1, 1), (3, 5, 4), (0, 2, 3), (7, 2, 17), (5, 1, 8)]  # N, T, H


def problem(kind, n, steps, width, dtype=np.float64):
    gates = KINDS[kind] * width
    a, b = normal(0, (n, steps, gates), dtype), normal(1, gates, dtype)
    return a, normal(2, (gates, width), dtype) * dtype(0.5), b


def run(kind, a, u, b, dy, how):
    """Everything that forward and backward give, in one tuple; how: an op's __call__ or its reference."""
    call = {"reference": lambda op: op.reference, "cpu": lambda op: op}[how["on"]]
    given = {"lengths": how.get("lengths")}
    kept = call(getattr(ops, kind))(a, u, b, **given)
    kept = kept if isinstance(kept, tuple) else (kept,)
    needed = {"rnn": kept, "lstm": kept[1:], "gru": kept, "gru_cho": kept[:2]}[kind]
    back = call(getattr(ops, kind + "_dx"))(dy, *needed, u, **given)
    return (*kept, *(back if isinstance(back, tuple) else (back,)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_recurrence_equals_its_definition(kind, shape, dtype):
    n, steps, width = shape
    lengths = np.random.default_rng(3).integers(0, steps + 1, n)
    for dy in (normal(4, shape, dtype), normal(4, (n, width), dtype)):
        got = run(kind, *problem(kind, *shape, dtype), dy, {"on": "cpu", "lengths": lengths})
        expected = run(
            kind,
            *(x.astype(float) for x in (*problem(kind, *shape, dtype), dy)),
            {"on": "reference", "lengths": lengths},
        )
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.dtype == dtype and distance(ours, theirs) <= ALLOWED[dtype]


@given(st.sampled_from(list(KINDS)), st.integers(1, 5), st.integers(1, 7), st.integers(1, 20), st.data())
@settings(deadline=None, max_examples=25, derandomize=True)
def test_a_masked_run_has_the_bits_of_every_sequence_alone(kind, n, steps, width, data):
    lengths = np.array(data.draw(st.lists(st.integers(1, steps), min_size=n, max_size=n)))
    (a, u, b), dy = problem(kind, n, steps, width), normal(5, (n, steps, width))
    dy[np.arange(steps)[None, :] >= lengths[:, None]] = 0
    together = run(kind, a, u, b, dy, {"on": "cpu", "lengths": lengths})
    for i, length in enumerate(lengths):
        alone = run(kind, a[i : i + 1, :length].copy(), u, b, dy[i : i + 1, :length].copy(), {"on": "cpu"})
        for whole, single in zip(together, alone, strict=True):
            assert np.array_equal(whole[i, :length], single[0])
        assert np.array_equal(together[0][i, length:], np.broadcast_to(alone[0][0, -1], (steps - length, width)))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_slopes_over_five_steps(kind, backend):
    lengths = np.array([5, 3])
    (a, u, b), dy = problem(kind, 2, 5, 3), normal(6, (2, 5, 3))
    results = run(kind, a, u, b, dy, {"on": backend, "lengths": lengths})

    def value() -> float:
        h = getattr(ops, kind)(a, u, b, lengths=lengths, backend=backend)
        return float(((h[0] if isinstance(h, tuple) else h) * dy).sum())

    kept = {"rnn": 1, "lstm": 3, "gru": 3, "gru_cho": 3}[kind]
    da, direction = results[kept], normal(7, a.shape)
    a += 1e-6 * direction
    above = value()
    a -= 2e-6 * direction
    slope = (above - value()) / 2e-6
    assert abs((da * direction).sum() - slope) <= 1e-7
    assert abs((1.001 * da * direction).sum() - slope) > 1e-7  # a gradient that is wrong by a thousandth is seen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (3, 5, 7, 4), (2, 1, 3, 3), (4, 9, 40, 33)])
def test_recurrent_dw_equals_its_definition(shape, dtype):
    n, steps, gates, width = shape
    da, h = normal(0, (n, steps, gates), dtype), normal(1, (n, steps, width), dtype)
    for how in ({}, {"shift": 0}, {"start": 1, "stop": gates - 1}):
        expected = ops.recurrent_dw.reference(da.astype(float), h.astype(float), **how)
        assert distance(ops.recurrent_dw(da, h, **how), expected) <= ALLOWED[dtype]
    out = np.ones((gates, width), dtype)
    ops.recurrent_dw(da, h, accumulate=True, out=out)
    assert distance(out, 1 + ops.recurrent_dw.reference(da.astype(float), h.astype(float))) <= ALLOWED[dtype]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_stays_in_its_sequence_and_reaches_all_later_steps(kind, backend):
    a, u, b = problem(kind, 2, 4, 3)
    a[0, 1, 0] = np.nan
    h = getattr(ops, kind)(a, u, b, backend=backend)
    h = h[0] if isinstance(h, tuple) else h
    assert np.isfinite(h[1]).all() and np.isfinite(h[0, 0]).all() and np.isnan(h[0, 2:]).all()


def test_large_gates_saturate():
    a, u, b = np.full((1, 1, 4), 1e4), np.zeros((4, 1)), np.zeros(4)
    a[..., 1] = -1e4
    h, c, gates = ops.lstm(a, u, b)
    assert gates.tolist() == [[[1, 0, 1, 1]]] and c.item() == 1 and h.item() == np.tanh(1)


@pytest.mark.parametrize(
    ("lengths", "words"),
    [(np.array([1, 2]), r"lengths int64\(2,\) for 3 samples"), (np.ones(3, np.int32), "need int64")],
)
def test_wrong_lengths_are_refused(lengths, words):
    with pytest.raises(UsageError, match=words):
        ops.rnn(np.zeros((3, 2, 4)), np.zeros((4, 4)), np.zeros(4), lengths=lengths)


def test_wrong_shapes_are_refused():
    with pytest.raises(UsageError, match=r"a \(3, 2, 8\), u \(8, 4\) and b \(8,\) must be \(N, T, 4H\)"):
        ops.lstm(np.zeros((3, 2, 8)), np.zeros((8, 4)), np.zeros(8))
    with pytest.raises(UsageError, match=r"dy \(3, 4\) must be \(3, 2, 2\) or, for the last step, \(3, 2\)"):
        ops.lstm_dx(np.zeros((3, 4)), np.zeros((3, 2, 2)), np.zeros((3, 2, 8)), np.zeros((8, 2)))


def test_the_number_of_threads_cannot_be_seen(monkeypatch):
    if threads.cap() < 2:
        pytest.skip("one core: there is no second thread")
    monkeypatch.setattr(compile, "WORTH", 0)  # the parallel variant, however small the arrays
    problem_, dy, results, before = problem("lstm", 5, 3, 9), normal(4, (5, 3, 9)), [], threads.threads()
    for n in (1, 2):
        threads.set_threads(n)
        kept = run("lstm", *problem_, dy, {"on": "cpu"})
        results.append([x.tobytes() for x in (*kept, ops.recurrent_dw(kept[3], kept[0]))])
    threads.set_threads(before)
    assert results[0] == results[1]
