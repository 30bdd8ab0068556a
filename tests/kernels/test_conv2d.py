"""Convolution and its gradients against their definitions, finite differences and PyTorch."""

from dataclasses import dataclass

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance, normal, shifted
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.cpu import compile, correlation, patches, threads
from shoal.kernels.cpu.simd import BLOCK
from shoal.kernels.pool import Pool


@dataclass(frozen=True)
class Case:
    """An input (N, H, W, C), K output channels, a window, groups."""

    x: tuple[int, int, int, int]
    k: int
    window: Window
    groups: int = 1

    def shapes(self):
        n, h, w, c = self.x
        return self.x, (self.k, *self.window.kernel, c // self.groups), (n, *self.window.out(h, w), self.k)

    def arrays(self, dtype=np.float64, seed=0):
        """x, w, dy."""
        return tuple(normal(seed + i, shape, dtype) for i, shape in enumerate(self.shapes()))


W = Window.of
CASES = [
    Case((1, 1, 1, 1), 1, W(1)),
    Case((2, 5, 6, 3), 4, W(3)),
    Case((0, 5, 6, 3), 4, W(3, padding=1)),  # no samples
    Case((3, 7, 7, 2), 17, W(5, padding="same")),
    Case((2, 4, 4, 600), 16, W(1)),  # a run longer than a block of the sum
    Case((2, 5, 5, 130), 20, W(3, padding="same")),  # several blocks
    Case((2, 2, 2, 2), 3, W(5, padding=2)),  # kernel larger than the input
    Case((2, 4, 4, 2), 33, W(1, padding=2)),  # padding wider than the kernel reaches
    Case((2, 9, 9, 2), 5, W(2, stride=4)),  # stride larger than the kernel: some of x is never read
    Case((2, 8, 8, 4), 6, W(3, stride=2, padding=1)),
    Case((2, 7, 5, 4), 6, W((3, 2), stride=(2, 3), padding=((1, 0), (2, 1)), dilation=(1, 2))),
    Case((1, 9, 8, 3), 2, W(3, padding=((0, 3), (1, 2)), dilation=2)),
    Case((1, 6, 7, 3), 4, W((2, 4), padding="same")),  # even kernel: unequal sides
    Case((2, 6, 6, 8), 12, W(3, padding=1), groups=4),
    Case((2, 7, 6, 8), 8, W(3, stride=2, padding=1), groups=8),  # depthwise
    Case((2, 5, 5, 4), 8, W(3), groups=4),  # depthwise, two filters a channel
    Case(
        (2, 26, 9, 37), 37, W(5, stride=(2, 1), padding=2, dilation=(3, 1)), groups=37
    ),  # depthwise, jobs and ragged blocks
    Case((9, 14, 14, 5), 10, W(3, padding=1)),  # several jobs
    Case((2, 5, 4, 3), 5, W(3, padding=4, dilation=4)),  # taps so far apart that no pixel meets them all
    Case((1, 1, 2, 3), 4, W(3, stride=(4, 3), padding=((2, 7), (5, 1)))),  # most pixels meet nothing
]
DTYPES = [np.float32, np.float64]


def gradients(case, x, w, dy, op=lambda op: op):
    """y, dx, dw of a case."""
    how = {"groups": case.groups}
    return (
        op(ops.conv2d)(x, w, case.window, **how),
        op(ops.conv2d_dx)(dy, w, case.window, x.shape[1:3], **how),
        op(ops.conv2d_dw)(x, dy, case.window, **how),
    )


def check(case, dtype):
    arrays = case.arrays(dtype)
    expected = gradients(case, *(a.astype(float) for a in arrays), op=lambda op: op.reference)
    for result, definition in zip(gradients(case, *arrays), expected, strict=True):
        assert distance(result, definition) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv2d_and_its_gradients_equal_their_definitions(case, dtype):
    check(case, dtype)


def dimension(most):
    return st.integers(1, most)


def two(numbers):
    return st.tuples(numbers, numbers)


@given(
    st.tuples(st.integers(0, 3), dimension(9), dimension(9)),
    st.tuples(dimension(3), dimension(4), dimension(5)),
    two(dimension(4)),
    two(dimension(3)),
    two(two(st.integers(0, 4))),
    two(dimension(2)),
    st.sampled_from(DTYPES),
)
@settings(deadline=None, max_examples=100)
def test_conv2d_equals_its_definition_on_any_shape(nhw, channels, kernel, stride, padding, dilation, dtype):
    groups, c, k = channels
    case = Case((*nhw, groups * c), groups * k, Window(kernel, stride, padding, dilation), groups)
    try:
        case.shapes()
    except UsageError:
        assume(False)
    check(case, dtype)


@given(
    st.tuples(st.integers(0, 2), dimension(30), dimension(9)),
    st.tuples(st.integers(2, 40), dimension(3)),
    two(dimension(4)),
    two(dimension(4)),
    two(two(st.integers(0, 4))),
    two(dimension(3)),
    st.sampled_from(DTYPES),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_depthwise_convolution_equals_its_definition_on_any_shape(
    nhw, channels, kernel, stride, padding, dilation, dtype
):
    """With several blocks of channels, the last ragged; several jobs; and several filters a channel."""
    case = Case((*nhw, channels[0]), channels[0] * channels[1], Window(kernel, stride, padding, dilation), channels[0])
    try:
        case.shapes()
    except UsageError:
        assume(False)
    check(case, dtype)


# What the gradient by the weights distinguishes: many input channels or few, in whole panels or not, more than one job's
# worth of either kind of channel, pixels of one image in several blocks or of several images in one
WEIGHTS = [
    Case((1, 7, 7, 16), 300, W(3, padding=1)),  # two jobs of output channels
    Case((1, 5, 5, 160), 10, W(1)),  # two copies of panels
    Case((2, 20, 20, 20), 7, W(3, stride=2, padding=1)),  # a ragged panel, several blocks of an image
    Case((11, 5, 6, 17), 6, W((2, 3), padding=((2, 0), (1, 3)))),  # several images in a block, unequal sides
    Case((3, 9, 9, 48), 12, W(3, stride=(1, 2), padding=2, dilation=(2, 3)), groups=2),
    Case((40, 12, 12, 18), 4, W(1, stride=2)),  # chunks of the sum
    Case((3, 30, 30, 3), 20, W(7, stride=2, padding=3)),  # a first layer
    Case((2, 1, 500, 1), 5, W((1, 9), padding=((0, 0), (4, 4)))),  # a row of pixels in several blocks
    Case((2, 1, 500, 18), 5, W((1, 9), padding=((0, 0), (4, 4)))),
    Case((5, 1, 1, 4), 3, W(1, stride=2)),  # 1x1 with a stride, and yet as large as its output
    Case((2, 3, 3, 18), 3, W(1, stride=2, padding=((1, 1), (1, 1)))),
    Case((2, 3, 3, 18), 3, W(2, stride=3, padding=((3, 3), (3, 3)))),  # taps that meet nothing
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", WEIGHTS, ids=str)
def test_the_gradient_by_the_weights(case, dtype):
    x, w, dy = case.arrays(dtype)
    check_dw(case, x, w, dy, accumulate=False)
    check_dw(case, x, w, dy, accumulate=True)


def check_dw(case, x, start, dy, accumulate):
    """dw into an array of NaNs; or added to `start`, as often as there are micro-batches of one sample."""
    expected = ops.conv2d_dw.reference(x.astype(float), dy.astype(float), case.window, groups=case.groups)
    out = start.copy() if accumulate else np.full_like(start, np.nan)
    for part in range(len(x)) if accumulate else [slice(None)]:
        batch = slice(part, part + 1) if accumulate else part
        ops.conv2d_dw(x[batch], dy[batch], case.window, groups=case.groups, out=out, accumulate=accumulate)
    assert distance(out, expected + start if accumulate else expected) <= ALLOWED[start.dtype.type]


@given(
    st.tuples(st.integers(0, 9), dimension(24), dimension(12)),
    st.tuples(dimension(2), dimension(40), dimension(20)),
    two(dimension(3)),
    two(dimension(3)),
    two(two(st.integers(0, 3))),
    two(dimension(3)),
    st.sampled_from(DTYPES),
    st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_the_gradient_by_the_weights_on_any_shape(nhw, channels, kernel, stride, padding, dilation, dtype, accumulate):
    groups, c, k = channels
    case = Case((*nhw, groups * c), groups * k, Window(kernel, stride, padding, dilation), groups)
    try:
        case.shapes()
    except UsageError:
        assume(False)
    check_dw(case, *case.arrays(dtype), accumulate)


def test_the_check_can_fail():
    case = CASES[1]
    arrays = case.arrays()
    definitions = gradients(case, *arrays, op=lambda op: op.reference)
    for result, expected in zip(gradients(case, *arrays), definitions, strict=True):
        result.flat[5] += 1e-6
        assert distance(result, expected) > ALLOWED[np.float64]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("case", [case for case in CASES if 0 < np.prod(case.x) < 200], ids=str)
def test_the_gradients_are_slopes(case, backend):
    x, w, dy = case.arrays()
    how = {"groups": case.groups, "backend": backend}

    def value(x, w):
        return float((ops.conv2d(x, w, case.window, **how) * dy).sum())

    dx = ops.conv2d_dx(dy, w, case.window, x.shape[1:3], **how)
    np.testing.assert_allclose(dx, numerical.gradient(lambda x: value(x, w), x), atol=1e-6)
    dw = ops.conv2d_dw(x, dy, case.window, **how)
    np.testing.assert_allclose(dw, numerical.gradient(lambda w: value(x, w), w), atol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case.x[0]], ids=str)
def test_conv2d_and_its_gradients_equal_pytorch(case):
    torch = oracle()
    x, w, dy = case.arrays()
    tx, tw, tdy = (torch.from_numpy(a).permute(0, 3, 1, 2).clone().requires_grad_() for a in (x, w, dy))
    (top, bottom), (left, right) = case.window.padding
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(tx, (left, right, top, bottom)),
        tw,
        stride=case.window.stride,
        dilation=case.window.dilation,
        groups=case.groups,
    )
    y.backward(tdy)
    for result, expected in zip(gradients(case, x, w, dy), (y, tx.grad, tw.grad), strict=True):
        assert distance(result, expected.detach().permute(0, 2, 3, 1).numpy()) <= ALLOWED[np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [CASES[3], CASES[5], *CASES[13:17]], ids=str)
def test_bias_and_relu(case, dtype):
    (x, w, _), bias = case.arrays(dtype), normal(7, case.k, dtype)
    wide = (a.astype(float) for a in (x, w))
    expected = ops.conv2d.reference(*wide, case.window, groups=case.groups, bias=bias.astype(float))
    plain = ops.conv2d(x, w, case.window, groups=case.groups, bias=bias)
    assert distance(plain, expected) <= ALLOWED[dtype]
    fused = ops.conv2d(x, w, case.window, groups=case.groups, bias=bias, activation="relu")
    np.testing.assert_array_equal(fused, np.where(plain > 0, plain, 0))


ENDINGS = [  # what follows a convolution: scale, bias, residual and activation
    ["scale"],
    ["scale", "bias"],
    ["residual", "relu"],
    ["bias", "gelu"],
    ["scale", "bias", "residual", "relu"],
    ["scale", "bias", "residual", "gelu"],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if case.x[0]], ids=str)
@pytest.mark.parametrize("ending", ENDINGS, ids="+".join)
def test_what_follows_a_convolution_is_part_of_it(ending, case, dtype):
    x, w, dy = case.arrays(dtype)
    arrays = {
        "scale": normal(7, case.k, dtype),
        "bias": normal(8, case.k, dtype),
        "residual": normal(9, dy.shape, dtype),
    }
    arrays = {name: array for name, array in arrays.items() if name in ending}
    how = {"groups": case.groups, "activation": ending[-1] if ending[-1] in ("relu", "gelu") else None}
    wide = {name: array.astype(float) for name, array in arrays.items()}
    expected = ops.conv2d.reference(x.astype(float), w.astype(float), case.window, **wide, **how)
    assert distance(ops.conv2d(x, w, case.window, **arrays, **how), expected) <= ALLOWED[dtype]


def test_the_definition_of_what_follows_a_convolution():
    """The reference is the formula, written out here once more."""
    x, w, dy = CASES[9].arrays()
    scale, bias = normal(7, w.shape[0]), normal(8, w.shape[0])
    found = ops.conv2d.reference(x, w, CASES[9].window, scale=scale, bias=bias, residual=dy, activation="relu")
    plain = ops.conv2d.reference(x, w, CASES[9].window)
    np.testing.assert_allclose(found, np.maximum(scale * plain + bias + dy, 0), rtol=1e-12)


def test_a_wrong_scale_or_residual_is_refused():
    x, w, _ = CASES[1].arrays()
    with pytest.raises(UsageError, match=r"conv2d: scale \(3,\) for 4 columns"):
        ops.conv2d(x, w, CASES[1].window, scale=np.ones(3))
    with pytest.raises(UsageError, match=r"conv2d: residual \(4,\) for a result \(2, 3, 4, 4\)"):
        ops.conv2d(x, w, CASES[1].window, residual=np.ones(4))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dw_accumulates_into_out(case):
    x, w, dy = case.arrays()
    out = w.copy()
    ops.conv2d_dw(x, dy, case.window, groups=case.groups, out=out, accumulate=True)
    assert distance(out, w + ops.conv2d_dw.reference(x, dy, case.window, groups=case.groups)) <= ALLOWED[np.float64]


# -------------------------------------------------------------------------------------------- what bits depend on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if case.x[0] > 1], ids=str)
def test_a_sample_has_the_same_bits_in_any_batch(case, dtype):
    x, w, dy = case.arrays(dtype)
    y, dx, _ = gradients(case, x, w, dy)
    for n in range(len(x)):
        one_y, one_dx, _ = gradients(case, x[n : n + 1], w, dy[n : n + 1])
        np.testing.assert_array_equal(one_y[0], y[n])
        np.testing.assert_array_equal(one_dx[0], dx[n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_pixels_of_many_channels_have_the_bits_that_many_have(dtype):
    """A few pixels are one matrix of patches, more of them rectangles: a sum of whole blocks is cut alike in both."""
    case = Case((1 + patches.FEW // 2, 1, 2, BLOCK), BLOCK, W(2, padding=1))
    x, w, dy = case.arrays(dtype)
    assert patches.suit(6, BLOCK, 4, 1) and not patches.suit(len(x) * 2, BLOCK, 4, 1)
    y, dx, _ = gradients(case, x, w, dy)
    one_y, one_dx, _ = gradients(case, x[:1], w, dy[:1])
    np.testing.assert_array_equal(one_y[0], y[0])
    np.testing.assert_array_equal(one_dx[0], dx[0])
    wide = x[:1].astype(float), w.astype(float), dy[:1].astype(float)
    expected = gradients(case, *wide, op=lambda op: op.reference)
    assert distance(one_y, expected[0]) <= ALLOWED[dtype]
    assert distance(one_dx, expected[1]) <= ALLOWED[dtype]


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if case.x[0]], ids=str)
def test_sums_are_cut_alike_whether_filters_are_packed_or_copied(case, adjoint):
    """Which of them it is depends on the batch."""
    how = np.dtype(np.float32), case.window, case.x[0], case.x[1:3], case.shapes()[1], case.groups, adjoint
    one, other = (correlation.rectangular(*how, copies=copies) for copies in (False, True))
    np.testing.assert_array_equal(one.blocks[:, :2], other.blocks[:, :2])
    np.testing.assert_array_equal(one.runs[:, ::2], other.runs[:, ::2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES + WEIGHTS, ids=str)
def test_the_number_of_threads_cannot_be_seen(case, dtype, monkeypatch):
    if threads.cap() < 2:
        pytest.skip("one core: there is no second thread")
    monkeypatch.setattr(compile, "WORTH", 0)
    before, results = threads.threads(), []
    for n in (1, 2):
        threads.set_threads(n)
        results.append(gradients(case, *case.arrays(dtype)))
    threads.set_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("elements", range(1, 16))
def test_the_alignment_cannot_be_seen(elements):
    case = CASES[3]
    arrays = case.arrays(np.float32)
    expected = gradients(case, *arrays)
    for result, aligned in zip(gradients(case, *(shifted(a, elements) for a in arrays)), expected, strict=True):
        np.testing.assert_array_equal(result, aligned)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pixel_that_meets_no_tap_is_its_bias(dtype):
    """The window of 1 stands in the padding but for the inner 4 x 4; with a stride of 3 it steps over most of x."""
    (x, w, _), bias = Case((2, 4, 4, 2), 3, W(1)).arrays(dtype), np.array([1, -1, 2], dtype)
    y = ops.conv2d(x, w, W(1, padding=2), bias=bias, activation="relu")
    inside = np.zeros(y.shape, bool)
    inside[:, 2:6, 2:6] = True
    np.testing.assert_array_equal(y[~inside].reshape(-1, 3), np.broadcast_to([1, 0, 2], (2 * 48, 3)))
    dx = ops.conv2d_dx(normal(3, (2, 2, 2, 3), dtype), w, W(1, stride=3), (4, 4), out=np.full(x.shape, np.nan, dtype))
    met = np.zeros(dx.shape, bool)
    met[:, ::3, ::3] = True
    np.testing.assert_array_equal(dx != 0, met)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_of_a_weight_reach_the_pixels_that_meet_it(value):
    """What lies in the padding is not multiplied, so the first row and column are spared by the filter's first tap."""
    x, w, dy = (np.abs(a) for a in Case((1, 6, 6, 2), 3, W(3, padding=1)).arrays())
    w[1, 0, 0, 1] = value
    y, dx = ops.conv2d(x, w, W(3, padding=1)), ops.conv2d_dx(dy, w, W(3, padding=1), (6, 6))
    touched = np.zeros(y.shape, bool)
    touched[:, 1:, 1:, 1] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)
    touched = np.zeros(dx.shape, bool)
    touched[:, :-1, :-1, 1] = True
    np.testing.assert_array_equal(~np.isfinite(dx), touched)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_reach_the_windows_that_hold_them_and_no_other(value):
    x, w, _ = Case((2, 6, 6, 2), 3, W(3, padding=1)).arrays()
    x[1, 0, 5, 1] = value
    y = ops.conv2d(x, w, W(3, padding=1))
    touched = np.zeros(y.shape, bool)
    touched[1, :2, 4:] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_stay_in_their_channel_of_a_depthwise_convolution(value):
    x, w, _ = Case((2, 6, 6, 3), 3, W(3, padding=1), groups=3).arrays()
    x[1, 0, 5, 1] = value
    y = ops.conv2d(x, w, W(3, padding=1), groups=3, activation="relu" if np.isnan(value) else None)
    touched = np.zeros(y.shape, bool)
    touched[1, :2, 4:, 1] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)


def test_a_pool_is_used_and_returned():
    case, pool = CASES[3], Pool()
    x, w, dy = case.arrays(np.float32)
    for _ in range(3):
        y = ops.conv2d(x, w, case.window, pool=pool)
        dx = ops.conv2d_dx(dy, w, case.window, x.shape[1:3], pool=pool)
        dw = ops.conv2d_dw(x, dy, case.window, pool=pool)
        misses = pool.misses
        del y, dx, dw
    assert misses == pool.misses > 0
    ops.conv2d(x, w, case.window, pool=pool)
    assert pool.misses == misses


def test_what_is_not_contiguous_is_refused():
    x, w, _ = CASES[1].arrays()
    with pytest.raises(UsageError, match="not contiguous"):
        ops.conv2d(np.asfortranarray(x), w, CASES[1].window)
