"""What PyTorch calls the layers of a model.

Left to itself, a model is called as the torch.nn.Sequential that mirrors it: a module for every layer, and one more for
every activation, which here is part of the layer before it. Where everybody uses torchvision's classes, the names are
theirs; a family is what its top-level blocks are called, and what changes inside them.

    lenet       0.weight                  -> 0.weight          2.weight -> 3.weight      (1 was the ReLU, 2 the pool)
    resnet18    3.body.0.weight           -> layer1.0.conv1.weight
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..core.errors import UsageError
from .flatten import Flatten
from .module import Module
from .sequential import Sequential


class Family(NamedTuple):
    """tops: the names of a model's blocks.   inner: beginnings of paths inside a block -> what stands for them."""

    tops: Callable[[Sequential], list[str]]
    inner: dict[str, str]


def mirrored(model: Sequential) -> list[str]:
    """The places of the blocks in a torch.nn.Sequential in which activations are modules."""
    names, place = [], 0
    for block in model.blocks:
        names.append(str(place))
        # a container's own activation has no place: a residual block is one module in PyTorch too
        place += 2 if getattr(block, "activation", None) and not block.children() else 1
    return names


def _resnet(*depths: int) -> Callable[[Sequential], list[str]]:
    blocks = [f"layer{stage}.{i}" for stage, depth in enumerate(depths, 1) for i in range(depth)]
    return lambda model: ["conv1", "bn1", "maxpool", *blocks, "avgpool", "fc"]


def _vgg(model: Sequential) -> list[str]:
    names = mirrored(model)
    flat = next(i for i, block in enumerate(model.blocks) if isinstance(block, Flatten))
    start = int(names[flat]) + 1
    return [
        *(f"features.{name}" for name in names[:flat]),
        "",
        *(f"classifier.{int(n) - start}" for n in names[flat + 1 :]),
    ]


def _mobilenet_v2(model: Sequential) -> list[str]:
    last = len(model) - 4  # the 1x1 convolution; behind it pool, dropout, dense
    inside = [f"features.{i}.conv" for i in range(1, last)]
    return ["features.0", *inside, f"features.{last}", "", "classifier.0", "classifier.1"]


RESNET = {f"body.{2 * i}": f"conv{i + 1}" for i in range(3)} | {f"body.{2 * i + 1}": f"bn{i + 1}" for i in range(3)}
RESNET |= {"shortcut": "downsample"}

FAMILIES = {
    "resnet18": Family(_resnet(2, 2, 2, 2), RESNET),
    "resnet50": Family(_resnet(3, 4, 6, 3), RESNET),
    "vgg16": Family(_vgg, {}),
    "mobilenet-v2": Family(_mobilenet_v2, {"body": ""}),
}


def torch_path(model: Sequential, path: str, family: str = "") -> str:
    """What PyTorch calls the layer at `path` in `model`; UsageError where the model is not of that family."""
    if family not in FAMILIES:
        return _mirrored_path(model, path)
    names, inner = FAMILIES[family].tops(model), FAMILIES[family].inner
    if len(names) != len(model):
        raise UsageError(f"a {family} has {len(names)} blocks, this model has {len(model)}")
    top, _, rest = path.partition(".")
    start = next((s for s in inner if rest == s or rest.startswith(s + ".")), "")
    return join(names[int(top)], inner.get(start, ""), rest[len(start) :].lstrip("."))


def _mirrored_path(module: Module, path: str) -> str:
    if not path:
        return ""
    first, _, rest = path.partition(".")
    name = mirrored(module)[int(first)] if isinstance(module, Sequential) else first
    return join(name, _mirrored_path(dict(module.children())[first], rest))


def join(*parts: str) -> str:
    """A dotted path of the parts that are not empty."""
    return ".".join(filter(None, parts))
