"""docs/events.md is what event files hold: its tables are read here, and every line of a few runs is held against them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shoal.core.errors import Preempted
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent
from shoal.train.signals import Wishes

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
TYPES: dict[str, Any] = {
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "list": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}
Table = dict[str, str]  # field -> type, as the page says it


def tables(text: str) -> dict[str, Table]:
    """Of every section of the page; "[figures](#figures)" stands for the fields of that section."""
    found: dict[str, Table] = {}
    for title, body in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", text, re.M):
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", body, re.M)
        found[title] = {field: kind.strip() for field, kind in rows}
        assert len(found[title]) == body.count("\n| `"), f"{title} names a field twice, or in another form"
        if "\n| [figures](#figures) |" in body:
            found[title]["figures"] = ""
    for table in found.values():
        if "figures" in table:
            del table["figures"]
            table |= found["Figures"]
    return found


def faults(line: dict[str, Any], page: dict[str, Table]) -> list[str]:
    """In what a line is not as the page says."""
    if line["event"] not in page:
        return [f"there is no event {line['event']} on the page"]
    table = page["Of every line"] | page[line["event"]]
    found = [f"{line['event']}.{field} is not on the page" for field in line if field not in table]
    for field, kind in table.items():
        words, _, optional = kind.partition(", ")
        if field not in line:
            found += [] if optional else [f"{line['event']}.{field} is missing"]
        elif not any(TYPES[word](line[field]) for word in words.split(" or ")):
            found.append(f"{line['event']}.{field} = {line[field]!r} is no {words}")
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for file in sorted(folder.glob("events-*.jsonl")) for line in file.read_text().splitlines()
    ]


@pytest.fixture
def written(tiny: list[str], tmp_path: Path) -> list[dict[str, Any]]:
    """The lines of two ranks, of a run that is asked to end and resumed, and of one with every figure."""
    two, asked, all_figures = (tmp_path / name for name in ("two", "asked", "figures"))
    config = load("digits-cnn", [*tiny, f"run.folder={two}", "train.epochs=1", "checkpoint.background=true"])
    threads.run(2, lambda c: start.train(config, c, Silent()), deadline=60, backend="reference")
    config = load("digits-cnn", [*tiny, f"run.folder={asked}", "train.epochs=1"])
    wishes = Wishes()
    wishes.counts["SIGUSR1"] = 1
    with pytest.raises(Preempted):
        start.train(config, Alone(), Silent(), wishes=wishes)
    start.train(config, Alone(), Silent(), resume=True)
    figures = ["train.metrics=accuracy,top5,f1,auc,perplexity,confusion", "checkpoint.best=f1", "train.epochs=1"]
    start.train(load("digits-cnn", [*tiny, *figures, f"run.folder={all_figures}"]), Alone(), Silent())
    return [line for folder in (two, asked, all_figures) for line in lines(folder)]


def test_every_line_is_as_the_page_says_and_every_field_of_the_page_is_written(written: list[dict[str, Any]]) -> None:
    page = tables(PAGE.read_text(encoding="utf-8"))
    assert [fault for line in written for fault in faults(line, page)] == []
    for event in page.keys() - {"Of every line", "Figures"}:
        fields = {field for line in written if line["event"] == event for field in line}
        assert fields == page[event].keys() | page["Of every line"].keys(), event


def test_every_difference_between_page_and_line_is_seen() -> None:
    page = tables(PAGE.read_text(encoding="utf-8"))
    right = {"t": 0.1, "rank": 0, "event": "start", "ranks": 1, "threads": 1, "resume": False}
    assert faults(right, page) == []
    for change, words in [
        ({"event": "begin"}, "no event begin"),
        ({"more": 1}, "start.more is not on the page"),
        ({"threads": "two"}, "start.threads = 'two' is no integer"),
        ({"resume": 0}, "start.resume = 0 is no boolean"),
    ]:
        assert any(words in fault for fault in faults(right | change, page))
    assert faults({"t": 0.1, "rank": 0, "event": "memory", "measured": 1}, page) == ["memory.planned is missing"]
