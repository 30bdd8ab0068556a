"""Embedding and Positions: what a token is and where it stands."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import DataError, UsageError
from shoal.nn import Arena, Embedding, Layout, Positions, Sequential

TOKENS = np.random.default_rng(0).integers(0, 7, (3, 5))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sequence_equals_torch(dtype, backend):
    torch, ctx = oracle(), Context(training=True, backend=backend)
    model = Sequential(Embedding(7, 4), Positions(9))
    w = Arena(Layout(model.specs((5,))), dtype).initialise(0)
    table, places = (torch.tensor(w[name], requires_grad=True) for name in ("0.weight", "1.weight"))
    ty = torch.nn.functional.embedding(torch.tensor(TOKENS), table) + places[:5]
    dy = normal(1, (3, 5, 4), dtype)
    ty.backward(torch.tensor(dy))
    g = w.like()
    for _ in range(2):  # gradients are added
        y, saved = model.forward(w.views, TOKENS, ctx)
        assert model.backward(w.views, g.views, saved, dy.copy(), ctx) is None
    np.testing.assert_array_equal(y, ty.detach().numpy())
    for name, expected in [("0.weight", table), ("1.weight", places)]:
        assert distance(g[name], 2 * expected.grad.numpy()) <= ALLOWED[dtype]


def test_shapes_and_starts():
    model = Sequential(Embedding(1000, 64), Positions(9))
    assert model.out_shape((5,)) == (5, 64)
    w = Arena(Layout(model.specs((5,)))).initialise(0)
    assert w["1.weight"].shape == (9, 64)
    assert abs(w["0.weight"].std() - 1) < 0.01 and abs(w["1.weight"].std() - 0.02) < 0.002


@pytest.mark.parametrize("token", [-1, 7, 2**40])
def test_a_token_outside_the_vocabulary_is_named(token):
    x = TOKENS.copy()
    x[2, 3] = token
    with pytest.raises(DataError, match=rf"token {token} at \(2, 3\) of a batch \(3, 5\) is not in \[0, 7\)"):
        Embedding(7, 4).forward({"weight": np.ones((7, 4))}, x, Context())


def test_an_empty_batch_passes():
    layer, g = Embedding(7, 4), np.zeros((7, 4))
    y, saved = layer.forward({"weight": np.ones((7, 4))}, TOKENS[:0], Context())
    layer.backward({}, {"weight": g}, saved, y, Context())
    assert y.shape == (0, 5, 4) and not g.any()


def test_a_sequence_longer_than_its_positions_is_refused():
    with pytest.raises(UsageError, match=r"Positions\(4\) takes .* T <= 4, not \(5, 3\)"):
        Positions(4).specs((5, 3))
