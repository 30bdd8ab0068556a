"""tcn: a class for a sequence by convolutions that look back only, each level twice as far as the one before.

After Bai, Kolter, Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling"
(arXiv 1803.01271), without their weight normalisation.
"""

from __future__ import annotations

from ...core.shape import Shape, prod
from ..conv1d import Conv1d
from ..dropout import Dropout
from ..last import Last
from ..linear import Linear
from ..reshape import Reshape
from ..residual import Residual
from ..sequential import Sequential


def tcn(
    shape: Shape, classes: int = 10, width: int = 64, depth: int = 4, kernel: int = 3, dropout: float = 0.1
) -> Sequential:
    """`depth` residual blocks of dilation 1, 2, 4, ... - last step - dense; (T, C), or an image read row by row; 28x28x1, batch 128.

    The last step sees 1 + 2 * (kernel - 1) * (2^depth - 1) steps back.
    """
    inputs = prod(shape[1:])
    blocks = [_level(inputs if level == 0 else width, width, kernel, 1 << level, dropout) for level in range(depth)]
    return Sequential(Reshape(shape[0], inputs), *blocks, Last(), Linear(classes))


def _level(inputs: int, width: int, kernel: int, dilation: int, dropout: float) -> Residual:
    body = Sequential(
        Conv1d(width, kernel, padding="causal", dilation=dilation, activation="relu"),
        Dropout(dropout),
        Conv1d(width, kernel, padding="causal", dilation=dilation, activation="relu"),
        Dropout(dropout),
    )
    return Residual(body, None if inputs == width else Conv1d(width, 1), activation="relu")
