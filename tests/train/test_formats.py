"""Each format: what is read is what was stored, by a formula written here again, and what is wrong is said with numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from shoal.core.errors import DataError, PlatformError, UsageError
from shoal.train.config import Data
from shoal.train.data import Dataset, Split, fingerprint, open_dataset


def whole(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.read(np.arange(len(split)))


def normalised(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    return (pixels / dataset.config.white - dataset.config.mean) / dataset.config.deviation


def close(x: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-12)


# -- CIFAR-10


def test_cifar_records_are_a_label_and_three_planes(tmp_path: Path) -> None:
    dataset = open_dataset(datasets.cifar10(tmp_path), "float64")
    records = np.concatenate([np.fromfile(tmp_path / name, np.uint8).reshape(-1, 3073) for name in datasets.CIFAR[:5]])
    x, labels = whole(dataset.train)
    assert (dataset.shape, len(dataset.train), len(dataset.test), dataset.labels[3]) == ((32, 32, 3), 15, 3, "cat")
    assert labels.tolist() == records[:, 0].tolist()
    planes = np.stack([records[:, 1 + 1024 * c : 1025 + 1024 * c].reshape(-1, 32, 32) for c in range(3)], axis=-1)
    close(x, (planes / 255 - [0.4914, 0.4822, 0.4465]) / [0.2470, 0.2435, 0.2616])


def test_a_label_outside_cifar_is_found_when_it_is_read(tmp_path: Path) -> None:
    data = datasets.cifar10(tmp_path)
    file = tmp_path / "data_batch_2.bin"
    file.write_bytes(b"\x0b" + file.read_bytes()[1:])
    train = open_dataset(data).train
    train.read(np.array([0, 1, 2, 4]))
    with pytest.raises(DataError, match=r"a label is 11, but there are 10 classes .* sample is 3"):
        train.read(np.array([1, 3]))


# -- NPZ and HDF5


@pytest.mark.parametrize("write", [datasets.npz, datasets.npz_compressed, datasets.hdf5])
def test_named_arrays_are_read_by_keras_names_or_given_ones(write: Callable[[Path], Data], tmp_path: Path) -> None:
    dataset, arrays = open_dataset(write(tmp_path), "float64"), datasets.arrays()
    assert (dataset.shape, dataset.classes, len(dataset.train), len(dataset.test)) == ((8, 8, 1), 4, 40, 12)
    assert dataset.config.white == 255
    for split, part in ((dataset.train, "train"), (dataset.test, "test")):
        x, labels = whole(split)
        close(x, normalised(arrays[f"x_{part}"][..., None], dataset))
        assert labels.tolist() == arrays[f"y_{part}"].tolist()


def test_what_is_not_said_is_measured_on_the_training_part(tmp_path: Path) -> None:
    dataset = open_dataset(datasets.npz_undivided(tmp_path), "float64")
    x, target = whole(dataset.train)
    assert (x.shape, target.shape, len(dataset.config.mean)) == ((21, 6), (21, 1), 6)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-3)
    assert all(float(f"{m:.4g}") == m for m in dataset.config.mean + dataset.config.deviation)


def test_measuring_in_pieces_is_measuring_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = datasets.npz_undivided(tmp_path)
    once = open_dataset(data).config
    monkeypatch.setattr("shoal.train.data.scaling.PIECE", 100)
    assert open_dataset(data).config == once


def test_of_a_large_training_part_a_spread_sample_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = datasets.npz_undivided(tmp_path)
    monkeypatch.setattr("shoal.train.data.scaling.MEASURED", 100)
    monkeypatch.setattr("shoal.train.data.scaling.SAMPLES", 3)
    rows = np.load(data.path)["x"][open_dataset(data).train.which[[0, 10, 20]]]  # type: ignore[attr-defined]
    np.testing.assert_allclose(open_dataset(data).config.mean, rows.mean(axis=0), rtol=1e-3)


def test_numbers_that_are_given_are_believed_and_a_still_channel_divides_by_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.full((10, 3), 7.0), y=np.arange(10) % 2)
    data = Data("npz", str(tmp_path / "a.npz"))
    assert open_dataset(data).config.deviation == (1, 1, 1)
    given = replace(data, mean=(1.0,), deviation=(3.0,), white=2.0)
    close(whole(open_dataset(given, "float64").train)[0], np.full((8, 3), (7 / 2 - 1) / 3))


def test_the_division_is_drawn_once_and_shares_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(50.0), y=np.arange(50) % 5)
    data = Data("npz", str(tmp_path / "a.npz"), mean=(0.0,), deviation=(1.0,))
    train, test = (whole(split)[0].ravel().tolist() for split in (open_dataset(data).train, open_dataset(data).test))
    assert sorted(train + test) == list(range(50)) and len(test) == 10
    assert test == [1, 7, 8, 12, 17, 19, 29, 34, 35, 42]  # another order would change published results


def test_a_member_that_is_not_compressed_is_mapped_and_one_of_columns_too(tmp_path: Path) -> None:
    from shoal.train.data.npz import Archive

    assert isinstance(Archive(Path(datasets.npz(tmp_path).path))["x_train"], np.memmap)
    assert isinstance(Archive(Path(datasets.npz_undivided(tmp_path).path))["x"], np.memmap)
    assert not isinstance(Archive(Path(datasets.npz_compressed(tmp_path).path))["x_train"], np.memmap)


def test_integers_are_indices_labels_may_stand_at_each_position(tmp_path: Path) -> None:
    x = np.arange(60).reshape(20, 3)
    np.savez(tmp_path / "a.npz", x=x, y=x % 3)
    dataset = open_dataset(Data("npz", str(tmp_path / "a.npz")))
    assert (dataset.sample.dtype, dataset.targets, dataset.target.shape, dataset.classes) == (
        np.int64,
        "labels",
        (3,),
        3,
    )
    assert dataset.config.mean == ()
    with pytest.raises(UsageError, match="x are indices"):
        open_dataset(Data("npz", str(tmp_path / "a.npz"), mean=(1.0,)))


def test_a_flat_row_may_be_given_a_shape_and_nothing_else_may(tmp_path: Path) -> None:
    x = np.arange(120, dtype=np.uint8).reshape(5, 24)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(5) % 2)
    data = Data("npz", str(tmp_path / "a.npz"), shape=(2, 4, 3), mean=(0.0,), deviation=(1.0,), white=1.0)
    dataset = open_dataset(data)
    assert whole(dataset.train)[0].tolist() == x[dataset.train.which].reshape(-1, 2, 4, 3).tolist()  # type: ignore[attr-defined]
    np.savez(tmp_path / "a.npz", x=x.reshape(5, 2, 4, 3), y=np.arange(5) % 2)
    with pytest.raises(UsageError, match=r"data.shape = \[4, 2, 3\], but samples are \(2, 4, 3\)"):
        open_dataset(replace(data, shape=(4, 2, 3)))


def test_the_input_may_be_the_target(tmp_path: Path) -> None:
    x, target = whole(open_dataset(datasets.autoencoder(tmp_path)).train)
    assert np.array_equal(x, target)


def test_hdf5_reads_the_chunks_it_needs_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 rows in chunks of 7: rows 1, 3 share a chunk, 20 and 21 are neighbours across two, 39 is in the last."""
    ranges: list[tuple[int, int]] = []
    dataset = open_dataset(datasets.hdf5(tmp_path))
    rows = dataset.train.x  # type: ignore[attr-defined]

    class Watched:
        name = "watched"

        def __getitem__(self, rows_: slice) -> Any:
            ranges.append((int(rows_.start), int(rows_.stop)))
            return stored[rows_]

    stored = rows.data
    monkeypatch.setattr(rows, "data", Watched())
    x, _ = dataset.train.read(np.array([21, 3, 39, 20, 1, 3]))
    assert ranges == [(1, 4), (20, 22), (39, 40)]
    np.testing.assert_array_equal(x, whole(dataset.train)[0][[21, 3, 39, 20, 1, 3]])


# -- pictures


def test_pictures_are_classes_by_folder_in_the_order_of_names(tmp_path: Path) -> None:
    dataset = open_dataset(datasets.pictures(tmp_path), "float64")
    from PIL import Image

    x, labels = whole(dataset.train)
    assert (dataset.shape, dataset.labels, labels.tolist()) == ((6, 5, 3), ("circle", "square"), 5 * [0] + 5 * [1])
    close(x[7], normalised(np.asarray(Image.open(tmp_path / "train/square/2.png")), dataset))


def test_pictures_without_parts_are_divided_and_may_be_resized_and_grey(tmp_path: Path) -> None:
    datasets.pictures(tmp_path)
    (tmp_path / "train/circle/notes.txt").write_text("no picture")
    data = Data("images", str(tmp_path / "train"), size=(4, 4), shape=(4, 4, 1), test_fraction=0.3)
    dataset = open_dataset(data)
    assert (dataset.shape, len(dataset.train), len(dataset.test)) == ((4, 4, 1), 7, 3)
    assert whole(dataset.train)[0].shape == (7, 4, 4, 1)


def test_a_picture_of_another_size_is_named_when_it_is_read(tmp_path: Path) -> None:
    data = datasets.pictures(tmp_path)
    from PIL import Image

    Image.new("RGB", (9, 7)).save(tmp_path / "test/square/1.png")
    with pytest.raises(DataError, match=r"square/1\.png is 7 x 9 pixels, others are 6 x 5") as caught:
        whole(open_dataset(data).test)
    assert "data.size=6,5" in caught.value.cure
    assert whole(open_dataset(replace(data, size=(6, 5))).test)[0].shape == (6, 6, 5, 3)


def test_names_of_classes_in_a_checkpoint_outlast_a_missing_folder(tmp_path: Path) -> None:
    """Without them the one class that an evaluation finds would be number 0."""
    config = open_dataset(datasets.pictures(tmp_path)).config
    for file in (tmp_path / "test/circle").iterdir():
        file.unlink()
    (tmp_path / "test/circle").rmdir()
    assert whole(open_dataset(config).test)[1].tolist() == [1, 1, 1]


def test_without_pillow_the_cure_is_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(PlatformError) as caught:
        open_dataset(Data("images", str(tmp_path)))
    assert "shoal[images]" in caught.value.cure


# -- text


@pytest.mark.parametrize("write", [datasets.text, datasets.text_utf8])
def test_a_text_is_windows_and_the_characters_after(write: Callable[[Path], Data], tmp_path: Path) -> None:
    data = write(tmp_path)
    dataset = open_dataset(data)
    characters = Path(data.path).read_text(encoding="utf-8")
    stride, cut = data.stride or data.length, len(characters) - round(0.2 * len(characters))
    assert dataset.vocabulary == "".join(sorted(set(characters)))
    for split, part in ((dataset.train, characters[:cut]), (dataset.test, characters[cut:])):
        x, target = whole(split)
        assert len(split) == (len(part) - 11) // stride + 1
        for i in (0, len(split) - 1):
            assert said(dataset, x[i]) == part[i * stride : i * stride + 10]
            assert said(dataset, target[i]) == part[i * stride + 1 : i * stride + 11]


def said(dataset: Dataset, numbers: np.ndarray) -> str:
    return "".join(dataset.vocabulary[n] for n in numbers)


def test_ascii_is_mapped_and_a_given_vocabulary_is_kept(tmp_path: Path) -> None:
    data = replace(datasets.text(tmp_path), vocabulary="zyxwvutsrqponmlkjihgfedcba ;ABC")
    dataset = open_dataset(data)
    assert isinstance(dataset.train.x.table.codes, np.memmap)  # type: ignore[attr-defined]
    assert dataset.classes == 31 and said(dataset, dataset.train.read(np.array([0]))[0][0]) == "the quick "


# -- series


def test_a_series_foretells_the_next_step_in_normalised_values(tmp_path: Path) -> None:
    dataset = open_dataset(datasets.series(tmp_path), "float64")
    t = np.arange(60)
    columns = np.stack([np.round(np.sin(t / 5), 6), t * 2.0], axis=1)
    known = (columns - columns[:48].mean(axis=0)) / columns[:48].std(axis=0)
    for split, start, stop in ((dataset.train, 0, 48), (dataset.test, 48, 60)):
        x, target = whole(split)
        assert len(split) == stop - start - 5
        np.testing.assert_allclose(x[3], known[start + 3 : start + 8], atol=2e-3)  # the numbers have four digits
        np.testing.assert_allclose(target[:, 0], known[start + 5 : stop, 0], atol=2e-3)


def test_a_series_may_have_a_class_at_the_end_of_each_window(tmp_path: Path) -> None:
    dataset = open_dataset(datasets.series_label(tmp_path))
    x, labels = whole(dataset.train)
    assert (dataset.labels, x.shape) == (("down", "up"), (22, 5, 2))
    assert labels.tolist() == [int(np.cos((2 * i + 4) / 5) > 0) for i in range(22)]


def test_columns_have_numbers_where_they_have_no_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{i},{i * i},7\n" for i in range(30)))
    data = Data(
        "series", str(tmp_path / "a.csv"), length=2, columns=("0", "1"), predict=("1",), mean=(0.0,), deviation=(1.0,)
    )
    x, target = open_dataset(data).train.read(np.array([3]))
    assert x.tolist() == [[[3, 9], [4, 16]]] and target.tolist() == [[25]]


# -- synthetic


def test_synthetic_samples_are_by_index_and_never_zeros(tmp_path: Path) -> None:
    small, large = (Data("synthetic", shape=(6, 5, 2), classes=3, samples=n) for n in (50, 500))
    x, labels = whole(open_dataset(small).train)
    more, _ = open_dataset(large).train.read(np.arange(40))
    assert np.array_equal(x, more) and labels.tolist() == [i % 3 for i in range(40)]
    assert (x != 0).all() and len(np.unique(x[:, 0, 0, 0])) == 40


def test_synthetic_classes_and_tokens_can_be_learnt(tmp_path: Path) -> None:
    """The nearest mean of the training part tells classes of the test part; the commonest successor, the next token."""
    dataset = open_dataset(Data("synthetic", shape=(6, 6, 1), classes=4, samples=400))
    (x, y), (x_test, y_test) = ((a.reshape(len(a), -1), b) for a, b in map(whole, (dataset.train, dataset.test)))
    means = np.stack([x[y == k].mean(axis=0) for k in range(4)])
    assert (np.argmin(((x_test[:, None] - means) ** 2).sum(axis=2), axis=1) == y_test).mean() > 0.9
    tokens = open_dataset(Data("synthetic", kind="tokens", classes=7, samples=100))
    x, y = whole(tokens.train)
    counts = np.zeros((7, 7))
    np.add.at(counts, (x, y), 1)
    assert 0.8 < (counts.argmax(axis=1)[whole(tokens.test)[0]] == whole(tokens.test)[1]).mean() < 0.95


# -- the digest of what is large


def test_of_what_is_large_blocks_are_hashed_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 bytes in an array, a file and an array, of which five blocks of ten are looked at, across their borders."""
    for name, value in (("WHOLE", 1000), ("BLOCK", 10), ("BLOCKS", 5)):
        monkeypatch.setattr(fingerprint, name, value)
    raw, file = np.arange(2000).astype(np.uint8), tmp_path / "a"

    def digest(change: int, size: int = 2000) -> str:
        changed = raw[:size].copy()
        changed[change] ^= 1
        file.write_bytes(changed[500:1300].tobytes())
        return fingerprint.fingerprint([("a", changed[:500]), ("file", file), ("b", changed[1300:])])

    spots = [*range(0, 2000, 31), *range(495, 510), *range(1985, 2000)]
    unseen = digest(600)
    blocks = [0, 498, 995, 1492, 1990]
    assert {at for at in spots if digest(at) != unseen} == {at for at in spots if any(b <= at < b + 10 for b in blocks)}
    assert digest(600, size=1999) != unseen
