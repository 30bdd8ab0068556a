"""The command that measures: bench."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import PlatformError
from ..train.terminal import console
from .app import RANKS, Traceback, app, reported

if TYPE_CHECKING:
    from ..jobs.benches import Question
    from ..jobs.measured import Result


@app.command()
@reported
def bench(
    question: Annotated[
        str | None, typer.Argument(help="What to measure; without one, all questions are listed.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="An earlier result: exit code 1 where this one is worse."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write the result, as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few, tiny cases: whether it runs, not how fast.")] = False,
    count: Annotated[
        int,
        typer.Option("--ranks", metavar="N", min=0, help="Ranks to start; otherwise as many as the question takes."),
    ] = 0,
    traceback: Traceback = False,
) -> None:
    """Measure against peers and limits, in a checkout: shoal bench gemm --against before.json"""
    from ..jobs import benches
    from ..jobs.measured import Result, changes

    folder = benches.checkout()
    if question is None:
        _list(benches.questions(folder))
        return
    asked = benches.find(question, folder)
    before = Result.load(against) if against else None
    if missing := [name for name in ("pytest", "pytest_benchmark") if not find_spec(name)]:
        raise PlatformError(f"benchmarks need {' and '.join(missing)}", 'pip install "shoal[bench]"')
    with tempfile.TemporaryDirectory() as scratch:
        file = output or Path(scratch, "result.json")
        if code := benches.ask(asked, file.absolute(), quick, count):
            sys.exit(code)
        if any(os.environ.get(name, "0") != "0" for name in RANKS):
            return  # rank 0 has the result, and the last word
        result = Result.load(file)
    _show(result)
    if before:
        found = changes(before, result)
        for change in found:
            console().print(str(change), markup=False)
        if result.machine["cpu"] != before.machine["cpu"]:
            print(f"measured on {result.machine['cpu']}, before on {before.machine['cpu']}", file=sys.stderr)
        sys.exit(any(change.worse for change in found))


def _list(questions: dict[str, Question]) -> None:
    from rich.table import Table

    shown = Table("question", "ranks", "")
    for one in questions.values():
        shown.add_row(one.name, str(one.ranks), one.words)
    console().print(shown)


def _show(result: Result) -> None:
    from rich.table import Table

    from ..jobs.measured import table
    from ..jobs.targets import verdicts

    title = f"{result.question}: ours by each, medians (lowest-highest round); more is better"
    tables = {title: table(result)} | ({"targets": verdicts(result)} if result.targets else {})
    for title, (heads, rows) in tables.items():
        shown = Table(title=title)
        for head in heads:
            shown.add_column(head, overflow="fold")
        for row in rows:
            shown.add_row(*row)
        console().print(shown)
