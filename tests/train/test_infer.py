"""`shoal infer`: the same samples as training, whatever they are stored in, and predictions in the order they came in."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from launch import mpirun
from oracle import pillow

from shoal.core.errors import DataError, UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run
from shoal.train import infer
from shoal.train.config import load
from shoal.train.data import digits
from shoal.train.inputs import open_inputs
from shoal.train.progress import Silent

COMMAND = "from shoal.cli import main; main()"


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """23 test digits, (23, 8, 8, 1) uint8: with batches of 5, a ragged one."""
    images, _, _, test = digits.read()
    return images[test[:23]][..., np.newaxis]


@pytest.fixture
def predicted(trained: Path, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """predicted(source, top=0, ranks=1): the arrays that infer writes."""

    def act(source: Path, top: int = 0, ranks: int = 1, resize: bool = False) -> dict[str, np.ndarray]:
        def program(communicator: Any) -> None:
            given = (str(trained), str(source), str(tmp_path / "out.npz"), top, ["train.batch=5"])
            infer.infer(*given, communicator, Silent(), resize=resize)

        run(ranks, program)
        with np.load(tmp_path / "out.npz") as arrays:
            return dict(arrays)

    return act


def stored(path: Path, x: np.ndarray) -> Path:
    """The array as x in an NPZ or HDF5 file."""
    if path.suffix == ".npz":
        np.savez(path, x=x)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = x
    return path


def same(found: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Equal but for what NumPy's products owe to the size of a batch; compiled kernels owe it nothing, see below."""
    alike = np.allclose(found["probability"], other["probability"], rtol=1e-5, atol=0)
    return alike and np.array_equal(found["prediction"], other["prediction"])


def test_predictions_are_those_of_the_network_in_the_order_of_the_input(
    predicted: Any, trained: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    found = predicted(stored(tmp_path / "in.npz", pixels))
    assert found["input"].tolist() == list(range(23)) and found["label"].tolist() == list("0123456789")
    assert found["probability"].shape == (23, 10) and found["probability"].sum(axis=1) == pytest.approx(1)
    assert np.array_equal(found["prediction"], found["probability"].argmax(axis=1))
    _, labels, _, test = digits.read()
    assert (found["prediction"] == labels[test[:23]]).mean() > 0.5  # an epoch has taught it something
    backwards = predicted(stored(tmp_path / "in.npz", pixels[::-1]))
    assert not same(found, backwards)
    assert same(found, {name: backwards[name][::-1] for name in ("prediction", "probability")})


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_predict_what_one_predicts(predicted: Any, pixels: np.ndarray, tmp_path: Path, ranks: int) -> None:
    """In batches of 5, so that the last of 3 samples leaves a share of one or none."""
    source = stored(tmp_path / "in.npz", pixels[:21])
    assert same(predicted(source, ranks=ranks), predicted(source))


@pytest.mark.parametrize("name", ["in.npz", "in.h5"])
@pytest.mark.parametrize(
    "made",
    [
        lambda pixels: pixels[..., 0],  # (N, H, W) of a network of one channel
        lambda pixels: pixels / 16,  # real values are fractions of white
        lambda pixels: pixels.astype(np.uint16),
    ],
    ids=["without channel", "fractions", "uint16"],
)
def test_the_same_samples_stored_otherwise(
    predicted: Any, pixels: np.ndarray, tmp_path: Path, name: str, made: Callable[[Any], np.ndarray]
) -> None:
    source = stored(tmp_path / name, made(pixels))
    expected = predicted(stored(tmp_path / "plain.npz", pixels))
    assert predicted(source)["probability"] == pytest.approx(expected["probability"], rel=1e-5)


def test_an_empty_input_has_no_predictions(predicted: Any, tmp_path: Path) -> None:
    for ranks in (1, 2):
        found = predicted(stored(tmp_path / "in.npz", np.zeros((0, 8, 8, 1), np.uint8)), ranks=ranks)
        assert (found["prediction"].shape, found["probability"].shape) == ((0,), (0, 10))


# ---------------------------------------------------------------------------------------------------- what is refused


def test_ranks_that_see_different_inputs_do_not_start(trained: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    for rank in (0, 1):
        stored(tmp_path / f"{rank}.npz", pixels[: 5 + rank])

    def program(communicator: Any) -> None:
        source = str(tmp_path / f"{communicator.rank}.npz")
        with pytest.raises(DataError, match=r"rank 1 and rank 0 do not hold the same data: 6 samples .* is not 5"):
            infer.infer(str(trained), source, str(tmp_path / "out.csv"), 0, [], communicator, Silent())

    run(2, program)


@pytest.mark.parametrize(
    ("x", "says", "cure"),
    [
        (
            np.full((2, 8, 8, 1), 255, np.uint8),
            "values of uint8 from 255 to 255, not 0 to 16",
            "0 to 16 as in training",
        ),
        (np.full((2, 8, 8, 1), -0.8), "values of float64 from -0.8 to -0.8, not 0 to 1", "not normalised"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"x is \(2, 8, 8, 3\), the network takes samples \(8, 8, 1\)", "it is RGB"),
        (np.zeros((8, 8, 1), np.uint8), r"x is \(8, 8, 1\), the network", "(N, 8, 8, 1), one sample too"),
        (np.zeros((2, 8, 8, 1), np.int64), "x is int64, the network takes pixels or real values", "unsigned integers"),
        (np.full((2, 8, 8, 1), np.nan), "no finite numbers", "numbers in their place"),
    ],
    ids=["white is 16", "normalised already", "RGB", "no samples", "int64", "NaN"],
)
def test_samples_that_do_not_fit_are_refused_with_numbers_and_cure(
    predicted: Any, tmp_path: Path, x: np.ndarray, says: str, cure: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        predicted(stored(tmp_path / "in.npz", x))
    assert cure in caught.value.cure and not (tmp_path / "out.npz").exists()


def test_an_array_of_another_name_and_a_file_of_no_kind_are_refused(predicted: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", y=np.zeros(3))
    with pytest.raises(DataError, match="holds no array x; it holds y"):
        predicted(tmp_path / "in.npz")
    with pytest.raises(UsageError, match="none of the files"):
        predicted(tmp_path / "in.txt")
    with pytest.raises(DataError, match=r"nothing\.npz cannot be read"):
        predicted(tmp_path / "nothing.npz")


def test_outputs_and_tops_that_cannot_be_are_refused_before_anything_is_read(trained: Path) -> None:
    for output, top, says in (("a.txt", 0, "neither .csv nor .npz"), ("", 11, "--top 11 of 10 classes")):
        with pytest.raises(UsageError, match=says):
            infer.infer(str(trained), "/nowhere.npz", output, top, [], Alone(), Silent())


def test_a_network_of_indices_takes_whole_numbers_as_they_are(tmp_path: Path) -> None:
    tokens = load("digits-cnn").data  # without mean and deviation: nothing is normalised
    inputs = open_inputs(stored(tmp_path / "in.npz", np.array([[1, 2], [3, 4]])), tokens, (2,), np.dtype(np.float32))
    x, _ = inputs.read(np.array([1, 0]))
    assert x.dtype == np.int64 and x.tolist() == [[3, 4], [1, 2]]
    with pytest.raises(DataError, match="x is float64, the network takes indices"):
        open_inputs(stored(tmp_path / "in.npz", np.ones((2, 2))), tokens, (2,), np.dtype(np.float32))


# ---------------------------------------------------------------------------------------------------- pictures


def test_pictures_are_0_to_255_and_come_in_the_order_of_their_paths(
    predicted: Any, pixels: np.ndarray, tmp_path: Path
) -> None:
    image = pillow()
    (tmp_path / "scans" / "deep").mkdir(parents=True)
    bright = np.round(pixels[:3, ..., 0] * (255 / 16)).astype(np.uint8)
    for name, one in zip(("b.png", "a.png", "deep/c.png"), bright, strict=True):
        image.fromarray(one).save(tmp_path / "scans" / name)
    found = predicted(tmp_path / "scans", ranks=2)
    assert found["input"].tolist() == ["a.png", "b.png", "deep/c.png"]
    expected = predicted(stored(tmp_path / "in.npz", bright[[1, 0, 2]] / 255))
    assert found["probability"] == pytest.approx(expected["probability"], rel=1e-5)
    assert same(predicted(tmp_path / "scans" / "a.png"), {name: found[name][:1] for name in found})


def test_pictures_of_another_size_or_colour_are_refused_unless_resized(predicted: Any, tmp_path: Path) -> None:
    image = pillow()
    image.new("RGB", (12, 10)).save(tmp_path / "scan.png")
    with pytest.raises(DataError, match=r"scan.png is 10 x 12 RGB, the network takes 8 x 8 grey") as caught:
        predicted(tmp_path / "scan.png")
    assert "--resize" in caught.value.cure
    assert predicted(tmp_path / "scan.png", resize=True)["probability"].shape == (1, 10)
    with pytest.raises(UsageError, match="only pictures are resized"):
        predicted(tmp_path / "scan.npz", resize=True)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none holds no picture"):
        predicted(tmp_path / "none")


# ---------------------------------------------------------------------------------------------------- what is written


def lines(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_a_csv_has_a_line_for_each_sample(
    predicted: Any, trained: Path, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, source = predicted(stored(tmp_path / "in.npz", pixels)), str(tmp_path / "in.npz")
    infer.infer(str(trained), source, str(tmp_path / "out.csv"), 0, [], Alone(), Silent())
    head, *rows = lines((tmp_path / "out.csv").read_text())
    assert head == ["input", "prediction", *(f"p({k})" for k in range(10))]
    assert [row[:2] for row in rows] == [[str(i), str(k)] for i, k in enumerate(arrays["prediction"])]
    assert np.array(rows, float)[:, 2:] == pytest.approx(arrays["probability"], rel=1e-6)
    infer.infer(str(trained), source, "", 0, [], Alone(), Silent())
    assert capsys.readouterr().out == (tmp_path / "out.csv").read_text()


def test_the_top_classes_are_the_most_probable_ones(
    predicted: Any, trained: Path, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = stored(tmp_path / "in.npz", pixels)
    whole, top = predicted(source), predicted(source, top=3)
    assert np.array_equal(top["probability"], -np.sort(-whole["probability"], axis=1)[:, :3])
    assert np.array_equal(top["prediction"][:, 0], whole["prediction"])
    infer.infer(str(trained), str(source), "", 2, [], Alone(), Silent())
    head, first, *_ = lines(capsys.readouterr().out)
    assert head == ["input", "prediction_1", "probability_1", "prediction_2", "probability_2"]
    assert [int(first[1]), int(first[3])] == top["prediction"][0, :2].tolist()


def test_positions_are_for_an_npz_and_values_have_no_probabilities() -> None:
    positions = infer.Predictions(range(2), np.full((2, 3, 4), 0.25), list("abcd"))
    assert positions.arrays(0)["prediction"].shape == (2, 3)
    assert positions.arrays(2)["probability"].shape == (2, 3, 2)
    values = infer.Predictions(["a", "b"], np.array([[1.5, 2], [3, 4]]), [])
    assert list(values.arrays(0)) == ["input", "output"]
    assert list(values.rows(0)) == [["input", "output_1", "output_2"], ["a", "1.5", "2"], ["b", "3", "4"]]


def test_a_file_is_written_whole_or_not_at_all(
    trained: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = stored(tmp_path / "in.npz", pixels), tmp_path / "out.csv"
    output.write_text("the predictions of yesterday")

    def full(self: infer.Predictions, top: int) -> Any:
        yield ["input"]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(infer.Predictions, "rows", full)
    with pytest.raises(UsageError, match=r"out.csv cannot be written: No space left"):
        infer.infer(str(trained), str(source), str(output), 0, [], Alone(), Silent())
    assert output.read_text() == "the predictions of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.csv"]


def test_two_processes_with_compiled_kernels_write_one_file(trained: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    source, settings = stored(tmp_path / "in.npz", pixels), ["train.backend=cpu", "train.batch=5"]
    for ranks in (1, 2):
        output = str(tmp_path / f"{ranks}.csv")
        done = mpirun(ranks, COMMAND, "infer", str(trained), str(source), *settings, "--output", output)
        assert done.code == 0, done.text
        assert "23 samples predicted by" in done.said(0) and output in done.said(0)
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text()


def test_without_pillow_the_cure_is_named(predicted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.core.errors import PlatformError

    (tmp_path / "scan.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(PlatformError) as caught:
        predicted(tmp_path / "scan.png")
    assert "pip install" in caught.value.cure
