"""PyTorch's weights in and out, as plain dicts of NumPy arrays under the names of a state_dict. torch is never imported.

A rule belongs to a kind of layer and says three things of each tensor: its name there, how its axes are turned, and which
axis counts the elements of a flattened image, because (H, W, C) is flattened in another order than (C, H, W). Every rule is
a permutation, so the way back is its inverse and is not written down.

    weight of        here             PyTorch
    Conv1d 2d 3d     (K, ..., C/G)    (K, C/G, ...)      transposed ones: (C, ..., K/G), (C, K/G, ...)
    Linear           (K, C)           (K, C), columns permuted behind a Flatten, rows before a Reshape to an image
    BatchNorm        and running_mean, running_var; num_batches_tracked is made, and ignored
    LSTM GRU RNN     weight_ih ...    weight_ih_l0 ...
    Attention        in_weight ...    in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..core.errors import UsageError
from ..core.shape import Shape, prod
from ..core.spec import Spec
from .activation import ReLU
from .attention import Attention
from .convolution import Convolution
from .dropout import Dropout
from .flatten import Flatten
from .linear import Linear
from .module import Module
from .recurrent import Recurrent
from .reshape import Reshape
from .sequential import Sequential
from .torch_names import join, torch_path

Arrays = Mapping[str, np.ndarray]
TRACKED = "num_batches_tracked"
CHANNELS_LAST = (Convolution,)
ORDERLESS = (ReLU, Dropout)  # what may stand between a Flatten and the layer that reads it


class Tensor(NamedTuple):
    """One tensor: its name here and there, and how it lies in memory.

    shape: here.   axes: theirs = ours.transpose(axes).   images: the (H, W, C) that axis 0, 1 is flattened from, or ().
    """

    ours: str
    theirs: str
    shape: Shape
    axes: tuple[int, ...]
    images: tuple[Shape, ...] = ()

    def outward(self, a: np.ndarray) -> np.ndarray:
        for axis, image in enumerate(self.images):
            a = np.take(a, _channels_first(image), axis) if image else a
        return np.ascontiguousarray(a.transpose(self.axes))

    def inward(self, a: np.ndarray) -> np.ndarray:
        a = a.transpose(np.argsort(self.axes))
        for axis, image in enumerate(self.images):
            a = np.take(a, np.argsort(_channels_first(image)), axis) if image else a
        return np.ascontiguousarray(a)

    @property
    def their_shape(self) -> Shape:
        return tuple(self.shape[axis] for axis in self.axes)


def to_torch(model: Sequential, shape: Shape, arrays: Arrays, family: str = "") -> dict[str, np.ndarray]:
    """A state_dict of `model` for samples of `shape`, from its weights and buffers under their own names.

    family: the model's name in nn.models, for torchvision's names where it has them.   UsageError for missing arrays.
    """
    found: dict[str, np.ndarray] = {}
    table = tensors(model, shape, family)
    owner = {spec.name: spec.alias_of or spec.name for spec in model.specs(shape)}
    compare({t.ours: t.shape for t in table if owner[t.ours] == t.ours}, arrays)
    for tensor in table:
        found[tensor.theirs] = tensor.outward(np.asarray(arrays[owner[tensor.ours]]))
        if tensor.theirs.endswith("running_var"):
            found[tensor.theirs.replace("running_var", TRACKED)] = np.zeros((), np.int64)
    return found


def from_torch(
    model: Sequential, shape: Shape, state: Arrays, family: str = "", fresh: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Weights and buffers of `model` under their own names, from a state_dict.

    fresh: blocks or tensors of ours that the state_dict need not fit.   UsageError that lists what is missing,
    unexpected or of another shape.
    """
    table = [t for t in tensors(model, shape, family) if not covers(fresh, t.ours)]
    ignored = {t.theirs for t in tensors(model, shape, family) if covers(fresh, t.ours)}
    aliases = {spec.name for spec in model.specs(shape) if spec.alias_of}
    ignored |= {t.theirs for t in table if t.ours in aliases}
    given = {name: a for name, a in state.items() if not name.endswith(TRACKED) and name not in ignored}
    compare({t.theirs: t.their_shape for t in table if t.ours not in aliases}, given)
    return {t.ours: t.inward(np.asarray(state[t.theirs])) for t in table if t.ours not in aliases}


def compare(expected: Mapping[str, Shape], given: Arrays) -> None:
    """UsageError that lists the names and shapes in which the two differ."""
    missing = [f"{name} {expected[name]}" for name in expected if name not in given]
    unexpected = [f"{name} {given[name].shape}" for name in given if name not in expected]
    both = [name for name in expected if name in given and given[name].shape != expected[name]]
    wrong = [f"{name} is {given[name].shape}, the model has {expected[name]}" for name in both]
    lists = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    if found := [f"{len(names)} {what}: {_few(names)}" for what, names in lists.items() if names]:
        raise UsageError("these weights are not the model's: " + "; ".join(found))


def covers(names: Collection[str], tensor: str) -> bool:
    """Whether one of these names is the tensor's or of a block that it is in."""
    return any(tensor == name or tensor.startswith(name + ".") for name in names)


def tensors(model: Sequential, shape: Shape, family: str = "") -> list[Tensor]:
    """Every weight and buffer of the model with its place in PyTorch, in the model's order."""
    return [
        _tensor(path, torch_path(model, path, family), layer, spec, images)
        for path, layer, inputs, images in _layers(model, shape)
        for spec in layer.specs(inputs)
        if spec.role != "statistic"
    ]


def _tensor(path: str, theirs: str, layer: Module, spec: Spec, images: tuple[Shape, Shape]) -> Tensor:
    axes, leaf = tuple(range(len(spec.shape))), spec.name
    if isinstance(layer, CHANNELS_LAST) and spec.name == "weight":
        axes = (0, axes[-1], *axes[1:-1])
    elif isinstance(layer, Recurrent):
        leaf += "_l0"
    elif isinstance(layer, Attention):
        part, _, kind = spec.name.partition("_")
        leaf = f"in_proj_{kind}" if part == "in" else f"out_proj.{kind}"
    flattened = images[: len(axes)] if isinstance(layer, Linear) else ()
    return Tensor(join(path, spec.name), join(theirs, leaf), spec.shape, axes, flattened)


Leaf = tuple[str, Module, Shape, tuple[Shape, Shape]]


def _layers(module: Module, shape: Shape, images: tuple[Shape, Shape] = ((), ())) -> Iterator[Leaf]:
    """(path, layer, shape of its input, the images that its output and its input are flattened from) of every leaf."""
    if not isinstance(module, Sequential):
        for name, child in module.children():
            yield from _under(name, _layers(child, shape))
        if not module.children():
            yield "", module, shape, images
        return
    image: Shape = ()
    for i, block in enumerate(module.blocks):
        ahead = next((b for b in module.blocks[i + 1 :] if not isinstance(b, ORDERLESS)), None)
        rows = ahead.shape if isinstance(ahead, Reshape) and len(ahead.shape) == 3 else ()
        yield from _under(str(i), _layers(block, shape, (rows, image)))
        if isinstance(block, Flatten):
            image = shape if len(shape) == 3 else ()
        elif not isinstance(block, ORDERLESS):
            image = ()
        shape = block.out_shape(shape)


def _under(name: str, leaves: Iterator[Leaf]) -> Iterator[Leaf]:
    return ((join(name, path), layer, shape, images) for path, layer, shape, images in leaves)


def _channels_first(image: Shape) -> np.ndarray:
    """Where each element of a flattened (C, H, W) lies in a flattened (H, W, C)."""
    return np.arange(prod(image)).reshape(image).transpose(2, 0, 1).reshape(-1)


def _few(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
