"""ReLU and dropout against their definitions; and no result depends on the batch or on the number of threads."""

import numerical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.cpu import compile, threads

SHAPES = [(0,), (1,), (7,), (0, 5), (1, 1), (3, 4, 5), (2, 8, 8, 3), (1, 40_001)]
KEY = (0x12345678, 0x9ABCDEF0)


def normal(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------- relu


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_equals_its_definition(shape, dtype):
    x, dy = normal(0, shape, dtype), normal(1, shape, dtype)
    y = ops.relu(x)
    np.testing.assert_array_equal(y, ops.relu.reference(x))
    np.testing.assert_array_equal(ops.relu_dx(dy, y), ops.relu_dx.reference(dy, y))


@given(shape=st.lists(st.integers(0, 9), min_size=1, max_size=4), seed=st.integers(0, 99), double=st.booleans())
@settings(deadline=None, max_examples=50)
def test_relu_equals_its_definition_on_any_shape(shape, seed, double):
    x, dy = (normal(seed + i, shape, np.float64 if double else np.float32) for i in range(2))
    np.testing.assert_array_equal(ops.relu(x), ops.relu.reference(x))
    np.testing.assert_array_equal(ops.relu_dx(dy, x), ops.relu_dx.reference(dy, x))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_relu_of_special_values(backend):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45], np.float32)
    y = ops.relu(x, backend=backend)
    np.testing.assert_array_equal(y, np.array([np.nan, np.inf, 0, 0, 0, 1e-45], np.float32))
    assert not np.signbit(y[3:5]).any()


def test_relu_dx_may_write_over_dy():
    x, dy = normal(0, 1000, np.float32), normal(1, 1000, np.float32)
    expected = ops.relu_dx(dy, x)
    assert ops.relu_dx(dy, x, out=dy) is dy
    np.testing.assert_array_equal(dy, expected)


def test_relu_gradient_is_the_slope():
    x, dy = normal(2, (4, 5), np.float64), normal(3, (4, 5), np.float64)
    slope = numerical.gradient(lambda x: (ops.relu(x) * dy).sum(), x)
    np.testing.assert_allclose(ops.relu_dx(dy, ops.relu(x)), slope, atol=1e-8)


def test_relu_equals_torch():
    torch = oracle()
    x, dy = normal(4, (6, 7), np.float64), normal(5, (6, 7), np.float64)
    tx = torch.tensor(x, requires_grad=True)
    ty = torch.relu(tx)
    ty.backward(torch.tensor(dy))
    np.testing.assert_array_equal(ops.relu(x), ty.detach().numpy())
    np.testing.assert_array_equal(ops.relu_dx(dy, ops.relu(x)), tx.grad.numpy())


# ---------------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_equals_its_definition(dtype):
    for shape in SHAPES:
        a, b = normal(0, shape, dtype), normal(1, shape, dtype)
        for op in (ops.add, ops.multiply):
            np.testing.assert_array_equal(op(a, b), op.reference(a, b))
        np.testing.assert_array_equal(ops.scaled(a, s=0.1), ops.scaled.reference(a, s=0.1))
        bias = normal(2, shape[1:], dtype)
        np.testing.assert_array_equal(ops.add_bias(a, bias), ops.add_bias.reference(a, bias))
        assert ops.add(a, b, out=a) is a


@pytest.mark.parametrize("op", [ops.add, ops.multiply])
def test_nothing_is_broadcast(op):
    with pytest.raises(UsageError, match=r"a \(2, 3\), b \(3,\)"):
        op(np.ones((2, 3)), np.ones(3))


# ---------------------------------------------------------------------------------------------------- dropout

SLICES = [  # shape of a sample, origin, whole
    ((10,), (3,), (17,)),
    ((3, 5), (1, 2), (4, 9)),
    ((3, 9), (1, 0), (4, 9)),
    ((2, 3, 4), (1, 1, 3), (5, 4, 7)),
    ((2, 3, 4), (1, 0, 0), (5, 3, 4)),
    ((2, 1, 3, 4), (0, 1, 1, 0), (2, 2, 6, 4)),
    ((4200,), (3,), (9001,)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 9000), (3, 4), (5, 7), (2, 3, 5, 7), (3,)])
def test_dropout_equals_its_definition(shape, dtype):
    x, samples = normal(0, shape, dtype), np.arange(100, 100 + shape[0])
    rule = {"rate": 0.3, "key": KEY, "step": 2**32 + 5}
    np.testing.assert_array_equal(ops.dropout(x, samples, **rule), ops.dropout.reference(x, samples, **rule))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("shape", "origin", "whole"), SLICES)
def test_a_slice_drops_what_the_whole_would(shape, origin, whole, backend):
    x, samples, rule = normal(1, (3, *whole), np.float32), np.array([8, 0, 2]), {"rate": 0.5, "key": KEY, "step": 7}
    inside = (slice(None), *(slice(o, o + n) for o, n in zip(origin, shape, strict=True)))
    part = ops.dropout(np.ascontiguousarray(x[inside]), samples, origin=origin, whole=whole, backend=backend, **rule)
    np.testing.assert_array_equal(part, ops.dropout(x, samples, **rule)[inside])


def test_dropout_drops_at_its_rate_and_scales_the_rest():
    x = np.ones((1000, 100), np.float32)
    y = ops.dropout(x, np.arange(1000), rate=0.25, key=KEY, step=0)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / x.size)  # five standard deviations


def test_dropout_at_rate_zero_is_the_identity_and_drops_even_a_nan():
    x = normal(0, (4, 9), np.float64)
    np.testing.assert_array_equal(ops.dropout(x, np.arange(4), rate=0.0, key=KEY, step=0), x)
    y = ops.dropout(np.full((1, 1000), np.nan), np.arange(1), rate=0.5, key=KEY, step=0)
    assert 0 < np.isnan(y).sum() < 1000


@pytest.mark.parametrize("change", [{"key": (1, 2)}, {"step": 1}, {"step": 2**32}, {"samples": np.array([1])}])
def test_other_addresses_drop_others(change):
    given = {"samples": np.array([0]), "key": KEY, "step": 0, "rate": 0.5}
    x = np.ones((1, 256), np.float32)
    assert not np.array_equal(ops.dropout(x, **given), ops.dropout(x, **{**given, **change}))


def test_dropout_is_its_own_gradient():
    x, dy = normal(2, (3, 5), np.float64), normal(3, (3, 5), np.float64)
    rule = {"rate": 0.4, "key": KEY, "step": 3}
    slope = numerical.gradient(lambda x: (ops.dropout(x, np.arange(3), **rule) * dy).sum(), x)
    np.testing.assert_allclose(ops.dropout(dy, np.arange(3), **rule), slope, atol=1e-8)


# ---------------------------------------------------------------------------------------------------- batch, threads

TABLE = normal(3, (7, 9), np.float32)
PER_SAMPLE = {
    "relu": lambda x, n: ops.relu(x),
    "relu_dx": lambda x, n: ops.relu_dx(x, np.ascontiguousarray(x[..., ::-1])),
    "dropout": lambda x, n: ops.dropout(x, n, rate=0.5, key=KEY, step=1),
    "random_bits": lambda x, n: ops.random_bits(n, KEY, 1, 1001),
    "max_pool2d": lambda x, n: ops.max_pool2d(x, Window.of(3, 2, 1)),
    "max_pool2d_dx": lambda x, n: ops.max_pool2d_dx(*ops.max_pool2d(x, Window.of(3, 1, 1)), x.shape[1:3]),
    "add": lambda x, n: ops.add(x, np.ascontiguousarray(x[..., ::-1])),
    "gelu": lambda x, n: ops.gelu(x),
    "softmax": lambda x, n: ops.softmax(x),
    "row_sum": lambda x, n: ops.row_sum(x),
    "group_norm": lambda x, n: ops.group_norm(x, TABLE[0], TABLE[1], groups=3, eps=1e-5),
    "gather": lambda x, n: ops.gather(TABLE, n),
    "cross_entropy": lambda x, n: ops.cross_entropy(x.reshape(len(x), -1), n),
}


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_a_sample_does_not_see_its_batch(name):
    x, samples = normal(0, (5, 6, 7, 9), np.float32), np.arange(5)
    whole = PER_SAMPLE[name](x, samples)
    for i in range(5):
        alone = PER_SAMPLE[name](x[i : i + 1], samples[i : i + 1])
        for a, b in zip(alone, whole, strict=True) if isinstance(whole, tuple) else [(alone, whole)]:
            assert a.tobytes() == b[i : i + 1].tobytes()


def filled(fill, **rule):
    x = np.empty((9, 1111), np.float32)
    fill(x, key=KEY, origin=(1, 2), whole=(10, 2000), **rule)
    return x


def stepped(update, slots, **rule):
    buffers = [normal(i, 50_000, np.float32) for i in range(slots)]
    update(*buffers, np.array([[17, 20_000], [40_000, 49_999]]), lr=0.1, weight_decay=0.01, **rule)
    return tuple(buffers)


def arrays(*shapes):
    return [normal(i, shape, np.float32) for i, shape in enumerate(shapes)]


WHOLE = {
    "fill_uniform": lambda: filled(ops.fill_uniform, low=-1.0, high=1.0),
    "fill_normal": lambda: filled(ops.fill_normal, deviation=1.0),
    "sgd": lambda: stepped(ops.sgd, 2),
    "momentum": lambda: stepped(ops.momentum, 3, momentum=0.9),
    "column_moments": lambda: ops.column_moments(normal(0, (5000, 30), np.float32)),
    "batch_norm_sums": lambda: ops.batch_norm_sums(*arrays((5000, 30), (5000, 30), (30,), (30,))),
    "group_norm_dw": lambda: ops.group_norm_dw(*arrays((500, 9, 30), (500, 9, 30), (500, 3), (500, 3))),
    "scatter_add": lambda: ops.scatter_add(normal(0, (900, 200), np.float32), np.arange(900) % 7, size=9),
    "sum_of_squares": lambda: ops.sum_of_squares(normal(0, (40_001,), np.float32)),
    "ordered_sum": lambda: ops.ordered_sum(normal(0, (5, 10_001), np.float32)),
    **{name: lambda f=f: f(normal(0, (5, 6, 7, 9), np.float32), np.arange(5)) for name, f in PER_SAMPLE.items()},
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_number_of_threads_cannot_be_seen(name, monkeypatch):
    if threads.cap() < 2:
        pytest.skip("one core: there is no second thread")
    monkeypatch.setattr(compile, "WORTH", 0)  # the parallel variant, however small the arrays
    results = []
    before = threads.threads()
    for n in (1, 2):
        threads.set_threads(n)
        result = WHOLE[name]()
        results.append([a.tobytes() for a in (result if isinstance(result, tuple) else (result,))])
    threads.set_threads(before)
    assert results[0] == results[1]
