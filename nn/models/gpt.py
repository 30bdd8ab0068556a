"""gpt: a small transformer that says the next token at every position.

After Radford et al. 2019, "Language models are unsupervised multitask learners": normalisation before each branch, learned
positions, GELU, and one table for tokens in and tokens out.
"""

from __future__ import annotations

from ...core.shape import Shape
from ..activation import GELU
from ..attention import Attention
from ..dropout import Dropout
from ..embedding import Embedding, Positions
from ..group_norm import LayerNorm
from ..linear import Linear
from ..residual import Residual
from ..sequential import Sequential


def gpt(
    shape: Shape, classes: int = 65, width: int = 128, depth: int = 4, heads: int = 4, dropout: float = 0.1
) -> Sequential:
    """embedding and positions - `depth` times attention and two dense layers, each a residual - dense; (T,) tokens; 64, batch 64."""
    blocks = [block for _ in range(depth) for block in (_attend(heads, dropout), _think(width, dropout))]
    return Sequential(
        Embedding(classes, width, deviation=0.02),
        Positions(shape[0]),
        Dropout(dropout),
        *blocks,
        LayerNorm(),
        Linear(classes, bias=False),
        tie={f"{4 + 2 * depth}.weight": "0.weight"},
    )


def _attend(heads: int, dropout: float) -> Residual:
    return Residual(Sequential(LayerNorm(), Attention(heads, causal=True), Dropout(dropout)))


def _think(width: int, dropout: float) -> Residual:
    return Residual(Sequential(LayerNorm(), Linear(4 * width), GELU(), Linear(width), Dropout(dropout)))
