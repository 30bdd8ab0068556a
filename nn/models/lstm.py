"""Recurrent models: a class for a sequence, or the next token for every position of one.

After Hochreiter and Schmidhuber 1997, "Long short-term memory" (Neural Computation 9), and Zaremba, Sutskever, Vinyals 2014, "Recurrent
neural network regularization" (arXiv 1409.2329): dropout between layers, never along time.
"""

from __future__ import annotations

from ...core.shape import Shape, prod
from ..dropout import Dropout
from ..embedding import Embedding
from ..linear import Linear
from ..recurrent import LSTM
from ..reshape import Reshape
from ..sequential import Sequential


def lstm(shape: Shape, classes: int = 10, width: int = 128, depth: int = 1) -> Sequential:
    """`depth` LSTM layers, the state after the last step - dense; (T, C), or an image read row by row; 28x28x1, batch 128."""
    return Sequential(
        Reshape(shape[0], prod(shape[1:])),
        *(LSTM(width) for _ in range(depth - 1)),
        LSTM(width, sequence=False),
        Linear(classes),
    )


def lstm_lm(classes: int = 65, width: int = 128, depth: int = 2, dropout: float = 0.1) -> Sequential:
    """embedding - `depth` times dropout and LSTM - dropout - dense: the next token at every position; (T,) tokens; 64, batch 64."""
    layers = [block for _ in range(depth) for block in (Dropout(dropout), LSTM(width))]
    return Sequential(Embedding(classes, width), *layers, Dropout(dropout), Linear(classes))
