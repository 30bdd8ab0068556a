"""Update rules as ops: the bits of their definitions, for any length and any decay ranges, on any number of threads."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from rules import NOWHERE, RULES, arguments, listed, updated

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import threads


@pytest.fixture(autouse=True)
def one_thread():
    before = threads.threads()
    threads.set_threads(1)
    yield
    threads.set_threads(before)


def ranges(n, cuts):
    """Sorted disjoint [start, stop) within n from any list of numbers."""
    cuts = sorted({c % (n + 1) for c in cuts})
    return np.array(cuts[: len(cuts) // 2 * 2], np.int64).reshape(-1, 2)


@given(
    name=st.sampled_from(list(RULES)),
    n=st.one_of(st.integers(0, 70), st.integers(16_380, 16_390), st.just(40_000)),
    cuts=st.lists(st.integers(0, 40_000), max_size=8),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_updates_have_the_bits_of_their_definitions(name, n, cuts, dtype):
    rule, arrays, hyper = arguments(name, n, dtype, ranges(n, cuts))
    expected = rule.reference(*arrays, **hyper)
    gradient = arrays[1].copy()
    rule(*arrays, **hyper)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert [a.tobytes() for a in updated(rule, arrays)] == [a.tobytes() for a in expected]
    assert arrays[1].tobytes() == gradient.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_point_to_look_from(dtype):
    w, x, v = (normal(seed, 1000, dtype) for seed in range(3))
    before = w.copy()
    ops.look_ahead(w, x, v, momentum=0.9)
    assert x.tobytes() == before.tobytes()
    assert w.tobytes() == (before + dtype(0.9) * v).tobytes()


@pytest.mark.parametrize("name", ["sgd", "aggmo", "amsgrad"])
def test_threads_change_no_bit(name):
    if threads.cap() < 2:
        pytest.skip("one core: there is no parallel variant")
    results = []
    for count in (1, 2):
        threads.set_threads(count)
        rule, arrays, hyper = arguments(name, 150_000, np.float32, np.array([[5, 70_000], [90_000, 150_000]]))
        rule(*arrays, **hyper)
        results.append([a.tobytes() for a in updated(rule, arrays)])
    assert results[0] == results[1]


@pytest.mark.parametrize("name", RULES)
def test_on_reference_they_overwrite_what_they_say(name):
    rule, arrays, hyper = arguments(name, 50, np.float64)
    kept = [a.copy() for a in listed(arrays)]
    expected = rule.reference(*arrays, **hyper)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(listed(arrays), kept, strict=True))
    rule(*arrays, backend="reference", **hyper)
    for a, b in zip(updated(rule, arrays), expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", RULES)
def test_weight_decay_stays_inside_its_ranges(name):
    decay = np.array([[0, 10], [16, 17], [40, 64]])
    inside = np.zeros(64, bool)
    for start, stop in decay:
        inside[start:stop] = True
    rule, arrays, hyper = arguments(name, 64, np.float64, decay)
    _, free, _ = arguments(name, 64, np.float64)
    rule(*arrays, **hyper)
    rule(*free, **{**hyper, "weight_decay": 0.0})
    np.testing.assert_array_equal(arrays[0] != free[0], inside)


def test_momentum_zero_is_sgd_bit_by_bit():
    for dtype in (np.float32, np.float64):
        w, g, v = (normal(seed, 1000, dtype) for seed in range(3))
        plain, decay = w.copy(), np.array([[3, 500]])
        for step in range(5):
            ops.momentum(w, g, v, decay, lr=0.1, momentum=0.0, weight_decay=0.01, first=step == 0)
            ops.sgd(plain, g, decay, lr=0.1, weight_decay=0.01)
        assert w.tobytes() == plain.tobytes()


def test_the_first_momentum_does_not_look_at_the_velocity():
    rule, (w, g, v, decay), hyper = arguments("momentum-first", 20, np.float64)
    v[:] = np.nan
    rule(w, g, v, decay, **hyper)
    assert v.tobytes() == g.tobytes()


def test_every_number_is_read_and_written_once():
    """Compulsory bytes, in buffers: two reads and a write of weights and gradients, both ways for each state."""
    traffic = {"sgd": 3, "momentum": 5, "nag": 7, "aggmo": 9, "rmsprop": 5, "adam": 7, "amsgrad": 9}
    for name, buffers in traffic.items():
        rule, arrays, hyper = arguments(name, 1 << 16, np.float32)
        assert rule.bytes(*arrays, **hyper) == buffers * arrays[0].nbytes


def test_wrong_buffers_are_rejected():
    w, g, v = (normal(seed, 4, np.float32) for seed in range(3))
    with pytest.raises(UsageError, match=r"\(4,\), \(3,\)"):
        ops.sgd(w, g[:3].copy(), NOWHERE, lr=0.1)
    with pytest.raises(UsageError, match=r"need int64 \(k, 2\)"):
        ops.sgd(w, g, np.zeros(2, np.int64), lr=0.1)
    with pytest.raises(UsageError, match="w is float32 but velocity is float64"):
        ops.momentum(w, g, v.astype(np.float64), NOWHERE, lr=0.1, momentum=0.9)
    with pytest.raises(UsageError, match=r"w is float32 but velocities\[1\] is float64"):
        ops.aggmo(w, g, (v, v.astype(np.float64)), NOWHERE, lr=0.1, betas=(0.0, 0.9))
    with pytest.raises(UsageError, match=r"aggmo: 1 velocities for betas \(0.0, 0.9\)"):
        ops.aggmo(w, g, (v,), NOWHERE, lr=0.1, betas=(0.0, 0.9))
    with pytest.raises(UsageError, match=r"adam: buffers .*\(2,\)"):
        ops.adam(w, g, v, v, v[:2].copy(), NOWHERE, lr=0.1, betas=(0.9, 0.99), eps=1e-8)


# ---------------------------------------------------------------------------------------------------- ordered sums


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 5), (2, 0), (3, 1), (4, 2049), (7, 5000)])
def test_ordered_sum_has_the_bits_of_its_definition(shape, dtype):
    parts = np.random.default_rng(0).standard_normal(shape).astype(dtype) * 1e3
    assert ops.ordered_sum(parts).tobytes() == ops.ordered_sum.reference(parts).tobytes()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_ordered_sum_adds_in_rank_order(backend):
    parts = np.array([[1.0], [1e16], [-1e16]])
    assert ops.ordered_sum(parts, backend=backend) == 0.0  # (1 + 1e16) - 1e16; any other order gives 1
    assert ops.ordered_sum(np.ascontiguousarray(parts[::-1]), backend=backend) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 63, 65, 16_384, 16_385, 150_001])
def test_sum_of_squares(n, dtype):
    x = normal(3, n, dtype)
    once = ops.sum_of_squares(x)
    assert once.dtype == np.float64 and once.shape == (1,)
    assert distance(once, ops.sum_of_squares.reference(x)) <= ALLOWED[np.float64]
    threads.set_threads(min(2, threads.cap()))
    assert ops.sum_of_squares(x).tobytes() == once.tobytes()


def test_sum_of_squares_hides_nothing():
    x = normal(3, 500)
    for bad in (np.nan, np.inf):
        x[77] = bad
        np.testing.assert_array_equal(ops.sum_of_squares(x), [bad])
