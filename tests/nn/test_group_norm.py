"""Group norm and layer norm: their definition, PyTorch's numbers, and a sample that sees nobody but itself."""

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.nn import Arena, GroupNorm, LayerNorm, Layout

CASES = [  # shape, groups
    ((0, 5), 1),
    ((1, 1), 1),
    ((4, 7), 1),
    ((3, 300), 1),
    ((5, 2, 6), 3),
    ((2, 3, 4, 12), 4),
    ((2, 9, 5), 5),
    ((3, 33, 70), 1),
]


def problem(shape, groups, dtype=np.float64):
    x, dy = (normal(i, shape, dtype) * 2 + 1 for i in range(2))
    weight, bias = (normal(2 + i, shape[-1:], dtype) for i in range(2))
    return x, dy, weight, bias


def check(shape, groups, dtype=np.float64):
    x, dy, weight, bias = problem(shape, groups, dtype)
    expected = ops.group_norm.reference(x, weight, bias, groups=groups, eps=1e-5)
    _, mean, inverse = expected
    pairs = [
        *zip(ops.group_norm(x, weight, bias, groups=groups, eps=1e-5), expected, strict=True),
        *zip(ops.group_norm_dw(dy, x, mean, inverse), ops.group_norm_dw.reference(dy, x, mean, inverse), strict=True),
    ]
    for got, wanted in pairs:
        assert got.dtype == dtype and distance(got, wanted) <= ALLOWED[dtype]
    dx, wanted = (f(dy, x, mean, inverse, weight) for f in (ops.group_norm_dx, ops.group_norm_dx.reference))
    # Of a group of two or three numbers next to nothing is left: the difference is judged by what is subtracted.
    terms = np.linalg.norm(dy * weight) * inverse.max(initial=0)
    assert np.linalg.norm(dx - wanted) <= ALLOWED[dtype] * max(
        terms if groups * 4 > shape[-1] else 0, np.linalg.norm(wanted)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "groups"), CASES)
def test_ops_equal_their_definitions(shape, groups, dtype):
    check(shape, groups, dtype)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 40))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_ops_equal_their_definitions_on_any_shape(outer, groups, width):
    check((*outer, groups * width), groups)


def test_definitions_have_the_right_slopes():
    x, dy, weight, bias = problem((2, 3, 6), 3)

    def value(x, weight, bias):
        return (ops.group_norm.reference(x, weight, bias, groups=3, eps=1e-5)[0] * dy).sum()

    _, mean, inverse = ops.group_norm.reference(x, weight, bias, groups=3, eps=1e-5)
    dw, db = ops.group_norm_dw.reference(dy, x, mean, inverse)
    dx = ops.group_norm_dx.reference(dy, x, mean, inverse, weight)
    np.testing.assert_allclose(dx, numerical.gradient(lambda a: value(a, weight, bias), x.copy()), atol=1e-7)
    np.testing.assert_allclose(dw, numerical.gradient(lambda a: value(x, a, bias), weight.copy()), atol=1e-7)
    np.testing.assert_allclose(db, numerical.gradient(lambda a: value(x, weight, a), bias.copy()), atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 7), None), ((2, 5, 70), None), ((3, 4, 12), 4), ((2, 6, 5, 8), 2), ((4, 24), 3)]
)
def test_layers_equal_torch(shape, groups, dtype):
    torch = oracle()
    x, dy, weight, bias = problem(shape, groups, dtype)
    layer = GroupNorm(groups) if groups else LayerNorm()
    w = Arena(Layout(layer.specs(shape[1:])), dtype)
    w["weight"][:], w["bias"][:] = weight, bias
    first = (lambda a: np.moveaxis(a, -1, 1).copy()) if groups else np.copy
    tx, tweight, tbias = (torch.tensor(a, requires_grad=True) for a in (first(x), weight, bias))
    norm = torch.nn.functional.group_norm if groups else torch.nn.functional.layer_norm
    ty = norm(tx, groups or shape[-1:], tweight, tbias)
    ty.backward(torch.tensor(first(dy)))
    g = w.like()
    y, saved = layer.forward(w.views, x, Context(training=True))
    dx = layer.backward(w.views, g.views, saved, dy.copy(), Context(training=True))
    for got, expected in [(y, ty), (dx, tx.grad)]:
        assert distance(first(got), expected.detach().numpy()) <= ALLOWED[dtype]
    for name, expected in [("weight", tweight), ("bias", tbias)]:
        assert distance(g[name], expected.grad.numpy()) <= ALLOWED[dtype]


@pytest.mark.parametrize("value", [0.0, 1e6, -1e-3])
def test_a_constant_sample_becomes_the_bias(value):
    y, _, inverse = ops.group_norm(np.full((2, 3, 8), value), np.ones(8), np.full(8, 0.5), groups=2, eps=1e-5)
    np.testing.assert_allclose(y, 0.5, atol=1e-6)
    np.testing.assert_allclose(inverse, 1e5**0.5, rtol=1e-6)


def test_a_large_mean_does_not_hide_the_deviation():
    x = normal(0, (3, 7, 64)) + 1e6  # a sum of squares would be right to 1e-4 only
    inverse = ops.group_norm(x, np.ones(64), np.zeros(64), groups=1, eps=0.0)[2]
    np.testing.assert_allclose(inverse[:, 0], 1 / x.reshape(3, -1).std(axis=1), rtol=1e-9)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_nan_stays_in_its_group(backend):
    x, _, weight, bias = problem((2, 3, 6), 3)
    x[1, 2, 5] = np.nan
    y = ops.group_norm(x, weight, bias, groups=3, eps=1e-5, backend=backend)[0]
    assert np.isnan(y[1, :, 4:]).all() and np.isnan(y).sum() == 6


def test_channels_that_do_not_fall_into_groups_are_refused():
    with pytest.raises(UsageError, match="7 channels are not a multiple of 2 groups"):
        ops.group_norm(np.ones((2, 7)), np.ones(7), np.ones(7), groups=2, eps=1e-5)
    with pytest.raises(UsageError, match=r"a multiple of 2, not \(3, 7\)"):
        GroupNorm(2).specs((3, 7))
    with pytest.raises(UsageError, match=r"needs vectors \(7,\)"):
        ops.group_norm(np.ones((2, 7)), np.ones(6), np.ones(7), groups=1, eps=1e-5)
