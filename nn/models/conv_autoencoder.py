"""conv-autoencoder: convolutions that halve the image and transposed ones that bring it back."""

from __future__ import annotations

from ...core.shape import Shape
from ..conv2d import Conv2d
from ..conv_transpose import ConvTranspose2d
from ..sequential import Sequential


def conv_autoencoder(shape: Shape, width: int = 16, code: int = 8) -> Sequential:
    """conv3x3/2 16 - conv3x3/2 32 - conv1x1 to `code` channels, and back, ReLU; H and W are multiples of 4; 28x28x1, batch 128.

    After Masci, Meier, Cireşan, Schmidhuber 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction" (ICANN).
    """
    return Sequential(
        Conv2d(width, 3, stride=2, padding=1, activation="relu"),
        Conv2d(2 * width, 3, stride=2, padding=1, activation="relu"),
        Conv2d(code, 1),
        ConvTranspose2d(2 * width, 3, stride=2, padding=1, output_padding=1, activation="relu"),
        ConvTranspose2d(width, 3, stride=2, padding=1, output_padding=1, activation="relu"),
        Conv2d(shape[-1], 3, padding=1),
    )
