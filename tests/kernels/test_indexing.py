"""Gather and scatter_add, concat and split: each the other's adjoint; and reductions."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def rows_of(seed, shape, size):
    return np.random.default_rng(seed).integers(0, size, shape)


# ---------------------------------------------------------------------------------------------------- rows of a table


def check_rows(shape, size, width, dtype=np.float64):
    table, rows, dy = normal(0, (size, width), dtype), rows_of(1, shape, size), normal(2, (*shape, width), dtype)
    np.testing.assert_array_equal(ops.gather(table, rows), ops.gather.reference(table, rows))
    y = ops.scatter_add(dy, rows, size=size)
    np.testing.assert_array_equal(y, ops.scatter_add.reference(dy, rows, size=size))  # the order is part of the result
    # the adjoint: <gather(table), dy> = <table, scatter_add(dy)>
    left, right = (ops.gather(table, rows).astype(float) * dy).sum(), (table.astype(float) * y).sum()
    assert abs(left - right) <= ALLOWED[dtype] * max(1.0, np.linalg.norm(dy) * np.linalg.norm(table))


@DTYPES
@pytest.mark.parametrize(
    ("shape", "size", "width"), [((0,), 3, 4), ((1,), 1, 1), ((50,), 7, 5), ((2, 9), 4, 130), ((3, 0, 2), 2, 3)]
)
def test_rows_equal_their_definitions(shape, size, width, dtype):
    check_rows(shape, size, width, dtype)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 70))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_rows_equal_their_definitions_on_any_shape(shape, size, width):
    check_rows(tuple(shape), size, width)


def test_scatter_add_adds_to_what_is_there():
    dy, rows, y = normal(0, (5, 3)), rows_of(1, (5,), 4), normal(2, (4, 3))
    expected = y + ops.scatter_add(dy, rows, size=4)
    ops.scatter_add(dy, rows, size=4, accumulate=True, out=y)
    np.testing.assert_allclose(y, expected, rtol=1e-14)


@DTYPES
def test_rows_equal_torch(dtype):
    torch = oracle()
    table, rows, dy = normal(0, (9, 6), dtype), rows_of(1, (4, 11), 9), normal(2, (4, 11, 6), dtype)
    ttable = torch.tensor(table, requires_grad=True)
    ty = torch.nn.functional.embedding(torch.tensor(rows), ttable)
    ty.backward(torch.tensor(dy))
    np.testing.assert_array_equal(ops.gather(table, rows), ty.detach().numpy())
    assert distance(ops.scatter_add(dy, rows, size=9), ttable.grad.numpy()) <= ALLOWED[dtype]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("row", [-1, 3, 2**40])
def test_a_row_outside_is_a_nan_and_never_read_or_written(row, backend):
    rows = np.array([0, row])
    assert np.isnan(ops.gather(np.ones((3, 2)), rows, backend=backend)).tolist() == [[False] * 2, [True] * 2]
    assert ops.scatter_add(np.ones((2, 2)), rows, size=3, backend=backend).tolist() == [[1, 1], [0, 0], [0, 0]]


def test_rows_are_int64():
    with pytest.raises(UsageError, match="rows are int32; need int64"):
        ops.gather(np.ones((3, 2)), np.zeros(2, np.int32))
    with pytest.raises(UsageError, match=r"dy \(2, 2\) for rows \(3,\)"):
        ops.scatter_add(np.ones((2, 2)), np.zeros(3, np.int64), size=3)


# ---------------------------------------------------------------------------------------------------- the last axis


@given(st.lists(st.integers(0, 5), max_size=3), st.lists(st.integers(0, 40), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_split_takes_apart_what_concat_joined(outer, sizes):
    parts = [normal(i, (*outer, size)) for i, size in enumerate(sizes)]
    whole = ops.concat(*parts)
    np.testing.assert_array_equal(whole, ops.concat.reference(*parts))
    again = ops.split(whole, tuple(sizes))
    for part, same in zip(parts, again if isinstance(again, tuple) else (again,), strict=True):
        np.testing.assert_array_equal(part, same)


@DTYPES
def test_concat_and_split_equal_their_definitions(dtype):
    a, b, c = (normal(i, (3, 4, width), dtype) for i, width in enumerate((5, 1, 64)))
    y = ops.concat(a, b, c)
    np.testing.assert_array_equal(y, np.concatenate([a, b, c], axis=-1))
    for got, expected in zip(ops.split(y, (5, 1, 64)), ops.split.reference(y, (5, 1, 64)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_what_cannot_be_joined_or_split_is_refused():
    with pytest.raises(UsageError, match="differ in more than the last axis"):
        ops.concat(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(UsageError, match="float64 but arrays is float32"):
        ops.concat(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3), np.float32))
    with pytest.raises(UsageError, match="not contiguous"):
        ops.concat(np.ones((2, 3)), np.ones((3, 2)).T)
    with pytest.raises(UsageError, match=r"sizes \(1, 3\)"):
        ops.split(np.ones((2, 5)), (1, 3))


# ---------------------------------------------------------------------------------------------------- reductions

REDUCTIONS = ["row_sum", "row_mean", "row_max", "sum_of_squares"]


def check_reduction(name, shape, dtype=np.float64):
    op, x = getattr(ops, name), normal(0, shape, dtype)
    y, expected = op(x), op.reference(x)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=ALLOWED[dtype], atol=ALLOWED[dtype])


@DTYPES
@pytest.mark.parametrize("shape", [(0, 3), (1,), (1, 1), (4, 10), (2, 3, 103), (5001,)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_equal_their_definitions(name, shape, dtype):
    check_reduction(name, shape, dtype)


@given(st.sampled_from(REDUCTIONS), st.lists(st.integers(0, 6), max_size=3), st.integers(1, 40))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_reductions_equal_their_definitions_on_any_shape(name, outer, width):
    check_reduction(name, (*outer, width))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("at", [0, 3, 8])
def test_a_nan_reaches_its_row(at, backend):
    x = np.ones((2, 9))
    x[1, at] = np.nan
    for name in REDUCTIONS[:3]:
        assert np.isnan(getattr(ops, name)(x, backend=backend)).tolist() == [False, True]
    assert np.isnan(ops.sum_of_squares(x, backend=backend)).all()


def test_the_norm_of_float32_is_summed_in_float64():
    x = np.full(1 << 15, 1e-4, np.float32)
    np.testing.assert_allclose(ops.sum_of_squares(x), [x.size * float(x[0]) ** 2], rtol=1e-14)
    assert ops.sum_of_squares(np.full(4, 1e30, np.float32)) > 3e60  # a float32 sum would be infinite


def test_a_row_needs_a_number():
    with pytest.raises(UsageError, match="K >= 1"):
        ops.row_max(np.ones((3, 0)))
