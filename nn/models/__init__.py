"""Models by name: each is a function (classes) -> Sequential, a plain list of blocks one can read."""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import UsageError
from ...core.shape import Shape
from ..sequential import Sequential
from .digits_cnn import digits_cnn
from .lenet import lenet
from .mlp import mlp

MODELS: dict[str, Callable[..., Sequential]] = {"digits-cnn": digits_cnn, "lenet": lenet, "mlp": mlp}

__all__ = ["MODELS", "build", "digits_cnn", "lenet", "mlp"]


def build(name: str, shape: Shape, classes: int) -> Sequential:
    """The model `name` for samples of `shape`, checked to fit; UsageError for an unknown name or an unfit shape."""
    if name not in MODELS:
        raise UsageError(f'model "{name}" is not known', f"use one of {', '.join(MODELS)}")
    model = MODELS[name](classes)
    try:
        out = model.out_shape(shape)
    except UsageError as error:
        raise UsageError(f"{name} does not take samples of shape {shape}: {error.problem}", error.cure) from error
    if out != (classes,):
        raise UsageError(f"{name} gives {out} for samples of shape {shape}, not {classes} classes")
    return model
