"""Folders of pictures: a folder is a class, a file is a sample, decoded by Pillow when it is read.

    FOLDER/train/CLASS/*.png  FOLDER/test/CLASS/*.png          or FOLDER/CLASS/*.png, divided by data.test_fraction

Classes are numbered in the order of their names. Pictures have one channel or three, as the first one has or data.shape
says, and one size: they are never resized in silence, because one of another size is more often a mistake than not.
With data.size=[H,W] all are resized (bilinear). A picture's size is checked when it is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError, PlatformError, UsageError
from ...core.shape import Shape
from ..config import Data
from .assembly import Part, assemble
from .dataset import Dataset
from .division import divide
from .fingerprint import fingerprint
from .scaling import filled

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"))
MODES = {1: "L", 3: "RGB"}


def open_images(data: Data, dtype: np.dtype) -> Dataset:
    pillow()
    folder = Path(data.path)
    apart = (folder / "train").is_dir()
    roots = [folder / "train", folder / "test"] if apart else [folder]
    data = filled(data, labels=_classes(roots[0]))
    found = [_files(root, data.labels) for root in roots]
    shape = _shape(data, decode(found[0][0][0]).shape)
    data = filled(data, classes=len(data.labels))
    digest = fingerprint([(str(path.relative_to(folder)), path) for paths, _ in found for path in paths])
    parts = [Part(Pictures(paths, shape, bool(data.size)), labels) for paths, labels in found]
    if not apart:
        parts = [replace(parts[0], which=rows) for rows in divide(data.path, len(parts[0]), data.test_fraction)]
    return assemble(data.path, data, dtype, digest, *parts)


class Pictures:
    """(N, H, W, C) uint8."""

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: list[Path], shape: Shape, resize: bool):
        self.paths, self.shape, self.resize = paths, (len(paths), *shape), resize

    def __getitem__(self, indices: Any) -> np.ndarray:
        found = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for i, index in enumerate(indices):
            made = decode(self.paths[index], self.shape[3], self.shape[1:3] if self.resize else ())
            if made.shape != self.shape[1:]:
                (h, w), (others_h, others_w) = made.shape[:2], self.shape[1:3]
                problem = f"{self.paths[index]} is {h} x {w} pixels, others are {others_h} x {others_w}"
                raise DataError(problem, f"make all of one size, or resize them: data.size={others_h},{others_w}")
            found[i] = made
        return found


def decode(path: Path, channels: int = 0, size: Shape = ()) -> np.ndarray:
    """The picture in a file, (H, W, C) uint8, converted to 1 or 3 channels and resized to (H, W) if told.

    DataError for what is no picture, cut short, or not of 8 bits.
    """
    image = pillow()
    try:
        with image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits a pixel (mode {picture.mode})", "convert it to 8 bits")
            channels = channels or (1 if picture.mode in ("1", "L", "LA") else 3)
            made = picture.convert(MODES[channels])
            if size and made.size != size[::-1]:
                made = made.resize(size[::-1], image.Resampling.BILINEAR)
            return np.asarray(made, np.uint8).reshape(made.size[1], made.size[0], channels)
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a sound picture: {error}", "remove it, or copy it again") from error


def pillow() -> Any:
    """PIL.Image; PlatformError where it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise PlatformError("pictures need Pillow, which is not installed", "pip install 'shoal[images]'") from error
    return Image


def _shape(data: Data, first: Shape) -> Shape:
    """Of every picture: the first one's, but for what data.size and the channels of data.shape say."""
    size, channels = data.size or first[:2], data.shape[-1] if data.shape else first[2]
    if len(data.size) not in (0, 2) or min(size) < 1:
        raise UsageError(f"data.size = {list(data.size)} is not a height and a width", "data.size=[32,32], for example")
    if channels not in MODES or data.shape not in ((), (*size, channels)):
        problem = f"data.shape = {list(data.shape)}, but pictures are {size[0]} x {size[1]} pixels of 1 or 3 channels"
        raise UsageError(problem, "data.size=[H,W] resizes them")
    return (*size, channels)


def _classes(root: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    except OSError as error:
        cure = "data.path=FOLDER with a folder for each class"
        raise DataError(f"{root} cannot be read: {error.strerror}", cure) from error


def _files(root: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """The pictures of a part in the order of their names, and their labels (N,) int64."""
    found = _classes(root)
    if not found or set(found) - set(classes):
        raise DataError(
            f"{root} holds the folders {list(found)}, classes are {list(classes)}",
            "data.path=FOLDER with a folder for each class, in its part for training and in that for the test",
        )
    paths = [sorted(p for p in (root / name).glob("*") if p.suffix.lower() in ENDINGS) for name in classes]
    for name, inside in zip(classes, paths, strict=True):
        if not inside and name in found:
            cure = f"remove it, or put {', '.join(sorted(ENDINGS))} files there"
            raise DataError(f"{root / name} holds no picture", cure)
    return [path for inside in paths for path in inside], np.repeat(np.arange(len(classes)), [*map(len, paths)])
