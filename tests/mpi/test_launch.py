"""The tests' own mpirun: a child that hangs is a failed test that shows what was said, and leaves no process behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from launch import mpirun

HANG = """import os, pathlib, sys, time
print("pid", os.getpid(), flush=True)
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(60)"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_child_that_hangs_is_ended_with_all_its_ranks(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="did not end within 4 s") as failed:
        mpirun(2, HANG, str(tmp_path), timeout=4)
    ranks = [int(file.name) for file in tmp_path.iterdir()]
    assert len(ranks) == 2
    assert all(f"pid {rank}" in str(failed.value) for rank in ranks)
    for _ in range(200):  # killed, but not yet gone
        if not any(alive(rank) for rank in ranks):
            return
        time.sleep(0.05)
    pytest.fail("ranks are left behind")


def test_output_is_sorted_by_rank_and_stream() -> None:
    finished = mpirun(2, "import os, sys; print('out'); print('err', file=sys.stderr); sys.exit(0)")
    assert (finished.code, finished.out) == (0, {0: ["out"], 1: ["out"]})
    assert sorted(finished.err) == [(0, "err"), (1, "err")]
