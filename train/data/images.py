"""Folders of pictures: a folder is a class, a file is a sample, decoded by Pillow when it is read.

    FOLDER/train/CLASS/*.png  FOLDER/test/CLASS/*.png          or FOLDER/CLASS/*.png, divided by data.test_fraction

Classes are numbered in the order of their names. Pictures have one channel or three, as the first one has, and one size:
they are never resized in silence, because a picture of another shape among the others is more often a mistake than not.
With data.shape=[H,W,C] they are all resized (bilinear) and converted. Sizes are checked when a picture is read.
"""

from __future__ import annotations

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
    data = filled(data, classes=len(data.labels), shape=decode(found[0][0][0]).shape)
    if len(data.shape) != 3 or data.shape[2] not in MODES or min(data.shape) < 1:
        raise UsageError(f"data.shape = {list(data.shape)} is not that of a picture", "give [H,W,1] or [H,W,3]")
    digest = fingerprint([(str(path.relative_to(folder)), path) for paths, _ in found for path in paths])
    parts = [Part(Pictures(paths, data.shape, data.path), labels) for paths, labels in found]
    if not apart:
        parts = [parts[0]._replace(which=rows) for rows in divide(data.path, len(parts[0]), data.test_fraction)]
    return assemble(data.path, data, dtype, digest, *parts)


class Pictures:
    """(N, H, W, C) uint8."""

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: list[Path], shape: Shape, folder: str):
        self.paths, self.shape = paths, (len(paths), *shape)

    def __getitem__(self, indices: Any) -> np.ndarray:
        found = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for i, index in enumerate(indices):
            found[i] = decode(self.paths[index], self.shape[1:])
        return found


def decode(path: Path, shape: Shape = ()) -> np.ndarray:
    """The picture in a file, (H, W, C) uint8, resized and converted to `shape` if it is given.

    DataError for what is no picture, cut short, or not of 8 bits.
    """
    image = pillow()
    try:
        with image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits a pixel (mode {picture.mode})", "convert it to 8 bits")
            channels = shape[2] if shape else 1 if picture.mode in ("1", "L", "LA") else 3
            made = picture.convert(MODES[channels])
            if shape and made.size != (shape[1], shape[0]):
                made = made.resize((shape[1], shape[0]), image.Resampling.BILINEAR)
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


def _classes(root: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}", "data.path=FOLDER with a folder for each class") from error


def _files(root: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """The pictures of a part in the order of their names, and their labels (N,) int64."""
    paths: list[Path] = []
    counts = []
    if not classes or set(found := _classes(root)) - set(classes):
        what = f"folders {sorted(set(found) - set(classes))} that are none of the classes" if classes else "no folder"
        raise DataError(f"{root} holds {what} {list(classes)}", "data.path=FOLDER with a folder for each class")
    for name in classes:
        inside = sorted(path for path in (root / name).glob("*") if path.suffix.lower() in ENDINGS)
        if not inside and name in found:
            raise DataError(f"{root / name} holds no picture", f"remove it, or put {', '.join(sorted(ENDINGS))} files there")
        paths += inside
        counts.append(len(inside))
    return paths, np.repeat(np.arange(len(classes)), counts)
