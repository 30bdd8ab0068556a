"""Delimited series: rows are steps in time, a sample is a window of them, the target what comes next.

    x[i] = columns at steps s .. s + T - 1,  s = i * stride          T: data.length
    target[i] = data.predict at step s + T (normalised likewise), data.label at step s + T - 1, or x[i]

Columns are called by the names in the first line, or by number from 0 where the first line holds numbers; without
data.columns all but the label are inputs, without data.predict all inputs are foretold. The first rows are for
training, the last for the test, and no window reaches over the cut. A text of numbers has no rows that could be found
without reading it, so the file is read whole, once.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...core.errors import DataError, UsageError
from ..config import Data
from .dataset import Dataset
from .division import test_size
from .fingerprint import fingerprint
from .scaling import filled, normal, scale_of
from .stored import Scale, Stored
from .windows import Windows, windows

CURE = "data.path=FILE of delimited numbers, a step a line; data.delimiter says what separates them"


def open_series(data: Data, dtype: np.dtype) -> Dataset:
    if bool(data.predict) + bool(data.label) + (data.target == "input") > 1:
        problem = 'data.predict, data.label and data.target = "input" each name a target'
        raise UsageError(problem, "give one of them, or none")
    if data.labels and not data.label:
        raise UsageError(f"data.labels = {list(data.labels)} are the names of what column?", "data.label=COLUMN")
    data = filled(data, length=16, stride=1)
    names, lines = _read(Path(data.path), data.delimiter)
    label = _column(data, names, data.label) if data.label else None
    inputs = [_column(data, names, name) for name in data.columns] or [i for i in range(len(names)) if i != label]
    values = _values(data.path, lines, names, inputs)
    cut = len(lines) - test_size(data.path, len(lines), data.test_fraction)
    data = normal(data.path, data, len(inputs), values, np.arange(cut))
    scale = scale_of(data, len(inputs))
    if label is None:
        predict = [_place(data, inputs, _column(data, names, name)) for name in data.predict]
        known = (values * scale.scale + scale.offset)[:, predict or slice(None)]
    else:
        data = filled(data, labels=_labels([line[label] for line in lines[:cut]]))
        known = _numbered(data, [line[label] for line in lines])
    splits = [_split(data, values, known, scale, dtype, *part) for part in ((0, cut), (cut, len(lines)))]
    return Dataset(data.path, len(data.labels), fingerprint([("series", Path(data.path))]), data, *splits)


def _split(
    data: Data, values: np.ndarray, known: np.ndarray, scale: Scale, dtype: np.dtype, start: int, stop: int
) -> Stored:
    """Windows over these steps of the table, and what is known of each."""
    count = windows(data.path, stop - start, data.length, data.stride)
    x = Windows(values, start, count, data.length, data.stride)
    y = Windows(known, start, count, 0, data.stride, shift=data.length - bool(data.label))
    return Stored(data.path, x, None if data.target == "input" else y, x.shape[1:], len(data.labels), scale, dtype)


def _read(path: Path, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the fields of each line."""
    if len(delimiter) != 1:
        raise UsageError(f"data.delimiter = {delimiter!r} is not one character", "data.delimiter=;")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.reader(file, delimiter=delimiter) if line]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", CURE) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no delimited text: {error}", CURE) from error
    if not lines:
        raise DataError(f"{path} is empty", CURE)
    named = not any(_is_number(field) for field in lines[0])
    names = [name.strip() for name in lines.pop(0)] if named else [str(i) for i in range(len(lines[0]))]
    for number, line in enumerate(lines, 1 + named):
        if len(line) != len(names):
            raise DataError(f"{path}: line {number} has {len(line)} fields, the first has {len(names)}", CURE)
    return names, lines


def _is_number(field: str) -> bool:
    try:
        float(field)
        return True
    except ValueError:
        return False


def _column(data: Data, names: list[str], name: str) -> int:
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise UsageError(f"{data.path} has no column {name!r}", f"it has {', '.join(names)}")


def _place(data: Data, inputs: list[int], column: int) -> int:
    """Of a column among the inputs: what is foretold is normalised as the input is."""
    if column not in inputs:
        raise UsageError(f"data.predict names column {column}, which is none of data.columns", "add it to data.columns")
    return inputs.index(column)


def _values(name: str, lines: list[list[str]], names: list[str], columns: list[int]) -> np.ndarray:
    """(steps, columns) float64."""
    values = np.array([[float(line[i]) if _is_number(line[i]) else np.nan for i in columns] for line in lines])
    values = values.reshape(len(lines), len(columns))
    wrong = ~np.isfinite(values)
    if wrong.any():
        step, column = (int(i) for i in np.argwhere(wrong)[0])
        found = lines[step][columns[column]]
        raise DataError(
            f"{name}: {np.count_nonzero(wrong)} of {values.size} fields are no finite numbers; the first is {found!r} "
            f"in column {names[columns[column]]} at step {step}",
            "fill the gaps, or choose columns without: data.columns=a,b",
        )
    return values


def _labels(fields: list[str]) -> tuple[str, ...]:
    """The classes in a column: numbers by size, names by alphabet."""
    found = set(fields)
    return tuple(sorted(found, key=float) if all(map(_is_number, found)) else sorted(found))


def _numbered(data: Data, fields: list[str]) -> np.ndarray:
    number = {name: i for i, name in enumerate(data.labels)}
    if unknown := sorted(set(fields) - set(number)):
        known = f"has {len(data.labels)} others, such as {list(data.labels[:5])}"
        problem = f"{data.path}: labels {unknown[:5]} do not occur in the training part, which {known}"
        raise DataError(problem, "give data.labels all names of classes, or another data.test_fraction")
    return np.array([number[field] for field in fields])
