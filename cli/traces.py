"""shoal trace: what a trace holds, in figures; the picture is Perfetto's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Json, Traceback, app, reported

group = typer.Typer(help="Look at traces of where the time went: summary.", no_args_is_help=True)
app.add_typer(group, name="trace")


@group.callback()
def face() -> None:
    """A group, though it has one command."""


@group.command()
@reported
def summary(
    trace: Annotated[Path, typer.Argument(metavar="RUN_OR_FILE", help="A run folder, or a trace file.")],
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Per rank compute, communication, idle and bubble; the slowest operations; the rank that others wait for."""
    from ..train import trace_summary

    trace_summary.show(trace, as_json)
