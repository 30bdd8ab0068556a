"""Softmax and its logarithm over the last axis."""

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops

NAMES = ["softmax", "log_softmax"]


def pair(name):
    return getattr(ops, name), getattr(ops, name + "_dx")


def check(name, shape, dtype=np.float64):
    op, gradient = pair(name)
    x, dy = 3 * normal(0, shape, dtype), normal(1, shape, dtype)
    expected = op.reference(x)
    y, dx = op(x), gradient(dy, expected)
    assert y.dtype == dtype and distance(y, expected) <= ALLOWED[dtype]
    assert distance(dx, gradient.reference(dy, expected)) <= ALLOWED[dtype]
    assert distance(np.exp(y) if name == "log_softmax" else y, np.exp(ops.log_softmax.reference(x))) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (1, 1), (5, 10), (2, 3, 4), (3, 1003)])
@pytest.mark.parametrize("name", NAMES)
def test_equal_their_definitions(name, shape, dtype):
    check(name, shape, dtype)


@given(st.sampled_from(NAMES), st.lists(st.integers(0, 6), max_size=3), st.integers(1, 30))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_equal_their_definitions_on_any_shape(name, outer, classes):
    check(name, (*outer, classes))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_slopes_and_may_write_over_dy(name):
    op, gradient = pair(name)
    x, dy = normal(2, (3, 5)), normal(3, (3, 5))
    slope = numerical.gradient(lambda x: (op.reference(x) * dy).sum(), x)
    np.testing.assert_allclose(gradient.reference(dy, op(x)), slope, atol=1e-8)
    assert gradient(dy, op(x), out=dy) is dy
    np.testing.assert_allclose(dy, slope, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_equal_torch(name, dtype):
    torch = oracle()
    op, gradient = pair(name)
    x, dy = 3 * normal(4, (6, 4, 37), dtype), normal(5, (6, 4, 37), dtype)
    tx = torch.tensor(x, requires_grad=True)
    ty = getattr(torch, name)(tx, -1)
    ty.backward(torch.tensor(dy))
    assert distance(op(x), ty.detach().numpy()) <= ALLOWED[dtype]
    assert distance(gradient(dy, op(x)), tx.grad.numpy()) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_masked_logits(dtype):
    x = np.array([[1e4, -1e4, 0], [0, -np.inf, 0], [-1e4, -1e4, -1e4]], dtype)
    np.testing.assert_allclose(ops.softmax(x), [[1, 0, 0], [0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-6)
    half, third = -np.log(2), -np.log(3)
    np.testing.assert_allclose(ops.log_softmax(x), [[0, -2e4, -1e4], [half, -np.inf, half], [third] * 3], rtol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("at", [0, 1, 6])
@pytest.mark.parametrize("name", NAMES)
def test_a_nan_reaches_its_row_and_no_other(name, at, backend):
    x = np.ones((2, 7))
    x[0, at] = np.nan
    y = pair(name)[0](x, backend=backend)
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="K >= 1"):
        ops.softmax(np.ones((3, 0)))
    with pytest.raises(UsageError, match=r"shapes \(2, 3\) and \(3, 2\) differ"):
        ops.softmax_dx(np.ones((2, 3)), np.ones((3, 2)))
