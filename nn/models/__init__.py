"""Models by name: each is a function that returns a Sequential, a plain list of blocks one can read.

A function's parameters are the whole description of its choices: `shape` and `classes` come from the data, the rest are
options with defaults, and `build` checks names and types of options against the signature, so no model repeats it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ...core.errors import UsageError, nearest
from ...core.shape import Shape
from ..sequential import Sequential
from .autoencoder import autoencoder
from .conv_autoencoder import conv_autoencoder
from .digits_cnn import digits_cnn
from .gpt import gpt
from .lenet import lenet
from .lstm import lstm, lstm_lm
from .mlp import mlp
from .mobilenet import mobilenet, mobilenet_v1, mobilenet_v2
from .resnet import resnet18, resnet20, resnet50
from .tcn import tcn
from .unet import unet
from .vgg import vgg11, vgg16

Task = Literal["classify", "label positions", "reconstruct"]


@dataclass(frozen=True)
class Entry:
    """One model of the table.

    shape, classes: of the data it was made for; others may fit as well.   tokens: samples are int64, below classes.
    task: "classify" gives (classes,) a sample, "label positions" (T, classes) or (H, W, classes), "reconstruct" the
    shape of the sample.
    """

    make: Callable[..., Sequential]
    shape: Shape
    classes: int = 10
    task: Task = "classify"
    tokens: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """{name: default} of what a user may choose."""
        parameters = inspect.signature(self.make).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in ("shape", "classes")}

    def output(self, shape: Shape, classes: int) -> Shape:
        """What the model must give for samples of `shape`."""
        if self.task == "reconstruct":
            return shape
        positions = () if self.task == "classify" else shape if self.tokens else shape[:-1]
        return (*positions, classes)


MODELS: dict[str, Entry] = {
    "mlp": Entry(mlp, (28, 28, 1)),
    "lenet": Entry(lenet, (28, 28, 1)),
    "digits-cnn": Entry(digits_cnn, (8, 8, 1)),
    "resnet20": Entry(resnet20, (32, 32, 3)),
    "resnet18": Entry(resnet18, (224, 224, 3), 1000),
    "resnet50": Entry(resnet50, (224, 224, 3), 1000),
    "vgg11": Entry(vgg11, (32, 32, 3)),
    "vgg16": Entry(vgg16, (224, 224, 3), 1000),
    "mobilenet": Entry(mobilenet, (32, 32, 3)),
    "mobilenet-v1": Entry(mobilenet_v1, (224, 224, 3), 1000),
    "mobilenet-v2": Entry(mobilenet_v2, (224, 224, 3), 1000),
    "unet": Entry(unet, (128, 128, 3), 2, task="label positions"),
    "lstm": Entry(lstm, (28, 28, 1)),
    "lstm-lm": Entry(lstm_lm, (64,), 65, task="label positions", tokens=True),
    "gpt": Entry(gpt, (64,), 65, task="label positions", tokens=True),
    "tcn": Entry(tcn, (28, 28, 1)),
    "autoencoder": Entry(autoencoder, (28, 28, 1), task="reconstruct"),
    "conv-autoencoder": Entry(conv_autoencoder, (28, 28, 1), task="reconstruct"),
}

__all__ = ["MODELS", "Entry", "Task", "build", "digits_cnn", "find", "lenet", "mlp", "resnet20"]


def build(name: str, shape: Shape, classes: int, tokens: bool | None = None, **options: Any) -> Sequential:
    """The model `name` for samples of `shape`, checked to fit; UsageError for an unknown name or option, or an unfit shape.

    tokens: whether the samples are int64, where that is known.
    """
    entry = find(name)
    if tokens not in (None, entry.tokens):
        kinds = ("real values", "tokens (int64)")
        fitting = ", ".join(other for other in MODELS if MODELS[other].tokens == tokens)
        raise UsageError(
            f"{name} takes {kinds[entry.tokens]}, the samples are {kinds[bool(tokens)]}", f"use one of {fitting}"
        )
    _check(name, entry.options, options)
    given = {"shape": shape, "classes": classes}
    wanted = {key: given[key] for key in inspect.signature(entry.make).parameters if key in given}
    try:
        model = entry.make(**wanted, **options)
        out = model.out_shape(shape)
    except UsageError as error:
        cure = "; ".join([error.cure] * bool(error.cure) + [_described(entry)])
        raise UsageError(f"{name} does not take samples of shape {shape}: {error.problem}", cure) from error
    if out != entry.output(shape, classes):
        expected = entry.output(shape, classes)
        task = entry.task if entry.task == "reconstruct" else f"{entry.task}, {classes} classes"
        problem = f"{name} gives {out} for samples of shape {shape}, not {expected} ({task})"
        raise UsageError(problem, _described(entry))
    return model


def find(name: str) -> Entry:
    if name not in MODELS:
        raise UsageError(f'model "{name}" is not known', f"{nearest(name, list(MODELS))} (models: {', '.join(MODELS)})")
    return MODELS[name]


def _described(entry: Entry) -> str:
    """What a model consists of and takes, by its docstring."""
    return f"its blocks: {(inspect.getdoc(entry.make) or 'not described').splitlines()[0]}"


def _check(name: str, known: dict[str, Any], options: dict[str, Any]) -> None:
    """Every option exists, has the type of its default, and a number counts at least one of something."""
    for key, value in options.items():
        if key not in known:
            cure = f"{nearest(key, list(known))} (options: {', '.join(known)})" if known else "it has no options"
            raise UsageError(f"{name} has no option {key}", cure)
        wanted = type(known[key])
        if not (type(value) is wanted or (wanted is float and type(value) is int)):
            raise UsageError(
                f"{name}: {key} = {value!r} is not like its default {known[key]!r}", f"give {key} as {wanted.__name__}"
            )
        if wanted is int and value < 1:
            raise UsageError(f"{name}: {key} = {value} must be at least 1", f"the default is {known[key]}")
