"""Losses: sums that divide by one mass, whatever the shape of a sample's target."""

import numpy as np
import pytest
from closeness import normal
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.nn import CrossEntropy

BACKENDS = ["reference", "cpu"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 2)])
def test_cross_entropy_of_every_step_equals_pytorch(shape, backend) -> None:
    torch = oracle()
    z, labels = normal(0, (*shape, 5)), np.random.default_rng(1).integers(0, 5, shape)
    tz = torch.tensor(z, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(tz.reshape(-1, 5), torch.tensor(labels.reshape(-1)))
    expected.backward()
    loss = CrossEntropy()
    mass = loss.mass(labels)
    total, right, dz = loss(z, labels, 1 / mass, Context(backend=backend))
    assert mass == labels.size and right == (z.argmax(-1) == labels).sum()
    assert abs(total / mass - expected.item()) <= 1e-13
    np.testing.assert_allclose(dz, tz.grad.numpy(), atol=1e-15)


@pytest.mark.parametrize("labels", [np.zeros(2, int), np.zeros((2, 3, 1), int), np.zeros(6, int)])
def test_labels_of_another_shape_are_refused(labels) -> None:
    with pytest.raises(UsageError, match=r"for logits \(2, 3, 4\)"):
        CrossEntropy()(np.zeros((2, 3, 4)), labels, 1.0, Context(backend="reference"))
