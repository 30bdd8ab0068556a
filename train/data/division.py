"""A test part for sources that have none: rows drawn once and for all, the same for every run and every rank.

The stream has a name of its own and no seed of the run's, so that results with different seeds compare on one test
part.
"""

from __future__ import annotations

import numpy as np

from ...core.errors import UsageError
from ...core.random import key
from ...kernels import ops


def divide(name: str, samples: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the training and of the test part, each in ascending order.

    test = the round(samples * fraction) rows with the smallest random_bits(row, key(0, "test part")), ties by row
    """
    bits = ops.random_bits(np.arange(samples), key(0, "test part"), 0, 1, backend="reference")
    order = np.argsort(bits[:, 0], kind="stable")
    count = test_size(name, samples, fraction)
    return np.sort(order[count:]), np.sort(order[:count])


def test_size(name: str, samples: int, fraction: float) -> int:
    count = round(samples * fraction)
    if not 0 < count < samples:
        left = f"leaves {samples - count} to train, {count} to test"
        raise UsageError(
            f"{name}: data.test_fraction = {fraction} of {samples} samples {left}",
            "give a fraction between 0 and 1 that leaves both some samples",
        )
    return count
