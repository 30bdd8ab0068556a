"""Layers on sequences equal PyTorch's, weights under the same names."""

import numpy as np
import pytest
from closeness import normal
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.nn import GRU, LSTM, RNN, Arena, Attention, Layout

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


# ---------------------------------------------------------------------------------------------------- attention

NAMES = {
    "in_weight": "in_proj_weight",
    "in_bias": "in_proj_bias",
    "out_weight": "out_proj.weight",
    "out_bias": "out_proj.bias",
}


def twins(torch, causal=False, bias=True):
    """Our layer, its weights, and PyTorch's layer with the same ones; biases are not left at 0."""
    ours, theirs = (
        Attention(3, causal=causal, bias=bias),
        torch.nn.MultiheadAttention(6, 3, bias=bias, batch_first=True).double(),
    )
    arena = Arena(Layout(ours.specs((5, 6))), np.float64).initialise(1, "reference")
    for i, name in enumerate(arena.layout.specs):
        arena[name][...] += normal(i, arena[name].shape) * name.endswith("bias")
        theirs.get_parameter(NAMES[name]).data = torch.tensor(arena[name])
    return ours, arena, theirs


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("causal", "bias"), [(False, True), (True, True), (True, False)])
def test_attention_equals_pytorch(causal, bias, backend) -> None:
    torch = oracle()
    ours, arena, theirs = twins(torch, causal, bias)
    x, dy, ctx, g = normal(0, (4, 5, 6)), normal(1, (4, 5, 6)), Context(backend=backend), arena.like()
    y, saved = ours.forward(arena.views, x, ctx)
    dx = ours.backward(arena.views, g.views, saved, dy.copy(), ctx)

    tx = torch.tensor(x, requires_grad=True)
    later = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    ty = theirs(tx, tx, tx, attn_mask=later, is_causal=causal)[0]
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, ty.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(dx, tx.grad.numpy(), atol=1e-13)
    for name in arena.layout.specs:
        np.testing.assert_allclose(g[name], theirs.get_parameter(NAMES[name]).grad.numpy(), atol=1e-12, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_of_valid_keys_is_pytorchs_padding_mask_turned_round(backend) -> None:
    torch = oracle()
    _, arena, theirs = twins(torch)
    valid = np.arange(5)[None, :] < np.array([5, 3, 1])[:, None]
    x, w = normal(0, (3, 5, 6)), arena.views
    seen, _ = ops.attention(x @ w["in_weight"].T + w["in_bias"], heads=3, mask=valid, backend=backend)
    tx = torch.tensor(x)
    expected = theirs(tx, tx, tx, key_padding_mask=torch.tensor(~valid))[0]
    np.testing.assert_allclose(seen @ w["out_weight"].T + w["out_bias"], expected.detach().numpy(), atol=1e-13)


def test_attention_starts_as_pytorchs() -> None:
    torch = oracle()
    ours, theirs = Attention(8), torch.nn.MultiheadAttention(64, 8)
    arena = Arena(Layout(ours.specs((3, 64)))).initialise(0, "reference")
    for name in arena.layout.specs:
        bound, expected = np.abs(arena[name]).max(), theirs.get_parameter(NAMES[name]).abs().max().item()
        assert abs(bound - expected) <= 0.01 * expected, name


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"Attention\(4\) takes samples of shape \(T, C\) with C a multiple of 4, not \(5, 6\)"
    ):
        Attention(4).specs((5, 6))
