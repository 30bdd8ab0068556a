"""docs/doctor.md keeps its word: every mis-start has a test that is there and asserts what the page quotes, or a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "doctor.md"
Row = tuple[str, str, str, str]


def rows(page: str) -> list[Row]:
    """(number, mistake, what shoal says, shown by) of the table of mis-starts."""
    table = page.split("## What goes wrong at a start")[1]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:3] != "|--"]
    return [(row[0], row[1], row[2], row[3]) for row in found if row[0].isdigit()]


def wrong(row: Row) -> list[str]:
    """What of a row does not hold."""
    _, _, says, shown = row
    named = re.findall(r"(tests/\S+\.py)::(\w+)", shown)
    if not named:
        return [] if re.match(r"not here: \w+", shown) else ["neither a test nor a reason"]
    problems, text = [], ""
    for file, test in named:
        source = (ROOT / file).read_text() if (ROOT / file).exists() else ""
        names = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        problems += [] if test in names else [f"there is no {file}::{test}"]
        text += source
    quoted = [part for words in re.findall(r"`([^`]+)`", says) for part in words.split(" … ")]
    text = text.replace('\\"', '"')
    return problems + [f"no test says {part}" for part in quoted if part not in text]


def test_every_item_is_there() -> None:
    assert {int(number) for number, *_ in rows(PAGE.read_text())} == set(range(5, 15))


@pytest.mark.parametrize("row", rows(PAGE.read_text()), ids=lambda row: f"{row[0]} {row[1][:40]}")
def test_a_mis_start_is_shown_by_a_test_or_has_a_reason(row: Row) -> None:
    assert wrong(row) == []


@pytest.mark.parametrize(
    "says, shown",
    [
        ("", ""),
        ("", "not here:"),
        ("", "tests/test_doctor_page.py::test_of_nothing"),
        ("", "tests/nowhere.py::test_every_item_is_there"),
        ("`words that no" + " test asserts`", "tests/test_doctor_page.py::test_every_item_is_there"),
    ],
)
def test_the_check_sees_what_does_not_hold(says: str, shown: str) -> None:
    assert wrong(("5", "a mistake", says, shown))
