"""Augmentation: pixels are a function of seed, epoch and sample alone, and each kind does what its formula says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.train import augment
from shoal.train.augment import augmented
from shoal.train.config import Data
from shoal.train.data import Split, open_dataset

ALL = ("crop", "flip", "cutout", "noise")
H, W, C = 9, 8, 2


def data(*kinds: str, target: str = "label") -> Data:
    return Data("synthetic", shape=(H, W, C), samples=60, classes=3, augment=kinds, target=target)  # type: ignore[arg-type]


def split(*kinds: str, seed: int = 1, epoch: int = 0, dtype: str = "float32", target: str = "label") -> Split:
    dataset = open_dataset(data(*kinds, target=target), dtype)
    return augmented(dataset.train, dataset.config, seed, epoch)


def whole(split: Split) -> np.ndarray:
    return split.read(np.arange(len(split)))[0]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 47), max_size=12), st.sampled_from([(kind,) for kind in ALL] + [ALL]))
def test_any_indices_in_any_order_get_the_pixels_of_the_whole(rows: list[int], kinds: tuple[str, ...]) -> None:
    indices, changed = np.array(rows, np.int64), split(*kinds, epoch=3)
    x, labels = changed.read(indices)
    assert np.array_equal(x, whole(changed)[indices])
    assert x.flags.c_contiguous and x.shape == (len(rows), H, W, C) and labels.tolist() == (indices % 3).tolist()


@pytest.mark.parametrize("kind", ALL)
def test_pixels_depend_on_kind_seed_and_epoch(kind: str) -> None:
    plain, first = whole(split()), whole(split(kind))
    assert np.array_equal(first, whole(split(kind)))
    others = [plain, whole(split(kind, epoch=1)), whole(split(kind, seed=2))]
    assert not any(np.array_equal(first, other) for other in others)


def test_kinds_draw_from_streams_of_their_own() -> None:
    """With flip alone the same samples are flipped as with everything, in whatever order the list stands."""
    assert np.array_equal(whole(split("flip", "crop")), whole(split("crop", "flip")))
    flipped = [not np.array_equal(a, b) for a, b in zip(whole(split("flip")), whole(split()), strict=True)]
    cropped = whole(split("crop"))
    mirrored = [not np.array_equal(a, b) for a, b in zip(whole(split("crop", "flip")), cropped, strict=True)]
    assert mirrored == flipped


def test_both_precisions_see_the_same_change() -> None:
    for kinds in ((), ALL):
        np.testing.assert_allclose(whole(split(*kinds)), whole(split(*kinds, dtype="float64")), atol=1e-5)
    assert whole(split(*ALL, dtype="float64")).dtype == np.float64


def test_nothing_is_wrapped_where_nothing_is_changed() -> None:
    train = open_dataset(data()).train
    assert augmented(train, data(), 1, 0) is train


def test_a_crop_is_a_window_of_the_padded_sample_at_every_place_in_turn() -> None:
    plain, cropped = whole(split()), whole(split("crop"))
    padded = np.pad(plain, ((0, 0), (4, 4), (4, 4), (0, 0)))
    places = set()
    for i in range(len(plain)):
        found = [
            (a, b) for a in range(9) for b in range(9) if np.array_equal(padded[i, a : a + H, b : b + W], cropped[i])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert {a for a, _ in places} == {b for _, b in places} == set(range(9))


def test_a_flip_exchanges_left_and_right_of_about_half() -> None:
    plain, flipped = whole(split()), whole(split("flip"))
    same, mirrored = (
        [np.array_equal(a, b) for a, b in zip(flipped, other, strict=True)] for other in (plain, plain[:, :, ::-1])
    )
    assert all(a != b for a, b in zip(same, mirrored, strict=True)) and 12 < sum(mirrored) < 36


@pytest.mark.parametrize("side", [2, 3])
def test_a_hole_is_a_square_cut_at_the_border_and_the_rest_is_untouched(side: int) -> None:
    dataset = open_dataset(replace(data("cutout"), cutout=side))
    plain, cut = whole(dataset.train), whole(augmented(dataset.train, dataset.config, 1, 0))
    sizes = set()
    for before, after in zip(plain, cut, strict=True):
        rows, columns, _ = np.nonzero(after == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert np.count_nonzero(after == 0) == height * width * C and max(height, width) <= side
        assert np.array_equal(after[after != 0], before[after != 0])
        sizes.add((int(height), int(width)))
    assert (side, side) in sizes and len(sizes) > 1


def test_noise_is_normal_and_of_its_deviation() -> None:
    n = (whole(split("noise")) - whole(split())).ravel() / 0.1
    assert len(n) == 48 * H * W * C
    assert abs(n.mean()) < 0.03 and abs(n.std() - 1) < 0.03
    assert abs((np.abs(n) < 1).mean() - 0.6827) < 0.02 and abs((np.abs(n) < 2).mean() - 0.9545) < 0.01


def test_a_target_that_is_the_input_moves_along_but_stays_clean() -> None:
    indices = np.arange(10)
    x, target = split(*ALL, target="input").read(indices)
    moved, same = split("crop", "flip", target="input").read(indices)
    assert np.array_equal(target, moved) and np.array_equal(moved, same)
    assert not np.array_equal(x, target)


def test_what_a_split_holds_in_memory_is_not_changed(tmp_path: Path) -> None:
    dataset = open_dataset(replace(datasets.npz_compressed(tmp_path), augment=ALL, cutout=3))
    before = whole(dataset.train)
    whole(augmented(dataset.train, dataset.config, 1, 0))
    assert np.array_equal(before, whole(dataset.train))


WRONG = {
    "crop of a row": (
        Data("synthetic", shape=(5,), augment=("crop",)),
        '"crop" needs samples (H, W, C), these are (5,)',
    ),
    "hole too large": (replace(data("cutout"), cutout=9), "data.cutout = 9 is larger than samples of (9, 8, 2)"),
    "number without kind": (replace(data("flip"), pad=2), 'data.pad without "crop" in data.augment'),
    "text": (Data("text", "x", augment=("noise",)), "data.augment = ('noise',) has no meaning for data.source"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_cannot_be_changed_so_is_refused(how: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset(WRONG[how][0])
    assert WRONG[how][1] in caught.value.problem and caught.value.cure


def test_a_number_below_is_as_often_each_number() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 9000, np.uint32)
    assert np.bincount(augment.below(bits, 9), minlength=9).min() > 850
    assert augment.below(np.array([2**32 - 1, 0], np.uint32), 9).tolist() == [8, 0]
