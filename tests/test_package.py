"""What is installed: the rooms, their data, and nothing else."""

from importlib.metadata import version
from pathlib import Path

import pytest

import shoal

ROOT = Path(__file__).parents[1]
INSTALLED = Path(shoal.__file__).parent


def test_the_version_is_said_once() -> None:
    if INSTALLED == ROOT:
        pytest.skip("an editable install keeps the metadata of the day it was made")
    assert version("shoal") == shoal.__version__


def test_the_wheel_holds_the_rooms_and_no_guests() -> None:
    if INSTALLED == ROOT:
        pytest.skip("needs a regular install")
    assert not [
        name for name in ("setup.py", "tests", "bench", "examples", "docs", "slurm") if (INSTALLED / name).exists()
    ]
    ours = {
        p.relative_to(ROOT) for room in ROOT.iterdir() if (INSTALLED / room.name).is_dir() for p in room.rglob("*.py")
    }
    assert {p for p in ours if not (INSTALLED / p).exists()} == set()
    assert (INSTALLED / "py.typed").exists() and list((INSTALLED / "train" / "presets").glob("*.toml"))
    assert (INSTALLED / "jobs" / "train.sbatch").exists() and (INSTALLED / "jobs" / "env.sh").exists()
