"""What cannot be believed, or does not fit the configuration, is said with the numbers that are wrong and a cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from shoal.core.errors import DataError, UsageError
from shoal.train.config import Data
from shoal.train.data import open_dataset


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def arrays(folder: Path, **changed: np.ndarray | None) -> Data:
    made = {name: array for name, array in {**datasets.arrays(), **changed}.items() if array is not None}
    np.savez(folder / "a.npz", **made)
    return Data("npz", str(folder / "a.npz"))


def csv(folder: Path, text: str, **settings: Any) -> Data:
    (folder / "a.csv").write_text(text)
    return Data("series", str(folder / "a.csv"), length=2, **settings)


def hdf5_cut(folder: Path) -> Data:
    data = datasets.hdf5(folder)
    edit(Path(data.path), lambda raw: raw[: len(raw) // 2])
    return data


def cut_picture(folder: Path) -> Data:
    data = datasets.pictures(folder)
    edit(folder / "train/square/2.png", lambda raw: raw[:50])
    return data


def no_pictures(folder: Path) -> Data:
    data = datasets.pictures(folder)
    (folder / "train/triangle").mkdir()
    return data


def unknown_class(folder: Path) -> Data:
    data = datasets.pictures(folder)
    (folder / "test/triangle").mkdir()
    return data


def cifar(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Data:
    data = datasets.cifar10(folder)
    edit(folder / name, change)
    return data


def text(folder: Path, raw: bytes, **settings: Any) -> Data:
    (folder / "a.txt").write_bytes(raw)
    return Data("text", str(folder / "a.txt"), **settings)


NAN = np.where(np.arange(160).reshape(40, 4) == 61, np.nan, 1.0)
TEN = "".join(f"{i},{i}\n" for i in range(10))

WRONG: dict[str, tuple[Callable[[Path], Data], type, list[str]]] = {
    "cifar truncated": (lambda f: cifar(f, "data_batch_3.bin", lambda raw: raw[:-1]), DataError, ["batch_3.bin", "9218 bytes", "3073"]),
    "cifar empty": (lambda f: cifar(f, "test_batch.bin", lambda raw: b""), DataError, ["test_batch.bin", "0 bytes"]),
    "npz truncated": (lambda f: cut(arrays(f)), DataError, ["a.npz", "bytes) is not a sound NPZ"]),
    "npz damaged": (lambda f: spoilt(datasets.npz_compressed(f)), DataError, ["c.npz", "is not a sound NPZ"]),
    "npz of objects": (lambda f: arrays(f, x_train=np.array([{}, 3] * 20)), DataError, ["a.npz"]),
    "npz of words": (lambda f: arrays(f, y_train=np.array(["a"] * 40)), DataError, ["y_train is <U1(40,)", "not an array of numbers"]),
    "array missing": (lambda f: arrays(f, y_test=None), DataError, ["no array y_test", "it holds x_train, y_train, x_test"]),
    "labels short": (lambda f: arrays(f, y_train=np.arange(39) % 4), DataError, ["40 training samples, but 39 labels"]),
    "label negative": (lambda f: arrays(f, y_train=np.arange(40) % 4 - 1), DataError, ["a label is -1", "the first such sample is 0"]),
    "label unknown": (lambda f: arrays(f, y_test=np.arange(12)), DataError, ["a label is 11", "4 classes", "sample is 4"]),
    "class empty": (lambda f: arrays(f, y_train=np.arange(40) % 4 + 1), DataError, ["labels go up to 4", "class 0 has no sample"]),
    "sizes differ": (lambda f: arrays(f, x_test=np.ones((12, 8, 9), np.uint8)), DataError, ["(8, 8)", "(8, 9)"]),
    "no samples": (lambda f: arrays(f, x_test=np.ones((0, 8, 8), np.uint8), y_test=np.ones(0, int)), DataError, ["0 test samples"]),
    "not finite": (lambda f: arrays(f, x_train=NAN, x_test=NAN[:12]), DataError, ["1 of 40 samples", "the first is sample 15"]),
    "no values": (lambda f: arrays(f, x_train=np.ones((40, 0)), x_test=np.ones((12, 0))), DataError, ["samples of shape (0,)"]),
    "fraction 1": (lambda f: replace(datasets.npz_undivided(f), test_fraction=1.0), UsageError, ["1.0 of 30 samples leaves 0 to train"]),
    "fraction unused": (lambda f: replace(arrays(f), test_fraction=0.5), UsageError, ["has a test part, x_test", "0.5"]),
    "three names": (lambda f: replace(arrays(f), names=("x", "y", "z")), UsageError, ["3 names"]),
    "mean of two": (lambda f: replace(arrays(f), mean=(1.0, 2.0)), UsageError, ["data.mean has 2 numbers, samples have 1 channels"]),
    "deviation 0": (lambda f: replace(arrays(f), deviation=(0.0,)), UsageError, ["data.deviation = [0.0] must be above 0"]),
    "labels unnamed": (lambda f: replace(arrays(f), labels=("a", "b")), UsageError, ["names 2 classes", "has 4"]),
    "hdf5 truncated": (hdf5_cut, DataError, ["a.h5", "bytes) is not a sound HDF5"]),
    "hdf5 name": (lambda f: replace(datasets.hdf5(f), names=("x", "y")), DataError, ["no array x", "part/x_test"]),
    "hdf5 group": (lambda f: replace(datasets.hdf5(f), names=("part", "part/y_train")), DataError, ["no array part"]),
    "picture cut": (cut_picture, DataError, ["square/2.png is not a sound picture"]),
    "picture size": (lambda f: replace(datasets.pictures(f), size=(3,)), UsageError, ["data.size = [3] is not a height"]),
    "picture shape": (lambda f: replace(datasets.pictures(f), shape=(5, 6, 3)), UsageError, ["[5, 6, 3]", "6 x 5 pixels"]),
    "class without pictures": (no_pictures, DataError, ["train/triangle holds no picture"]),
    "class of the test alone": (unknown_class, DataError, ["triangle", "classes are ['circle', 'square']"]),
    "text empty": (lambda f: text(f, b""), DataError, ["a.txt is empty"]),
    "text short": (lambda f: text(f, b"abcdefgh" * 20, length=40), DataError, ["a part of 32 steps holds no window of 40"]),
    "text latin1": (lambda f: text(f, "größe".encode("latin1")), DataError, ["not UTF-8: byte 2 of 5 is 0xf6"]),
    "text unknown": (lambda f: text(f, b"abc" * 99, vocabulary="ab"), DataError, ["1 of its 3 characters", "'c'"]),
    "text twice": (lambda f: text(f, b"abc" * 99, vocabulary="abcb"), UsageError, ["names 1 characters twice"]),
    "series gap": (lambda f: csv(f, f"a,b\n{TEN},\n"), DataError, ["2 of 22 fields", "'' in column a at step 10"]),
    "series nan": (lambda f: csv(f, f"a,b\n1,nan\n{TEN}"), DataError, ["1 of 22 fields", "'nan' in column b at step 0"]),
    "series ragged": (lambda f: csv(f, f"{TEN}1,2,3\n"), DataError, ["line 11 has 3 fields, the first has 2"]),
    "series empty": (lambda f: csv(f, ""), DataError, ["a.csv is empty"]),
    "series column": (lambda f: csv(f, TEN, columns=("0", "x")), UsageError, ["no column 'x'"]),
    "series foretold": (lambda f: csv(f, TEN, columns=("0",), predict=("1",)), UsageError, ["column 1", "none of data.columns"]),
    "series targets": (lambda f: csv(f, TEN, label="1", predict=("0",)), UsageError, ["each name a target"]),
    "series short": (lambda f: replace(csv(f, TEN), length=9), DataError, ["8 steps holds no window of 9"]),
    "series new label": (lambda f: csv(f, TEN.replace("9,9", "9,x"), label="1", columns=("0",)), DataError, ["'8', 'x'"]),
    "synthetic shape": (lambda f: Data("synthetic", shape=(4, 0)), UsageError, ["[4, 0] must be at least 1"]),
    "synthetic length": (lambda f: Data("synthetic", length=4), UsageError, ["data.length", '"classes"']),
    "tokens with mean": (lambda f: Data("synthetic", kind="tokens", mean=(1.0,)), UsageError, ["data.mean"]),
}  # fmt: skip


def cut(data: Data) -> Data:
    edit(Path(data.path), lambda raw: raw[: len(raw) // 2])
    return data


def spoilt(data: Data) -> Data:
    edit(Path(data.path), lambda raw: raw[:100] + bytes(40) + raw[140:])
    return data


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_said_with_numbers_and_a_cure(how: str, tmp_path: Path) -> None:
    make, kind, words = WRONG[how]
    with pytest.raises(kind) as caught:
        dataset = open_dataset(make(tmp_path))
        for split in (dataset.train, dataset.test):
            split.read(np.arange(len(split)))
    for word in words:
        assert word in caught.value.problem
    assert caught.value.cure
