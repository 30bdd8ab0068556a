"""What all commands share: the application, the words for errors, the ranks.

Each command imports what it needs when it runs, so `--help` is quick.

Results go to stdout, progress and errors to stderr. Errors that shoal knows are two lines, "error:" and "cure:"; others
come with their traceback, as do all with --traceback or SHOAL_DEBUG=1. Exit codes: core/errors.py.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ..core.errors import ShoalError, exit_code
from ..train.config import presets

if TYPE_CHECKING:
    from ..mpi.communicator import Communicator
    from ..train.config import Config

app = typer.Typer(
    help="Trains one neural network across many machines. Start it with python, mpirun or srun.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")  # what launchers call a rank before MPI is loaded
START_UP = 600.0  # seconds that ranks wait for each other before the first step, where one may read and compile for all
PRESET = f"A preset ({', '.join(presets())}), or the path of a TOML file."

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings to change.")]
Progress = Annotated[str | None, typer.Option(help="bar, lines or none; otherwise SHOAL_PROGRESS, or by the terminal.")]
Json = Annotated[bool, typer.Option("--json", help="The result as one line of JSON.")]
Best = Annotated[bool, typer.Option("--best", help="The best checkpoint of the run (checkpoint.best), not the newest.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show where an error comes from (also: SHOAL_DEBUG=1).")]


@app.callback(invoke_without_command=True)
def face(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        print(f"shoal {__version__}")
        raise typer.Exit


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose error becomes words on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        if kwargs.get("traceback"):
            os.environ["SHOAL_DEBUG"] = "1"
        try:
            command(*args, **kwargs)
        except BrokenPipeError:  # who reads our output has seen enough: typer ends without a word
            raise
        except (Exception, KeyboardInterrupt) as error:
            tell(error)
            sys.exit(exit_code(error))

    return run


def first() -> bool:
    """Whether a launcher calls this process rank 0, or there is none; known before MPI is."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def tell(error: BaseException) -> None:
    """Says an error of a process that is not connected to others, or that all ranks end with.

    All ranks may have found it, so rank 0 goes first; where they agreed, it alone speaks.
    """
    if not first():
        if getattr(error, "agreed", False):
            return
        time.sleep(1)
    sys.stdout.flush()
    known = isinstance(error, (ShoalError, KeyboardInterrupt))
    if not known or os.environ.get("SHOAL_DEBUG") == "1":
        traceback.print_exception(error)
    if known:
        print(f"error: {getattr(error, 'problem', 'interrupted')}", file=sys.stderr)
    if cure := getattr(error, "cure", ""):
        print(f"cure:  {cure}", file=sys.stderr, flush=True)


@contextmanager
def ranks(command: str, config: Config | None = None) -> Iterator[Communicator]:
    """The communicator of this start, once all ranks run the same command; an error among several ends them all."""
    from ..mpi import agreement, fatal
    from ..mpi.start import connect

    comm = connect(reduction=config.parallel.reduction, backend=config.train.backend) if config else connect()
    try:
        comm.deadline = START_UP
        agreement.agree(comm, {"command": command})
        yield comm
    except (Exception, KeyboardInterrupt) as error:
        if comm.size > 1 and not getattr(error, "agreed", False):
            fatal.end(comm, error)
        raise
