"""relu6 where it bends, in both backends."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import torch as oracle

from shoal.kernels import ops

X = np.array([-1e30, -1.0, -0.0, 0.0, 1e-30, 3.0, 6.0, np.nextafter(6.0, 7.0), 1e30, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_it_is_clipped_and_a_nan_stays(backend) -> None:
    y = ops.relu6(X, backend=backend)
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 1e-30, 3, 6, 6, 6, 6, 0, np.nan])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_gradient_passes_strictly_inside(backend) -> None:
    dy = np.arange(1.0, 1.0 + X.size)
    dx = ops.relu6_dx(dy, ops.relu6(X, backend=backend), backend=backend)
    np.testing.assert_array_equal(dx[:-1], np.where((X > 0) & (X < 6), dy, 0)[:-1])


def test_it_is_pytorchs() -> None:
    torch = oracle()
    x = np.linspace(-2, 8, 41)
    twin = torch.tensor(x, requires_grad=True)
    torch.nn.functional.relu6(twin).sum().backward()
    y = ops.relu6(x)
    np.testing.assert_array_equal(y, torch.nn.functional.relu6(twin).detach().numpy())
    np.testing.assert_array_equal(ops.relu6_dx(np.ones_like(x), y), twin.grad.numpy())
