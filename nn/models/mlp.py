"""mlp: dense layers only."""

from __future__ import annotations

from ..dropout import Dropout
from ..flatten import Flatten
from ..linear import Linear
from ..sequential import Sequential


def mlp(classes: int = 10, width: int = 1024, dropout: float = 0.0) -> Sequential:
    """784-1024-1024-10, ReLU, dropout after each hidden layer; 28x28x1, batch 128."""
    return Sequential(
        Flatten(),
        Linear(width, activation="relu"),
        Dropout(dropout),
        Linear(width, activation="relu"),
        Dropout(dropout),
        Linear(classes),
    )
