"""The shapes that networks are made of: found by walking the model zoo, so that no list of layers is typed and none forgotten.

What the zoo does not have (a transformer of BERT's size, a recommendation model) is its widths.
"""

from itertools import pairwise
from typing import NamedTuple

from shoal.core.shape import Window, prod
from shoal.nn import Conv2d, Linear, Residual, Sequential, models

BATCHES = (1, 8, 64)
DENSE = ("lenet", "vgg16", "resnet50")
CONVOLUTIONAL = ("resnet50", "vgg16", "mobilenet-v1", "mobilenet", "resnet20", "lenet")  # three of 224 pixels
TRANSFORMER = ((768, 768), (768, 2304), (768, 3072), (3072, 768))  # BERT base: projections, feed-forward
DLRM = ((13, 512, 256, 64), (479, 1024, 1024, 512, 256, 1))  # of the data, and of the interactions (MLPerf's sizes)
SQUARES = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)


class Product(NamedTuple):
    """C = A B of `heads` products, A (M, K), B (K, N), transposed in memory where trans has a T."""

    m: int
    n: int
    k: int
    trans: str
    heads: int = 1


class Convolution(NamedTuple):
    """Of one sample x (H, W, C) to `channels` outputs."""

    x: tuple
    channels: int
    window: Window
    groups: int

    @property
    def y(self):
        return *self.window.out(*self.x[:2]), self.channels

    @property
    def flops(self):
        return 2 * prod(self.y) * prod(self.window.kernel) * self.x[2] // self.groups

    def __str__(self):
        size, (r, s), stride = "x".join(map(str, self.x)), self.window.kernel, self.window.stride[0]
        words = f"{size} to {self.channels}, {r}x{s}" + f"/{stride}" * (stride > 1)
        return words + f", {self.groups} groups" * (self.groups > 1)


def layers(block, shape):
    """(layer, shape of one sample before it) of all layers in a network."""
    match block:
        case Sequential():
            for _, child in block.children():
                yield from layers(child, shape)
                shape = child.out_shape(shape)
        case Residual():
            for _, branch in block.children():
                yield from layers(branch, shape)
        case _:
            yield block, shape


def of(network):
    entry = models.find(network)
    return layers(models.build(network, entry.shape, entry.classes), entry.shape)


def convolutions():
    """{Convolution: the first network that has it}"""
    found = {}
    for network in CONVOLUTIONAL:
        for layer, shape in of(network):
            if isinstance(layer, Conv2d):
                found.setdefault(Convolution(shape, layer.channels, layer.window, layer.groups), network)
    return found


def products():
    """{Product: the first network that has it}"""
    dense = [(network, *one, BATCHES) for network in DENSE for one in _widths(network)]
    dense += [("transformer", *one, (128, 1024)) for one in TRANSFORMER]
    dense += [("DLRM", *one, (8, 64, 2048)) for widths in DLRM for one in pairwise(widths)]
    found = {}
    for network, inputs, outputs, batches in dense:
        for batch in batches:
            found.setdefault(Product(batch, outputs, inputs, "NT"), network)
            if inputs != DLRM[0][0]:  # a gradient of the data is never asked for
                found.setdefault(Product(batch, inputs, outputs, "NN"), network)
            found.setdefault(Product(outputs, inputs, batch, "TN"), network)
    heads = {Product(128, 128, 64, "NT", 12): "attention", Product(128, 64, 128, "NN", 12): "attention"}
    return found | heads


def _widths(network):
    return [(shape[-1], layer.features) for layer, shape in of(network) if isinstance(layer, Linear)]
