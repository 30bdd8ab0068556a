"""Weights that come and go: files of three kinds, names of two, and training that starts from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from shoal.checkpoint.history import open_generation
from shoal.core.errors import CheckpointError, DataError, PlatformError, UsageError
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.nn import BatchNorm, Conv2d, Flatten, Linear, Replica, Sequential, exchange
from shoal.train import finetune, start, weights
from shoal.train.config import load
from shoal.train.export import export
from shoal.train.progress import Silent
from shoal.train.weights import Weights

SHAPE = (4, 4, 3)
MODEL = Sequential(Conv2d(3, 3, padding=1, bias=False), BatchNorm(activation="relu"), Flatten(), Linear(2))


def ours() -> dict[str, np.ndarray]:
    replica = Replica(MODEL, SHAPE).initialise(1, "reference")
    return {
        spec.name: arena[spec.name] for arena in (replica.weights, replica.buffers) for spec in arena.layout.owned()
    }


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", weights.KINDS)
def test_what_is_written_is_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"w{kind}"
    facts = {**weights.OURS, "model": "none"}
    weights.write(file, Weights(ours(), facts))
    found = weights.read(file)
    same(found.arrays, ours())
    assert found.metadata == facts
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", weights.KINDS)
def test_a_damaged_file_is_a_data_error_that_names_it(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"w{kind}"
    file.write_bytes(b"\x10\x00\x00\x00 not what it says it is")
    with pytest.raises(DataError, match=f"w{kind}"):
        weights.read(file)


def test_a_path_that_is_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is nothing at .*/run"):
        weights.read(tmp_path / "run")
    with pytest.raises(DataError, match=r"there is no file .*/w\.npz"):
        weights.read(tmp_path / "w.npz")
    with pytest.raises(UsageError, match=r'"w\.pt" is not a file of weights'):
        weights.write(tmp_path / "w.pt", Weights({}, {}))


def test_a_missing_library_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(PlatformError) as caught:
        weights.write(tmp_path / "w.safetensors", Weights(ours(), {}))
    assert caught.value.cure == 'pip install "shoal[exchange]"'
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- names


def test_a_marked_file_is_ours_and_any_other_is_pytorchs() -> None:
    """The one convolution has the shape (3, 3, 3, 3) in both, so only the mark can tell."""
    theirs = exchange.to_torch(MODEL, SHAPE, ours())
    assert theirs["0.weight"].shape == ours()["0.weight"].shape
    same(weights.fit(Weights(ours(), weights.OURS), MODEL, SHAPE), ours())
    same(weights.fit(Weights(theirs, {}), MODEL, SHAPE), ours())
    same(weights.fit(Weights(theirs, weights.PYTORCH), MODEL, SHAPE), ours())


def test_a_file_without_a_mark_is_ours_where_only_our_names_fit() -> None:
    assert "4.weight" in exchange.to_torch(MODEL, SHAPE, ours())  # theirs counts the ReLU
    same(weights.fit(Weights(ours(), {}), MODEL, SHAPE), ours())


@pytest.mark.parametrize("metadata", [weights.OURS, {}])
def test_what_does_not_fit_names_model_fresh_as_the_cure(metadata: dict[str, str]) -> None:
    arrays = ours() if metadata else exchange.to_torch(MODEL, SHAPE, ours())
    head = "3.weight" if metadata else "4.weight"
    arrays[head] = np.zeros((7, 48), np.float32)
    with pytest.raises(
        UsageError, match=rf"1 of another shape: {head} is \(7, 48\), the model has \(2, 48\)"
    ) as caught:
        weights.fit(Weights(arrays, metadata), MODEL, SHAPE)
    assert "model.fresh" in caught.value.cure
    assert "3.weight" not in weights.fit(Weights(arrays, metadata), MODEL, SHAPE, fresh=["3"])


def test_fresh_names_something() -> None:
    with pytest.raises(UsageError, match=r"model\.fresh names 9, which the model does not have"):
        weights.fit(Weights(ours(), weights.OURS), MODEL, SHAPE, fresh=["3", "9"])


# ------------------------------------------------------------------------------------------------------- fine-tuning


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def trained(tiny: list[str], tmp_path: Path) -> Path:
    """A run folder: digits-cnn on four classes."""
    start.train(load("digits-cnn", [*tiny, f"run.folder={tmp_path / 'first'}"]), Alone(), Silent())
    return tmp_path / "first"


def again(tmp_path: Path, source: Path | str, *settings: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The weights after an epoch at learning rate 0 on the ten digits, started from `source`; what the screen heard."""
    still = ["optim.lr=0", "optim.weight_decay=0", "train.epochs=1", "train.backend=reference", "train.batch=500"]
    folder, screen = tmp_path / "second", Heard()
    config = load("digits-cnn", [*still, f"run.folder={folder}", f"model.weights={source}", *settings])
    start.train(config, Alone(), screen)
    return weights.of_generation(open_generation(folder)), screen.lines


def test_training_starts_from_a_checkpoint_with_a_fresh_head(trained: Path, tmp_path: Path) -> None:
    before = weights.of_generation(open_generation(trained))
    after, lines = again(tmp_path, trained, "model.fresh=5")
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert after["5.weight"].shape == (10, 512) and after["5.weight"].std() > 0.01
    assert f"4 tensors from {trained}, fresh: 5" in lines
    assert open_generation(tmp_path / "second").meta["step"] == 3


def test_a_head_of_other_classes_that_is_not_fresh_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"5\.weight is \(4, 512\), the model has \(10, 512\)") as caught:
        again(tmp_path, trained)
    assert "model.fresh" in caught.value.cure


@pytest.mark.parametrize("file, torch", [("w.safetensors", False), ("w.safetensors", True), ("w.npz", True)])
def test_what_is_exported_can_be_trained_on(trained: Path, tmp_path: Path, file: str, torch: bool) -> None:
    facts = export(trained, tmp_path / file, torch)
    assert (facts["tensors"], facts["model"], facts["step"]) == (6, "digits-cnn", 10)
    found = weights.read(tmp_path / file)
    assert found.metadata["model"] == "digits-cnn" and found.metadata["format"] == ("pt" if torch else "shoal")
    assert ("2.weight" in found.arrays) is torch  # in PyTorch a ReLU lies between
    before = weights.of_generation(open_generation(trained))
    after, _ = again(tmp_path, tmp_path / file, "model.fresh=5")
    np.testing.assert_array_equal(after["1.weight"], before["1.weight"])


def test_resume_continues_and_does_not_start_from_the_weights_again(
    trained: Path, tiny: list[str], tmp_path: Path
) -> None:
    settings = [*tiny, f"run.folder={tmp_path / 'second'}", f"model.weights={trained}"]
    start.train(load("digits-cnn", settings), Alone(), Silent())
    screen = Heard()
    start.train(
        load("digits-cnn", [*settings, "train.epochs=3", f"model.weights={tmp_path / 'gone'}"]), Alone(), screen, True
    )
    assert any("resuming" in line for line in screen.lines) and not any("tensors from" in line for line in screen.lines)


def test_a_rank_reads_the_slice_it_holds_and_keeps_what_is_not_there() -> None:
    whole = np.arange(24.0).reshape(6, 4)
    spec, other = Spec("0.weight", (2, 3), global_shape=(6, 4), origin=(3, 1)), Spec("0.weight", (2,))
    state = State(
        {"model/0.weight": (spec, None), "model/1.weight": (other, "fresh"), "optimizer/v/0.weight": (other, "own")}
    )
    read = finetune.reader(state, {"0.weight": whole})
    np.testing.assert_array_equal(read("model/0.weight", spec), whole[3:5, 1:4])
    assert read("model/1.weight", other) == "fresh" and read("optimizer/v/0.weight", other) == "own"
