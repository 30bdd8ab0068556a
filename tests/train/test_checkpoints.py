"""shoal checkpoint on what training wrote: settings, epochs, other strategies, weights for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal.checkpoint.generation import Generation
from shoal.cli import app
from shoal.mpi import threads
from shoal.train import start
from shoal.train.config import load
from shoal.train.generations import settings
from shoal.train.progress import Silent

Command = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """`shoal checkpoint ...` in this process: (exit code, stdout, stderr)."""

    def call(*args: Any) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            app(["checkpoint", *map(str, args)])
        code = end.value.code or 0
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return call


def train(folder: Path, *overrides: str, ranks: int = 1) -> Path:
    config = load("digits-cnn", [*overrides, f"run.folder={folder}"])
    threads.run(ranks, lambda comm: start.train(config, comm, Silent()))
    return folder


def test_show_says_what_one_would_have_to_type(trained: Path, command: Command) -> None:
    code, out, _ = command("show", trained, "--json")
    told = json.loads(out)
    assert code == 0 and told["epochs"] == 1 and told["facts"]["fed"] == told["step"] == 6
    assert told["settings"]["train.batch"] == 240 and told["settings"]["train.backend"] == "reference"
    assert "train.seed" not in told["settings"], "a default says nothing"
    typed = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in told["settings"].items()
    ]
    again = load("digits-cnn", typed)
    found = Generation(Path(told["generation"]))
    assert settings(found.meta["config"]) == told["settings"]
    assert again.optim.lr == found.meta["config"]["optim"]["lr"] and again.train.batch == 240
    assert f"optim.lr={again.optim.lr}" in command("show", trained)[1]
    assert {one["name"] for one in told["tensors"]} >= {"model/0.weight", "optimizer/velocity/0.weight"}


def test_the_page_of_the_format_names_every_fact(trained: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    facts = json.loads(next(trained.glob("generations/*/manifest.json")).read_text())["meta"]
    assert not [name for name in facts if f"`{name}`" not in page]


def test_a_pipeline_and_a_serial_run_are_compared_as_one_model(
    tiny: list[str], tmp_path: Path, command: Command
) -> None:
    serial = train(tmp_path / "serial", *tiny)
    pipeline = train(tmp_path / "pipeline", *tiny, "parallel.mesh.pipeline=2", ranks=2)
    code, out, err = command("diff", serial, pipeline, "--json")
    told = json.loads(out)
    assert code == (not told["equal"]), err
    assert all(row["a"] and row["b"] and row["relative"] < 1e-3 for row in told["differ"]), "equal up to rounding"
    assert told["facts"]["config.parallel.mesh.pipeline"] == {"b": 2}
    earlier = pipeline / "generations" / "step-00000005"
    assert command("diff", pipeline, earlier)[0] == 1 and command("diff", pipeline, pipeline)[0] == 0


def test_best_is_another_generation_than_the_newest(tiny: list[str], tmp_path: Path, command: Command) -> None:
    folder = train(
        tmp_path / "run", *tiny, "checkpoint.best=loss", "optim.lr=0"
    )  # of equal epochs the first is the best
    told = json.loads(command("list", folder, "--json")[1])
    assert [(row["step"], row["epochs"], row["marks"]) for row in told["generations"]] == [
        (10, 2, ["latest"]),
        (5, 1, ["best"]),
    ]
    assert told["generations"][1]["merit"]["figure"] == "loss" and told["generations"][1]["merit"]["value"] > 0
    assert [json.loads(command("show", folder, *best, "--json")[1])["step"] for best in ([], ["--best"])] == [10, 5]
    assert command("diff", folder, folder, "--best")[0] == 0
    assert "after step 5 in" in command("export", folder, tmp_path / "w.npz", "--best")[1]


def test_export_speaks_of_what_is_in_the_way(trained: Path, tmp_path: Path, command: Command) -> None:
    """It once said of a missing folder that "earlier generations are untouched"."""
    code, _, err = command("export", trained, tmp_path / "nowhere" / "w.npz")
    assert code == 2 and f"there is no folder {tmp_path / 'nowhere'}" in err and "generation" not in err
    (tmp_path / "taken.npz").mkdir()
    code, _, err = command("export", trained, tmp_path / "taken.npz")
    assert code == 5 and f"{tmp_path / 'taken.npz'} cannot be written" in err and "generation" not in err
    code, _, err = command("export", trained, tmp_path / "w.onnx")
    assert code == 2 and '"w.onnx" is not a file of weights' in err and ".safetensors or .npz" in err


def test_export_says_for_machines_what_it_wrote(trained: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("export", trained, tmp_path / "w.npz", "--json")
    told = json.loads(out)
    assert code == 0 and (told["file"], told["tensors"], told["step"]) == (str(tmp_path / "w.npz"), 6, 6)


def test_looking_loads_no_compiler_and_no_mpi(trained: Path) -> None:
    program = (
        "import sys\n"
        "from shoal.cli import app\n"
        "run, *commands = sys.argv[1:]\n"
        "for command in commands:\n"
        "    try: app(['checkpoint', command, *[run] * (1 + (command == 'diff'))])\n"
        "    except SystemExit as end: assert not end.code\n"
        "print(sorted({'numba', 'mpi4py'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program, str(trained), "list", "verify", "show", "diff"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_a_reader_who_has_seen_enough_gets_no_traceback(trained: Path) -> None:
    """`shoal checkpoint show RUN | head -1`"""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "shoal", "checkpoint", "show", str(trained)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
