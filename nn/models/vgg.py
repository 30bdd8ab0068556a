"""Plain stacks of 3x3 convolutions, after Simonyan and Zisserman 2015, "Very deep convolutional networks" (ICLR)."""

from __future__ import annotations

from ..batch_norm import BatchNorm
from ..conv2d import Conv2d
from ..dropout import Dropout
from ..flatten import Flatten
from ..linear import Linear
from ..module import Module
from ..pooling import MaxPool2d
from ..sequential import Sequential

VGG11 = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels in units of the width; a pool ends each group
VGG16 = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


def vgg11(classes: int = 10, width: int = 64) -> Sequential:
    """conv3x3 64-M-128-M-256-256-M-512-512-M-512-512-M with BN - dense; 32x32x3, batch 64."""
    return Sequential(*_features(VGG11, width, normalise=True), Flatten(), Linear(classes))


def vgg16(
    classes: int = 1000, width: int = 64, hidden: int = 4096, normalise: bool = False, dropout: float = 0.5
) -> Sequential:
    """13 convolutions, then dense 4096 - dense 4096 - dense; 224x224x3, 138 million parameters; normalise adds BN."""
    return Sequential(
        *_features(VGG16, width, normalise),
        Flatten(),
        Linear(hidden, activation="relu"),
        Dropout(dropout),
        Linear(hidden, activation="relu"),
        Dropout(dropout),
        Linear(classes),
    )


def _features(groups: tuple[tuple[int, ...], ...], width: int, normalise: bool) -> list[Module]:
    blocks: list[Module] = []
    for group in groups:
        for factor in group:
            if normalise:
                blocks += [Conv2d(factor * width, 3, padding=1), BatchNorm(activation="relu")]
            else:
                blocks.append(Conv2d(factor * width, 3, padding=1, activation="relu"))
        blocks.append(MaxPool2d(2))
    return blocks
