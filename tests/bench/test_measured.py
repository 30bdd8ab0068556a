"""Results: what is kept of a measurement, and when a later one is worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal.core.errors import DataError
from shoal.jobs.measured import Change, Result, Spread, changes, table

Make = Callable[..., Result]
QUIET = [0.99, 1.0, 1.01]


def test_a_result_is_read_as_it_was_written(result: Make, tmp_path: Path) -> None:
    (tmp_path / "gemm.json").write_text(result(peer=QUIET).text())
    assert Result.load(tmp_path / "gemm.json") == result(peer=QUIET)


def test_a_case_is_a_line(result: Make) -> None:
    (line,) = [line for line in result(peer=QUIET).text().splitlines() if "64x64" in line]
    assert json.loads(line.partition(":")[2])["ratios"] == {"peer": [1.0, 0.99, 1.01]}


def test_four_digits_are_kept(result: Make) -> None:
    assert "[0.3333, 0.3333, 0.3333]" in result(peer=[1 / 3]).text()


@pytest.mark.parametrize("text", ["", "{}", '{"question": "gemm", "cases": {"a": {"speed": 1}}}'])
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"(?s)x\.json is not a result.*--output FILE"):
        Result.load(tmp_path / "x.json")
    with pytest.raises(DataError, match="nowhere"):
        Result.load(tmp_path / "nowhere")


def test_a_loss_beyond_noise_is_worse(result: Make) -> None:
    (change,) = changes(result(peer=QUIET), result(peer=[0.89, 0.9, 0.91]))
    assert change == Change("64x64", "peer", Spread(1.0, 0.99, 1.01), Spread(0.9, 0.89, 0.91)) and change.worse
    assert str(change) == "worse: 64x64, peer: 1.00 (0.99-1.01) before, 0.90 (0.89-0.91) now"


def test_a_gain_is_told_and_is_not_worse(result: Make) -> None:
    (change,) = changes(result(peer=QUIET), result(peer=[1.1, 1.2, 1.3]))
    assert not change.worse and str(change).startswith("better: ")


@pytest.mark.parametrize(
    "before, now", [(QUIET, [0.85, 0.9, 1.0]), ([0.89, 1.0, 1.1], [0.9, 0.9, 0.9])], ids=["now", "before"]
)
def test_a_loss_within_the_noise_of_either_run_is_none(result: Make, before: list[float], now: list[float]) -> None:
    assert changes(result(peer=before), result(peer=now)) == []


def test_equal_runs_are_called_different_less_than_once_in_five_hundred(result: Make) -> None:
    """The promise of the module's docstring, on a distribution with the long tail of a shared machine."""
    rounds = np.random.default_rng(0).lognormal(0, 0.2, (4000, 2, 9))
    found = sum(len(changes(result(peer=list(a)), result(peer=list(b)))) for a, b in rounds)
    assert found <= 8


def test_results_of_different_questions_are_not_compared(result: Make) -> None:
    with pytest.raises(DataError, match="answers gemm, this one conv2d"):
        changes(result(peer=QUIET), result("conv2d", peer=QUIET))


def test_results_with_nothing_in_common_are_not_compared(result: Make) -> None:
    with pytest.raises(DataError, match=r"no case in common(.|\n)*--quick"):
        changes(result(peer=QUIET), result(other=QUIET))


def test_a_table_has_a_column_for_all_that_some_case_has(result: Make) -> None:
    assert table(result(limit=QUIET, OpenBLAS=[0.5])) == (
        ["case", "GFLOP/s", "limit", "OpenBLAS", "bytes"],
        [["64x64", "77", "1.00 (0.99-1.01)", "0.50 (0.50-0.50)", "4.1 kB"]],
    )
