"""Update rules on flat buffers.

An optimizer holds hyper-parameters only; its state is a dict of Arenas that the strategy owns, so state is sliced, stashed
and saved exactly as weights are.
"""

from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Optimizer"]
