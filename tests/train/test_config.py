"""The configuration as a user meets it: presets, overrides, and the words of every mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from shoal.core.errors import UsageError
from shoal.nn.models import MODELS, build
from shoal.optim import (
    OPTIMIZERS,
    SCHEDULES,
    SGD,
    Adam,
    Constant,
    Cosine,
    OneCycle,
    Polynomial,
    QHAdam,
    Step,
    Warmup,
)
from shoal.train import choices, tables
from shoal.train.build import optimizer
from shoal.train.config import Config, Data, load, presets


def test_a_preset_is_the_defaults_and_what_it_says() -> None:
    config = load("lenet-fashion")
    assert (config.model.name, config.data.source, config.train.batch) == ("lenet", "fashion", 128)
    assert config.parallel == Config().parallel
    assert config.run.folder == "runs/lenet-fashion"


@pytest.mark.parametrize("name", presets())
def test_every_preset_can_be_read_and_names_a_model_that_exists(name: str) -> None:
    assert load(name).model.name in MODELS


SHAPES = {"digits": (8, 8, 1), "fashion": (28, 28, 1)}


@pytest.mark.parametrize("name", presets())
def test_the_model_of_a_preset_fits_its_data(name: str) -> None:
    config = load(name)
    if config.data.source in SHAPES:
        build(config.model.name, SHAPES[config.data.source], 10, **config.model.options)


def test_overrides_are_read_by_the_type_of_their_field() -> None:
    config = load(
        "digits-cnn",
        [
            "optim.lr=.5",
            "optim.nesterov=TRUE",
            "train.epochs=7",
            "parallel.shares=3,1",
            "parallel.deadline=2",
            "run.folder=a = b",
        ],
    )
    assert (config.optim.lr, config.optim.nesterov, config.train.epochs) == (0.5, True, 7)
    assert config.parallel.shares == (3.0, 1.0)
    assert isinstance(config.parallel.deadline, float)
    assert config.run.folder == "a = b"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    config = load("mlp-fashion", ['data.path=/a/"b"\\c é', "parallel.shares=[1, 2.5]", "optim.lr=1e-5"])
    file.write_text(tables.write(config), encoding="utf-8")
    assert load(str(file)) == config


def test_the_options_of_a_model_are_a_free_table_of_plain_values(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[model]\nname = "mlp"\noptions = { width = 16, dropout = 0.5 }\n')
    config = load(str(file), ["model.options.width=32", "model.options.norm=true", "model.options.kind=a b"])
    assert config.model.options == {"width": 32, "dropout": 0.5, "norm": True, "kind": "a b"}
    file.write_text(tables.write(config), encoding="utf-8")
    assert load(str(file)) == config
    assert load("digits-cnn", ["model.options={ width = 3 }"]).model.options == {"width": 3}
    assert load("digits-cnn").model.options == {}


def test_any_character_of_a_text_survives_the_file(tmp_path: Path) -> None:
    file, characters = tmp_path / "mine.toml", "\0\t\n\r \"'\\#\x7f\x85é\u2028日\U0001f600"
    file.write_text(tables.write(replace(Config(), data=Data("text", vocabulary=characters))), encoding="utf-8")
    assert load(str(file)).data.vocabulary == characters


def test_a_file_runs_under_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "trial.toml"
    file.write_text("[train]\nepochs = 3\n")
    assert load(str(file)).run.folder == "runs/trial"
    assert load(str(file)).train.epochs == 3


def test_flat_names_every_key_once() -> None:
    assert list(tables.flat(Config())) == list(tables.keys(Config))


MISTAKES = {
    "optim.momentun=0.9": ("optim.momentun is not a key of the configuration", 'did you mean "optim.momentum"?'),
    "lr=0.1": ("lr is not a key of the configuration", 'did you mean "optim.lr"?'),
    "trian.batch=3": ("trian.batch is not a key of the configuration", 'did you mean "train.batch"?'),
    "train.epochs=ten": ("train.epochs = 'ten' is not an integer", "give train.epochs as an integer"),
    "train.epochs=1.5": ("train.epochs = '1.5' is not an integer", "give train.epochs as an integer"),
    "optim.lr=fast": ("optim.lr = 'fast' is not a number", "give optim.lr as a number"),
    "optim.nesterov=1": ("optim.nesterov = '1' is not true or false", "give optim.nesterov as true or false"),
    "parallel.shares=a,b": (
        "parallel.shares = 'a,b' is not a list of numbers",
        "give parallel.shares as a list of numbers",
    ),
    "train.dtype=half": (
        'train.dtype = \'half\' is not one of "float32", "float64"',
        'give train.dtype as one of "float32", "float64"',
    ),
    "train.batch=0": ("train.batch = 0 must be at least 1", "the default is 64"),
    "train.batch=-64": ("train.batch = -64 must be at least 1", "the default is 64"),
    "optim.lr=nan": ("optim.lr = nan must be at least 0", "leave it out for the default"),
    "model.option.width=3": ("model.option.width is not a key of the configuration", 'did you mean "model.options"?'),
    "model.options=3": (
        "model.options = 3 is not a table of plain values",
        "give model.options as a table of plain values",
    ),
    "model.options.width=[1]": (
        "model.options = {'width': [1]} is not a table of plain values",
        "give model.options as a table of plain values",
    ),
    "verbose": ('"verbose" is not of the form section.key=value', "for example optim.lr=0.05"),
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_a_mistake_in_an_override_is_named(setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        load("digits-cnn", [setting])
    assert (caught.value.problem, caught.value.cure) == MISTAKES[setting]


FILES = {
    "[train]\nepochs = true\n": "train.epochs = True is not an integer",
    "[train]\nepochs = 1.0\n": "train.epochs = 1.0 is not an integer",
    '[optim]\nlr = "0.1"\n': "optim.lr = '0.1' is not a number",
    "[optim]\nlearning_rate = 1\n": "optim.learning_rate is not a key of the configuration",
    "[parallel]\nshares = [1, true]\n": "parallel.shares = [1, True] is not a list of numbers",
    "[parallel]\nshares = 3\n": "parallel.shares = 3 is not a list of numbers",
    "train = 3\n": "train = 3 is not a table",
}


@pytest.mark.parametrize("text", FILES)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(str(file))
    assert caught.value.problem == FILES[text]


def test_a_broken_file_is_named_with_the_place(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[train\n")
    with pytest.raises(UsageError, match=r"x\.toml is not TOML.*line 1"):
        load(str(file))


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load("lenet-digit")
    assert caught.value.problem == 'there is no preset "lenet-digit"'
    assert caught.value.cure.startswith('did you mean "lenet-digits"? (presets: autoencoder-digits, ')


def test_a_missing_file_is_not_taken_for_a_preset() -> None:
    with pytest.raises(UsageError, match=r"there is no file digits-cnn\.toml"):
        load("digits-cnn.toml")


# ---------------------------------------------------------------------------------------------------- optimizers


def test_the_default_is_momentum_at_a_rate_that_trains() -> None:
    assert optimizer(load("lenet-digits").optim, 10) == SGD(Constant(0.05), momentum=0.9)
    assert optimizer(Config().optim, 10) == SGD(Constant(0.1), momentum=0.9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_another_rule_has_its_own_defaults_and_nothing_of_the_preset(name: str, tmp_path: Path) -> None:
    config = load("lenet-digits", [f"optim.name={name}"])
    expected = OPTIMIZERS[name]()
    if name != "sgd":  # the preset's own
        assert optimizer(config.optim, 10) == replace(expected, lr=Constant(expected.lr))
    file = tmp_path / "lenet-digits.toml"
    file.write_text(tables.write(config))
    assert load(str(file)) == config


def test_settings_reach_the_rule() -> None:
    given = ["optim.name=qhadam", "optim.lr=0.01", "optim.betas=0.995,0.999", "optim.nus=[0.7, 1]", "optim.eps=1e-6"]
    made = optimizer(load("digits-cnn", given).optim, 10)
    assert made == QHAdam(Constant(0.01), betas=(0.995, 0.999), nus=(0.7, 1.0), eps=1e-6)
    made = optimizer(load("digits-cnn", ["optim.name=adam", "optim.amsgrad=torch"]).optim, 10)
    assert made == Adam(Constant(0.001), amsgrad="torch")


SCHEDULES_OF_100 = {
    "cosine": (["optim.floor=0.01"], Cosine(0.05, steps=100, floor=0.01)),
    "polynomial": (["optim.power=2"], Polynomial(0.05, steps=100, power=2.0)),
    "one-cycle": (["optim.pct_start=0.2"], OneCycle(0.05, steps=100, pct_start=0.2)),
    "step": (["optim.milestones=50,80"], Step(0.05, milestones=(50, 80))),
    "constant": ([], Constant(0.05)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_end_with_the_last_update(name: str) -> None:
    given, expected = SCHEDULES_OF_100[name]
    settings = [f"optim.schedule={name}", *given]
    assert optimizer(load("lenet-digits", settings).optim, 100).lr == expected
    warm = optimizer(load("lenet-digits", [*settings, "optim.warmup_steps=5"]).optim, 105).lr
    assert warm == Warmup(expected, 5)


def test_another_schedule_drops_what_the_file_says_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[optim]\nlr = 0.3\nschedule = "step"\nstep_size = 7\nclip_norm = 2\n')
    config = load(str(file), ["optim.schedule=cosine"])
    assert (config.optim.lr, config.optim.clip_norm, config.optim.step_size) == (0.3, 2.0, None)
    assert load(str(file), ["optim.schedule=step"]).optim.step_size == 7


NOT_TAKEN = {
    ("optim.name=adam", "optim.momentum=0.9"): (
        "optim.momentum = 0.9 means nothing to adam with the schedule constant",
        "leave it out; they take lr, betas, eps, amsgrad, weight_decay",
    ),
    ("optim.floor=0.1",): (
        "optim.floor = 0.1 means nothing to sgd with the schedule constant",
        "leave it out; they take lr, momentum, dampening, nesterov, weight_decay",
    ),
    ("optim.name=adan",): (
        "optim.name = 'adan' is not one of " + ", ".join(f'"{name}"' for name in OPTIMIZERS),
        "give optim.name as one of " + ", ".join(f'"{name}"' for name in OPTIMIZERS),
    ),
    ("optim.name=aggmo", "optim.lr=-1"): ("optim.lr = -1.0 must be at least 0", "leave it out for the default"),
}


@pytest.mark.parametrize("settings", NOT_TAKEN)
def test_a_setting_that_nothing_takes_is_refused(settings: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        load("digits-cnn", settings)
    assert (caught.value.problem, caught.value.cure) == NOT_TAKEN[settings]


def test_the_lists_of_names_are_those_of_optim() -> None:
    hints = get_type_hints(choices.Optim)
    assert get_args(hints["name"]) == tuple(OPTIMIZERS) and get_args(hints["schedule"]) == tuple(SCHEDULES)
    fields = {name for known in choices.choices("optim").values() for taken in known.values() for name in taken}
    assert fields - {"steps"} == set(hints) - {"name", "schedule", "warmup_steps", "clip_norm"}
