"""Softmax cross-entropy and its gradient."""

import numerical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


def problem(rows, classes, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, classes)).astype(dtype) * 3, random.integers(0, classes, rows)


def check(z, labels, scale):
    tolerance = TOLERANCE[z.dtype.type]
    got, expected = (f(z, labels, scale=scale) for f in (ops.cross_entropy, ops.cross_entropy.reference))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == z.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(scale, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "classes"), [(0, 10), (1, 1), (1, 10), (128, 10), (3, 1000)])
def test_cross_entropy_equals_its_definition(rows, classes, dtype):
    check(*problem(rows, classes, dtype), scale=1 / max(rows, 1))


@given(st.integers(0, 20), st.integers(1, 20), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=50)
def test_cross_entropy_equals_its_definition_on_any_shape(rows, classes, seed, dtype):
    check(*problem(rows, classes, dtype, seed), scale=0.5)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_stable_for_large_logits(dtype, backend):
    z = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    loss, dz = ops.cross_entropy(z, np.array([0, 1, 2]), backend=backend)
    np.testing.assert_allclose(loss, [0, 2e4, np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(dz, [[0, 0, 0], [1, -1, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_nan_reaches_its_row_and_no_other(at, backend):
    z = np.ones((2, 3))
    z[0, at] = np.nan
    loss, dz = ops.cross_entropy(z, np.array([1, 1]), backend=backend)
    assert np.isnan(loss[0]) and np.isnan(dz[0]).all()
    assert np.isfinite(loss[1]) and np.isfinite(dz[1]).all()


def test_a_masked_logit_has_no_share():
    loss, dz = ops.cross_entropy(np.array([[0.0, -np.inf, 0.0]]), np.array([0]))
    np.testing.assert_allclose(loss, np.log(2))
    np.testing.assert_allclose(dz, [[-0.5, 0, 0.5]])


def test_gradient_is_the_slope_of_the_scaled_sum():
    z, labels = problem(5, 7)
    slope = numerical.gradient(lambda z: 0.25 * ops.cross_entropy(z, labels)[0].sum(), z)
    np.testing.assert_allclose(ops.cross_entropy(z, labels, scale=0.25)[1], slope, atol=1e-8)


def test_cross_entropy_equals_torch():
    torch = oracle()
    z, labels = problem(16, 10)
    tz = torch.tensor(z, requires_grad=True)
    tloss = torch.nn.functional.cross_entropy(tz, torch.tensor(labels), reduction="none")
    tloss.mean().backward()
    loss, dz = ops.cross_entropy(z, labels, scale=1 / 16)
    np.testing.assert_allclose(loss, tloss.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(dz, tz.grad.numpy(), atol=1e-15)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_a_label_outside_the_classes_is_a_nan_and_never_read(label):
    loss, dz = ops.cross_entropy(np.zeros((2, 3)), np.array([0, label]))
    assert np.isnan(loss).tolist() == [False, True]
    assert np.isfinite(dz).all()


@pytest.mark.parametrize("labels", [np.zeros(2, np.int32), np.zeros(3, np.int64), np.zeros((2, 1), np.int64)])
def test_wrong_labels_are_rejected(labels):
    with pytest.raises(UsageError, match=r"need int64 \(2,\)"):
        ops.cross_entropy(np.zeros((2, 3)), labels)
