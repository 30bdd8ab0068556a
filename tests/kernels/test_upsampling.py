"""Upsampling: what each pixel gives, and what it gets back."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops

CASES = [  # x, scale
    ((0, 3, 3, 2), (2, 2)),
    ((1, 1, 1, 1), (3, 2)),
    ((2, 4, 5, 3), (1, 1)),
    ((2, 4, 5, 3), (2, 2)),
    ((2, 5, 1, 17), (3, 4)),
    ((3, 2, 7, 8), (5, 1)),
]
MODES = ["nearest", "linear"]


def both(x, scale, mode, backend="cpu"):
    """y, and dx for one dy."""
    y = ops.upsample2d(x, scale, mode, backend=backend)
    return y, ops.upsample2d_dx(normal(9, y.shape, x.dtype), scale, mode, backend=backend)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "scale"), CASES)
def test_upsampling_equals_its_definition(shape, scale, dtype, mode):
    x = normal(0, shape, dtype)
    for result, expected in zip(both(x, scale, mode), both(x, scale, mode, "reference"), strict=True):
        assert result.dtype == dtype and distance(result, expected) <= ALLOWED[dtype]


two = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(st.integers(0, 2), two, two, st.integers(1, 20), st.sampled_from(MODES))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_upsampling_and_its_gradient_are_adjoint_on_any_shape(n, size, scale, channels, mode):
    x = normal(0, (n, *size, channels))
    y, dx = both(x, scale, mode)
    assert abs(np.vdot(y, normal(9, y.shape)) - np.vdot(x, dx)) <= 1e-10
    assert distance(y, ops.upsample2d.reference(x, scale, mode)) <= ALLOWED[np.float64]


def test_the_check_sees_the_other_mode():
    x = normal(0, (1, 3, 3, 1))
    for result, other in zip(both(x, (2, 2), "nearest"), both(x, (2, 2), "linear"), strict=True):
        assert distance(result, other) > ALLOWED[np.float64]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "scale"), CASES[1:])
def test_upsampling_equals_torch(shape, scale, mode):
    torch = oracle()
    x = normal(3, shape)
    tx = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    how = {"mode": "bilinear", "align_corners": False} if mode == "linear" else {"mode": "nearest"}
    ty = torch.nn.functional.interpolate(tx, scale_factor=scale, **how)
    ty.backward(torch.tensor(normal(9, (len(x), *ty.shape[2:], x.shape[3])).transpose(0, 3, 1, 2).copy()))
    for result, expected in zip(both(x, scale, mode), (ty, tx.grad), strict=True):
        assert distance(result, expected.detach().numpy().transpose(0, 2, 3, 1)) <= ALLOWED[np.float64]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_repetition_and_interpolation_are(backend):
    x = np.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    nearest, linear = (ops.upsample2d(x, (1, 2), mode, backend=backend).ravel().tolist() for mode in MODES)
    assert nearest == [0, 0, 4, 4] and linear == [0, 1, 3, 4]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_repetition_keeps_nan_and_inf_where_they_are(backend):
    x = np.array([np.nan, np.inf, 1.0]).reshape(1, 1, 3, 1)
    y, _ = both(x, (1, 2), "nearest", backend)
    np.testing.assert_array_equal(y.ravel(), x.ravel().repeat(2))
    dx = ops.upsample2d_dx(y, (1, 2), "nearest", backend=backend)
    np.testing.assert_array_equal(dx.ravel(), 2 * x.ravel())


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="scale"):
        ops.upsample2d(np.zeros((1, 2, 2, 1)), (0, 1), "nearest")
    with pytest.raises(UsageError, match="mode 'cubic'"):
        ops.upsample2d(np.zeros((1, 2, 2, 1)), (2, 2), "cubic")
    with pytest.raises(UsageError, match="is not a multiple of scale"):
        ops.upsample2d_dx(np.zeros((1, 3, 2, 1)), (2, 2), "nearest")
