"""What the tests of jobs share: the desk of a cluster's user, and the command `shoal` there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import ROOT, Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with shoal on PATH, in which the test stands; without a Slurm and without an MPI."""
    folder = tmp_path / "desk"
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    made = Desk(folder, tmp_path / "bin")
    made.bin.mkdir()
    (made.bin / "shoal").write_text(f'#!/bin/bash\nexec {sys.executable} -m shoal "$@"\n')
    (made.bin / "shoal").chmod(0o755)
    made.program("squeue", "echo RUNNING")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SHOAL_", "OMPI_", "PMI_"))]:
        monkeypatch.delenv(name)
    return made


@pytest.fixture
def shoal(desk: Desk) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command at the desk."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shoal", *args]
        return subprocess.run(command, cwd=desk.folder, capture_output=True, text=True, timeout=60, check=False)

    return run
