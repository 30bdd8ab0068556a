"""The documentation says what is so: its commands run, its pictures and references are those of the code, its promises have tests.

A block is run if the line before it is `<!-- run -->`, in the long suite if it is `<!-- run long -->`; those of a page in their
order, in one empty folder. Links are checked by the build (`make docs`); here it is shown that it would find a broken one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from launch import ROOT_MAY, run

from shoal.core import errors
from shoal.core.errors import ShoalError
from shoal.plan import SCHEDULES, PipelineShape, schedule

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
STRATEGIES = sorted(page for page in (DOCS / "strategies").glob("*.md") if page.stem != "index")


def name(page: Path) -> str:
    return str(page.relative_to(DOCS))


# ---------------------------------------------------------------------------------------------------- commands


class Block(NamedTuple):
    """A fenced block that is marked to be run."""

    long: bool
    language: str
    text: str


def marked(text: str) -> list[Block]:
    blocks = re.findall(r"^<!-- run( long)? -->\n```(sh|python)\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == text.count("<!-- run"), "a mark stands right before a block of sh or python"
    return [Block(bool(long), language, body) for long, language, body in blocks]


MARKED = {page: blocks for page in PAGES if (blocks := marked(page.read_text(encoding="utf-8")))}


def follow(blocks: list[Block], folder: Path) -> None:
    """Runs blocks as a reader would who has shoal on the path; the first command that fails fails the test."""
    (folder / "bin").mkdir(parents=True)
    command = folder / "bin" / "shoal"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shoal "$@"\n')
    command.chmod(0o755)
    environment = ROOT_MAY | {
        "PATH": os.pathsep.join([str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PRTE_MCA_hwloc_default_binding_policy": "none",
        "OMPI_MCA_osc": "^ucx",
        "SHOAL_PROGRESS": "none",
    }
    interpreter = {"sh": ["sh", "-ec"], "python": [sys.executable, "-c"]}
    for block in blocks:
        script = ["env", "-C", str(folder), *interpreter[block.language], block.text]
        done = run(script, 600 if block.long else 200, environment)
        assert done.code == 0, f"{block.text}\n{done.text}"


@pytest.mark.parametrize("page", MARKED, ids=name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    follow([block for block in MARKED[page] if not block.long], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("page", MARKED, ids=name)
def test_all_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    follow(MARKED[page], tmp_path)


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="False"):
        follow(marked("<!-- run -->\n```sh\necho False; false; true\n```\n"), tmp_path)


def test_a_mark_without_a_block_is_seen() -> None:
    with pytest.raises(AssertionError, match="right before"):
        marked("<!-- run -->\n\n```sh\ntrue\n```\n")


# ---------------------------------------------------------------------------------------------------- what is generated


def check(script: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("script", ["draw.py", "reference.py"])
def test_pictures_and_reference_are_those_of_the_code(script: str) -> None:
    done = check(DOCS / script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "script, written", [("draw.py", "pictures/1f1b.svg"), ("reference.py", "reference/commands.md")]
)
def test_what_is_out_of_date_is_seen(script: str, written: str, tmp_path: Path) -> None:
    for file in (DOCS / script, *(DOCS / written).parent.iterdir()):
        copy = tmp_path / file.relative_to(DOCS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    stale = tmp_path / written
    stale.write_text(
        stale.read_text(encoding="utf-8").replace("F0", "F9").replace("--resume", "--resumed"), encoding="utf-8"
    )
    done = check(tmp_path / script)
    assert done.returncode != 0 and written in done.stderr


# ---------------------------------------------------------------------------------------------------- exit codes


def rows(text: str, cells: int) -> list[tuple[str, ...]]:
    """The rows of all tables with so many columns."""
    lines = (
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line in text.splitlines()
        if line.startswith("|")
    )
    return [row for row in lines if len(row) == cells]


def test_code_page_and_readme_have_the_same_exit_codes() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    told = {int(code): cls.strip("`") for code, cls, *_ in rows(page, 4) if code.isdigit() and cls}
    classes = {
        cls.code: cls.__name__ for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ShoalError)
    }
    assert told == {**classes, 1: "Diverged", 130: "KeyboardInterrupt"}
    docstring = {int(code): cls for code, cls in re.findall(r"^    (\d+) +(\w+)", errors.__doc__ or "", re.M)}
    assert told == docstring
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Exit codes")[1].split("\n## ")[0]
    assert {int(row[0]) for row in rows(readme, 2) if row[0].isdigit()} == {0, *told}


ROOMS = ("kernels", "plan", "mpi", "checkpoint", "train")
SOURCES = [path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def raised(words: str, code: str) -> bool:
    """Whether a file holds these words, and raises an error of this code, if it is one."""
    by_code = [cls.__name__ for cls in ShoalError.__subclasses__() if str(cls.code) == code] or ["warn"]
    return any(words in text and any(f"{cls}(" in text for cls in by_code) for text in SOURCES)


def test_the_errors_that_the_page_explains_are_the_codes() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8").split("## What you may see")[1]
    explained = [(words.strip("`"), code) for words, code, _ in rows(page, 3) if words.startswith("`")]
    assert len(explained) > 10
    assert [row for row in explained if not raised(*row)] == []
    assert not raised("there is no preset", "4") and not raised("there is no such error", "2")


# ---------------------------------------------------------------------------------------------------- promises


def missing(text: str) -> list[str]:
    """The tests that a page names and that are not there."""
    named = re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", text)
    return [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or f"def {test}(" not in (ROOT / file).read_text()
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_a_test_that_is_not_there_is_seen() -> None:
    assert missing("(`tests/core/test_core.py::test_that_nobody_wrote`)") == [
        "tests/core/test_core.py::test_that_nobody_wrote"
    ]


@pytest.mark.parametrize("page", STRATEGIES, ids=name)
def test_a_strategy_has_its_picture_equation_promise_and_command(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert (
        "](../pictures/" in text
        and re.search(r"promise", text, re.I)
        and "tests/" in text
        and re.search(r"^(## |\*\*)When", text, re.M)
    )
    assert any("shoal train" in block.text for block in marked(text))
    assert re.search(r"^```\n.*?[=*].*?^```", text, re.M | re.S)


def test_every_schedule_is_on_the_page_of_pipelines() -> None:
    text = (DOCS / "strategies" / "pipeline.md").read_text(encoding="utf-8")
    assert [one for one in SCHEDULES if f"| `{one}`" not in text or f"pictures/{one}.svg" not in text] == []


def test_the_table_that_is_shown_as_an_idea_is_that_of_the_schedule() -> None:
    page = (DOCS / "ideas.md").read_text(encoding="utf-8")
    assert [
        row for row in schedule.text(schedule.one_f_one_b(PipelineShape(3, 4))).splitlines() if row not in page
    ] == []


# ---------------------------------------------------------------------------------------------------- links


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    """Of a page, an anchor, a heading of the same page, a file; and a page that no other leads to."""
    if not all(find_spec(module) for module in ("sphinx", "myst_parser", "furo")):
        reason = "sphinx: the documentation's tools are not installed (shoal[docs])"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    files = {
        "README.md": "# a\n\n[1](docs/none.md) [2](docs/index.md#none) [3](#none) [4](none.py) [5](docs/index.md#b) [6](#a)\n",
        "docs/index.md": "# b\n\n## c\n\n[1](start.md)\n",
        "docs/start.md": "# d\n",
        "docs/lost.md": "# e\n",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    options = ["-q", "-W", "--keep-going", "-b", "dummy", "-c", str(DOCS)]
    done = run([sys.executable, "-m", "sphinx", *options, str(tmp_path), str(tmp_path / "out")], 120, {})
    assert done.code == 1, done.text
    said = [line for line in done.text.splitlines() if "WARNING" in line]
    assert len(said) == 5, done.text
    for words in ("docs/none.md", "'docs/index': 'none'", "not found: 'none'", "none.py", "lost.md"):
        assert any(words in line for line in said), (words, done.text)
