"""Pooling: which element wins, what a mean counts, and where gradients go."""

import numerical
import numpy as np
import pytest
from closeness import ALLOWED, distance
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.core.shape import Window
from shoal.kernels import ops

CASES = [  # x, window
    ((0, 4, 4, 3), Window.of(2, 2)),
    ((1, 1, 1, 1), Window.of(1)),
    ((1, 4, 4, 1), Window.of(2, 2)),
    ((3, 28, 28, 32), Window.of(2, 2)),
    ((2, 7, 9, 5), Window.of(3, 2, 1)),
    ((2, 7, 9, 17), Window.of(3, 1, 1)),
    ((2, 7, 9, 8), Window.of((2, 3), (3, 1), (1, 0))),
    ((2, 6, 5, 4), Window.of(3, 1, ((0, 1), (1, 0)))),
    ((1, 9, 9, 2), Window.of(3, 2, 1, 2)),
    ((1, 9, 9, 2), Window.of(2, 1, (1, 2), (3, 4))),
    ((2, 5, 5, 3), Window.of(2, 3)),  # the last row and column are in no window
]


def normal(seed, shape, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(x, window):
    y, argmax = ops.max_pool2d(x, window)
    expected = ops.max_pool2d.reference(x, window)
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_array_equal(argmax, expected[1])
    dy, size = normal(9, y.shape, x.dtype), x.shape[1:3]
    np.testing.assert_array_equal(ops.max_pool2d_dx(dy, argmax, size), ops.max_pool2d_dx.reference(dy, argmax, size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "window"), CASES)
def test_max_pool_equals_its_definition(shape, window, dtype):
    check(normal(0, shape, dtype), window)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(size=st.tuples(*[st.integers(1, 8)] * 2), kernel=pairs, stride=pairs, dilation=pairs, data=st.data())
@settings(deadline=None, max_examples=150)
def test_max_pool_equals_its_definition_on_any_window(size, kernel, stride, dilation, data):
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(data.draw(st.tuples(*[st.integers(0, span // 2)] * 2)) for span in spans)
    window = Window.of(kernel, stride, padding, dilation)
    x = np.random.default_rng(0).choice([-1.0, 0.0, 0.0, 1.0, np.nan, -np.inf], (2, *size, 3)).astype(np.float32)
    try:
        ops.max_pool2d.outputs(x, window)
    except UsageError:
        assume(False)
    check(x, window)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
class TestWhoWins:
    def pool(self, values, window, backend):
        x = np.array(values, np.float32)[None, :, :, None]
        y, argmax = ops.max_pool2d(x, window, backend=backend)
        return y[0, :, :, 0].tolist(), argmax[0, :, :, 0].tolist()

    def test_the_first_of_equals(self, backend):
        assert self.pool([[1, 3], [3, 3]], Window.of(2), backend) == ([[3]], [[1]])

    def test_the_first_nan(self, backend):
        y, argmax = self.pool([[9, np.nan], [np.nan, np.inf]], Window.of(2), backend)
        assert np.isnan(y[0][0]) and argmax == [[1]]

    def test_padding_never(self, backend):
        x = [[-np.inf, -np.inf], [-np.inf, -5]]
        assert self.pool(x, Window.of(2, 2, 1), backend) == ([[-np.inf, -np.inf], [-np.inf, -5]], [[0, 1], [2, 3]])

    def test_positions_are_within_the_sample(self, backend):
        x = np.stack([np.eye(3, dtype=np.float32)] * 2)[..., None]
        _, argmax = ops.max_pool2d(x, Window.of(2, 1), backend=backend)
        assert argmax[1, :, :, 0].tolist() == [[0, 4], [4, 4]]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_overlapping_windows_add_their_gradients(backend):
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1, 0] = 1
    y, argmax = ops.max_pool2d(x, Window.of(2, 1))
    dx = ops.max_pool2d_dx(np.array([1.0, 10, 100, 1000]).reshape(y.shape), argmax, (3, 3), backend=backend)
    assert dx[0, :, :, 0].tolist() == [[0, 0, 0], [0, 1111, 0], [0, 0, 0]]


@pytest.mark.parametrize(("shape", "window"), [((2, 5, 6, 2), window) for _, window in CASES[2:8]])
def test_max_pool_gradient_is_the_slope(shape, window):
    x = np.random.default_rng(1).permutation(np.prod(shape)).reshape(shape) * 0.01  # no two values are near
    y, argmax = ops.max_pool2d(x, window)
    dy = normal(2, y.shape)
    slope = numerical.gradient(lambda x: (ops.max_pool2d(x, window)[0] * dy).sum(), x)
    np.testing.assert_allclose(ops.max_pool2d_dx(dy, argmax, shape[1:3]), slope, atol=1e-7)


def torch_has(window):
    """PyTorch pads both sides alike, and by half of the kernel at most."""
    return all(a == b and 2 * a <= k for (a, b), k in zip(window.padding, window.kernel, strict=True))


@pytest.mark.parametrize(("shape", "window"), [(s, w) for s, w in CASES[1:] if torch_has(w)])
def test_max_pool_equals_torch(shape, window):
    torch = oracle()
    x = normal(3, shape)
    tx = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    padding = [a for a, _ in window.padding]
    ty, targmax = torch.nn.functional.max_pool2d(
        tx, window.kernel, window.stride, padding, window.dilation, return_indices=True
    )
    y, argmax = ops.max_pool2d(x, window)
    dy = normal(4, y.shape)
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_array_equal(y, ty.detach().numpy().transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(argmax, targmax.numpy().transpose(0, 2, 3, 1))
    dx = ops.max_pool2d_dx(dy, argmax, shape[1:3])
    np.testing.assert_allclose(dx, tx.grad.numpy().transpose(0, 2, 3, 1), atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "window", "wrong"),
    [
        ((1, 4, 4, 1), Window.of(2, 1, ((2, 0), (0, 0))), r"padding \(2, 0\) is more than half .* span 2"),
        ((1, 1, 9, 1), Window.of(2, 1, 1, 2), "dilation 2 steps over an input of 1"),
        ((4, 4, 1), Window.of(2), r"x \(4, 4, 1\) must be"),
    ],
)
def test_a_window_without_a_real_element_is_rejected(shape, window, wrong):
    with pytest.raises(UsageError, match=wrong):
        ops.max_pool2d(np.zeros(shape), window)


@pytest.mark.parametrize(("shape", "window"), CASES)
def test_max_unpooling_and_its_gradient_are_adjoint(shape, window):
    y, argmax = ops.max_pool2d(normal(0, shape), window)
    dy = normal(1, shape)
    read = ops.max_unpool2d_dx(dy, argmax)
    np.testing.assert_array_equal(read, ops.max_unpool2d_dx.reference(dy, argmax))
    assert abs(np.vdot(ops.max_pool2d_dx(y, argmax, shape[1:3]), dy) - np.vdot(y, read)) <= 1e-10


def test_max_unpooling_equals_torch():
    torch = oracle()
    x = normal(3, (2, 6, 9, 4))
    y, argmax = ops.max_pool2d(x, Window.of(2, 2))
    ty, positions = (torch.tensor(a.transpose(0, 3, 1, 2).copy()) for a in (y, argmax.astype(np.int64)))
    ty.requires_grad_()
    expected = torch.nn.functional.max_unpool2d(ty, positions, 2, 2, output_size=(6, 9))
    dy = normal(4, x.shape)
    expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    unpooled = ops.max_pool2d_dx(y, argmax, (6, 9))
    np.testing.assert_array_equal(unpooled, expected.detach().numpy().transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(ops.max_unpool2d_dx(dy, argmax), ty.grad.numpy().transpose(0, 2, 3, 1))


# ------------------------------------------------------------------------------------------------------ means

MEANS = [*CASES, ((2, 5, 7, 3), Window.of(3, 1, 4)), ((2, 1, 2, 1), Window.of((3, 5), (4, 6), ((1, 2), (3, 4))))]
MEANS += [((2, 9, 8, 20), Window.of((9, 8))), ((1, 5, 5, 2), Window.of(2, 3, 1, 3))]


def means(x, window, inside, backend="cpu"):
    """y and dx of a mean, for one dy."""
    how = {"count_include_pad": not inside, "backend": backend}
    y = ops.avg_pool2d(x, window, **how)
    return y, ops.avg_pool2d_dx(normal(9, y.shape, x.dtype), window, x.shape[1:3], **how)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "window"), MEANS)
def test_a_mean_equals_its_definition(shape, window, dtype, inside):
    x = normal(0, shape, dtype)
    for result, expected in zip(means(x, window, inside), means(x, window, inside, "reference"), strict=True):
        assert result.dtype == dtype
        assert distance(result, expected) <= ALLOWED[dtype]


sides = st.tuples(*[st.tuples(*[st.integers(0, 5)] * 2)] * 2)


@given(st.tuples(*[st.integers(1, 8)] * 2), pairs, pairs, sides, pairs, st.booleans())
@settings(deadline=None, max_examples=50, derandomize=True)
def test_a_mean_equals_its_definition_on_any_window(size, kernel, stride, padding, dilation, inside):
    window, x = Window(kernel, stride, padding, dilation), normal(1, (2, *size, 3))
    try:
        window.out(*size)
    except UsageError:
        assume(False)
    for result, expected in zip(means(x, window, inside), means(x, window, inside, "reference"), strict=True):
        assert distance(result, expected) <= ALLOWED[np.float64]


def test_the_check_of_means_sees_a_wrong_count():
    x, window = normal(0, (1, 4, 4, 1)), Window.of(2, 1, 1)
    for result, other in zip(means(x, window, True), means(x, window, False), strict=True):
        assert distance(result, other) > ALLOWED[np.float64]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_mean_counts_padding_or_does_not(backend):
    x = np.full((1, 2, 2, 1), 4.0)
    whole = ops.avg_pool2d(x, Window.of(2, 2, 1), backend=backend)
    inside = ops.avg_pool2d(x, Window.of(2, 2, 1), count_include_pad=False, backend=backend)
    assert whole.ravel().tolist() == [1, 1, 1, 1] and inside.ravel().tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("shape", "window"), [(s, w) for s, w in MEANS[1:] if torch_has(w) and w.dilation == (1, 1)])
def test_a_mean_equals_torch(shape, window, inside):
    torch = oracle()
    x = normal(3, shape)
    tx = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    padding = [a for a, _ in window.padding]
    ty = torch.nn.functional.avg_pool2d(tx, window.kernel, window.stride, padding, count_include_pad=not inside)
    ty.backward(torch.tensor(normal(9, (len(x), *ty.shape[2:], x.shape[3])).transpose(0, 3, 1, 2).copy()))
    for result, expected in zip(means(x, window, inside), (ty, tx.grad), strict=True):
        assert distance(result, expected.detach().numpy().transpose(0, 2, 3, 1)) <= ALLOWED[np.float64]
