"""All kinds of convolution against PyTorch, forward and every gradient, on many shapes; and which of them are adjoint."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.nn import Arena, Conv1d, Conv2d, Conv3d, ConvTranspose2d, Layout

KINDS = ["plain", "grouped", "depthwise", "over time", "over volumes", "transposed", "transposed depthwise"]
SHAPES = 60  # of each kind


def cases(kind: str, count: int = SHAPES) -> Iterator[tuple]:
    """(layer, shape of a sample): random ones that fit, the same in every run; kernels may be larger than the input, strides
    larger than kernels."""
    rng = np.random.default_rng(KINDS.index(kind))
    rank = {"over time": 1, "over volumes": 3}.get(kind, 2)
    most = 5 if rank == 3 else 9
    while count:
        size, kernel, stride, dilation = (tuple(map(int, rng.integers(1, n, rank))) for n in (most + 1, 6, 5, 3))
        padding = tuple(map(tuple, rng.integers(0, 4, (rank, 2)).tolist()))
        groups, inputs, outputs = rng.integers(2, 5), *rng.integers(1, 5, 2)
        if kind in ("plain", "over volumes", "over time") and count % 4:
            groups = 1
        if "depthwise" in kind:
            groups, inputs, outputs = rng.integers(2, 40), 1, max(1, outputs - 2)
        how = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": int(groups),
            "bias": bool(count % 2),
        }
        if "transposed" in kind:
            how["padding"] = tuple((before, before) for before, _ in padding)  # PyTorch pads both sides alike
            how["output_padding"] = tuple(int(rng.integers(0, s)) for s in stride)
            layer = ConvTranspose2d(int(groups * (inputs if "depthwise" in kind else outputs)), kernel, **how)
            shape = (*size, int(groups * (outputs if "depthwise" in kind else inputs)))
        else:
            layer = (Conv1d, Conv2d, Conv3d)[rank - 1](int(groups * outputs), kernel, **how)
            shape = (*size, int(groups * inputs))
        try:
            layer.out_shape(shape)
        except UsageError:
            continue
        count -= 1
        yield layer, shape


def ours(layer, shape, batch=2):
    """x, dy, weights and what the layer makes of them: y, dx and the gradients by weights."""
    weights = Arena(Layout(layer.specs(shape)), np.float64)
    weights.flat[:] = normal(1, weights.flat.shape)
    x, dy, g, ctx = normal(2, (batch, *shape)), normal(3, (batch, *layer.out_shape(shape))), weights.like(), Context()
    y, saved = layer.forward(weights.views, x, ctx)
    dx = layer.backward(weights.views, g.views, saved, dy.copy(), ctx)
    return x, dy, weights, [y, dx, *(g[name] for name in weights.layout.specs)]


def theirs(torch, layer, x, dy, weights):
    """The same of PyTorch, channels last."""
    window, functional = layer.window, torch.nn.functional
    tx, w = (torch.from_numpy(a).movedim(-1, 1).clone().requires_grad_() for a in (x, weights["weight"]))
    b = torch.from_numpy(weights["bias"]).clone().requires_grad_() if layer.bias else None
    how = {"stride": window.stride, "dilation": window.dilation, "groups": layer.groups}
    if isinstance(layer, ConvTranspose2d):
        befores = [before for before, _ in window.padding]
        y = functional.conv_transpose2d(tx, w, b, padding=befores, output_padding=layer.output_padding, **how)
    else:
        padded = functional.pad(tx, [side for sides in reversed(window.padding) for side in sides])
        y = getattr(functional, f"conv{layer.rank}d")(padded, w, b, **how)
    y.backward(torch.from_numpy(dy).movedim(-1, 1))
    values = [a.detach().movedim(1, -1).numpy() for a in (y, tx.grad, w.grad)]
    return [*values, b.grad.numpy()] if layer.bias else values


@pytest.mark.parametrize("kind", KINDS)
def test_a_convolution_and_its_gradients_equal_pytorch(kind) -> None:
    torch = oracle()
    seen = 0
    for layer, shape in cases(kind):
        x, dy, weights, results = ours(layer, shape)
        for result, expected in zip(results, theirs(torch, layer, x, dy, weights), strict=True):
            assert result.shape == expected.shape
            assert distance(result, expected) <= ALLOWED[np.float64], (layer, shape)
        seen += 1
    assert seen >= 50


def test_the_shapes_are_not_all_tame() -> None:
    """What the lists above are meant to hold is in them."""
    for kind in KINDS:
        listed = [(layer.window, shape[:-1]) for layer, shape in cases(kind)]
        assert any(k > n for window, size in listed for k, n in zip(window.kernel, size, strict=True))
        assert any(s > k for window, _ in listed for s, k in zip(window.stride, window.kernel, strict=True))
        assert any(max(window.dilation) > 1 for window, _ in listed)


def test_the_check_sees_one_wrong_tap() -> None:
    torch = oracle()
    for kind in KINDS:
        layer, shape = next(cases(kind))
        x, dy, weights, results = ours(layer, shape)
        weights["weight"].flat[0] += 1e-3
        expected = theirs(torch, layer, x, dy, weights)
        wrong = [distance(ours, other) > ALLOWED[np.float64] for ours, other in zip(results, expected, strict=True)]
        assert wrong[:2] == [True, True] or not np.any(expected[2].flat[0])  # unless the tap meets padding only


# ------------------------------------------------------------------------------------------------------ adjoints

numbers = st.tuples(st.integers(1, 3), st.integers(1, 3))
sides = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)


@given(st.integers(0, 2), st.tuples(*[st.integers(1, 6)] * 2), numbers, numbers, sides, numbers, st.data())
@settings(deadline=None, max_examples=40, derandomize=True)
def test_a_transposed_convolution_is_the_adjoint_of_the_convolution(
    n, size, kernel, stride, padding, dilation, data
) -> None:
    """<conv(x), y> = <x, transposed(y)>, for any number of samples and any sides."""
    groups, c, k = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)))
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    layer = ConvTranspose2d(
        groups * c,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=extra,
        groups=groups,
        bias=False,
    )
    try:
        out = layer.out_shape((*size, groups * k))
    except UsageError:
        assume(False)
    y, x, w = normal(0, (n, *size, groups * k)), normal(1, (n, *out)), normal(2, (groups * k, *kernel, c))
    transposed, _ = layer.forward({"weight": w}, y, Context())
    convolved = ops.conv2d(x, w, Window(kernel, stride, padding, dilation), groups=groups)
    assert abs(np.vdot(convolved, y) - np.vdot(x, transposed)) <= 1e-10


@given(
    st.integers(0, 2),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3),
    st.tuples(*[st.integers(1, 2)] * 3),
    st.integers(1, 2),
)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_conv3d_and_its_gradients_equal_their_definitions(n, size, kernel, stride, padding, dilation, groups) -> None:
    window = Window(kernel, stride, padding, dilation)
    try:
        out = window.out(*size)
    except UsageError:
        assume(False)
    x, w, dy = normal(0, (n, *size, 2 * groups)), normal(1, (groups, *kernel, 2)), normal(2, (n, *out, groups))
    for results in zip(
        *(
            (
                ops.conv3d(x, w, window, groups=groups, backend=backend),
                ops.conv3d_dx(dy, w, window, size, groups=groups, backend=backend),
                ops.conv3d_dw(x, dy, window, groups=groups, backend=backend),
            )
            for backend in ("cpu", "reference")
        ),
        strict=True,
    ):
        assert distance(*results) <= ALLOWED[np.float64]


def test_what_comes_later_does_not_change_a_causal_convolution() -> None:
    layer = Conv1d(3, 4, padding="causal", dilation=2)
    weights = Arena(Layout(layer.specs((9, 2))), np.float64).initialise(0)
    x = normal(0, (1, 9, 2))
    before, _ = layer.forward(weights.views, x, Context())
    x[:, 5:] += 1
    after, _ = layer.forward(weights.views, x, Context())
    assert before.shape == (1, 9, 3)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.any(before[:, 5] == after[:, 5])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conv1d(4, 3).out_shape((5, 5, 2)), r"Conv1d takes samples of shape \(T, C\), not \(5, 5, 2\)"),
        (lambda: Conv3d(4, 3).out_shape((5, 5, 2)), r"Conv3d takes samples of shape \(D, H, W, C\)"),
        (lambda: Conv3d(4, (3, 3)), r"\(3, 3\) has 2 numbers, for 3 axes"),
        (lambda: Conv2d(4, 3, padding="valid"), 'padding "valid" is not known'),
        (
            lambda: ConvTranspose2d(4, 3, groups=3).out_shape((5, 5, 3)),
            "3 input and 4 output channels are not multiples of 3",
        ),
        (
            lambda: ConvTranspose2d(4, 3, stride=2, output_padding=2).out_shape((5, 5, 3)),
            r"output_padding \(2, 2\) must be less",
        ),
        (lambda: ConvTranspose2d(4, 1, padding=3).out_shape((5, 5, 3)), "leaves nothing of an output"),
        (
            lambda: ops.conv3d(np.zeros((1, 2, 2, 2, 1)), np.zeros((1, 1, 1, 1)), Window.of(1, rank=3)),
            r"conv3d: x .* \(N, D, H, W, C\)",
        ),
        (lambda: ops.conv2d(np.zeros((1, 2, 2, 1)), np.zeros((1, 1, 1, 1)), Window.of(1, rank=3)), "over 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(make, words) -> None:
    with pytest.raises(UsageError, match=words):
        make()
