"""`shoal infer`: predictions of a checkpoint for new samples, in the order of the input, on any number of ranks.

Every rank reads and predicts its share of each batch; what comes out goes to rank 0, which alone writes, and gives the file
its name when it is complete. Nothing of the training set is needed: what its samples were like lies in the checkpoint.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..checkpoint.commit import publish
from ..core.errors import UsageError
from ..core.partition import Partition
from ..core.shape import Shape
from ..mpi import agreement
from ..mpi.communicator import Communicator
from ..mpi.data_parallel import DataParallel
from ..mpi.gather import gather
from ..nn import models
from ..nn.sequential import Sequential
from ..optim import SGD
from .build import use_threads
from .config import Config
from .inputs import Inputs, open_inputs
from .metrics import softmax, two
from .progress import Silent
from .sampler import in_batches
from .start import compiling, open_checkpoint


@dataclass(frozen=True)
class Predictions:
    """names: of the samples.   outputs: (N, ..., K) probabilities where there are classes, else what the network says.

    labels: the names of the classes, or their numbers; [] where there are none.
    """

    names: list[str] | range
    outputs: np.ndarray
    labels: list[str]

    def arrays(self, top: int) -> dict[str, np.ndarray]:
        """What an NPZ holds: input, and prediction, probability, label, or output where there are no classes.

        top: 0 for the probabilities of all classes, else only those of so many, the largest first, and which they are.
        """
        named = {"input": np.array(self.names)}
        if not self.labels:
            return named | {"output": self.outputs}
        order = np.argsort(-self.outputs, axis=-1, kind="stable")
        best = {"prediction": order[..., 0], "probability": self.outputs}
        if top:
            best = {
                "prediction": order[..., :top],
                "probability": np.take_along_axis(self.outputs, order[..., :top], -1),
            }
        return named | best | {"label": np.array(self.labels)}

    def rows(self, top: int) -> Iterator[list[Any]]:
        """What a CSV holds of outputs (N, K), a line each, the first with the names of the columns."""
        numbers = range(1, (top or self.outputs.shape[1]) + 1)
        if not self.labels:
            yield ["input", *(f"output_{i}" for i in numbers)]
        elif top:
            yield ["input", *(f"{what}_{i}" for i in numbers for what in ("prediction", "probability"))]
        else:
            yield ["input", "prediction", *(f"p({label})" for label in self.labels)]
        order = np.argsort(-self.outputs, axis=1, kind="stable").tolist()
        for name, ranking, values in zip(self.names, order, self.outputs.tolist(), strict=True):
            if self.labels and top:
                yield [name, *(cell for k in ranking[:top] for cell in (self.labels[k], f"{values[k]:.9g}"))]
            else:
                yield [name, *([self.labels[ranking[0]]] if self.labels else []), *(f"{value:.9g}" for value in values)]


def infer(
    checkpoint: str,
    source: str,
    output: str,
    top: int,
    overrides: list[str],
    comm: Communicator,
    screen: Silent,
    best: bool = False,
    resize: bool = False,
) -> None:
    """Writes what a checkpoint predicts for the samples in `source`; a collective call.

    output: FILE.csv, FILE.npz, or "" for CSV on stdout.   top: see Predictions.arrays.
    """
    if Path(output).suffix.lower() not in ("", ".csv", ".npz") or (output and not Path(output).suffix):
        raise UsageError(f"--output {output} is neither .csv nor .npz", "give FILE.csv or FILE.npz")
    generation, config = open_checkpoint(checkpoint, overrides, comm, best)
    shape, classes = tuple(generation.meta["shape"]), int(generation.meta["classes"])
    if top < 0 or (top and top > classes):
        cure = f"give a number from 1 to {classes}, or leave it out" if classes else "leave it out: outputs are values"
        raise UsageError(f"--top {top} of {classes} classes", cure)
    model = models.build(config.model.name, shape, int(generation.meta["outputs"]), **config.model.options)
    outputs = model.out_shape(shape)
    if len(outputs) != 1 and Path(output).suffix.lower() != ".npz":
        raise UsageError(f"a sample has outputs {outputs}, which are no line of a CSV", "give --output FILE.npz")
    inputs = open_inputs(Path(source), config.data, shape, np.dtype(config.train.dtype), resize)
    agreement.agree(comm, {"data": f"{len(inputs)} samples {inputs.digest}"})
    with compiling(config, screen):
        strategy = forward_only(model, config, comm, shape, inputs)
        strategy.load_state(generation.read, generation.meta)
        found = predict(strategy, inputs, config.train.batch, outputs, bool(classes))
    if found is not None:
        names = list(config.data.labels or config.data.vocabulary)
        labels = names if len(names) == classes else [str(k) for k in range(classes)]
        write(output, Predictions(inputs.names, found, labels), top)
        screen.say(f"{len(inputs):,} samples predicted by {generation.path}" + (f", in {output}" if output else ""))


def forward_only(model: Sequential, config: Config, comm: Communicator, shape: Shape, inputs: Inputs) -> DataParallel:
    """The strategy of inference: a whole model on every rank, and an optimizer that has no state to load."""
    use_threads(config, comm)
    return DataParallel(
        model,
        SGD(lr=0.0),
        comm,
        Partition.of(config.parallel.shares, comm.size),
        shape=shape,
        fetch=inputs.read,
        seed=config.train.seed,
        dtype=np.dtype(config.train.dtype),
        backend=config.train.backend,
    )


def predict(strategy: Any, inputs: Inputs, batch: int, shape: Shape, classify: bool) -> np.ndarray | None:
    """(N, ...) outputs in the order of the samples on rank 0, None on the others; probabilities of classes in float64."""
    width = max(2, shape[-1]) if classify else shape[-1]
    numbers, found = [np.empty(0, np.int64)], [np.empty((0, *shape[:-1], width))]

    def observe(samples: np.ndarray, z: Any) -> None:
        z = np.asarray(z, np.float64)
        numbers.append(samples)
        found.append(softmax(two(z)) if classify else z)

    for indices in in_batches(np.arange(len(inputs)), batch):
        strategy.predict(indices, inputs.read, observe)
    order = gather(strategy.communicator, np.concatenate(numbers), "samples")
    outputs = gather(strategy.communicator, np.concatenate(found), "outputs")
    return None if order is None or outputs is None else outputs[np.argsort(order)]


def write(output: str, predictions: Predictions, top: int) -> None:
    """The file, complete or not at all; UsageError where it cannot be written."""

    def fill(path: Path) -> None:
        if Path(output).suffix.lower() == ".npz":
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **predictions.arrays(top))
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                _lines(file, predictions, top)

    if not output:
        _lines(sys.stdout, predictions, top)
        return
    try:
        publish(Path(output), fill)
    except OSError as error:
        raise UsageError(
            f"{output} cannot be written: {error.strerror}", "give --output a file that you may write"
        ) from error


def _lines(file: IO[str], predictions: Predictions, top: int) -> None:
    csv.writer(file, lineterminator="\n").writerows(predictions.rows(top))
