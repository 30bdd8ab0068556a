"""The examples run and print what they promise, and the README shows the first of them as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from launch import mpirun

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
DISTANCE = re.compile(r"difference.*? (\d+e[-+]\d+)")
# how many distances each prints; those that take a few seconds are in make test
QUICK = {"02_micro_batches": 3, "03_data_parallel": 1}
SLOW = {"04_uneven_shares": 6, "07_pipeline": 3, "08_mesh": 4, "09_checkpoint": 1, "10_layer": 3, "11_kernel": 1}
OTHERS = ("01_serial", "05_ranks", "06_schedules", "12_slurm")  # tested one by one, the last in tests/slurm
PRINTED = [*QUICK.items(), *(pytest.param(*item, marks=pytest.mark.long) for item in SLOW.items())]


def printed(name: str) -> str:
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def near(text: str, count: int, most: float) -> None:
    """So many distances are printed, and none is larger than rounding makes it."""
    found = [float(number) for number in DISTANCE.findall(text)]
    assert len(found) == count, text
    assert max(found) < most, text


def test_the_serial_example_trains() -> None:
    assert float(printed("01_serial").removeprefix("test accuracy ").rstrip("%\n")) >= 95


@pytest.mark.parametrize("name, count", PRINTED)
def test_an_example_comes_as_near_as_rounding_allows(name: str, count: int) -> None:
    near(printed(name), count, 1e-5 if name == "11_kernel" else 1e-8)


def test_a_distance_that_is_no_rounding_is_seen() -> None:
    with pytest.raises(AssertionError):
        near("largest difference from serial 3e-04", 1, 1e-8)
    with pytest.raises(AssertionError):
        near("", 1, 1e-8)


def test_the_schedules_differ_in_what_is_alive() -> None:
    alive = re.findall(r"micro-batches alive (\[[^]]*\])", printed("06_schedules"))
    assert alive == ["[1, 1, 1, 1]", "[8, 8, 8, 8]", "[4, 3, 2, 1]"]


@pytest.mark.long
def test_ranks_as_threads_and_as_processes_have_the_same_bits() -> None:
    *_, first, second = printed("05_ranks").split()
    processes = mpirun(2, EXAMPLES / "05_ranks.py")
    assert processes.code == 0, processes.text
    assert processes.out[0] == [f"2 ranks as processes: {first} {second}"] and first == second


@pytest.mark.long
@pytest.mark.parametrize("name, ranks", [("07_pipeline", 3), ("08_mesh", 4)])
def test_an_example_of_a_pipeline_runs_on_processes(name: str, ranks: int) -> None:
    done = mpirun(ranks, EXAMPLES / f"{name}.py")
    assert done.code == 0, done.text
    near("\n".join(line for lines in done.out.values() for line in lines), ranks, 1e-8)


def test_all_examples_are_listed_and_tested() -> None:
    names = {path.stem for path in EXAMPLES.glob("[0-9]*")}
    assert names == {*QUICK, *SLOW, *OTHERS}
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"({path.name})" in listed for path in EXAMPLES.glob("[0-9]*"))


def test_the_readme_shows_the_serial_example() -> None:
    code = (EXAMPLES / "01_serial.py").read_text().split('"""', 2)[2].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text()
