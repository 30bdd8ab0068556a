"""Data sets by name: a table of sources, and the one function that opens what the configuration names.

    source      needs            read                              takes, besides target, mean, ..., augment, ...
    digits      nothing          whole, 100 KB                     classes
    fashion     a folder of IDX  memory map; whole if packed       path, shape, classes
    idx         likewise         likewise                          likewise
    cifar10     a folder         memory map                        likewise
    npz         a file           memory map; whole if compressed   path, names, test_fraction, shape, classes
    hdf5        a file           by ranges                         likewise
    images      folders          a file a sample                   path, test_fraction, size, shape, classes, labels
    text        a file           memory map if ASCII               path, test_fraction, length, stride, vocabulary
    series      a file           whole                             path, test_fraction, length, stride, columns, ...
    synthetic   nothing          drawn by index                    kind, samples, shape, classes, length, test_fraction

A setting that a source does not take is an error, not a remark: it would be believed to have an effect. To add a source
is a file with a function (Data, dtype) -> Dataset and a line in SOURCES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from ...core.errors import UsageError
from ..augment import check
from ..config import Data
from . import cifar, hdf5, idx, images, npz, series, synthetic, text
from .dataset import Dataset, Split
from .digits import open_digits

__all__ = ["SOURCES", "Dataset", "Source", "Split", "open_dataset"]


class Source(NamedTuple):
    """open: from the configuration to a data set.   takes: the keys of [data] that mean something to it."""

    open: Callable[[Data, np.dtype], Dataset]
    takes: tuple[str, ...]


SCALED = ("target", "white", "mean", "deviation", "augment", "pad", "cutout", "noise")
LABELLED = (*SCALED, "shape", "classes", "labels")
WINDOWS = ("path", "test_fraction", "length", "stride")

SOURCES = {
    "digits": Source(open_digits, LABELLED),
    "fashion": Source(idx.open_fashion, (*LABELLED, "path")),
    "idx": Source(idx.open_idx, (*LABELLED, "path")),
    "cifar10": Source(cifar.open_cifar10, (*LABELLED, "path")),
    "npz": Source(npz.open_npz, (*LABELLED, "path", "names", "test_fraction")),
    "hdf5": Source(hdf5.open_hdf5, (*LABELLED, "path", "names", "test_fraction")),
    "images": Source(images.open_images, (*LABELLED, "path", "test_fraction", "size")),
    "text": Source(text.open_text, (*WINDOWS, "vocabulary")),
    "series": Source(series.open_series, (*WINDOWS, *SCALED, "columns", "predict", "label", "labels", "delimiter")),
    "synthetic": Source(synthetic.open_synthetic, (*LABELLED, "kind", "samples", "length", "test_fraction")),
}
WITHOUT_PATH = ("digits", "fashion", "synthetic")


def open_dataset(data: Data, dtype: str = "float32") -> Dataset:
    """The data set that the configuration names.

    UsageError for a setting that does not fit, DataError with the cure where what is stored cannot be believed.
    """
    source = SOURCES[data.source]
    given = [item.name for item in fields(data) if getattr(data, item.name) != item.default]
    for name in given:
        if name not in (*source.takes, "source"):
            problem = f'data.{name} = {getattr(data, name)!r} has no meaning for data.source = "{data.source}"'
            raise UsageError(problem, f"it takes {', '.join(source.takes)}")
    if not data.path and data.source not in WITHOUT_PATH:
        raise UsageError(
            f'data.source = "{data.source}" needs data.path', "give data.path=FILE or FOLDER, where the data lie"
        )
    dataset = source.open(data, np.dtype(dtype))
    check(dataset.config, dataset.shape)
    return dataset
