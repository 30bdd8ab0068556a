"""Every layer against finite differences in float64: a new layer is tested by being listed.

For a fixed random direction u, d/de sum(u * layer(x + e*d)) is compared with <dx, d>, and the same for the weights; the
central difference is exact to about 1e-9 for the smooth layers and away from kinks for the others.
"""

from __future__ import annotations

import numpy as np
import pytest

from shoal import nn
from shoal.core.context import Context
from shoal.nn import (
    GRU,
    LSTM,
    RNN,
    Arena,
    Attention,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Last,
    Layout,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    Pop,
    Recompute,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sequential,
    Stash,
    Upsample2d,
)
from shoal.nn.arena import together

LAYERS = [
    ("linear", Linear(5), (7,)),
    ("a recomputed list", Recompute(Sequential(Linear(5), BatchNorm(), Dropout(0.3))), (7,)),
    ("linear without bias", Linear(3, bias=False), (4,)),
    ("linear with relu", Linear(6, activation="relu"), (5,)),
    ("linear on a sequence", Linear(3, activation="relu"), (4, 5)),
    ("conv 3x3 same", Conv2d(4, 3, padding="same"), (6, 5, 3)),
    (
        "conv with stride, dilation and uneven padding",
        Conv2d(4, (3, 2), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=2),
        (8, 7, 2),
    ),
    ("conv in groups, with relu", Conv2d(6, 3, groups=2, activation="relu"), (5, 5, 4)),
    ("depthwise conv", Conv2d(4, 3, groups=4, padding=1, bias=False), (5, 5, 4)),
    (
        "depthwise conv, two filters a channel, stride and relu",
        Conv2d(6, 3, groups=3, stride=2, padding=1, activation="relu"),
        (6, 5, 3),
    ),
    ("conv over time, causal", Conv1d(4, 3, padding="causal", dilation=2, activation="relu"), (7, 3)),
    ("conv over time, in groups", Conv1d(4, 4, padding="same", groups=2, bias=False), (6, 2)),
    ("conv over volumes", Conv3d(4, 3, padding=1, activation="relu"), (3, 4, 3, 2)),
    (
        "grouped over volumes",
        Conv3d(2, (2, 3, 1), stride=(2, 1, 2), padding=(0, 1, 0), dilation=(2, 1, 1), groups=2),
        (4, 3, 3, 2),
    ),
    ("transposed conv", ConvTranspose2d(4, 3, stride=2, padding=1, output_padding=1), (3, 4, 2)),
    (
        "transposed conv, grouped, relu",
        ConvTranspose2d(4, (2, 3), stride=(1, 3), dilation=(3, 1), groups=2, activation="relu"),
        (3, 2, 2),
    ),
    ("transposed depthwise conv", ConvTranspose2d(3, 3, stride=2, groups=3), (3, 3, 3)),
    (
        "transposed depthwise conv that merges channels",
        ConvTranspose2d(2, 3, stride=2, groups=2, activation="relu"),
        (3, 3, 4),
    ),
    ("batch norm", BatchNorm(), (3, 4, 5)),
    ("batch norm of vectors, with relu", BatchNorm(activation="relu"), (6,)),
    ("layer norm", nn.LayerNorm(), (3, 7)),
    ("group norm", nn.GroupNorm(3), (2, 3, 12)),
    ("positions", nn.Positions(6), (4, 3)),
    ("relu", ReLU(), (4, 3)),
    ("relu6", Sequential(Linear(5), ReLU6()), (40,)),
    ("leaky relu", nn.LeakyReLU(0.1), (4, 3)),
    ("sigmoid", nn.Sigmoid(), (4, 3)),
    ("tanh", nn.Tanh(), (4, 3)),
    ("softplus", nn.Softplus(), (4, 3)),
    ("silu", nn.SiLU(), (4, 3)),
    ("gelu", nn.GELU(), (4, 3)),
    ("gelu by tanh", nn.GELU(approximate=True), (4, 3)),
    ("softmax", nn.Softmax(), (4, 3)),
    ("log softmax", nn.LogSoftmax(), (4, 3)),
    ("max pool", MaxPool2d(2), (6, 6, 3)),
    ("overlapping max pool", MaxPool2d(3, stride=2, padding=1), (7, 6, 2)),
    ("average pool", AvgPool2d(2), (7, 6, 3)),
    (
        "overlapping average pool of what is inside",
        AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        (7, 6, 2),
    ),
    ("global average pool of images", GlobalAvgPool(), (3, 4, 5)),
    ("global average pool of a sequence", GlobalAvgPool(), (6, 5)),
    ("upsampling by repetition", Upsample2d((2, 3)), (3, 2, 3)),
    ("upsampling by interpolation", Upsample2d((3, 2), "linear"), (3, 4, 2)),
    (
        "max unpool",
        Sequential(MaxPool2d(2, stash="a"), ReLU(), MaxUnpool2d(2, stash="a", output_padding=(1, 0))),
        (5, 4, 2),
    ),
    ("flatten", Flatten(), (2, 3, 4)),
    ("dropout", Dropout(0.4), (5, 4)),
    ("reshape", Reshape(6, 4), (2, 3, 4)),
    ("last step", Last(), (4, 3)),
    ("residual", Residual(Sequential(Linear(6, activation="relu"), Linear(5))), (5,)),
    (
        "residual with shortcut and relu",
        Residual(Conv2d(4, 3, stride=2, padding=1), Conv2d(4, 1, stride=2), "relu"),
        (6, 5, 3),
    ),
    ("residual of what changes nothing", Residual(Sequential(), activation="relu"), (4,)),
    ("concat", Concat(Conv2d(2, 1), Sequential(Conv2d(3, 3, padding=1), ReLU()), Sequential()), (4, 4, 2)),
    (
        "a long skip, concatenated",
        Sequential(Linear(4), Stash("a"), Linear(3, activation="relu"), Pop("a", 4), Linear(2)),
        (5,),
    ),
    (
        "two skips",
        Sequential(Stash("a"), Linear(3), Stash("b"), Linear(3), Pop("b", 3, "add"), Linear(5), Pop("a", 5, "add")),
        (5,),
    ),
    ("tied weights", Sequential(Linear(4), ReLU(), Linear(5), ReLU(), Linear(4), tie={"4.weight": "0.weight"}), (5,)),
    ("plain recurrence", RNN(4), (5, 3)),
    ("lstm", LSTM(4), (5, 3)),
    ("last state of an lstm", LSTM(3, sequence=False), (5, 2)),
    ("gru", GRU(4), (5, 3)),
    ("gru as published, last state", GRU(3, variant="cho", sequence=False), (5, 2)),
    ("attention", Attention(2), (5, 6)),
    ("causal attention without bias", Attention(3, causal=True, bias=False), (4, 6)),
    ("a nested sequence", Sequential(Sequential(Conv2d(3, 3), ReLU()), Flatten(), Sequential(Linear(4))), (5, 5, 2)),
]
BACKENDS = ["reference", "cpu"]


class Weights(Arena):
    """All weights of a layer in float64, seen together with its buffers and statistics; like() is for gradients."""

    def __init__(self, specs):
        super().__init__(Layout(specs), np.float64)
        others = [Arena(Layout(specs, role), np.float64) for role in ("buffer", "statistic")]
        self.views, self.like = together(self, *(a.initialise(0) for a in others)), lambda: Weights(specs)


def case(layer, shape, backend, batch=3):
    rng = np.random.default_rng(0)
    arena = Weights(layer.specs(shape)).initialise(seed=1, backend="reference")
    x = rng.standard_normal((batch, *shape))
    ctx = Context(training=True, step=3, seed=5, samples=np.arange(batch) + 10, backend=backend)
    u = rng.standard_normal((batch, *layer.out_shape(shape)))
    return rng, arena, x, ctx, u


def slope(f, a: np.ndarray, direction: np.ndarray, eps: float = 1e-6) -> float:
    """Central difference of f along a direction in a, which is put back."""
    kept = a.copy()
    a[...] = kept + eps * direction
    above = f()
    a[...] = kept - eps * direction
    below = f()
    a[...] = kept
    return (above - below) / (2 * eps)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name, layer, shape", LAYERS, ids=[name for name, *_ in LAYERS])
def test_gradients_equal_finite_differences(name, layer, shape, backend) -> None:
    rng, arena, x, ctx, u = case(layer, shape, backend)

    def value() -> float:
        return float((u * layer.forward(arena.views, x, ctx)[0]).sum())

    g = arena.like()
    _, saved = layer.forward(arena.views, x, ctx)
    dx = layer.backward(arena.views, g.views, saved, u.copy(), ctx)

    for target, gradient in [(x, dx), *((arena[n], g[n]) for n in arena.layout.specs)]:
        direction = rng.standard_normal(target.shape)
        expected = slope(value, target, direction)
        assert abs((gradient * direction).sum() - expected) <= 1e-6 * max(1.0, abs(expected))


@pytest.mark.parametrize("name, layer, shape", LAYERS, ids=[name for name, *_ in LAYERS])
def test_cpu_equals_reference(name, layer, shape) -> None:
    results = []
    for backend in BACKENDS:
        _, arena, x, ctx, u = case(layer, shape, backend)
        g = arena.like()
        y, saved = layer.forward(arena.views, x, ctx)
        results.append((y, layer.backward(arena.views, g.views, saved, u.copy(), ctx), g.flat))
    for ours, reference in zip(*results, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name, layer, shape", LAYERS, ids=[name for name, *_ in LAYERS])
def test_gradients_are_added_not_stored(name, layer, shape) -> None:
    _, arena, x, ctx, u = case(layer, shape, "reference")
    g = arena.like()
    for _ in range(2):
        _, saved = layer.forward(arena.views, x, ctx)
        layer.backward(arena.views, g.views, saved, u.copy(), ctx)
    once = arena.like()
    _, saved = layer.forward(arena.views, x, ctx)
    layer.backward(arena.views, once.views, saved, u.copy(), ctx)
    np.testing.assert_allclose(g.flat, 2 * once.flat, rtol=1e-14)


@pytest.mark.parametrize("name, layer, shape", LAYERS, ids=[name for name, *_ in LAYERS])
def test_the_gradient_nobody_reads_is_not_computed(name, layer, shape) -> None:
    from dataclasses import replace

    _, arena, x, ctx, u = case(layer, shape, "reference")
    _, saved = layer.forward(arena.views, x, ctx)
    ctx = replace(ctx, input_gradient=False)
    assert layer.backward(arena.views, arena.like().views, saved, u.copy(), ctx) is None


@pytest.mark.parametrize("name, layer, shape", LAYERS, ids=[name for name, *_ in LAYERS])
def test_an_empty_batch_passes_through(name, layer, shape) -> None:
    for backend in BACKENDS:
        _, arena, x, ctx, u = case(layer, shape, backend, batch=0)
        g = arena.like()
        y, saved = layer.forward(arena.views, x, ctx)
        dx = layer.backward(arena.views, g.views, saved, u, ctx)
        assert y.shape == u.shape and dx.shape == x.shape and not g.flat.any()


def test_the_check_sees_a_wrong_gradient() -> None:
    class Wrong(Linear):
        def backward(self, p, g, saved, dy, ctx):
            return super().backward(p, g, saved, 1.001 * dy, ctx)

    with pytest.raises(AssertionError):
        test_gradients_equal_finite_differences("wrong", Wrong(5), (7,), "reference")
