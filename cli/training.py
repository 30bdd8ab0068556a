"""The commands that run a network, or make it ready: train, eval, infer, warm."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..train.config import load
from ..train.progress import screen
from ..train.signals import Wishes
from ..train.tables import write
from ..train.terminal import say_json
from .app import PRESET, Best, Json, Overrides, Progress, Traceback, app, ranks, reported

WINDOW = "5:25"  # the first steps after the warm-up still fill caches


@app.command()
@reported
def train(
    preset: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help=PRESET)],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run folder's newest checkpoint.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Show the configuration as TOML.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show blocks, shares, memory and messages.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="With --dry-run: the schedule, .svg or .png.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help=f"Record where the time goes: run.trace={WINDOW}.")] = False,
    progress: Progress = None,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Train a network: shoal train digits-cnn optim.lr=0.02 train.epochs=5"""
    config = load(preset, overrides or [])
    if trace and not config.run.trace:
        config = replace(config, run=replace(config.run, trace=WINDOW))
    if print_config:
        print(write(config), end="")
        return
    with Wishes().heard() as wishes, ranks("train" + " --resume" * resume + " --dry-run" * dry_run, config) as comm:
        if dry_run:
            from ..train import dry_run as dry

            if comm.rank == 0:
                plan = dry.plan(config, comm.size)
                dry.show(config, plan)
                if picture:
                    dry.picture(plan, picture)
            return
        from ..train import start

        result = start.train(config, comm, screen(progress, comm.rank), resume, wishes)
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
        from ..train import start

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
        from ..train import infer as inference

        inference.infer(
            checkpoint,
            source,
            output,
            top,
            overrides or [],
            comm,
            screen(progress, comm.rank),
            best=best,
            resize=resize,
        )


@app.command()
@reported
def warm(
    preset: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help=PRESET)],
    overrides: Overrides = None,
    progress: Progress = None,
    as_json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Compile what a configuration needs on this machine, and train nothing: shoal warm lenet-fashion

    One process does it for runs of any number of ranks; all that is written are kernels, into their cache.
    The second time they are only loaded. In a Slurm job, on every node: srun --ntasks-per-node=1 shoal warm lenet-fashion
    """
    from ..train.warm import warm as compile_all

    result = compile_all(load(preset, overrides or []), screen(progress, 0))
    say_json(asdict(result)) if as_json else print(result)


def _show(result: Any, as_json: bool, rank: int) -> None:
    from ..train.summary import show, show_json

    if rank == 0:
        show_json(result) if as_json else show(result)
