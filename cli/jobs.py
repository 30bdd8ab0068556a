"""The commands that start a run from outside: submit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import PRESET, Overrides, Traceback, app, reported


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
