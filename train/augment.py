"""Augmentation: what is done to a training sample is a function of (seed, epoch, the sample's global index) alone.

    x = noise(cutout(flip(crop(x))))          the kinds that data.augment lists, in this order whatever the list's

    crop     shifted by up to `pad` pixels each way, zeros (the mean) where nothing was    He et al. 2016 (1512.03385)
    flip     left and right exchanged, in one of two cases
    cutout   zeros in a square of side `cutout` around any pixel    DeVries, Taylor 2017 (1708.04552)
    noise    + noise * n, n normal, for every value

Random bits are Philox's at key (seed, "augment", kind), counter (step = epoch, sample), so that any rank count, share
or order of reading gives the same pixels, and a resumed run those of the run that was cut. A split does not know the
epoch; whoever announces an epoch's batches does, and asks for the split of that epoch. Where the target is the input,
it moves with crop and flip, and is what cutout and noise have not touched: the network learns to undo them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import UsageError
from ..core.random import key
from ..core.shape import Shape, prod
from ..kernels import ops
from .config import Data

if TYPE_CHECKING:
    from .data.dataset import Split

NUMBER = {"crop": "pad", "cutout": "cutout", "noise": "noise"}  # kind -> the setting that only it has


def augmented(split: Split, data: Data, seed: int, epoch: int) -> Split:
    """The split as the epoch sees it; the split itself where nothing is changed."""
    return Augmented(split, data, seed, epoch) if data.augment else split


def check(data: Data, shape: Shape) -> None:
    """UsageError where samples of this shape cannot be changed so, or a number is given without its kind."""
    for kind, number in NUMBER.items():
        if kind not in data.augment and getattr(data, number) != getattr(Data, number):
            cure = f"data.augment={','.join((*data.augment, kind))}"
            raise UsageError(f'data.{number} without "{kind}" in data.augment', cure)
    for kind in data.augment:
        if kind == "noise":
            continue
        if len(shape) != 3:
            problem = f'data.augment: "{kind}" needs samples (H, W, C), these are {shape}'
            raise UsageError(problem, 'only "noise" takes any shape')
        if kind in NUMBER and getattr(data, NUMBER[kind]) > min(shape[:2]):
            problem = f"data.{NUMBER[kind]} = {getattr(data, NUMBER[kind])} is larger than samples of {shape}"
            raise UsageError(problem, f"give at most {min(shape[:2])}")


@dataclass(frozen=True)
class Augmented:
    """A split, changed as `data` says, in one epoch."""

    split: Split
    data: Data
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.split)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, target = self.split.read(indices)
        kinds = self.data.augment
        if "crop" in kinds:
            x = crop(x, self._bits("crop", indices, 2), self.data.pad)
        if "flip" in kinds:
            x = flip(x, self._bits("flip", indices, 1))
        if self.data.target == "input":
            target = x.copy()
        if "cutout" in kinds:
            cut_out(x, self._bits("cutout", indices, 2), self.data.cutout)
        if "noise" in kinds:
            size = prod(x.shape[1:])
            add_noise(x, self._bits("noise", indices, size + size % 2), self.data.noise)
        return x, target

    def _bits(self, kind: str, indices: np.ndarray, elements: int) -> np.ndarray:
        # the reference's bits, as every backend's; this runs beside the trainer, whose kernels are to have the threads
        return ops.random_bits(indices, key(self.seed, "augment", kind), self.epoch, elements, backend="reference")


def below(bits: np.ndarray, n: int) -> np.ndarray:
    """Integers in 0 .. n - 1: floor(bits * n / 2^32)."""
    return (bits.astype(np.int64) * n) >> 32


def crop(x: np.ndarray, bits: np.ndarray, pad: int) -> np.ndarray:
    """y[i,h,w] = x[i, h + a, w + b], zeros outside;  a, b in -pad .. pad.   x: (N, H, W, C)   bits: (N, 2)"""
    y = np.zeros_like(x)
    for i, shifts in enumerate((below(bits, 2 * pad + 1) - pad).tolist()):
        to = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shifts, x.shape[1:3], strict=True))
        of = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shifts, x.shape[1:3], strict=True))
        y[i][to] = x[i][of]
    return y


def flip(x: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """y[i,h,w] = x[i, h, W - 1 - w] where the highest bit is set.   x: (N, H, W, C)   bits: (N, 1)"""
    return np.where((bits >> 31 == 1)[:, :, None, None], x[:, :, ::-1], x)


def cut_out(x: np.ndarray, bits: np.ndarray, side: int) -> None:
    """x[i, a : a + side, b : b + side] = 0, its middle at any pixel.   x: (N, H, W, C)   bits: (N, 2)"""
    for i in range(len(x)):
        square = []
        for word, n in zip(bits[i], x.shape[1:3], strict=True):
            start = int(below(word, n)) - side // 2
            square.append(slice(max(0, start), start + side))
        x[i][tuple(square)] = 0


def add_noise(x: np.ndarray, bits: np.ndarray, deviation: float) -> None:
    """x[i,e] += deviation * n, by Box and Muller's formula (ops.fill_normal), in x's precision.   bits: (N, even)"""
    u, v = ((bits.reshape(len(x), -1, 2) + 0.5) / 2**32).transpose(2, 0, 1).astype(x.dtype)
    radius, angle = x.dtype.type(deviation) * np.sqrt(-2 * np.log(u)), x.dtype.type(2 * np.pi) * v
    n = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).reshape(len(x), -1)
    x += n[:, : prod(x.shape[1:])].reshape(x.shape)
