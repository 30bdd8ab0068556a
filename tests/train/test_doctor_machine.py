"""The doctor's answers about folders, GPUs, Numba and the network, of machines that this one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctored import case

from shoal.mpi import threads
from shoal.mpi.communicator import Communicator
from shoal.train.doctor import disk, gpu, network, software
from shoal.train.doctor.check import Check, Rank

# --------------------------------------------------------------------------------------------------------------- folders

MOUNTS = """/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/fast\\040disk tmpfs rw 0 0
ost@tcp:/scratch /scratch lustre rw,flock 0 0"""


@pytest.mark.parametrize(
    "path, mount, kind, network",
    [
        ("/var/runs", "/", "ext4", False),
        ("/home/me/runs", "/home", "nfs4", True),
        ("/homes", "/", "ext4", False),
        ("/home/me/fast disk/runs", "/home/me/fast disk", "tmpfs", False),
        ("/scratch/me", "/scratch", "lustre", True),
    ],
)
def test_the_file_system_of_a_folder_is_named(path: str, mount: str, kind: str, network: bool) -> None:
    assert disk.mounted(Path(path), MOUNTS.splitlines()) == (mount, kind)
    assert bool(disk.NETWORK.match(kind)) is network


def answers(question: Any, folders: list[Path]) -> list[Check]:
    """Of ranks as threads, each with a folder of its own."""

    def rank(comm: Communicator) -> Check:
        ranks = [Rank(f"host{r}", frozenset([r]), frozenset([r])) for r in range(comm.size)]
        (check,) = question(replace(case(folder=folders[comm.rank]), comm=comm, ranks=ranks))
        return check

    return threads.run(len(folders), rank)


def test_a_folder_that_ranks_do_not_share_is_noted(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = answers(disk.folder, [tmp_path / "a", tmp_path / "b"])
    assert first == second and first.state == "note"
    assert "1 of 2 ranks do not see what rank 0 writes there: rank 0 will write for all" in first.found
    (check, _) = answers(disk.folder, [tmp_path / "a" / "runs" / "x", tmp_path / "a"])
    assert check.ok and check.found.startswith(f"{tmp_path}/a, ") and check.found.endswith("shared by all 2 ranks")


def test_a_folder_that_cannot_be_written_is_every_ranks_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written"):
        answers(disk.folder, [tmp_path / "file", tmp_path])


@pytest.mark.parametrize("free, state", [(50 << 20, "bad"), (500 << 20, "note"), (5 << 30, "ok")])
def test_little_room_is_said(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_room", lambda path: (str(path), free))
    assert disk.folder(case(folder=tmp_path))[0].state == state


def test_a_file_system_without_locks_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(disk.fcntl, "lockf", refuse)
    (check,) = disk.speed(case(folder=tmp_path))
    assert check.ok and check.found.endswith("has no file locks: shoal needs none")


# ------------------------------------------------------------------------------------------------------------------ GPUs


def system(folder: Path) -> Path:
    """A machine with two GPUs, as NVIDIA's driver shows them."""
    for bus in ("0000:1b:00.0", "0000:43:00.0"):
        (folder / "proc/driver/nvidia/gpus" / bus).mkdir(parents=True)
        (folder / "proc/driver/nvidia/gpus" / bus / "information").write_text("Model: \t\t NVIDIA H100\nIRQ:   113\n")
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    (folder / "proc/driver/nvidia/version").write_text(version)
    return folder


def test_gpus_are_counted_without_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SYSTEM", tmp_path)
    assert [check.found for check in gpu.gpus(case()) + gpu.aware(case())] == ["none", "no GPU"]
    monkeypatch.setattr(gpu, "SYSTEM", system(tmp_path))
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    (check,) = gpu.gpus(case())
    assert check.found == "2 x NVIDIA H100, driver 550.54.15, no CuPy; shoal's kernels run on the CPU"
    assert check.state == "note"
    for node, units in (("0", 0), ("1", 304)):  # AMD's driver lists processors too
        (tmp_path / "sys/class/kfd/kfd/topology/nodes" / node).mkdir(parents=True)
        (tmp_path / "sys/class/kfd/kfd/topology/nodes" / node / "properties").write_text(
            f"cpu_cores_count 1\nsimd_count {units}\n"
        )
    assert gpu.names(tmp_path) == ["NVIDIA H100", "NVIDIA H100", "AMD GPU"]


FAKE = """from numpy import arange, zeros
class cuda: get_current_stream = lambda: cuda
cuda.synchronize = lambda: None
"""


@pytest.mark.parametrize(
    "extra, state, words",
    [
        ("", "ok", "yes: a message from device memory arrived"),
        ("import os; os.abort()", "note", "no: the probe ended with -6"),
    ],
    ids=["it takes it", "it dies of it"],
)
def test_whether_mpi_takes_device_memory_is_tried_in_a_child(
    extra: str, state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CuPy of NumPy's arrays: what is shown is the probe, and that only the child dies of it."""
    pytest.importorskip("mpi4py")
    (tmp_path / "cupy.py").write_text(FAKE + extra)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(gpu, "SYSTEM", system(tmp_path))
    monkeypatch.setattr(gpu, "find_spec", lambda name: True)
    (check,) = gpu.aware(case(mpi={"version": "any"}))
    assert check.state == state and check.found.startswith(words)


# ----------------------------------------------------------------------------------------------------- Numba, the network


def test_numba_that_does_not_compile_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert software.numba(case())[0].state == "note"
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    (check,) = software.numba(case())
    assert (check.found, check.cure) == ("NUMBA_DISABLE_JIT=1: it compiles nothing", "unset it")


def test_one_rank_of_each_machine_is_asked_first_and_not_all() -> None:
    ranks = [Rank(f"host{number // 8}", frozenset(), frozenset()) for number in range(64)]
    assert network.peers(ranks) == [8, 16, 24, 32, 40, 48, 56, 1, 2, 3, 4, 5, 6, 7, 9, 10]


def test_clocks_and_messages_are_every_ranks_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for question, words in ((network.clocks, "ms apart at most"), (network.messages, "the slowest of 2 from rank 0")):
        found = answers(question, [tmp_path] * 3)
        assert len(set(found)) == 1 and words in found[0].found and found[0].ok


def test_a_clock_that_is_wrong_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rank 1's is an hour late."""
    monkeypatch.setattr(
        network, "_offset", lambda comm, peer: network._times(comm, peer, network.ROUNDS, 8) and -3600.0
    )
    check, _ = answers(network.clocks, [tmp_path] * 2)
    assert check.found.startswith("3600000.000 ms apart at most (rank 1 and rank 0)")
    assert (check.state, check.cure) == ("note", "start chrony or ntpd there")
