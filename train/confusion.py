"""The confusion matrix as a table that fits a terminal: all of it for few classes, the worst of it for many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table

from .metrics import f1

WHOLE = 12  # classes that fit beside each other
WORST = 20  # lines for more


def table(counts: list[list[int]]) -> Table:
    """counts[label][prediction], with recall at the end of a label's row and precision under a prediction's column."""
    return _whole(np.array(counts)) if len(counts) <= WHOLE else _worst(np.array(counts))


def _whole(counts: np.ndarray) -> Table:
    from rich.table import Table

    parts = f1(counts)
    shown = Table("label", *map(str, range(len(counts))), "recall", title="how many of a label (row) were predicted as")
    for label, row in enumerate(counts):
        shown.add_row(str(label), *(str(n) if n else "·" for n in row), _percent(parts["recall"][label]))
    shown.add_section()
    shown.add_row("precision", *map(_percent, parts["precision"]), "")
    return shown


def _worst(counts: np.ndarray) -> Table:
    from rich.table import Table

    wrong = counts - np.diag(counts.diagonal())
    shown = Table("label", "predicted", "times", "of the label", title=f"the {WORST} most frequent confusions")
    for place in np.argsort(-wrong, axis=None, kind="stable")[:WORST]:
        label, prediction = divmod(int(place), len(counts))
        if n := int(wrong[label, prediction]):
            shown.add_row(str(label), str(prediction), str(n), _percent(n / counts[label].sum()))
    return shown


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
