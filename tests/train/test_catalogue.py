"""`shoal models`: every model is listed, a model's blocks add up, and nothing is compiled."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shoal.core.errors import UsageError
from shoal.nn.models import MODELS
from shoal.train import catalogue


def test_every_model_is_listed_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    catalogue.show_all(as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(MODELS)
    assert rows["lenet"]["parameters"] == 1_663_370 and rows["lenet"]["shape"] == [28, 28, 1]
    catalogue.show_all(as_json=False)
    shown = capsys.readouterr().out
    assert all(name in shown for name in MODELS) and "1,663,370" in shown


def test_one_model_shows_its_blocks_for_the_shape_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    catalogue.show_one("mlp", "8,8,1", 3, ["width=16"], as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [block["kind"] for block in shown["blocks"]] == [
        "Flatten",
        "Linear",
        "Dropout",
        "Linear",
        "Dropout",
        "Linear",
    ]
    assert shown["total"]["parameters"] == (64 * 16 + 16) + (16 * 16 + 16) + (16 * 3 + 3)
    catalogue.show_one("mlp", "8,8,1", 3, ["width=16"], as_json=False)
    words = capsys.readouterr().out
    assert "mlp for 8x8x1" in words and "options: width=1024, dropout=0.0" in words


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (("lenett", "", 0, []), 'model "lenett" is not known'),
        (("mlp", "8,x", 0, []), '--shape "8,x" is not a shape'),
        (("mlp", "8,0,1", 0, []), '--shape "8,0,1" is not a shape'),
        (("mlp", "", 0, ["width"]), '"width" is not of the form OPTION=VALUE'),
        (("mlp", "", 0, ["widht=3"]), "mlp has no option widht"),
        (("lenet", "28,28", 0, []), "lenet does not take samples of shape"),
    ],
)
def test_a_mistake_is_named(arguments, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        catalogue.show_one(*arguments, False)


@pytest.mark.parametrize(
    "count, text", [(0, "0"), (999, "999"), (1000, "1 k"), (8_178_000_000, "8.18 G"), (3 * 10**15, "3e+03 T")]
)
def test_counts_are_short(count, text) -> None:
    assert catalogue.short(count) == text


def test_nothing_is_compiled(shoal) -> None:
    done = shoal("models", "lenet")
    assert done.returncode == 0 and "1,663,370" in done.stdout, done.stderr
    code = "import sys; from shoal.train import catalogue; catalogue.show_all(True); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
