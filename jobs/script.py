"""The Slurm script of a configuration: one text, in which a few lines have other values.

`train.sbatch` beside this file runs as it is, with the demo's values. A configuration's script is that text with other
values in those lines, and with `env.sh` in the place where it is read, so that a job carries all it needs. Hence no
template language, nothing that only exists in generated scripts, and what a person reads, copies and edits is what the
tests run. The repository's `slurm/` is a guest and not in the wheel: it holds copies of the two for people who copy
scripts, and a test holds that they are equal.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class Allocation:
    """What is asked of Slurm.   time: [D-]HH:MM:SS.   mem: MiB of each node, 0 = not asked for, None = by the forecast.

    launcher: mpirun or srun, with or without options of its own; "" lets the job find out.
    env: a file of the cluster's own lines, such as `module load`; they come before env.sh.
    """

    nodes: int
    ranks_per_node: int
    cpus_per_rank: int
    time: str
    partition: str = ""
    account: str = ""
    launcher: str = ""
    mem: int | None = None
    env: Path | None = None

    @property
    def ranks(self) -> int:
        return self.nodes * self.ranks_per_node


def script(words: Sequence[str], name: str, asked: Allocation) -> str:
    """train.sbatch with these values.   words: after `shoal train`.   name: of the job."""
    values = {
        "job-name": re.sub(r"[^\w.-]+", "-", name) or "shoal",
        "nodes": asked.nodes,
        "ntasks-per-node": asked.ranks_per_node,
        "cpus-per-task": asked.cpus_per_rank,
        "time": asked.time,
        "mem": f"{asked.mem}M" if asked.mem else "",
        "partition": asked.partition,
        "account": asked.account,
    }
    text = ours("train.sbatch")
    for option, value in values.items():
        if value:
            text = _line(rf"#+SBATCH --{option}=\S*", f"#SBATCH --{option}={value}", text)
    if asked.launcher:
        text = _line(r"SHOAL_LAUNCHER=\S*", f"SHOAL_LAUNCHER={shlex.quote(asked.launcher)}", text)
    own = [asked.env.read_text(encoding="utf-8")] if asked.env else []
    text = _line(r'\. "\$\{SHOAL_SLURM.*', "\n".join(["", *own, ours("env.sh")]).rstrip(), text)
    return _line(r"\[ \$# -gt 0 \] .*", f"[ $# -gt 0 ] || set -- {shlex.join(words)}", text)


def ours(file: str) -> str:
    """A script of this package as text."""
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def _line(start: str, line: str, text: str) -> str:
    """The text with the one line that starts so changed; its comment stays in its column.   start: a regular expression."""
    pattern = re.compile(rf"^({start} *)(.*)$", re.MULTILINE)
    changed, count = pattern.subn(lambda found: f"{line} ".ljust(len(found[1])) + found[2] if found[2] else line, text)
    assert count == 1, f"{count} lines start with {start}"
    return changed
