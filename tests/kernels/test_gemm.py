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


ENDINGS = [  # what follows a product: alpha, beta, bias, residual, activation
    {"alpha": 0.5},
    {"beta": 1.0},
    {"alpha": -1.5, "beta": 0.25, "bias": True},
    {"residual": True},
    {"residual": True, "activation": "relu"},
    {"activation": "gelu"},
    {"alpha": 2.0, "bias": True, "residual": True, "activation": "gelu"},
]


def ending(how, shape, bias, dtype):
    """An entry of ENDINGS with its arrays, for the op and in float64 for the definition."""
    arrays = {"bias": normal(5, bias, dtype), "residual": normal(6, shape, dtype)}
    given = {name: arrays[name] if value is True else value for name, value in how.items()}
    return given, {name: value.astype(float) if name in arrays else value for name, value in given.items()}


def check_ending(op, a, b, how, bias, dtype, **transposes):
    """The op into an `out` of its own numbers, if beta reads them, and else of NaNs, which nobody may read."""
    start = normal(7, op.outputs(a, b, **transposes)[0].shape, dtype)
    given, wide = ending(how, start.shape, bias, dtype)
    out = start.copy() if how.get("beta") else np.full_like(start, np.nan)
    assert op(a, b, out=out, **given, **transposes) is out
    expected = op.reference(a.astype(float), b.astype(float), **wide, **transposes)
    expected += how["beta"] * start.astype(float) if how.get("beta") else 0
    assert distance(out, expected) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(11, 37, 3), (11, 37, 700), (100, 32, 300), (1, 5, 40), (4, 5, 0)], ids=str)
@pytest.mark.parametrize("how", ENDINGS, ids=str)
def test_what_follows_a_product_is_part_of_it(how, shape, dtype):
    for trans_a, trans_b in TRANSPOSES:
        a, b = operands(*shape, trans_a, trans_b, dtype)
        check_ending(ops.gemm, a, b, how, shape[1], dtype, trans_a=trans_a, trans_b=trans_b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 11, 37, 70), (2, 30, 16, 300), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("how", [{}, *ENDINGS], ids=str)
def test_batched_gemm_is_a_gemm_for_each(how, shape, dtype):
    g, m, n, k = shape
    for trans_a, trans_b in TRANSPOSES:
        a = normal(0, (g, k, m) if trans_a else (g, m, k), dtype)
        b = normal(1, (g, n, k) if trans_b else (g, k, n), dtype)
        check_ending(ops.batched_gemm, a, b, how, (g, n), dtype, trans_a=trans_a, trans_b=trans_b)


def test_the_definition_of_what_follows_a_product():
    """The reference is the formula, written out here once more."""
    (a, b), bias, residual = operands(4, 5, 6, False, False, np.float64), normal(2, 5), normal(3, (4, 5))
    found = ops.gemm(a, b, alpha=2.0, bias=bias, residual=residual, activation="relu", backend="reference")
    np.testing.assert_allclose(found, np.maximum(2 * (a @ b) + bias + residual, 0), rtol=1e-12)
    out = residual.copy()
    ops.gemm(a, b, alpha=2.0, beta=-0.5, bias=bias, out=out, backend="reference")
    np.testing.assert_allclose(out, 2 * (a @ b) + bias - 0.5 * residual, rtol=1e-12)


REFUSED = [
    ({"activation": "tanh"}, r"gemm: activation 'tanh' is not one of \(None, 'relu', 'gelu'\)"),
    ({"residual": np.zeros((8, 9))}, r"gemm: residual \(8, 9\) for a result \(8, 8\)"),
    ({"residual": np.zeros((8, 8), np.float32)}, "gemm: a is float64 but residual is float32"),
    ({"beta": 0.5}, r"gemm: beta=0.5 adds into out=, which is missing"),
    ({"beta": 1.0, "activation": "relu", "out": np.zeros((8, 8))}, "an activation cannot be added to"),
    (
        {"beta": 1.0, "residual": np.zeros((8, 8)), "out": np.zeros((8, 8))},
        "beta = 1.0 adds out, and the residual is another",
    ),
]


@pytest.mark.parametrize(("how", "message"), REFUSED)
def test_what_cannot_follow_a_product_is_refused(how, message):
    with pytest.raises(UsageError, match=message):
        ops.gemm(*operands(8, 8, 8, False, False, np.float64), **how)


def test_unequal_batches_are_refused():
    with pytest.raises(UsageError, match=r"a \(2, 3, 4\) and b \(3, 4, 5\) must be as many matrices"):
        ops.batched_gemm(normal(0, (2, 3, 4)), normal(1, (3, 4, 5)))


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
