"""What every source promises, whatever its format: reads, shapes, the digest, and a configuration that says everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import DataError, UsageError
from shoal.core.partition import Partition
from shoal.train import tables
from shoal.train.config import Config, Data, load
from shoal.train.data import SOURCES, Dataset, Split, open_dataset

Writer = Callable[[Path], Data]


@pytest.fixture(params=datasets.WRITERS, ids=lambda write: write.__name__)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    return request.param(tmp_path)


def whole(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.read(np.arange(len(split)))


def same(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(u.dtype == v.dtype and np.array_equal(u, v) for u, v in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_read_is_contiguous_and_of_the_dtype_said(data: Data, dtype: str) -> None:
    dataset = open_dataset(data, dtype)
    for split in (dataset.train, dataset.test):
        for indices in (np.arange(len(split)), np.array([1, 0, 1]), np.empty(0, np.int64)):
            for array, said in zip(split.read(indices), (dataset.sample, dataset.target), strict=True):
                assert (array.shape, array.dtype) == ((len(indices), *said.shape), said.dtype)
                assert array.flags.c_contiguous and array.dtype in (np.dtype(dtype), np.int64)
                assert array.dtype == np.int64 or np.isfinite(array).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_any_indices_in_any_order_are_rows_of_the_whole(opened: dict[str, Dataset], draw: st.DataObject) -> None:
    dataset = opened[draw.draw(st.sampled_from(sorted(opened)))]
    rows = draw.draw(st.lists(st.integers(0, len(dataset.train) - 1), max_size=9))
    indices = np.array(rows, np.int64)
    x, target = whole(dataset.train)
    assert same(dataset.train.read(indices), (x[indices], target[indices]))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return {write.__name__: open_dataset(write(tmp_path_factory.mktemp("data"))) for write in datasets.WRITERS}


def test_what_ranks_read_is_what_one_would(data: Data) -> None:
    split, shares = open_dataset(data).train, Partition((3.0, 0.0, 1.0))
    batch = np.random.default_rng(0).permutation(len(split))[:13]
    parts = [open_dataset(data).train.read(batch[slice(*shares.bounds(len(batch), rank))]) for rank in range(3)]
    assert same(split.read(batch), tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def test_what_is_said_of_targets_is_so(opened: dict[str, Dataset]) -> None:
    said = {name: (dataset.targets, dataset.target.shape, dataset.classes) for name, dataset in opened.items()}
    assert said == {
        "cifar10": ("label", (), 10),
        "npz": ("label", (), 4),
        "npz_compressed": ("label", (), 4),
        "npz_undivided": ("values", (1,), 0),
        "hdf5": ("label", (), 4),
        "pictures": ("label", (), 2),
        "text": ("labels", (10,), 28),
        "text_utf8": ("labels", (10,), 28),
        "series": ("values", (1,), 0),
        "series_label": ("label", (), 2),
        "synthetic": ("label", (), 3),
        "tokens": ("labels", (9,), 7),
        "autoencoder": ("values", (8, 8, 1), 0),
    }
    for dataset in opened.values():
        target = whole(dataset.train)[1]
        assert not dataset.classes or (target.min() >= 0 and target.max() < dataset.classes)


def test_the_complete_configuration_opens_the_same_and_stays_as_it_is(data: Data, tmp_path: Path) -> None:
    """So a checkpoint's configuration is enough for an evaluation."""
    dataset = open_dataset(data)
    (tmp_path / "run.toml").write_text(tables.write(replace(Config(), data=dataset.config)), encoding="utf-8")
    again = open_dataset(load(str(tmp_path / "run.toml")).data)
    assert (again.config, again.digest, again.classes) == (dataset.config, dataset.digest, dataset.classes)
    assert same(whole(again.test), whole(dataset.test))


# a file, and where in it a byte may change and leave a sound file: early, in the middle, late
SPOTS = {
    datasets.cifar10: ("test_batch.bin", 0.99),
    datasets.npz: ("a.npz", 0.5),
    datasets.npz_undivided: ("u.npz", 0.5),
    datasets.hdf5: ("a.h5", 0.5),
    datasets.pictures: ("test/square/1.png", 0.5),
    datasets.text: ("a.txt", 0.0),
    datasets.text_utf8: ("u.txt", 0.0),
    datasets.series: ("s.csv", 0.0),
}


@pytest.mark.parametrize("write", SPOTS, ids=lambda write: write.__name__)
def test_the_digest_sees_one_byte(write: Writer, tmp_path: Path) -> None:
    data = write(tmp_path)
    file, at = tmp_path / SPOTS[write][0], SPOTS[write][1]
    if write is datasets.series:
        data = replace(data, columns=("0", "1"), predict=("0",))  # by number: the name in the first line changes
    before = open_dataset(data).digest
    assert open_dataset(data).digest == before
    raw = bytearray(file.read_bytes())
    raw[int(at * len(raw))] ^= 1
    file.write_bytes(raw)
    assert open_dataset(data).digest != before


def test_a_setting_that_a_source_does_not_take_is_refused_by_name() -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset(Data("digits", vocabulary="abc"))
    assert caught.value.problem == "data.vocabulary = 'abc' has no meaning for data.source = \"digits\""
    assert caught.value.cure.startswith("it takes target, white, mean, deviation")


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"digits", "fashion", "synthetic"}))
def test_a_source_that_needs_a_path_says_so(source: str) -> None:
    with pytest.raises(UsageError, match=rf'data.source = "{source}" needs data\.path'):
        open_dataset(Data(source))


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"digits", "synthetic"}))
def test_a_path_to_nothing_is_a_data_error_with_a_cure(source: str, tmp_path: Path) -> None:
    if source == "images":
        pytest.importorskip("PIL.Image")
    with pytest.raises(DataError) as caught:
        open_dataset(Data(source, str(tmp_path / "nothing")))
    assert "nothing" in caught.value.problem and "data.path" in caught.value.cure


def test_the_configuration_knows_the_sources_and_the_sources_their_keys() -> None:
    hints = get_type_hints(Data)
    assert set(get_args(hints["source"])) == set(SOURCES)
    assert {name for source in SOURCES.values() for name in source.takes} | {"source"} == set(hints)


def test_lists_are_read_from_overrides_and_files(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[data]\nsource = "series"\ncolumns = ["a", "b,c"]\nshape = [3, 4]\nmean = [1, 2.5]\n')
    data = load(str(file), ["data.augment=[crop, 'flip']", "data.shape=28,28,1"]).data
    assert (data.columns, data.shape, data.mean, data.augment) == (
        ("a", "b,c"),
        (28, 28, 1),
        (1.0, 2.5),
        ("crop", "flip"),
    )


MISTAKES = {
    "data.augment=crop,blur": 'data.augment = [\'crop\', \'blur\'] is not a list of "crop", "flip", "cutout", "noise"',
    "data.shape=8,x": "data.shape = '8,x' is not a list of integers",
    "data.mean=a": "data.mean = 'a' is not a list of numbers",
    "data.source=cifar": "data.source = 'cifar' is not one of",
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_a_mistake_in_a_list_is_named(setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        load("digits-cnn", [setting])
    assert caught.value.problem.startswith(MISTAKES[setting])
