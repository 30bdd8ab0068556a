"""Depthwise-separable convolutions: one filter for each channel, then 1x1 convolutions that mix channels.

After Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision applications" (arXiv 1704.04861) and
Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks" (CVPR).
"""

from __future__ import annotations

from ..activation import ReLU6
from ..batch_norm import BatchNorm
from ..conv2d import Conv2d
from ..dropout import Dropout
from ..linear import Linear
from ..module import Module
from ..pooling import GlobalAvgPool
from ..residual import Residual
from ..sequential import Sequential

SMALL = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))  # (channels, stride)
V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
# (expansion, channels, blocks, stride of the first)
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet(classes: int = 10, width: int = 32) -> Sequential:
    """conv3x3 32, then separable 64, 128/2, 128, 256/2, 256, 512/2, 512, with BN - average - dense; 32x32x3, batch 64."""
    return _version_1(SMALL, 1, classes, width)


def mobilenet_v1(classes: int = 1000, width: int = 32) -> Sequential:
    """conv3x3 32/2, then thirteen separable blocks up to 1024 channels - average - dense; 224x224x3, 4.2 million parameters."""
    return _version_1(V1, 2, classes, width)


def mobilenet_v2(classes: int = 1000, width: int = 32, dropout: float = 0.2) -> Sequential:
    """conv3x3 32/2, seventeen inverted residuals, conv1x1 1280 - average - dense; 224x224x3, 3.5 million parameters."""
    blocks: list[Module] = []
    inputs = width
    for expansion, channels, depth, stride in V2:
        for i in range(depth):
            outputs = channels * width // 32
            blocks.append(inverted(inputs, outputs, expansion, stride if i == 0 else 1))
            inputs = outputs
    stem, top = Sequential(*_conv(width, 3, 2), ReLU6()), Sequential(*_conv(40 * width, 1), ReLU6())
    return Sequential(stem, *blocks, top, GlobalAvgPool(), Dropout(dropout), Linear(classes))


def _version_1(table: tuple[tuple[int, int], ...], stride: int, classes: int, width: int) -> Sequential:
    blocks: list[Module] = [Conv2d(width, 3, stride=stride, padding=1, bias=False), BatchNorm(activation="relu")]
    inputs = width
    for channels, step in table:
        outputs = channels * width // 32
        blocks.append(separable(inputs, outputs, step))
        inputs = outputs
    return Sequential(*blocks, GlobalAvgPool(), Linear(classes))


def separable(inputs: int, channels: int, stride: int) -> Sequential:
    """depthwise 3x3 - BN - ReLU - conv1x1 - BN - ReLU."""
    return Sequential(
        Conv2d(inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        BatchNorm(activation="relu"),
        Conv2d(channels, 1, bias=False),
        BatchNorm(activation="relu"),
    )


def inverted(inputs: int, channels: int, expansion: int, stride: int) -> Module:
    """conv1x1 to more channels - depthwise 3x3 - conv1x1 to few, each with BN, the first two with ReLU6; a residual if it can be."""
    wide = inputs * expansion
    expand = [Sequential(*_conv(wide, 1), ReLU6())] if expansion > 1 else []
    body = Sequential(*expand, Sequential(*_conv(wide, 3, stride, groups=wide), ReLU6()), *_conv(channels, 1))
    return Residual(body) if stride == 1 and inputs == channels else body


def _conv(channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Module]:
    return [
        Conv2d(channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        BatchNorm(),
    ]
