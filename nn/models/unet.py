"""unet: a class for every pixel; what is seen at each scale going down is put by and joined going up.

After Ronneberger, Fischer, Brox 2015, "U-Net: convolutional networks for biomedical image segmentation" (MICCAI), with "same" padding and
batch normalisation, as it is built today.
"""

from __future__ import annotations

from ..batch_norm import BatchNorm
from ..conv2d import Conv2d
from ..conv_transpose import ConvTranspose2d
from ..module import Module
from ..pooling import MaxPool2d
from ..sequential import Sequential
from ..stash import Pop, Stash


def unet(classes: int = 2, width: int = 64, depth: int = 4) -> Sequential:
    """`depth` halvings from `width` channels, twice as many each time, and back; H and W are multiples of 2^depth; 128x128x3, batch 16."""
    down: list[Module] = []
    up: list[Module] = []
    for level in range(depth):
        channels, skip = width << level, f"level{level}"
        down += [*_double(channels), Stash(skip), MaxPool2d(2)]
        up = [ConvTranspose2d(channels, 2, stride=2), Pop(skip, channels), *_double(channels), *up]
    return Sequential(*down, *_double(width << depth), *up, Conv2d(classes, 1))


def _double(channels: int) -> list[Module]:
    """Twice: conv3x3 - BN - ReLU."""
    return [
        Conv2d(channels, 3, padding=1, bias=False),
        BatchNorm(activation="relu"),
        Conv2d(channels, 3, padding=1, bias=False),
        BatchNorm(activation="relu"),
    ]
