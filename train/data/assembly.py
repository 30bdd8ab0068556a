"""From stored values to a data set: what the configuration leaves open is found in the training part, and written down.

Every source of samples one by one ends here, so that shapes, labels and the division into two parts are checked in one
place and in the same words, whatever the format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import DataError, UsageError
from ...core.shape import Shape, prod
from ..config import Data
from .dataset import Dataset
from .scaling import filled, normal, scale_of
from .stored import Rows, Stored, check_labels


@dataclass(frozen=True)
class Part:
    """The stored values of a split; which: its rows, None for all."""

    x: Rows
    y: Rows | None
    which: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0]) if self.which is None else len(self.which)


def assemble(name: str, data: Data, dtype: np.dtype, digest: str, train: Part, test: Part) -> Dataset:
    """The data set of these parts; UsageError or DataError where they and the configuration do not fit together."""
    if data.target == "input":
        train, test = replace(train, y=None), replace(test, y=None)
    data = filled(data, shape=_shape(name, data.shape, train, test))
    classes = 0
    if train.y is not None and train.y.dtype.kind in "iub":
        classes = data.classes or _classes(name, train)
        if len(data.labels) not in (0, classes):
            problem = f"data.labels names {len(data.labels)} classes, {name} has {classes}"
            raise UsageError(problem, "name them all, or none")
        data = filled(data, classes=classes)
        for part in (train, test):
            if isinstance(part.y, np.ndarray) and not isinstance(part.y, np.memmap):
                check_labels(name, part.y, classes)
    scaling = None
    if train.x.dtype.kind == "i":
        if data.white or data.mean or data.deviation or data.target == "input":
            problem = f"{name}: x are indices ({train.x.dtype}), which are neither normalised nor a target"
            raise UsageError(problem, "leave out data.white, mean, deviation and target, or store real values")
    else:
        data = normal(name, data, data.shape[-1], train.x, train.which)
        scaling = scale_of(data, data.shape[-1])
    splits = [Stored(name, part.x, part.y, data.shape, classes, scaling, dtype, part.which) for part in (train, test)]
    return Dataset(name, classes, digest, data, *splits)


def _shape(name: str, wanted: Shape, train: Part, test: Part) -> Shape:
    """Of one sample: the stored one, (H, W, 1) for bytes (H, W); or the wanted one, of which a flat row may be made.

    Nothing else is reshaped: other data with height and width exchanged would be read as noise.
    """
    found, other = (tuple(part.x.shape[1:]) for part in (train, test))
    if found != other:
        raise DataError(f"{name}: training samples are {found}, test samples {other}", "make them of one shape")
    if not len(train) or not len(test):
        raise DataError(f"{name}: {len(train)} training and {len(test)} test samples", "both parts need some")
    for part, samples in (("training", train), ("test", test)):
        if samples.y is not None and samples.y.shape[0] != samples.x.shape[0]:
            problem = f"{name}: {samples.x.shape[0]} {part} samples, but {samples.y.shape[0]} labels or values"
            raise DataError(problem, "store one for each sample")
    if 0 in found:
        raise DataError(f"{name}: samples of shape {found} hold no number", "store at least one value in each sample")
    natural = found if len(found) != 2 or train.x.dtype != np.uint8 else (*found, 1)
    shape = wanted or natural or (1,)
    if shape not in (found, (*found, 1)) and not (len(found) == 1 and prod(shape) == prod(found)):
        raise UsageError(f"{name}: data.shape = {list(shape)}, but samples are {found}", f"data.shape={list(natural)}")
    return shape


def _classes(name: str, train: Part) -> int:
    """One more than the largest label of the training part, all of whose classes must occur."""
    assert train.y is not None
    labels = np.asarray(train.y[...] if train.which is None else train.y[train.which])
    check_labels(name, labels, int(labels.max()) + 1)  # none is negative
    classes, seen = int(labels.max()) + 1, np.unique(labels)
    if len(seen) != classes:
        missing = int(np.setdiff1d(np.arange(min(classes, len(seen) + 1)), seen)[0])
        raise DataError(
            f"{name}: labels go up to {classes - 1}, but only {len(seen)} classes occur; class {missing} has no sample",
            f"number the classes from 0 without gaps, or say that it is meant: data.classes={classes}",
        )
    return classes
