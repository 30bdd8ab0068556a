"""Activations: the elementary functions to a few units in the last place, the gradients, PyTorch's numbers, the far ends."""

import math

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import exponential
from shoal.kernels.cpu.compile import specialised

# name, hyper-parameters, gradient from the output, PyTorch's function
ACTIVATIONS = [
    ("leaky_relu", {"slope": 0.1}, False, lambda f, x: f.leaky_relu(x, 0.1)),
    ("relu6", {}, True, lambda f, x: f.relu6(x)),
    ("sigmoid", {}, True, lambda f, x: f.sigmoid(x)),
    ("tanh", {}, True, lambda f, x: f.tanh(x)),
    ("softplus", {}, False, lambda f, x: f.softplus(x, threshold=50)),
    ("silu", {}, False, lambda f, x: f.silu(x)),
    ("gelu", {}, False, lambda f, x: f.gelu(x)),
    ("gelu_tanh", {}, False, lambda f, x: f.gelu(x, approximate="tanh")),
]
IDS = [name for name, *_ in ACTIVATIONS]
SHAPES = [(0,), (1,), (7,), (0, 5), (3, 4, 5), (1, 9001)]  # small: one thread, one variant to compile


def pair(name):
    return getattr(ops, name), getattr(ops, name + "_dx")


def check(name, hyper, from_output, x, dy):
    op, gradient = pair(name)
    y, allowed = op(x, **hyper), ALLOWED[x.dtype.type]
    known = op.reference(x, **hyper) if from_output else x
    assert y.dtype == x.dtype and distance(y, op.reference(x, **hyper)) <= allowed
    assert distance(gradient(dy, known, **hyper), gradient.reference(dy, known, **hyper)) <= allowed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "hyper", "from_output", "_"), ACTIVATIONS, ids=IDS)
def test_equal_their_definitions(name, hyper, from_output, _, dtype):
    for shape in SHAPES:
        check(name, hyper, from_output, 3 * normal(0, shape, dtype), normal(1, shape, dtype))


@given(st.sampled_from(ACTIVATIONS), st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 99))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_equal_their_definitions_on_any_shape(activation, shape, seed):
    check(*activation[:3], normal(seed, shape), normal(seed + 1, shape))


@pytest.mark.parametrize(("name", "hyper", "from_output", "_"), ACTIVATIONS, ids=IDS)
def test_gradients_are_slopes(name, hyper, from_output, _):
    op, gradient = pair(name)
    x, dy = 2 * normal(2, (4, 5)), normal(3, (4, 5))
    slope = numerical.gradient(lambda x: (op.reference(x, **hyper) * dy).sum(), x)
    known = op.reference(x, **hyper) if from_output else x
    np.testing.assert_allclose(gradient.reference(dy, known, **hyper), slope, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "hyper", "from_output", "theirs"), ACTIVATIONS, ids=IDS)
def test_equal_torch(name, hyper, from_output, theirs, dtype):
    torch = oracle()
    op, gradient = pair(name)
    x, dy = 3 * normal(4, (60, 7), dtype), normal(5, (60, 7), dtype)
    tx = torch.tensor(x, requires_grad=True)
    ty = theirs(torch.nn.functional, tx)
    ty.backward(torch.tensor(dy))
    y = op(x, **hyper)
    assert distance(y, ty.detach().numpy()) <= ALLOWED[dtype]
    assert distance(gradient(dy, y if from_output else x, **hyper), tx.grad.numpy()) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_ends_neither_overflow_nor_make_a_nan(dtype):
    x, one = np.array([-1e4, 1e4, -60, 60], dtype), np.ones(4, dtype)
    with np.errstate(over="raise", invalid="raise"):
        far = {name: pair(name)[0](x, **hyper) for name, hyper, *_ in ACTIVATIONS}
        for name, _, from_output, _ in ACTIVATIONS[1:]:
            slopes = [0, 0, 0, 0] if from_output and name != "softplus" else [0, 1, 0, 1]
            np.testing.assert_allclose(pair(name)[1](one, far[name] if from_output else x), slopes, atol=1e-20)
    np.testing.assert_allclose(far["sigmoid"], [0, 1, math.exp(-60), 1], rtol=1e-5)
    np.testing.assert_allclose(far["softplus"], [0, 1e4, math.exp(-60), 60], rtol=1e-5)
    np.testing.assert_array_equal(far["tanh"], [-1, 1, -1, 1])
    for name in ("silu", "gelu", "gelu_tanh"):
        np.testing.assert_allclose(far[name], [0, 1e4, 0, 60], atol=1e-20)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("name", "hyper", "from_output", "_"), ACTIVATIONS, ids=IDS)
def test_a_nan_stays_a_nan(name, hyper, from_output, _, backend):
    op, gradient = pair(name)
    x = np.array([0.5, np.nan, -2, 7], np.float32)
    assert np.isnan(op(x, backend=backend, **hyper)).tolist() == [False, True, False, False]
    assert np.isnan(gradient(x, np.ones(4, np.float32), backend=backend, **hyper)).tolist() == [
        False,
        True,
        False,
        False,
    ]
    if name not in ("relu6", "leaky_relu"):  # whose slope is the slope of one side or of the other
        dx = gradient(np.ones(4, np.float32), x, backend=backend, **hyper)
        assert np.isnan(dx).tolist() == [False, True, False, False]


def test_a_gradient_may_write_over_dy_and_must_fit_it():
    x, dy = normal(0, 1000), normal(1, 1000)
    expected = ops.silu_dx(dy, x)
    assert ops.silu_dx(dy, x, out=dy) is dy
    np.testing.assert_array_equal(dy, expected)
    with pytest.raises(UsageError, match=r"silu_dx: shapes \(1000,\) and \(999,\) differ"):
        ops.silu_dx(dy, x[:999])


# ---------------------------------------------------------------------------------------------------- elementary

ELEMENTARY = [  # function, NumPy's, from, to, units in the last place
    ("exp", np.exp, -86.8, 88.7, 2),
    ("expm1", np.expm1, -40, 0, 2),
    ("log1p", np.log1p, 0, 1, 2),
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), -80, 80, 3),
    ("tanh", np.tanh, -20, 20, 3),
    ("softplus", lambda x: np.logaddexp(0, x), -40, 80, 3),
]


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no floats longer than 64 bits to compare with")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "exact", "low", "high", "units"), ELEMENTARY, ids=[name for name, *_ in ELEMENTARY])
def test_elementary_functions_are_right_to_a_few_units(name, exact, low, high, units, dtype):
    run = njit(specialised(_each, f"_{name}", element=getattr(exponential, name)))
    x = np.random.default_rng(0).uniform(low, high, 20_000).astype(dtype)
    x[::2] *= dtype(0.01)
    y = np.empty_like(x)
    run(x, y)
    expected = exact(x.astype(np.longdouble))
    assert (abs(y - expected) <= units * np.spacing(abs(expected).astype(dtype))).all()


def _each(x, y):
    for i in range(x.size):
        y[i] = element(x[i])  # noqa: F821  a global of the copy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exponential_ends_in_zero_and_infinity(dtype):
    x = np.array([[0, -1e4, -np.inf], [0, 1e4, np.inf]], dtype)
    np.testing.assert_array_equal(ops.softplus_dx(np.ones_like(x), x), [[0.5, 0, 0], [0.5, 1, 1]])
