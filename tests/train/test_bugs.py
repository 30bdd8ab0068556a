"""One test per bug once met, with its story."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from launch import mpirun

from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError, DataError, Diverged, UsageError
from shoal.core.events import Events
from shoal.kernels.cpu.threads import cap
from shoal.mpi.alone import Alone
from shoal.nn.models import build
from shoal.train import start
from shoal.train.build import optimizer
from shoal.train.config import Config, load
from shoal.train.data import idx
from shoal.train.parallel import bucket_bytes
from shoal.train.progress import Silent
from shoal.train.tables import override, write
from shoal.train.terminal import PLAIN, console


@pytest.fixture
def config(tiny: list[str], tmp_path: Path) -> Any:
    return lambda *settings: load("digits-cnn", [*tiny, "train.epochs=1", f"run.folder={tmp_path / 'run'}", *settings])


def train(config: Config, resume: bool = False) -> Any:
    return start.train(config, Alone(), Silent(), resume)


def test_a_job_that_is_refused_leaves_no_trace(config: Any, tmp_path: Path) -> None:
    """A second job rewrote the first one's config.toml before the lease refused it; resume then believed that file."""
    with Store(tmp_path / "run", Alone()):  # the first job, still at work
        with pytest.raises(CheckpointError):
            train(config("optim.lr=0.77"))
        left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not {"config.toml", "environment.jsonl", "events-0.jsonl"} & left


def test_resume_believes_the_checkpoint_not_the_text_beside_it(config: Any, tmp_path: Path) -> None:
    """A config.toml cut short by a full disk was a traceback; an empty one was read as a run of defaults."""
    train(config())
    for text in ("[model]\nname = ", ""):
        (tmp_path / "run" / "config.toml").write_text(text)
        train(config(), resume=True)
    with pytest.raises(UsageError, match=r"was trained with train.batch = 10, this run has 5"):
        train(config("train.batch=5"), resume=True)


def test_resume_onto_other_data_is_refused(config: Any, idx_folder: Path) -> None:
    """Other images of the same sizes went unnoticed."""
    train(config())
    images = idx_folder / idx.NAMES["train"][0]
    raw = bytearray(images.read_bytes())
    raw[-1] ^= 1
    images.write_bytes(raw)
    with pytest.raises(DataError, match="trained on other data"):
        train(config(), resume=True)


def test_eval_has_the_deadline_of_the_run(config: Any, tmp_path: Path) -> None:
    """A rank that stopped during eval was waited for without end."""
    train(config())
    comm = Alone()
    start.evaluate_checkpoint(str(tmp_path / "run"), ["parallel.deadline=5"], comm, Silent())
    assert comm.deadline == 5


def test_one_process_evaluates_what_uneven_ranks_trained(config: Any, tmp_path: Path) -> None:
    """The shares of the ranks that trained were asked of the one that evaluates."""
    train(config())
    manifest = next((tmp_path / "run").glob("generations/*/manifest.json"))
    assert "shares" in manifest.read_text()
    code = (
        "from pathlib import Path; import sys; from shoal.cli import main\n"
        f"sys.argv = ['shoal', 'train', {str(tmp_path / 'run' / 'config.toml')!r}, 'parallel.shares=3,1', "
        f"'run.folder={tmp_path / 'uneven'}']; main()"
    )
    assert mpirun(2, code).code == 0
    assert start.evaluate_checkpoint(str(tmp_path / "uneven"), [], Alone(), Silent()).samples == 10


def test_ranks_that_run_different_commands_do_not_wait_for_each_other() -> None:
    """One rank with --dry-run and one without waited for ever, each in a collective of its own."""
    code = (
        "import os, sys; from shoal.cli import main\n"
        "sys.argv = ['shoal', 'train', 'digits-cnn'] + ['--dry-run'] * (os.environ['OMPI_COMM_WORLD_RANK'] == '1'); main()"
    )
    done = mpirun(2, code, timeout=60)
    assert done.code == 2 and "do not hold the same command" in done.text


def test_a_gzip_file_without_its_checksum_is_truncated(idx_folder: Path) -> None:
    """The last eight bytes were never asked for, because all images were there without them."""
    packed = gzip.compress((idx_folder / idx.NAMES["train"][0]).read_bytes())
    (idx_folder / "cut.gz").write_bytes(packed[:-8])
    with pytest.raises(DataError, match=r"cut\.gz is truncated: the checksum"):
        idx.read_file(idx_folder / "cut.gz", 3, "")


def test_a_table_that_is_a_number_is_refused_before_an_override_enters_it() -> None:
    with pytest.raises(UsageError, match="optim = 3 is not a table"):
        override(Config, {"optim": 3}, ["optim.lr=0.1"])


def test_an_infinite_bucket_is_one_bucket() -> None:
    assert bucket_bytes(load("digits-cnn", ["parallel.bucket_mb=inf"])) == 1 << 40


def test_a_folder_with_a_control_character_survives_the_round_trip(tmp_path: Path) -> None:
    config = load("digits-cnn", ["run.folder=a\x7fb"])
    (tmp_path / "c.toml").write_text(write(config))
    assert load(str(tmp_path / "c.toml")) == config


@pytest.mark.parametrize("text", ["x", "0", "-5", ""])
def test_columns_that_are_no_number_do_not_lose_the_result(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", text)
    assert console().width == PLAIN


def test_a_number_of_threads_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NUMBA_NUM_THREADS", "abc")
    with pytest.raises(UsageError, match='NUMBA_NUM_THREADS is "abc"'):
        cap()


def test_fresh_blocks_without_weights_from_elsewhere_are_a_mistake() -> None:
    """The setting was believed to have an effect; so was a path that an override had emptied."""
    with pytest.raises(UsageError, match=r"model.fresh = \['6'\] without model.weights"):
        load("digits-cnn", ["model.fresh=6"])


RATES = {
    "optim.lr=inf": r"lr inf must be in \[0, inf\)",
    "optim.lr=inf optim.schedule=cosine": r"lr inf must be in \[0, inf\)",
    "optim.warmup_steps=5": "optim.warmup_steps = 5 of 5 updates: the rate would never reach optim.lr",
}


@pytest.mark.parametrize("settings", RATES)
def test_a_rate_that_cannot_be_meant_is_refused(settings: str) -> None:
    """An infinite one trained to NaN, and a long warm-up to nothing, both with exit code 0."""
    with pytest.raises(UsageError, match=RATES[settings]):
        optimizer(load("digits-cnn", settings.split()).optim, 5)
    assert optimizer(load("digits-cnn", ["optim.warmup_steps=4"]).optim, 5).rate(4) == 0.05


def test_a_model_that_gives_another_shape_says_what_it_takes() -> None:
    """U-Net on 30 x 30 said what it gave, and no cure."""
    with pytest.raises(UsageError, match=r"unet gives \(16, 16, 2\)") as caught:
        build("unet", (30, 30, 1), 2)
    assert "H and W are multiples of 2^depth" in caught.value.cure


def test_events_are_json_even_when_training_diverges(tmp_path: Path) -> None:
    """Python writes NaN and Infinity, which no other JSON reader takes."""
    Events(tmp_path, 0).write("step", loss=float("nan"), test_loss=float("inf"))
    line = (tmp_path / "events-0.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None


@pytest.mark.filterwarnings("ignore:overflow")
def test_training_that_diverges_ends_before_it_saves_what_is_no_number(config: Any, tmp_path: Path) -> None:
    """It went on to the last epoch, saved weights that are not numbers, and said that all was well."""
    with pytest.raises(Diverged, match=r"the loss of step \d+ is (nan|inf); there is no checkpoint yet") as caught:
        train(config("optim.lr=1e30", "train.epochs=2"))
    assert caught.value.code == 1 and "optim.lr" in caught.value.cure
    assert not list((tmp_path / "run" / "generations").glob("step-*"))
