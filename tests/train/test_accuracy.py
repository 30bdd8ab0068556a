"""The presets reach what the README says. The long suite trains them to the end, on two real ranks."""

import json
import sys

import pytest
from launch import ROOT_MAY, launcher, run

# preset, least test accuracy, seeds
PROMISES = [("digits-cnn", 0.97, [1, 2, 3]), ("lenet-digits", 0.97, [1]), ("lenet-fashion", 0.91, [1])]


def reached(preset: str, *overrides: str, folder) -> float:
    mpirun = [launcher(), "--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx", "-n", "2", sys.executable]
    command = [*mpirun, "-m", "shoal", "train", preset, f"run.folder={folder}", "--json", *overrides]
    finished = run(command, 3000, ROOT_MAY)
    assert finished.code == 0, finished.text
    return json.loads(next(line for line in finished.text.splitlines() if line.startswith("{")))["accuracy"]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("preset, least, seed", [(p, least, seed) for p, least, seeds in PROMISES for seed in seeds])
def test_a_preset_reaches_its_accuracy(preset, least, seed, tmp_path) -> None:
    assert reached(preset, f"train.seed={seed}", folder=tmp_path / "run") >= least


def test_the_demo_reaches_its_accuracy(tmp_path) -> None:
    assert reached("digits-cnn", folder=tmp_path / "run") >= 0.97


def test_one_step_does_not(tmp_path) -> None:
    assert reached("digits-cnn", "train.epochs=1", "optim.lr=0", folder=tmp_path / "run") < 0.5
