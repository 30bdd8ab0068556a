"""`shoal submit`: what can be known of a job before a queue is waited for, and sbatch.

A job that waits for hours and then says "mesh has 4 places for 6 ranks" has wasted them. So the configuration is read, the
data opened, the model built and cut, and a run that would be continued is compared, here and now (train/dry_run.py); what
only the nodes know (their cores, their memory, their MPI) is left to Slurm and to the first seconds of the job. What is
wrong about the ranks names the flags of this command that change them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from ..checkpoint import history
from ..core.errors import PlatformError, UsageError
from ..core.partition import Partition
from ..train import dry_run
from ..train.config import Config, load
from ..train.data import open_dataset
from ..train.parallel import mesh
from ..train.resume import same_run
from ..train.summary import size
from .script import Allocation, script

BASE = 512  # MiB of a rank before it holds an array: the interpreter, Numba and MPI; 325 and 378 MiB were measured
MARGIN = 3  # times the forecast, which counts no pools and no batches read ahead: 2.1 to 3.3 were measured
NOTICE = 120 + 60  # seconds before the limit: --signal in train.sbatch, and how much sooner than that Slurm may send it


def seconds(time: str) -> int:
    """Of a time limit as HH:MM:SS or D-HH:MM:SS; UsageError for Slurm's other forms, in which 90:00 is an hour and a half."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", time)
    if not found:
        raise UsageError(f"--time {time} is not a time", "give --time as HH:MM:SS or D-HH:MM:SS: 01:30:00, 2-00:00:00")
    days, hours, minutes, rest = (int(group or 0) for group in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + rest


def prepare(name: str, overrides: Sequence[str], asked: Allocation) -> tuple[str, list[str]]:
    """The script of a configuration, and remarks for its author; the errors of a job that could not run."""
    _possible(asked)
    config = load(name, list(overrides))
    _writable(Path(config.run.folder))
    plan = _plan(config, asked)
    mem, memory = _memory(config, plan, asked)
    text = script([name, *overrides], Path(config.run.folder).name, replace(asked, mem=mem))
    return text, [f"{asked.ranks} ranks on {asked.nodes} nodes; {memory}", _step(config, plan)]


def submit(text: str, file: Path | None = None) -> str:
    """The number of the job that sbatch makes of a script.   file: that holds it, by which Slurm then calls it."""
    sbatch = shutil.which("sbatch")
    if not sbatch:
        cure = "run it where Slurm's commands are, or leave out --run and take the script there (--output FILE)"
        raise PlatformError("there is no sbatch on PATH", cure)
    command = [sbatch, "--parsable", *([str(file)] if file else [])]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        cure = "change --partition, --account, --time, --nodes, --ranks-per-node, --cpus-per-rank or --mem (0 asks for none)"
        raise UsageError(f"sbatch refused the job: {done.stderr.strip()}", cure)
    return done.stdout.strip().split(";")[0]  # the name of the cluster may follow


def _possible(asked: Allocation) -> None:
    """UsageError for what no Slurm would take, or what would end before it began."""
    for flag, value in (("--partition", asked.partition), ("--account", asked.account)):
        if value and not re.fullmatch(r"[^\s#'\"\\]+", value):
            raise UsageError(f"{flag} {value!r} is not a name", f"give {flag} one word without quotes")
    if asked.launcher and asked.launcher.split()[:1] not in (["mpirun"], ["srun"]):
        cure = 'give --launcher mpirun, srun, or one with its options, as "srun --mpi=pmix"'
        raise UsageError(f"--launcher {asked.launcher} starts with neither mpirun nor srun", cure)
    if (limit := seconds(asked.time)) <= NOTICE:
        problem = f"--time {asked.time} is {limit} s, and the signal to save comes up to {NOTICE} s before its end"
        raise UsageError(problem, "give --time at least 00:04:00")
    if asked.env and not asked.env.is_file():
        raise UsageError(f"--env {asked.env} is not a file", "give a file of shell lines, or leave it out")
    if not asked.env and not shutil.which("shoal"):
        cure = "activate its environment in this shell, which sbatch hands on, or give --env FILE that does it"
        raise PlatformError("there is no shoal on PATH, so there would be none in the job", cure)


def _writable(folder: Path) -> None:
    """UsageError where the run folder could not be made, without making it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        problem = f"the run folder {folder} cannot be written: {there} is not a folder that you may write"
        raise UsageError(problem, "give run.folder=FOLDER that you may write")


def _plan(config: Config, asked: Allocation) -> dry_run.Plan:
    """The dry run; its errors of ranks name the flags that change them."""
    threads = config.parallel.threads
    if threads > asked.cpus_per_rank:
        problem = f"parallel.threads = {threads} on --cpus-per-rank {asked.cpus_per_rank}: more than it has"
        raise UsageError(problem, f"give --cpus-per-rank {threads}, or leave out parallel.threads")
    try:
        replicas = mesh(config, asked.ranks)["data"]
        Partition.of(config.parallel.shares, replicas)
    except UsageError as error:
        flags = f"--nodes {asked.nodes} x --ranks-per-node {asked.ranks_per_node} = {asked.ranks} ranks"
        raise UsageError(error.problem, f"{error.cure}; {flags}") from error
    if not config.parallel.shares and config.train.batch < replicas:
        problem = f"train.batch = {config.train.batch} for {replicas} replicas: some would have no sample"
        raise UsageError(problem, "give fewer --nodes or --ranks-per-node, or a larger train.batch")
    if config.parallel.cut == "time":  # which this machine cannot know of the nodes
        config = replace(config, parallel=replace(config.parallel, cut="flops"))
    return dry_run.plan(config, asked.ranks)


def _memory(config: Config, plan: dry_run.Plan, asked: Allocation) -> tuple[int, str]:
    """MiB to ask of each node, 0 for not to ask, and the words for it."""
    copies = int(config.checkpoint.background)  # of what is saved while training goes on
    ranks = [(rank.memory + copies * rank.arenas) / 2**20 for rank in plan.ranks]
    fullest = max(sum(ranks[at : at + asked.ranks_per_node]) for at in range(0, len(ranks), asked.ranks_per_node))
    forecast = f"the forecast is {size(fullest * 2**20)} on the fullest node"
    if asked.mem is None:
        mem = ceil(BASE * asked.ranks_per_node + MARGIN * fullest)
        return mem, f"{mem} MiB asked of each node: {forecast}, times {MARGIN}, and {BASE} MiB a rank"
    if 0 < asked.mem < fullest:
        problem = f"--mem {asked.mem} MiB of each node is too little: {forecast}"
        raise UsageError(problem, "give a larger --mem, fewer --ranks-per-node, or leave out --mem")
    given = f"{asked.mem} MiB asked of each node" if asked.mem else "no memory asked for"
    return asked.mem, f"{given}; {forecast}"


def _step(config: Config, plan: dry_run.Plan) -> str:
    """Where the job will begin; the error of a run folder that it could not continue."""
    folder, total = Path(config.run.folder), config.train.epochs * plan.steps_per_epoch
    if not history.generations(folder):
        return f"{folder} holds no checkpoint: starting at step 0 of {total}"
    generation, data = history.open_generation(folder), open_dataset(config.data, config.train.dtype)
    meta = generation.meta
    generation.close()
    same_run(generation.path, meta, replace(config, data=data.config), data.digest, total)
    if meta["fed"] >= total:
        cure = "give more train.epochs to continue it, or run.folder=FOLDER to start another"
        raise UsageError(f"{folder} is done: step {meta['fed']} of {total}", cure)
    return f"{folder} will be continued at step {meta['fed']} of {total}"
