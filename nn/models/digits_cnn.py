"""digits-cnn: the smallest network worth distributing, for 8x8 digits."""

from __future__ import annotations

from ..conv2d import Conv2d
from ..dropout import Dropout
from ..flatten import Flatten
from ..linear import Linear
from ..pooling import MaxPool2d
from ..sequential import Sequential


def digits_cnn(classes: int = 10, dropout: float = 0.1) -> Sequential:
    """conv3x3 16 - ReLU - conv3x3 32 - ReLU - pool2 - dropout - dense; 8x8x1, batch 64."""
    return Sequential(
        Conv2d(16, 3, padding="same", activation="relu"),
        Conv2d(32, 3, padding="same", activation="relu"),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout),
        Linear(classes),
    )
