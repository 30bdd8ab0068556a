"""A cluster user's desk: a folder with slurm/ in it, and programs that stand in for Slurm's and MPI's.

A script is run as Slurm runs it (a copy in another folder, in a session of its own, its variables set), and always
with a deadline.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEADLINE = 30  # seconds, of anything a script does here


@dataclass
class Desk:
    """folder: where sbatch would be called, with slurm/ in it.   bin: first on PATH, where stand-ins are put."""

    folder: Path
    bin: Path

    def program(self, name: str, text: str) -> None:
        """A bash program on PATH; every one of its calls adds a line to NAME.calls."""
        file = self.bin / name
        file.write_text(f'#!/bin/bash\nprintf "%s\\n" "$*" >>{self.folder}/{name}.calls\n{text}\n')
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        file = self.folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def ended(self, last: str = "end") -> None:
        """Leaves what the demo's run leaves in its folder: its last event, `end` where all ranks came to the end of it."""
        events = self.folder / "runs" / "digits-cnn" / "events-0.jsonl"
        events.parent.mkdir(parents=True)
        events.write_text(f'{{"event": "start"}}\n{{"event": "{last}"}}\n')

    def start(self, script: str | Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Runs a script as Slurm's batch step would: a copy somewhere else, in the folder, in a session of its own."""
        spooled = self.folder / "spool" / "slurm_script"
        spooled.parent.mkdir(exist_ok=True)
        spooled.write_text((self.folder / script).read_text())
        slurm = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "2"}
        return subprocess.Popen(
            ["bash", str(spooled), *words],
            cwd=self.folder,
            env={**os.environ, **slurm, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str | Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return ended(self.start(script, *words, **environment))

    def until(self, name: str) -> None:
        """Waits until a stand-in has made this file."""
        end = time.monotonic() + DEADLINE
        while not (self.folder / name).exists():
            assert time.monotonic() < end, f"{name} did not come"
            time.sleep(0.01)


def ended(child: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Its end; the whole session is killed if that does not come."""
    try:
        out, err = child.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)
