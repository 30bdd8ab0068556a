"""The command as a new user meets it: exit codes, and the words that say what is wrong and how to cure it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import mpirun

Shoal = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = "from shoal.cli import main; main()"


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """An error that shoal knows: its code, "error:" and "cure:" lines that hold the words, and no traceback."""
    error, cure = done.stderr.splitlines()[-2:]
    assert (done.returncode, error[:7], cure[:7]) == (code, "error: ", "cure:  "), done.stderr
    for word in words:
        assert word in error + cure
    assert "Traceback" not in done.stderr


def test_an_unknown_key_names_the_nearest(shoal: Shoal) -> None:
    refused(
        shoal("train", "digits-cnn", "optim.learnrate=1"),
        2,
        "optim.learnrate is not a key",
        "the keys of optim are name, lr, ",
    )
    refused(shoal("train", "digits-cnn", "train.epoch=1"), 2, 'did you mean "train.epochs"?')


def test_a_wrong_type_names_key_value_and_type(shoal: Shoal) -> None:
    refused(shoal("train", "digits-cnn", "train.batch=many"), 2, "train.batch = 'many' is not an integer")


def test_an_unknown_preset_names_the_nearest(shoal: Shoal) -> None:
    refused(shoal("train", "digits"), 2, 'no preset "digits"', 'did you mean "digits-cnn"?')


def test_missing_data_name_file_and_package(shoal: Shoal, tmp_path: Path) -> None:
    done = shoal("train", "lenet-fashion", f"data.path={tmp_path}")
    missing = f"{tmp_path}/train-images-idx3-ubyte is missing"
    refused(done, 4, missing, "apt install dataset-fashion-mnist", "data.path=")


def test_truncated_data_name_file_bytes_expected_and_found(shoal: Shoal, tiny: list[str], idx_folder: Path) -> None:
    file = idx_folder / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:300])
    refused(shoal("train", "digits-cnn", *tiny), 4, str(file), "656 bytes expected", "300 bytes found", "data.path=")


@pytest.mark.parametrize("batch, words", [("0", "train.batch = 0 must be at least 1"), ("-1", "train.batch = -1")])
def test_an_impossible_batch_is_refused(shoal: Shoal, batch: str, words: str) -> None:
    refused(shoal("train", "digits-cnn", f"train.batch={batch}"), 2, words)


def test_a_batch_larger_than_the_data_names_both_numbers(shoal: Shoal) -> None:
    done = shoal("train", "digits-cnn", "train.batch=1438", "train.backend=reference")
    refused(done, 2, "train.batch = 1438 with 1437 training samples", "from 1 to 1437")


def test_an_unwritable_run_folder_is_named(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    refused(shoal("train", "digits-cnn"), 2, "run folder runs/digits-cnn cannot be written", "run.folder=")


def test_shares_for_other_ranks_are_refused(shoal: Shoal, tiny: list[str]) -> None:
    refused(shoal("train", "digits-cnn", *tiny, "parallel.shares=2,1"), 2, "2 shares", "1 ranks")


def test_a_folder_that_holds_a_run_is_not_overwritten(shoal: Shoal, tiny: list[str]) -> None:
    assert shoal("train", "digits-cnn", *tiny).returncode == 0
    refused(shoal("train", "digits-cnn", *tiny), 2, "holds the checkpoint of an earlier run", "--resume", "run.folder=")
    assert shoal("train", "digits-cnn", *tiny, "train.epochs=3", "--resume").returncode == 0


def test_eval_of_nothing_is_a_checkpoint_error(shoal: Shoal) -> None:
    refused(shoal("eval", "runs/nothing"), 5, "runs/nothing holds no checkpoint")


def test_debugging_shows_where_an_error_comes_from(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in shoal("train", "nothing", "--traceback").stderr
    monkeypatch.setenv("SHOAL_DEBUG", "1")
    assert "Traceback" in shoal("train", "nothing").stderr


def test_an_unexpected_error_has_its_traceback_and_code_1(shoal: Shoal, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import shoal.train.loop as loop\ndef boom(*_): raise ZeroDivisionError('planted')\nloop.Loop.warm_up = boom\n"
    )
    command = [sys.executable, "-m", "shoal", "train", "digits-cnn", *tiny]
    place = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": place}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ZeroDivisionError: planted" in done.stderr


def test_ctrl_c_is_130_and_names_the_newest_checkpoint(tiny: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shoal", "train", "digits-cnn", *tiny, "train.epochs=100000", "run.folder=r"]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "r" / "latest").exists() and time.monotonic() < until:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert re.search(r"error: interrupted after step \d+ of \d+; the newest checkpoint is r/generations/step-\d", error)
    assert "--resume" in error and "Traceback" not in error


def test_results_are_on_stdout_and_everything_else_is_not(shoal: Shoal, tiny: list[str]) -> None:
    done = shoal("train", "digits-cnn", *tiny, "--json")
    assert done.returncode == 0
    trained = json.loads(done.stdout)
    assert trained["steps"] == 10 and "epoch 2/2: loss" in done.stderr
    done = shoal("eval", "runs/digits-cnn", "--json")
    evaluated = json.loads(done.stdout)
    assert {key: trained[key] for key in ("accuracy", "test_loss", "checkpoint")} == {
        key: evaluated[key] for key in ("accuracy", "test_loss", "checkpoint")
    }
    assert "test accuracy" in shoal("eval", "runs/digits-cnn").stdout


def test_silence_can_be_asked_for(shoal: Shoal, tiny: list[str]) -> None:
    assert shoal("train", "digits-cnn", *tiny, "--progress", "none").stderr == ""


def test_print_config_is_a_file_that_train_reads(shoal: Shoal, tmp_path: Path) -> None:
    first = shoal("train", "lenet-fashion", "optim.lr=0.5", "--print-config")
    (tmp_path / "again.toml").write_text(first.stdout)
    second = shoal("train", "again.toml", "--print-config")
    assert first.stdout == second.stdout and "lr = 0.5\n" in first.stdout and '"runs/lenet-fashion"' in first.stdout


def test_dry_run_touches_nothing(shoal: Shoal, tmp_path: Path) -> None:
    done = shoal("train", "digits-cnn", "--dry-run", "parallel.shares=3,1")
    assert done.returncode == 0 and "9,930" in done.stdout and re.search(r"│ 0 +│ 48 ", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_draws_its_schedule(shoal: Shoal, tmp_path: Path) -> None:
    pipeline = ("train", "digits-cnn", "--dry-run", "parallel.mesh.pipeline=2", "train.micro_batches=4", "--picture")
    assert shoal(*pipeline, "schedule.svg").returncode == 0
    drawn = (tmp_path / "schedule.svg").read_text()
    assert drawn.startswith("<svg") and "B3" in drawn and "operations of a sample" in drawn
    wrong = shoal(*pipeline, "schedule.jpg")
    assert wrong.returncode == 2 and "neither a .svg nor a .png" in wrong.stderr


def test_version_and_help(shoal: Shoal) -> None:
    assert re.fullmatch(r"shoal \d+\.\d+\.\d+\n", shoal("--version").stdout)
    for word in ("train", "eval", "doctor"):
        assert word in shoal("--help").stdout
    assert "digits-cnn" in shoal("train", "--help").stdout
    assert shoal("trian").returncode == 2


# ---------------------------------------------------------------------------------------------------- with mpirun


def test_two_ranks_train_resume_and_evaluate(tiny: list[str], tmp_path: Path) -> None:
    quick = [*tiny, f"run.folder={tmp_path / 'run'}", "--json"]
    done = mpirun(2, COMMAND, "train", "digits-cnn", *quick)
    assert done.code == 0, done.text
    assert list(done.out) == [0]
    figures = json.loads(done.out[0][0])
    assert (figures["ranks"], figures["steps"]) == (2, 10) and figures["messages"] > 0
    assert (tmp_path / "run" / "events-1.jsonl").exists()
    done = mpirun(2, COMMAND, "train", "digits-cnn", *quick, "train.epochs=3", "--resume")
    resumed = json.loads(done.out[0][0])
    assert resumed["steps"] == 15
    done = mpirun(2, COMMAND, "eval", str(tmp_path / "run"), "--json")
    assert json.loads(done.out[0][0])["test_loss"] == pytest.approx(resumed["test_loss"], rel=1e-6)


def test_the_dry_run_predicts_the_messages_and_bytes_of_a_step(tiny: list[str], tmp_path: Path) -> None:
    """Counted by the communicators, by the difference of two runs that have nothing else different."""
    from shoal.train.config import load
    from shoal.train.dry_run import plan

    figures = []
    for epochs in (2, 3):
        extra = [f"train.epochs={epochs}", "checkpoint.every_epochs=0", f"run.folder={tmp_path / str(epochs)}"]
        done = mpirun(2, COMMAND, "train", "digits-cnn", *tiny, *extra, "--json")
        figures.append(json.loads(done.out[0][0]))
    ranks = plan(load("digits-cnn", tiny), 2).ranks
    messages = figures[1]["messages"] - figures[0]["messages"] - 8  # of an evaluation: two sums, two from each rank
    sent = figures[1]["bytes"] - figures[0]["bytes"] - 4 * 8 - 4 * 12  # of 2 numbers (its batch) and 3 (its figures)
    assert (messages, sent) == (5 * sum(rank.messages for rank in ranks), 5 * sum(rank.bytes for rank in ranks))


def test_an_error_of_all_ranks_is_said_once() -> None:
    done = mpirun(3, COMMAND, "train", "digits-cnn", "train.epoch=3")
    assert done.code == 2
    assert done.text.count("train.epoch is not a key") == 1


def test_an_error_of_one_rank_ends_all_with_its_code(tiny: list[str], tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "if os.environ['OMPI_COMM_WORLD_RANK'] == '1': sys.argv[-1] = 'data.path=/nowhere'\n"
        "from shoal.cli import main; main()"
    )
    data = next(setting for setting in tiny if setting.startswith("data.path"))
    done = mpirun(2, program, "train", "digits-cnn", *tiny, f"run.folder={tmp_path / 'run'}", data, timeout=30)
    assert done.code == 4
    assert "/nowhere" in done.said(1) and "is missing" in done.said(1)


@pytest.mark.parametrize(
    "change, code, words",
    [("optim.lr=0.5", 2, "do not hold the same optim.lr: 0.5 is not 0.02"), ("other data", 4, "same data")],
)
def test_ranks_that_differ_do_not_start(tiny: list[str], tmp_path: Path, change: str, code: int, words: str) -> None:
    program = (
        "import os, sys\n"
        "if os.environ['OMPI_COMM_WORLD_RANK'] == '1':\n"
        + (
            "    import shoal.train.data.digits as digits; read = digits.read\n"
            "    def other():\n        x = read(); x[0][0, 0, 0] += 1; return x\n"
            "    digits.read = other\n"
            if change == "other data"
            else f"    sys.argv.append('{change}')\n"
        )
        + "from shoal.cli import main; main()"
    )
    source = [*tiny, "data.source=digits", "data.path="] if change == "other data" else tiny
    done = mpirun(2, program, "train", "digits-cnn", *source, f"run.folder={tmp_path / 'run'}", timeout=30)
    assert done.code == code, done.text
    assert words in done.text and "rank 1 and rank 0" in done.text


def test_export_writes_what_a_checkpoint_holds(shoal: Shoal, tiny: list[str], tmp_path: Path) -> None:
    assert shoal("train", "digits-cnn", *tiny).returncode == 0
    done = shoal("checkpoint", "export", "runs/digits-cnn", "w.npz", "--torch")
    assert (done.returncode, done.stdout) == (0, "6 tensors of digits-cnn after step 10 in w.npz\n")
    refused(
        shoal("checkpoint", "export", "runs/digits-cnn", "w.onnx"),
        2,
        '"w.onnx" is not a file of weights',
        ".safetensors or .npz",
    )
    refused(shoal("checkpoint", "export", "runs/nothing", "w.npz"), 5, "runs/nothing holds no checkpoint")
