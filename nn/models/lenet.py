"""lenet: the convolutional network of LeCun et al. 1998 ("Gradient-based learning applied to document recognition"), in today's sizes."""

from __future__ import annotations

from ..conv2d import Conv2d
from ..flatten import Flatten
from ..linear import Linear
from ..pooling import MaxPool2d
from ..sequential import Sequential


def lenet(classes: int = 10) -> Sequential:
    """conv5x5 32 - ReLU - pool2 - conv5x5 64 - ReLU - pool2 - dense 512 - ReLU - dense; 28x28x1, batch 128."""
    return Sequential(
        Conv2d(32, 5, padding="same", activation="relu"),
        MaxPool2d(2),
        Conv2d(64, 5, padding="same", activation="relu"),
        MaxPool2d(2),
        Flatten(),
        Linear(512, activation="relu"),
        Linear(classes),
    )
