"""Every layer against finite differences in float64: a new layer is tested by being listed.

For a fixed random direction u, d/de sum(u * layer(x + e*d)) is compared with <dx, d>, and the same for the weights; the
central difference is exact to about 1e-9 for the smooth layers and away from kinks for the others.
"""

from __future__ import annotations

import numpy as np
import pytest

from shoal import nn
from shoal.core.context import Context
from shoal.nn import Arena, BatchNorm, Conv2d, Dropout, Flatten, Layout, Linear, MaxPool2d, ReLU, Sequential
from shoal.nn.arena import together
from shoal.nn.models import MODELS, build

LAYERS = [
    ("linear", Linear(5), (7,)),
    ("linear without bias", Linear(3, bias=False), (4,)),
    ("linear with relu", Linear(6, activation="relu"), (5,)),
    ("conv 3x3 same", Conv2d(4, 3, padding="same"), (6, 5, 3)),
    ("conv with stride, dilation and uneven padding", Conv2d(4, (3, 2), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=2), (8, 7, 2)),
    ("conv in groups, with relu", Conv2d(6, 3, groups=2, activation="relu"), (5, 5, 4)),
    ("depthwise conv", Conv2d(4, 3, groups=4, padding=1, bias=False), (5, 5, 4)),
    ("batch norm", BatchNorm(), (3, 4, 5)),
    ("batch norm of vectors, with relu", BatchNorm(activation="relu"), (6,)),
    ("layer norm", nn.LayerNorm(), (3, 7)),
    ("group norm", nn.GroupNorm(3), (2, 3, 12)),
    ("positions", nn.Positions(6), (4, 3)),
    ("relu", ReLU(), (4, 3)),
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
    ("flatten", Flatten(), (2, 3, 4)),
    ("dropout", Dropout(0.4), (5, 4)),
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


@pytest.mark.parametrize("name", MODELS)
def test_a_models_gradient_equals_the_difference_of_its_loss(name) -> None:
    from shoal.nn import CrossEntropy

    shape = (8, 8, 1)
    model = build(name, shape, 10)
    rng, arena, x, ctx, _ = case(model, shape, "reference", batch=4)
    labels = rng.integers(0, 10, 4)

    def loss() -> float:
        return CrossEntropy()(model.forward(arena.views, x, ctx)[0], labels, 1 / 4, ctx)[0] / 4

    g = arena.like()
    y, saved = model.forward(arena.views, x, ctx)
    model.backward(arena.views, g.views, saved, CrossEntropy()(y, labels, 1 / 4, ctx)[2], ctx)
    for spec in arena.layout.owned():
        direction = rng.standard_normal(spec.shape)
        expected = slope(loss, arena[spec.name], direction)
        assert abs((g[spec.name] * direction).sum() - expected) <= 1e-6 * max(1.0, abs(expected)), spec.name
