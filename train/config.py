"""The configuration: frozen dataclasses are the only list of keys, types, defaults and limits.

`tables.py` reads TOML and dotted overrides into them, so a key that is not here does not exist, and what a run was made
of is one value that can be hashed, compared between ranks and written into the run folder. A preset is an ordinary TOML
file in `presets/`; it states only what differs from the defaults below.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..core.errors import UsageError
from . import tables
from .choices import Loss, Optim, without_replaced
from .tables import at_least

PRESETS = Path(__file__).with_name("presets")


Source = Literal["digits", "fashion", "idx", "cifar10", "npz", "hdf5", "images", "text", "series", "synthetic"]
Figure = Literal["accuracy", "top5", "f1", "auc", "perplexity", "confusion"]  # what train.metrics can say


@dataclass(frozen=True)
class Model:
    """name: one of nn.models.MODELS.   options: what that model lets one choose, such as width; `shoal models NAME` lists it.

    weights: where training starts from: a run folder, a generation, a .safetensors or .npz file; "" starts at random.
    fresh: blocks ("6") or tensors ("6.weight") that start at random nevertheless, such as a head for other classes.
    """

    name: str = "digits-cnn"
    options: dict = field(default_factory=dict)
    weights: str = ""
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fresh and not self.weights:
            problem = f"model.fresh = {list(self.fresh)} without model.weights: everything is fresh"
            raise UsageError(problem, "give model.weights a run folder or a file, or leave out model.fresh")


@dataclass(frozen=True)
class Data:
    """Where samples come from and what is made of them. Not every source takes every key; train/data says which.
    What is left open from shape to vocabulary is found in the training part and recorded in the run's configuration.

    source: one of train.data.SOURCES.   path: a file or folder.   target: "label", or "input" for autoencoders.
    test_fraction: of a source without a test part of its own.
    size: (H, W) that pictures are resized to.   shape: of one sample.
    white, mean, deviation: x = (value / white - mean) / deviation, the last two for each channel.
    classes, labels, vocabulary: their number, their names, the characters of a text.
    names: arrays of an NPZ or HDF5 file.   length, stride: of the windows of a text or a series, 0 = the source's own.
    columns, predict, label, delimiter: inputs of a series, what is foretold, the column of classes, what separates.
    kind, samples: of synthetic data.
    augment: changes to training samples.   pad, cutout, noise: their numbers: pixels of padding, side of the hole, deviation.
    """

    source: Source = "digits"
    path: str = ""
    target: Literal["label", "input"] = "label"
    test_fraction: float = at_least(0, 0.2)
    size: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    white: float = at_least(0, 0.0)
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    classes: int = at_least(0, 0)
    labels: tuple[str, ...] = ()
    vocabulary: str = ""
    names: tuple[str, ...] = ()
    length: int = at_least(0, 0)
    stride: int = at_least(0, 0)
    columns: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()
    label: str = ""
    delimiter: str = ","
    kind: Literal["classes", "tokens"] = "classes"
    samples: int = at_least(0, 0)
    augment: tuple[Literal["crop", "flip", "cutout", "noise"], ...] = ()
    pad: int = at_least(1, 4)
    cutout: int = at_least(1, 8)
    noise: float = at_least(0, 0.1)


@dataclass(frozen=True)
class Train:
    """epochs: passes over the training samples.   batch: samples of a step, over all ranks.   seed: of all chance.

    micro_batches: parts each rank works through its share in, one after the other: less memory, the same gradient.
    dtype: of weights and activations.   backend: "reference" computes by the definitions, slowly.
    metrics: what evaluation says beside the loss; none means accuracy, where targets are classes.
    patience: epochs without a better checkpoint.best (or test loss) after which to stop, 0 = never.
    minutes: time from the start of the command after which to stop, leave some for the last save; 0 = none.
    """

    epochs: int = at_least(1, 10)
    batch: int = at_least(1, 64)
    micro_batches: int = at_least(1, 1)
    seed: int = at_least(0, 1)
    dtype: Literal["float32", "float64"] = "float32"
    backend: Literal["cpu", "reference"] = "cpu"
    metrics: tuple[Figure, ...] = ()
    patience: int = at_least(0, 0)
    minutes: float = at_least(0, 0.0)


@dataclass(frozen=True)
class Parallel:
    """How ranks work together.

    mesh: {pipeline = 2} cuts the model into two stages, with as many replicas as there are ranks for; none: replicas only.
    schedule: the order in which a pipeline's stages work (plan.schedule has the tables); train.micro_batches is its m.
    cut: what a stage's share of the model is measured by: counted operations, blocks, parameters, or a timed step.
    norm: layers that normalise over a batch see a micro-batch of all replicas together ("batch"), or each its "share".
    memory_mb: what arenas and activations of a rank may take, MiB, 0 = anything: cuts respect it, and what cannot fit is refused.
    recompute: large blocks keep their input only and run forward again in backward: less memory, more time, the same bits.
    shares: proportions of the batch, one per replica; none means equal.   bucket_mb: gradients sent together, MiB.
    reduction: "fixed" adds in rank order (same bits every time), "mpi" as MPI likes.
    threads: per rank, 0 = the cores this rank may use.   deadline: seconds a communication may take.
    """

    mesh: dict = field(default_factory=dict)
    schedule: Literal["1f1b", "gpipe", "naive"] = "1f1b"
    cut: Literal["flops", "count", "parameters", "time"] = "flops"
    norm: Literal["batch", "share"] = "batch"
    memory_mb: float = at_least(0, 0.0)
    recompute: bool = False
    shares: tuple[float, ...] = ()
    bucket_mb: float = at_least(0.001, 1.0)
    reduction: Literal["fixed", "mpi"] = "fixed"
    threads: int = at_least(0, 0)
    deadline: float = at_least(0.1, 60.0)


@dataclass(frozen=True)
class Kernels:
    """winograd: whether 3x3 convolutions in float32 take Winograd's algorithm where it is faster; its rounding differs."""

    winograd: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """every_epochs, every_steps, every_seconds: when to save, 0 = not by this count; the end is always saved.

    auto: also after the time that loses least (Daly), from the measured cost of a save and the time between failures.
    mtbf_hours: the mean time between failures of one machine; what the run itself has seen of failures counts more and more.
    background: a thread writes while training goes on, from a copy: less waiting, more memory.   keep: generations.
    best: the figure by which the best epoch is kept beside them, of the test split; "" keeps none.
    """

    every_epochs: int = at_least(0, 1)
    every_steps: int = at_least(0, 0)
    every_seconds: float = at_least(0, 0.0)
    auto: bool = False
    mtbf_hours: float = at_least(0.001, 8760.0)
    background: bool = False
    keep: int = at_least(1, 3)
    best: Literal["", "loss", "accuracy", "top5", "f1", "auc", "perplexity"] = ""


@dataclass(frozen=True)
class Run:
    """folder: everything a run writes; "" means runs/<preset>.

    trace: "FIRST:LAST" records where the time of steps FIRST to LAST - 1 of this start goes; "" records nothing.
    """

    folder: str = ""
    trace: str = ""

    def __post_init__(self) -> None:
        if self.trace and not (re.fullmatch(r"\d+:\d+", self.trace) and self.window[0] < self.window[1]):
            problem = f'run.trace = "{self.trace}" is no window of steps'
            raise UsageError(problem, "give FIRST:LAST, such as run.trace=5:25")

    @property
    def window(self) -> tuple[int, int]:
        """[first, last) of the steps that are traced, counted from where this start begins."""
        first, last = self.trace.split(":")
        return int(first), int(last)


@dataclass(frozen=True)
class Config:
    """All of a run. Two runs with equal configurations and the same ranks give the same bits."""

    model: Model = Model()
    data: Data = Data()
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = Train()
    parallel: Parallel = field(default_factory=Parallel)
    kernels: Kernels = Kernels()
    checkpoint: Checkpoint = Checkpoint()
    run: Run = Run()


# Another value of one of these makes a checkpoint's weights, its optimizer's state or its position in the data mean something else.
FIXED_BY_CHECKPOINT = (
    "model.name",
    "model.options",
    *(f"data.{item.name}" for item in fields(Data) if item.name not in ("path", "augment", "pad", "cutout", "noise")),
    "optim.name",
    "train.batch",
    "train.seed",
    "train.dtype",
)


def presets() -> list[str]:
    return sorted(file.stem for file in PRESETS.glob("*.toml"))


def load(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """The preset called `name`, or the TOML file of that path, with "section.key=value" overrides."""
    file = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not file.is_file():
        if name.endswith(".toml"):
            raise UsageError(f"there is no file {name}", "give the path of a TOML file, or the name of a preset")
        known = ", ".join(presets())
        raise UsageError(f'there is no preset "{name}"', f"{tables.nearest(name, presets())} (presets: {known})")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}", "--print-config shows how it is written") from error
    config = changed(table, overrides)
    return config if config.run.folder else replace(config, run=Run(str(Path("runs", file.stem))))


def changed(table: dict[str, Any], overrides: list[str] | tuple[str, ...]) -> Config:
    """The configuration of a table with "section.key=value" overrides."""
    return tables.read(Config, tables.override(Config, without_replaced(table, overrides), overrides))
