"""The data sets: what the embedded digits are, and what is said of IDX files that cannot be believed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal.core.errors import DataError, UsageError
from shoal.train.config import Data
from shoal.train.data import Split, idx, open_dataset
from shoal.train.data import digits as embedded

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def targets(split: Split) -> np.ndarray:
    return split.read(np.arange(len(split)))[1]


def test_the_digits_are_the_1797_of_uci_split_by_class() -> None:
    digits = open_dataset(Data("digits"))
    assert digits.shape == (8, 8, 1)
    assert np.bincount(targets(digits.train)).tolist() == [142, 145, 142, 146, 145, 146, 145, 143, 139, 144]
    assert np.bincount(targets(digits.test)).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert embedded.read()[0].max() == 16


def test_the_two_splits_share_no_sample() -> None:
    _, _, train, test = embedded.read()
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(1797))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_are_scaled_and_normalised_by_the_documented_numbers(dtype: str) -> None:
    digits = open_dataset(Data("digits"), dtype)
    x, labels = digits.train.read(np.arange(1437))
    assert (x.dtype, labels.dtype, x.flags.c_contiguous) == (np.dtype(dtype), np.int64, True)
    by_formula = (embedded.read()[0][embedded.read()[2]][..., None] / 16 - 0.3054) / 0.3759
    np.testing.assert_allclose(x, by_formula, rtol=0, atol=1e-6)
    assert abs(x.mean()) < 1e-3 and abs(x.std() - 1) < 1e-3


def test_a_share_is_read_in_the_order_asked_and_may_be_empty() -> None:
    digits = open_dataset(Data("digits"))
    x, labels = digits.test.read(np.array([7, 3, 7]))
    assert labels.tolist() == targets(digits.test)[[7, 3, 7]].tolist()
    assert (x[0] == x[2]).all()
    x, labels = digits.test.read(np.empty(0, np.int64))
    assert (x.shape, labels.shape) == ((0, 8, 8, 1), (0,))


def test_the_digest_is_of_the_content(idx_folder: Path) -> None:
    before = open_dataset(Data("idx", str(idx_folder))).digest
    assert before == open_dataset(Data("idx", str(idx_folder))).digest
    edit(idx_folder / LABELS, lambda raw: raw[:-1] + b"\x02")
    assert before != open_dataset(Data("idx", str(idx_folder))).digest


def test_idx_files_are_read_with_and_without_gzip(idx_folder: Path) -> None:
    plain = open_dataset(Data("idx", str(idx_folder)))
    assert (plain.shape, plain.classes, len(plain.train), len(plain.test)) == ((8, 8, 1), 4, 44, 10)
    for file in list(idx_folder.iterdir()):
        Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert open_dataset(Data("idx", str(idx_folder))).digest == plain.digest


def test_fashion_is_looked_for_where_debian_puts_it_unless_told(
    idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "FASHION", idx_folder)
    assert open_dataset(Data("fashion")).classes == 10
    assert open_dataset(Data("fashion", str(idx_folder))).digest == open_dataset(Data("fashion")).digest


def test_idx_without_a_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"needs data\.path"):
        open_dataset(Data("idx"))


def edit(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def packed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The training images as a gzip file, changed."""

    def spoil(folder: Path) -> None:
        raw = (folder / IMAGES).read_bytes()
        (folder / IMAGES).unlink()
        (folder / f"{IMAGES}.gz").write_bytes(change(gzip.compress(raw)))

    return spoil


def on(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, change)


SIZE = 16 + 44 * 64  # bytes of the training images

SPOILED = {
    "missing": (lambda folder: (folder / LABELS).unlink(), [LABELS, "is missing", f"{LABELS}.gz"]),
    "truncated": (on(IMAGES, lambda raw: raw[:-100]), [IMAGES, f"{SIZE} bytes expected", f"{SIZE - 100} bytes found"]),
    "too long": (on(IMAGES, lambda raw: raw + b"!"), [IMAGES, f"{SIZE} bytes expected", f"{SIZE + 1} bytes found"]),
    "no header": (on(IMAGES, lambda raw: raw[:7]), [IMAGES, "16 bytes of header expected", "7 bytes found"]),
    "empty": (on(LABELS, lambda raw: b""), [LABELS, "8 bytes of header expected", "0 bytes found"]),
    "foreign": (on(IMAGES, lambda raw: b"\x89PNG" + raw[4:]), [IMAGES, "89 50 4e 47", "not 00 00 08 03"]),
    "labels for images": (on(IMAGES, lambda raw: bytes([0, 0, 8, 1]) + raw[4:]), [IMAGES, "00 00 08 01"]),
    "one label short": (on(LABELS, lambda raw: raw[:4] + (43).to_bytes(4) + raw[8:-1]), ["44 images", "43 labels"]),
    "gzip truncated": (
        packed(lambda raw: raw[: len(raw) // 2]),
        [f"{IMAGES}.gz is truncated", f"{SIZE} bytes expected"],
    ),
    "gzip damaged": (packed(lambda raw: raw[:200] + bytes(99) + raw[299:]), [f"{IMAGES}.gz", "not a sound gzip file"]),
    "not gzip": (packed(lambda raw: b"hello"), [f"{IMAGES}.gz", "not a sound gzip file"]),
    "unknown class in the test labels": (
        on("t10k-labels-idx1-ubyte", lambda raw: raw[:-1] + b"\x09"),
        ["a label is 9", "4 classes"],
    ),
    "test images of another size": (
        on("t10k-images-idx3-ubyte", lambda raw: raw[:8] + (4).to_bytes(4) + (16).to_bytes(4) + raw[16:]),
        ["(8, 8)", "(4, 16)"],
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_wrong_with_a_file_is_said_with_numbers(idx_folder: Path, how: str) -> None:
    spoil, words = SPOILED[how]
    open_dataset(Data("idx", str(idx_folder)))
    spoil(idx_folder)
    with pytest.raises(DataError) as caught:
        open_dataset(Data("idx", str(idx_folder)))
    for word in words:
        assert word in caught.value.problem


def test_missing_fashion_names_the_package_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "FASHION", tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        open_dataset(Data("fashion"))
    assert "apt install dataset-fashion-mnist" in caught.value.cure
    assert "data.path=" in caught.value.cure
