"""Residual networks for images: every stage is a list of blocks, and every block a Residual.

After He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition" (CVPR). Where the shape changes, the shortcut is
a 1x1 projection (their option B). resnet50 strides in the 3x3 convolution, as PyTorch's does, not in the first 1x1.
"""

from __future__ import annotations

from ..batch_norm import BatchNorm
from ..conv2d import Conv2d
from ..linear import Linear
from ..module import Module
from ..pooling import GlobalAvgPool, MaxPool2d
from ..residual import Residual
from ..sequential import Sequential


def resnet20(classes: int = 10, width: int = 16, depth: int = 3) -> Sequential:
    """conv3x3 16 - three stages of 16, 32, 64 channels with 3 basic blocks each - average - dense; 32x32x3, batch 64."""
    return Sequential(
        Conv2d(width, 3, padding=1, bias=False),
        BatchNorm(activation="relu"),
        *(basic(width, 1, project=False) for _ in range(depth)),
        *(basic(2 * width, 2 if i == 0 else 1, project=i == 0) for i in range(depth)),
        *(basic(4 * width, 2 if i == 0 else 1, project=i == 0) for i in range(depth)),
        GlobalAvgPool(),
        Linear(classes),
    )


def resnet18(classes: int = 1000, width: int = 64) -> Sequential:
    """Stages of 2 basic blocks each, 64 to 512 channels; 224x224x3, 11.7 million parameters."""
    stages = [
        basic(width << stage, 2 if stage > 0 and i == 0 else 1, project=stage > 0 and i == 0)
        for stage in range(4)
        for i in range(2)
    ]
    return Sequential(*_stem(width), *stages, GlobalAvgPool(), Linear(classes))


def resnet50(classes: int = 1000, width: int = 64) -> Sequential:
    """Stages of 3, 4, 6, 3 bottleneck blocks, 256 to 2048 channels; 224x224x3, 25.6 million parameters."""
    stages = [
        bottleneck(width << stage, 2 if stage > 0 and i == 0 else 1, project=i == 0)
        for stage, depth in enumerate((3, 4, 6, 3))
        for i in range(depth)
    ]
    return Sequential(*_stem(width), *stages, GlobalAvgPool(), Linear(classes))


def _stem(width: int) -> list[Module]:
    return [
        Conv2d(width, 7, stride=2, padding=3, bias=False),
        BatchNorm(activation="relu"),
        MaxPool2d(3, stride=2, padding=1),
    ]


def basic(channels: int, stride: int, project: bool) -> Residual:
    """conv3x3 - BN - ReLU - conv3x3 - BN beside the identity or a projection, then ReLU."""
    body = Sequential(
        Conv2d(channels, 3, stride=stride, padding=1, bias=False),
        BatchNorm(activation="relu"),
        Conv2d(channels, 3, padding=1, bias=False),
        BatchNorm(),
    )
    return Residual(body, _projection(channels, stride) if project else None, activation="relu")


def bottleneck(channels: int, stride: int, project: bool) -> Residual:
    """conv1x1 - BN - ReLU - conv3x3 - BN - ReLU - conv1x1 to four times the channels - BN, as `basic`."""
    body = Sequential(
        Conv2d(channels, 1, bias=False),
        BatchNorm(activation="relu"),
        Conv2d(channels, 3, stride=stride, padding=1, bias=False),
        BatchNorm(activation="relu"),
        Conv2d(4 * channels, 1, bias=False),
        BatchNorm(),
    )
    return Residual(body, _projection(4 * channels, stride) if project else None, activation="relu")


def _projection(channels: int, stride: int) -> Sequential:
    return Sequential(Conv2d(channels, 1, stride=stride, bias=False), BatchNorm())
