"""`shoal warm`: what it has made ready, no run of that configuration compiles."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import mpirun

Shoal = Callable[..., "subprocess.CompletedProcess[str]"]
SETTINGS = ["train.epochs=1", "optim.clip_norm=1.0"]


def warmed(*settings: str) -> dict[str, object]:
    command = [sys.executable, "-m", "shoal", "warm", "digits-cnn", "--json", *SETTINGS, *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def warm() -> dict[str, object]:
    return warmed()


@pytest.mark.parametrize(
    "ranks, more",
    [(1, []), (2, []), (2, ["parallel.threads=2"]), (2, ["parallel.mesh.pipeline=2", "train.micro_batches=2"])],
    ids=["one rank", "two ranks", "two ranks, two threads", "a pipeline"],
)
def test_a_run_of_any_ranks_and_threads_finds_all_of_its_kernels(
    ranks: int, more: list[str], warm: dict[str, object], tmp_path: Path
) -> None:
    if more == ["parallel.threads=2"] and not two_threads():
        pytest.skip("one core: there is no second thread")
    args = ("train", "digits-cnn", *SETTINGS, *more, f"run.folder={tmp_path / 'run'}")
    done = mpirun(ranks, "from shoal.cli import main; main()", *args)
    assert done.code == 0, done.text
    made = re.search(r"(\d+) kernels ready, (\d+) compiled", done.said(0))
    assert made and 0 < int(made[1]) <= int(str(warm["kernels"])) and made[2] == "0"


def two_threads() -> bool:
    from shoal.kernels.cpu import threads

    return threads.cap() > 1 and threads.layer() is not None


def test_the_second_time_everything_comes_from_the_cache(warm: dict[str, object], shoal: Shoal, tmp_path: Path) -> None:
    said = shoal("warm", "digits-cnn", *SETTINGS).stdout
    assert f"{warm['kernels']} kernels ready after" in said and "0 compiled in" in said
    assert said.endswith(f"they are in {warm['cache']}\n") and not list(tmp_path.iterdir())  # there is no run folder


@pytest.mark.long
def test_the_first_time_everything_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_CACHE_DIR", str(tmp_path / "cache"))
    found = warmed()
    assert found["compiled"] == found["kernels"] and str(tmp_path / "cache") in str(found["cache"])


def test_definitions_need_no_kernels() -> None:
    assert warmed("train.backend=reference")["kernels"] == 0


def test_without_a_folder_there_is_nothing_to_warm(
    shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHOAL_CACHE_DIR", str(tmp_path / "file"))
    done = shoal("warm", "digits-cnn")
    assert done.returncode == 3 and "cannot be kept" in done.stderr and "SHOAL_CACHE_DIR" in done.stderr
