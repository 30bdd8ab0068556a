"""The command line: arguments in, exit code out. Each command imports what it needs when it runs, so `--help` is quick.

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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .core.errors import PlatformError, ShoalError, exit_code
from .train.config import load, presets
from .train.progress import screen
from .train.tables import write

if TYPE_CHECKING:
    from .mpi.communicator import Communicator
    from .train.config import Config

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
        except (Exception, KeyboardInterrupt) as error:
            tell(error)
            sys.exit(exit_code(error))

    return run


def tell(error: BaseException) -> None:
    """Says an error of a process that is not connected to others. All ranks may have found it, so rank 0 goes first."""
    if any(os.environ.get(name, "0") != "0" for name in RANKS):
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
    from .mpi import agreement, fatal
    from .mpi.start import connect

    comm = connect(reduction=config.parallel.reduction, backend=config.train.backend) if config else connect()
    try:
        comm.deadline = START_UP
        agreement.agree(comm, {"command": command})
        yield comm
    except (Exception, KeyboardInterrupt) as error:
        if comm.size > 1:
            fatal.end(comm, error)
        raise


@app.command()
@reported
def train(
    preset: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help=PRESET)],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run folder's newest checkpoint.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Show the configuration as TOML.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show blocks, shares, memory and messages.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="With --dry-run: the schedule, .svg or .png.")] = None,
    progress: Progress = None,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Train a network: shoal train digits-cnn optim.lr=0.02 train.epochs=5"""
    config = load(preset, overrides or [])
    if print_config:
        print(write(config), end="")
        return
    with ranks("train" + " --resume" * resume + " --dry-run" * dry_run, config) as comm:
        if dry_run:
            from .train import dry_run as dry

            if comm.rank == 0:
                plan = dry.plan(config, comm.size)
                dry.show(config, plan)
                if picture:
                    dry.picture(plan, picture)
            return
        from .train import start

        result = start.train(config, comm, screen(progress, comm.rank), resume)
        _show(result, as_json, comm.rank)


@app.command("eval")
@reported
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A run folder, or one generation in it.")],
    overrides: Overrides = None,
    best: Best = False,
    progress: Progress = None,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Loss and metrics of a checkpoint on the test samples: shoal eval runs/digits-cnn train.metrics=f1,confusion"""
    with ranks("eval" + " --best" * best) as comm:
        from .train import start

        result = start.evaluate_checkpoint(checkpoint, overrides or [], comm, screen(progress, comm.rank), best)
        _show(result, as_json, comm.rank)


@app.command()
@reported
def infer(
    checkpoint: Annotated[str, typer.Argument(help="A run folder, or one generation in it.")],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A picture, a folder of them, or an array x in .npz, .h5.")
    ],
    overrides: Overrides = None,
    output: Annotated[str, typer.Option(metavar="FILE", help="FILE.csv or FILE.npz; CSV on stdout if left out.")] = "",
    top: Annotated[int, typer.Option(metavar="K", help="Only the K most probable classes, with their names.")] = 0,
    resize: Annotated[bool, typer.Option("--resize", help="Resize pictures, and convert them to grey or RGB.")] = False,
    best: Best = False,
    progress: Progress = None,
    traceback: Traceback = False,
) -> None:
    """Predict new samples with a checkpoint: shoal infer runs/digits-cnn scans/ --output scans.csv --top 3

    Samples are normalised as in training. What their values mean follows from their dtype:
    unsigned integers are pixels as the training set stores them,
    pictures are 0 to 255, whatever the training set has,
    real values are 0 to 1 where training was on pixels, else as they were there.
    Predictions come in the order of the input: sorted paths, or the rows of x.
    """
    with ranks("infer") as comm:
        from .train import infer as inference

        inference.infer(
            checkpoint, source, output, top, overrides or [], comm, screen(progress, comm.rank), best=best, resize=resize
        )


@app.command()
@reported
def doctor(as_json: Json = False) -> None:
    """Look whether this machine is ready; alone or under mpirun."""
    from .train import doctor as practice

    with ranks("doctor") as comm:
        checks = practice.examine(comm)
        if comm.rank == 0:
            practice.show_json(checks) if as_json else practice.show(checks)
    if not all(check.ok for check in checks):
        sys.exit(PlatformError.code)


@app.command()
@reported
def export(
    checkpoint: Annotated[str, typer.Argument(help="A run folder, or one generation in it.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="FILE.safetensors or FILE.npz.")],
    torch: Annotated[bool, typer.Option("--torch", help="As PyTorch's state_dict names and lays them out.")] = False,
    best: Best = False,
    traceback: Traceback = False,
) -> None:
    """Write the weights of a checkpoint into a file that other programs read."""
    from .train import export as exporting

    print(exporting.export(Path(checkpoint), Path(file), torch, best))


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
    from .train import catalogue

    if name is None:
        catalogue.show_all(as_json)
    else:
        catalogue.show_one(name, shape, classes, options or [], as_json)


def _show(result: Any, as_json: bool, rank: int) -> None:
    from .train.summary import show, show_json

    if rank == 0:
        show_json(result) if as_json else show(result)


def main() -> None:
    """The entry point of the command `shoal`."""
    app()
