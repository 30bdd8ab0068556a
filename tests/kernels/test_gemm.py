"""Matrix products and column sums against their definitions; and what the bits of a row may depend on."""

import re

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal, shifted
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import brgemm, compile, simd, threads
from shoal.kernels.pool import Pool

# (M, N, K): whole tiles and every kind of edge, one and several blocks of the sum, one and several jobs
SHAPES = [
    (1, 1, 1),
    (6, 16, 256),
    (7, 17, 257),
    (5, 15, 3),
    (13, 1, 40),
    (1, 70, 300),
    (97, 33, 769),
    (128, 10, 512),
    (200, 130, 64),
    (64, 64, 64),
]
EMPTY = [(0, 5, 3), (4, 0, 3), (4, 5, 0)]
TRANSPOSES = [(False, False), (False, True), (True, False), (True, True)]
DTYPES = [np.float32, np.float64]


def operands(m, n, k, trans_a, trans_b, dtype, seed=0):
    return normal(seed, (k, m) if trans_a else (m, k), dtype), normal(seed + 1, (n, k) if trans_b else (k, n), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
@pytest.mark.parametrize("shape", SHAPES + EMPTY)
def test_gemm_equals_its_definition(shape, trans_a, trans_b, dtype):
    a, b = operands(*shape, trans_a, trans_b, dtype)
    expected = ops.gemm.reference(a.astype(float), b.astype(float), trans_a=trans_a, trans_b=trans_b)
    assert distance(ops.gemm(a, b, trans_a=trans_a, trans_b=trans_b), expected) <= ALLOWED[dtype]


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 600),
    st.sampled_from(TRANSPOSES),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.sampled_from([None, "relu"]),
)
@settings(deadline=None, max_examples=60)
def test_gemm_equals_its_definition_on_any_shape(m, n, k, transposes, dtype, with_bias, activation):
    a, b = operands(m, n, k, *transposes, dtype)
    how = {"trans_a": transposes[0], "trans_b": transposes[1], "activation": activation}
    bias = normal(2, n, dtype) if with_bias else None
    wide = bias.astype(float) if with_bias else None
    expected = ops.gemm.reference(a.astype(float), b.astype(float), bias=wide, **how)
    assert distance(ops.gemm(a, b, bias=bias, **how), expected) <= ALLOWED[dtype]


def test_the_check_can_fail():
    a, b = operands(7, 17, 257, False, False, np.float64)
    wrong = ops.gemm(a, b)
    wrong[3, 4] += 1e-6
    assert distance(wrong, ops.gemm.reference(a, b)) > ALLOWED[np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [3, 700])  # one block of the sum, and several: bias and relu belong to the last one only
def test_bias_and_relu(k, dtype):
    (a, b), bias = operands(11, 37, k, False, True, dtype), normal(2, 37, dtype)
    expected = ops.gemm.reference(*(x.astype(float) for x in (a, b)), trans_b=True, bias=bias.astype(float))
    plain = ops.gemm(a, b, trans_b=True, bias=bias)
    assert distance(plain, expected) <= ALLOWED[dtype]
    np.testing.assert_array_equal(
        ops.gemm(a, b, trans_b=True, bias=bias, activation="relu"), np.where(plain > 0, plain, 0)
    )


@pytest.mark.parametrize("shape", [(11, 37, 3), (11, 37, 700), (4, 5, 0)])
def test_accumulate_adds_into_out(shape):
    a, b = operands(*shape, True, False, np.float64)
    start = normal(2, shape[:2])
    out = start.copy()
    assert ops.gemm(a, b, trans_a=True, out=out, accumulate=True) is out
    assert distance(out, start + a.T @ b) <= ALLOWED[np.float64]


def test_gemm_equals_pytorch():
    torch = oracle()
    for m, n, k in SHAPES:
        x, w = operands(m, n, k, False, True, np.float64)
        bias = normal(2, n)
        expected = torch.nn.functional.linear(*(torch.from_numpy(v) for v in (x, w, bias))).numpy()
        assert distance(ops.gemm(x, w, trans_b=True, bias=bias), expected) <= ALLOWED[np.float64]


# -------------------------------------------------------------------------------------------- what bits depend on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
def test_a_row_has_the_same_bits_in_any_batch(trans_a, trans_b, dtype):
    a, b = operands(131, 48, 700, False, trans_b, dtype)  # few rows read b in place
    transposed = (lambda rows: np.ascontiguousarray(rows.T)) if trans_a else (lambda rows: rows)
    whole = ops.gemm(transposed(a), b, trans_a=trans_a, trans_b=trans_b)
    for first, last in [(0, 1), (5, 12), (100, 131)]:
        part = ops.gemm(transposed(a[first:last]), b, trans_a=trans_a, trans_b=trans_b)
        np.testing.assert_array_equal(part, whole[first:last])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
def test_the_number_of_threads_cannot_be_seen(trans_a, trans_b, dtype, monkeypatch):
    if threads.cap() < 2:
        pytest.skip("one core: there is no second thread")
    monkeypatch.setattr(compile, "WORTH", 0)
    a, b = operands(300, 70, 400, trans_a, trans_b, dtype)
    before, results = threads.threads(), []
    for n in (1, 2):
        threads.set_threads(n)
        results.append((ops.gemm(a, b, trans_a=trans_a, trans_b=trans_b), ops.column_sum(a)))
    threads.set_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("elements", range(1, 16))
def test_the_alignment_cannot_be_seen(elements, dtype):
    (a, b), bias = operands(13, 19, 50, False, False, dtype), normal(2, 19, dtype)
    expected = ops.gemm(a, b, bias=bias)
    out = shifted(np.zeros((13, 19), dtype), elements)
    ops.gemm(shifted(a, elements), shifted(b, elements), bias=shifted(bias, elements), out=out)
    np.testing.assert_array_equal(out, expected)


def test_nothing_is_written_beside_out():
    room = np.full(6 + 13 * 19 + 64, 7.0, np.float32)
    out = room[6 : 6 + 13 * 19].reshape(13, 19)
    ops.gemm(*operands(13, 19, 50, False, False, np.float32), out=out)
    assert (room[:6] == 7).all()
    assert (room[6 + out.size :] == 7).all()


def test_no_memory_is_asked_for():
    pool, (a, b) = Pool(), operands(64, 64, 64, True, True, np.float32)
    ops.gemm(a, b, trans_a=True, trans_b=True, out=np.empty((64, 64), np.float32), pool=pool)
    assert pool.misses == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_reach_their_rows_and_no_other(value):
    a, b = operands(20, 18, 300, False, False, np.float32)
    a[4, 7] = value
    for activation in (None, "relu"):
        c = ops.gemm(a, b, activation=activation)
        assert np.isfinite(np.delete(c, 4, axis=0)).all()
        expected = np.sign(b[7]) * value
        np.testing.assert_array_equal(c[4], np.where(expected == -np.inf, 0, expected) if activation else expected)


def test_what_is_not_contiguous_is_refused():
    a, b = operands(8, 8, 8, False, False, np.float32)
    with pytest.raises(UsageError, match="not contiguous"):
        ops.gemm(a.T, b)


# ---------------------------------------------------------------------------------------------------- column sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (0, 4), (7,), (1023, 3), (2049, 10), (2, 30, 20, 65)])
def test_column_sum_equals_its_definition(shape, dtype):
    x, start = normal(0, shape, dtype), normal(1, shape[-1:], dtype)
    expected = ops.column_sum.reference(x.astype(float))
    assert distance(ops.column_sum(x), expected) <= ALLOWED[dtype]
    out = start.copy()
    ops.column_sum(x, out=out, accumulate=True)
    assert distance(out, start + expected) <= ALLOWED[dtype]


# ---------------------------------------------------------------------------------------------------- the inner loop


def vector_spills(assembly):
    """Instructions of the loops over k that move a vector register to or from the stack."""
    loops = re.findall(r"^(\.LBB\S+):\n((?:(?!\.LBB).*\n)*?\s+j\w+\s+\1\n)", assembly, re.MULTILINE)
    inner = [body for _, body in loops if len(re.findall(r"v?(?:fmadd\d+|mul)p[sd]", body)) >= simd.MR]
    assert inner, "no loop of multiply-adds was found"
    return [line for body in inner for line in body.splitlines() if re.search(r"\(%r[sb]p\)", line) and "mm" in line]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sums_stay_in_registers(dtype, monkeypatch):
    monkeypatch.setattr(compile, "folder", lambda: None)  # what comes from the cache has no assembly
    fresh = compile.Kernel(brgemm._multiply.function)
    monkeypatch.setattr(brgemm, "_multiply", fresh)
    threads_before = threads.threads()
    threads.set_threads(1)
    ops.gemm(*operands(7, 17, 20, False, False, dtype))
    threads.set_threads(threads_before)
    dispatcher = fresh.variant(False)
    assert vector_spills(dispatcher.inspect_asm(dispatcher.signatures[0])) == []


def test_a_spill_would_be_found():
    line = "\tvmovups\t%ymm3, 32(%rsp)"
    body = "\n".join(["\tvfmadd231ps\t%ymm0, %ymm1, %ymm2"] * 12)
    assert vector_spills(f".LBB0_7:\n{body}\n{line}\n\tjne\t.LBB0_7\n") == [line]
