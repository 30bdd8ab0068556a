"""shoal checkpoint: list, verify, show, export, diff. None of them needs MPI, takes the lease or changes the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import CheckpointError
from .app import Best, Json, Traceback, app, reported

group = typer.Typer(help="Look at checkpoints: list, verify, show, export, diff.", no_args_is_help=True)
app.add_typer(group, name="checkpoint")

DIFFERENT = 1  # as diff(1) says it

One = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A run folder, or one generation in it.")]


@group.command("list")
@reported
def list_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """The generations of a run, the newest first; judged by manifests and sizes."""
    from ..train import checkpoints

    checkpoints.list_run(run, as_json)


@group.command()
@reported
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...", help="Run folders, or generations in them.")],
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Read every byte of generations, and say which one a resume would use; exit code 5 if one is bad."""
    from ..train import checkpoints

    if not checkpoints.verify(paths, as_json):
        sys.exit(CheckpointError.code)


@group.command()
@reported
def show(
    checkpoint: One,
    tensor: Annotated[str | None, typer.Argument(help="Such as model/0.weight, to see what it holds.")] = None,
    best: Best = False,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """The facts and the tensors of a checkpoint, or what one tensor holds."""
    from ..train import generations

    generations.show(checkpoint, tensor, best, as_json)


@group.command()
@reported
def export(
    checkpoint: One,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.safetensors or FILE.npz.")],
    torch: Annotated[bool, typer.Option("--torch", help="As PyTorch's state_dict names and lays them out.")] = False,
    best: Best = False,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Write the weights of a checkpoint into a file that other programs read."""
    from ..train import export as exporting

    exporting.show(exporting.export(checkpoint, file, torch, best), as_json)


@group.command()
@reported
def diff(
    a: Annotated[Path, typer.Argument(help="A run folder, or one generation in it.")],
    b: Annotated[Path, typer.Argument(help="Another; how many ranks wrote it plays no part.")],
    best: Best = False,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Compare two checkpoints, tensors to the bit; exit code 0 if they are the same, 1 if they differ."""
    from ..train import generations

    if not generations.diff(a, b, best, as_json):
        sys.exit(DIFFERENT)
