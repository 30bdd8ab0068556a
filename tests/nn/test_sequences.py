"""Layers on sequences equal PyTorch's, weights under the same names."""

import numpy as np
import pytest
from closeness import normal
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.nn import GRU, LSTM, RNN, Arena, Layout

BACKENDS = ["reference", "cpu"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_a_recurrent_layer_equals_pytorch(layer, sequence, backend) -> None:
    torch = oracle()
    ours, theirs = layer(5, sequence=sequence), getattr(torch.nn, layer.__name__)(3, 5, batch_first=True).double()
    arena = Arena(Layout(ours.specs((6, 3))), np.float64).initialise(1, "reference")
    for name in arena.layout.specs:
        getattr(theirs, f"{name}_l0").data = torch.tensor(arena[name])
    x, dy, ctx, g = normal(0, (4, 6, 3)), normal(1, (4, 6, 5)), Context(backend=backend), arena.like()
    dy = dy if sequence else dy[:, 0].copy()
    y, saved = ours.forward(arena.views, x, ctx)
    dx = ours.backward(arena.views, g.views, saved, dy.copy(), ctx)

    tx = torch.tensor(x, requires_grad=True)
    ty = theirs(tx)[0] if sequence else theirs(tx)[0][:, -1]
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, ty.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(dx, tx.grad.numpy(), atol=1e-13)
    for name in arena.layout.specs:
        np.testing.assert_allclose(g[name], getattr(theirs, f"{name}_l0").grad.numpy(), atol=1e-12, err_msg=name)


def test_the_two_grus_are_not_the_same() -> None:
    x, results = normal(0, (2, 4, 3)), []
    for variant in ("torch", "cho"):
        layer = GRU(5, variant=variant)
        arena = Arena(Layout(layer.specs((4, 3))), np.float64).initialise(1, "reference")
        results.append(layer.forward(arena.views, x, Context(backend="reference"))[0])
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_an_unknown_gru_and_a_shape_without_steps_are_refused() -> None:
    with pytest.raises(UsageError, match='GRU variant "keras" is not known'):
        GRU(4, variant="keras")
    with pytest.raises(UsageError, match=r"LSTM\(4\) takes samples of shape \(T, C\), not \(7,\)"):
        LSTM(4).specs((7,))
