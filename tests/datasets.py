"""Tiny data sets in every format, written by the tests themselves; each function returns the configuration that opens it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal.train.config import Data

CIFAR = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
TEXT = "the quick brown fox jumps over the lazy dog; " * 12


def images(count: int, shape: tuple[int, ...] = (8, 8), classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """(x (count, *shape) uint8, y (count,) int64): a bright quarter for each class, which can be learnt."""
    y = np.arange(count) % classes
    x = np.random.default_rng(count).integers(0, 60, (count, *shape))
    h, w = shape[0] // 2, shape[1] // 2
    for i, k in enumerate(y):
        x[i, h * (k // 2 % 2) : h * (k // 2 % 2) + h, w * (k % 2) : w * (k % 2) + w] += 150
    return x.astype(np.uint8), y


def cifar10(folder: Path) -> Data:
    """Three records a file, of every class in turn."""
    for number, name in enumerate(CIFAR):
        x, y = np.random.default_rng(number).integers(0, 256, (3, 3072)), (3 * number + np.arange(3)) % 10
        np.concatenate((y[:, None], x), axis=1).astype(np.uint8).tofile(folder / name)
    return Data("cifar10", str(folder))


def arrays() -> dict[str, np.ndarray]:
    (x, y), (x_test, y_test) = images(40), images(12)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


def npz(folder: Path) -> Data:
    np.savez(folder / "a.npz", **arrays())
    return Data("npz", str(folder / "a.npz"))


def npz_compressed(folder: Path) -> Data:
    np.savez_compressed(folder / "c.npz", **arrays())
    return Data("npz", str(folder / "c.npz"))


def npz_undivided(folder: Path) -> Data:
    """Real values by column, real targets, no test part."""
    rng = np.random.default_rng(1)
    np.savez(folder / "u.npz", x=np.asfortranarray(rng.normal(5, 2, (30, 6))), y=rng.normal(size=30))
    return Data("npz", str(folder / "u.npz"), test_fraction=0.3)


def hdf5(folder: Path) -> Data:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in arrays().items():
            file.create_dataset(f"part/{name}", data=array, chunks=(7, *array.shape[1:]) if array.ndim > 1 else None)
    return Data("hdf5", str(folder / "a.h5"), names=tuple(f"part/{name}" for name in arrays()))


def pictures(folder: Path, ending: str = "png") -> Data:
    """folder/{train,test}/{circle,square}/*.png, 6 x 5 pixels of three colours."""
    if not os.environ.get("CI"):
        pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    from PIL import Image

    rng = np.random.default_rng(2)
    for part, count in (("train", 5), ("test", 3)):
        for name in ("circle", "square"):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).save(folder / part / name / f"{i}.{ending}")
    return Data("images", str(folder))


def text(folder: Path) -> Data:
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    return Data("text", str(folder / "a.txt"), length=10)


def text_utf8(folder: Path) -> Data:
    (folder / "u.txt").write_text(TEXT.replace("o", "ö").replace("z", "日"), encoding="utf-8")
    return Data("text", str(folder / "u.txt"), length=10, stride=3)


def table(folder: Path, rows: int = 60) -> Path:
    t = np.arange(rows)
    lines = [f"{np.sin(i / 5):.6f};{i * 2};{'up' if np.cos(i / 5) > 0 else 'down'}" for i in t]
    (folder / "s.csv").write_text("wave;count;way\n" + "\n".join(lines) + "\n")
    return folder / "s.csv"


def series(folder: Path) -> Data:
    columns = ("wave", "count")
    return Data("series", str(table(folder)), delimiter=";", length=5, columns=columns, predict=("wave",))


def series_label(folder: Path) -> Data:
    return Data("series", str(table(folder)), delimiter=";", length=5, stride=2, label="way")


def synthetic(folder: Path) -> Data:
    return Data("synthetic", shape=(6, 5, 2), classes=3, samples=50)


def tokens(folder: Path) -> Data:
    return Data("synthetic", kind="tokens", length=9, classes=7, samples=50)


def autoencoder(folder: Path) -> Data:
    np.savez(folder / "x.npz", x=images(20)[0])
    return Data("npz", str(folder / "x.npz"), target="input")


WRITERS: list[Callable[[Path], Data]] = [
    cifar10, npz, npz_compressed, npz_undivided, hdf5, pictures, text, text_utf8, series, series_label, synthetic, tokens,
    autoencoder,
]  # fmt: skip
