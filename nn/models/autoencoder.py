"""autoencoder: dense layers down to a code and back; it learns to give its input."""

from __future__ import annotations

from ...core.shape import Shape, prod
from ..flatten import Flatten
from ..linear import Linear
from ..reshape import Reshape
from ..sequential import Sequential


def autoencoder(shape: Shape, width: int = 512, code: int = 32) -> Sequential:
    """all - width - width/4 - code - width/4 - width - all, ReLU; 28x28x1, batch 128.

    After Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks" (Science 313).
    """
    narrow = max(1, width // 4)
    return Sequential(
        Flatten(),
        Linear(width, activation="relu"),
        Linear(narrow, activation="relu"),
        Linear(code),
        Linear(narrow, activation="relu"),
        Linear(width, activation="relu"),
        Linear(prod(shape)),
        Reshape(*shape),
    )
