"""The commands that look and change nothing: doctor, models."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import PlatformError
from .app import Json, Traceback, app, first, ranks, reported


@app.command()
@reported
def doctor(
    folder: Annotated[Path, typer.Argument(help="Where runs will be kept.")] = Path("runs"),
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Look whether this machine is ready; alone, or under mpirun or srun as training will be.

    One line a question: ok, bad with its cure, or note, which is only worth knowing. Exit code 3 if one is bad.
    """
    from ..mpi.alone import Alone
    from ..train import doctor as practice

    with ExitStack() as stack:
        refused = None
        try:
            comm = stack.enter_context(ranks("doctor"))
        except (
            PlatformError
        ) as error:  # of a launcher whose ranks do not find each other: each is alone, and one speaks
            if not first():
                return
            comm, refused = Alone(), error
        checks = practice.examine(comm, folder, refused)
        if comm.rank == 0:
            practice.show_json(checks) if as_json else practice.show(checks)
    if not all(check.ok for check in checks):
        sys.exit(PlatformError.code)


@app.command()
@reported
def models(
    name: Annotated[str | None, typer.Argument(help="A model; without one, all are listed.")] = None,
    options: Annotated[list[str] | None, typer.Argument(metavar="[OPTION=VALUE]...", help="Its options.")] = None,
    shape: Annotated[str, typer.Option(help="Of one sample, such as 32,32,3; otherwise what it was made for.")] = "",
    classes: Annotated[int, typer.Option(min=0, help="Otherwise what it was made for.")] = 0,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """List the models, or show the blocks of one: shapes, parameters, flops, memory."""
    from ..train import catalogue

    if name is None:
        catalogue.show_all(as_json)
    else:
        catalogue.show_one(name, shape, classes, options or [], as_json)
