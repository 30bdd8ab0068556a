"""Evaluation: batches without training, the same figures for a run that trains and for a checkpoint that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..mpi.strategy import Fetch, Strategy
from .mean import Mean
from .metrics import Figures, Metrics


def evaluate(
    strategy: Strategy,
    batches: Sequence[np.ndarray],
    fetch: Fetch,
    metrics: Metrics,
    between: Callable[[], object] = lambda: None,
) -> Figures:
    """The loss over all of these batches, and what else is asked of them.   between: called after each batch."""
    metrics.clear()
    mean = Mean()
    for batch in batches:
        mean.add([strategy.evaluate(batch, fetch, metrics.observe)])
        between()
    return metrics.figures(mean.loss)
