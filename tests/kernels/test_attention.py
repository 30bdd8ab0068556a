"""Attention against its definition and finite differences; what a mask hides, and what a row may depend on."""

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.kernels import ops

DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1, 1, 1), (2, 5, 2, 3), (0, 3, 2, 4), (3, 37, 2, 16), (2, 16, 4, 8), (1, 70, 1, 33)]  # N, T, heads, D


def check(shape, dtype, causal, masked):
    n, steps, heads, size = shape
    qkv, dy = normal(0, (n, steps, 3 * heads * size), dtype), normal(1, (n, steps, heads * size), dtype)
    how = {"heads": heads, "causal": causal, "mask": normal(2, (n, steps)) > 0 if masked else None}
    expected = ops.attention.reference(qkv.astype(float), **how)
    got = ops.attention(qkv, **how)
    dqkv = ops.attention_dx(dy, qkv, got[1], heads=heads)
    back = ops.attention_dx.reference(dy.astype(float), qkv.astype(float), expected[1], heads=heads)
    for ours, theirs in zip((*got, dqkv), (*expected, back), strict=True):
        assert ours.dtype == dtype and distance(ours, theirs) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_equals_its_definition(shape, causal, dtype):
    check(shape, dtype, causal, masked=False)
    check(shape, dtype, causal, masked=True)


@given(*[st.integers(1, top) for top in (3, 20, 4, 9)], st.sampled_from(DTYPES), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=25, derandomize=True)
def test_attention_equals_its_definition_on_any_shape(n, steps, heads, size, dtype, causal, masked):
    check((n, steps, heads, size), dtype, causal, masked)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("causal", [False, True])
def test_gradient_is_the_slope(causal, backend):
    qkv, dy, mask = normal(0, (2, 4, 12)), normal(1, (2, 4, 4)), np.array([[True] * 4, [False, True, True, False]])
    how = {"heads": 2, "backend": backend}
    p = ops.attention(qkv, causal=causal, mask=mask, **how)[1]
    slope = numerical.gradient(lambda x: (ops.attention(x, causal=causal, mask=mask, **how)[0] * dy).sum(), qkv)
    np.testing.assert_allclose(ops.attention_dx(dy, qkv, p, **how), slope, atol=1e-8)
    with pytest.raises(AssertionError):  # the check sees a thousandth
        np.testing.assert_allclose(1.001 * ops.attention_dx(dy, qkv, p, **how), slope, atol=1e-8)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_step_without_a_valid_key_gives_zeros_and_passes_none_back(backend):
    qkv, mask = normal(0, (2, 3, 6)), np.array([[False] * 3, [False, True, True]])
    y, p = ops.attention(qkv, heads=1, causal=True, mask=mask, backend=backend)
    assert not y[0].any() and not p[0].any() and not y[1, 0].any() and y[1, 1].all()
    dqkv = ops.attention_dx(np.ones_like(y), qkv, p, heads=1, backend=backend)
    assert not dqkv[0].any() and np.isfinite(dqkv).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_past_does_not_see_the_future(backend):
    qkv = normal(0, (1, 6, 12))
    y = ops.attention(qkv, heads=2, causal=True, backend=backend)[0]
    qkv[:, 4:] = 7
    again = ops.attention(qkv, heads=2, causal=True, backend=backend)[0]
    np.testing.assert_array_equal(y[:, :4], again[:, :4])
    assert not np.array_equal(y[:, 4:], again[:, 4:])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_large_scores_are_stable_and_a_nan_reaches_its_row(backend):
    qkv = np.zeros((2, 2, 3))
    qkv[0, :, :2] = [[1e3, 1e3], [-1e3, -1e3]]
    qkv[1, 1, 0] = np.nan
    y, p = ops.attention(qkv, heads=1, backend=backend)
    assert p[0, 0].tolist() == [[1, 0], [0, 1]]
    assert np.isnan(y[1, 1]).all() and np.isfinite(y[1, 0]).all()


def test_a_sample_does_not_see_its_batch():
    qkv = normal(0, (3, 19, 24), np.float32)
    whole = ops.attention(qkv, heads=2)
    for i in range(3):
        for a, b in zip(ops.attention(qkv[i : i + 1], heads=2), whole, strict=True):
            assert a.tobytes() == b[i : i + 1].tobytes()


def test_wrong_arrays_are_refused():
    with pytest.raises(UsageError, match=r"qkv \(2, 3, 8\) must be \(N, T, 3C\) with C a multiple of 2 heads"):
        ops.attention(np.zeros((2, 3, 8)), heads=2)
    with pytest.raises(UsageError, match=r"mask int64\(2, 3\) for qkv \(2, 3, 6\); need bool \(2, 3\)"):
        ops.attention(np.zeros((2, 3, 6)), heads=2, mask=np.ones((2, 3), np.int64))
