"""Metrics: what is said of a network beside its loss, from outputs that lie on many ranks.

Every rank looks at its own outputs once, where they are. Counts add up: one allreduce of whole numbers, exact in
float64, so the figures are the same on any number of ranks, with any shares and a ragged last batch. The area under
the curve is no sum: its scores are gathered on rank 0, 8 K bytes for each term.

    figure      of M terms (samples, or positions of sequences), labels y, scores z of K classes, p = softmax(z)
    accuracy    how many have the largest score at y, of M
    top5        how many have one of the five largest there
    f1          2 t / (labelled + predicted), t: terms that are both; the mean over the classes that occur as either.
                With it, class by class: precision = t / predicted, recall = t / labelled
    auc         P(p of a term of the class > p of another term) + P(equal) / 2; of class 1 where K = 2, else of each
                class against the rest: the mean over the classes that have terms and are not all of them
    perplexity  exp(mean loss)
    confusion   counts[label][prediction]

A network of one output tells two classes apart: z is then the score of class 1, and that of class 0 is 0. Labels
outside [0, K) and those the loss ignores are left out here; whether they are an error is for the loss to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import UsageError
from ..core.shape import Shape
from ..mpi.communicator import Communicator
from ..mpi.gather import gather

Figures = dict[str, Any]  # {"test_loss": 0.1, "accuracy": 0.97, ..., "confusion": [[...], ...]}, what json can hold
WORDS = {
    "test_loss": ("test loss", "{:.4f}"),
    "accuracy": ("test accuracy", "{:.2%}"),
    "top5": ("test top-5 accuracy", "{:.2%}"),
    "f1": ("test macro F1", "{:.4f}"),
    "auc": ("test AUC", "{:.4f}"),
    "perplexity": ("test perplexity", "{:,.2f}"),
}
LARGEST = 4096  # classes of a confusion matrix: 128 MiB


def words(figures: Figures) -> list[tuple[str, str]]:
    """The figures that are one number, as a person reads them: ("test loss", "0.1234"), ..."""
    return [(WORDS[name][0], WORDS[name][1].format(value)) for name, value in figures.items() if name in WORDS]


class Metrics:
    """The figures `wanted` of one evaluation at a time: clear(), observe() each batch, figures().

    wanted: of the names above; none means accuracy, where targets are classes.   best: one more, if it is one.
    outputs: the shape of one sample's outputs.   target: targets of any samples, or of none.   ignore: a label that does not
    count, as in the loss.   UsageError where these outputs and targets have no such figure.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        best: str,
        outputs: Shape,
        target: Any,
        communicator: Communicator,
        ignore: int | None = None,
    ):
        self.communicator, self.ignore = communicator, ignore
        self.classes = classes(outputs, target)
        usual = ["accuracy"] if self.classes else []
        self.wanted = tuple(dict.fromkeys([*(wanted or usual), *{best} - {"", "loss"}]))
        looking = set(self.wanted) - {"perplexity"}
        if looking and not self.classes:
            raise UsageError(
                f"train.metrics = {', '.join(sorted(looking))} needs classes, but a sample has outputs {tuple(outputs)} "
                f"and a target {target.dtype}{tuple(target.shape[1:])}",
                "leave it out of train.metrics and checkpoint.best",
            )
        self.crossed = self.classes if looking & {"f1", "confusion"} else 0
        if self.crossed > LARGEST:
            raise UsageError(f"f1 and confusion of {self.crossed} classes: {LARGEST} are the most", "leave them out")
        self.observe = self._observe if looking else None  # what Strategy.evaluate takes
        self.clear()

    def clear(self) -> None:
        """Nothing has been observed."""
        self.counts = np.zeros(3 + self.crossed**2)  # terms, right, among five, then the confusion matrix
        self.scores: list[np.ndarray] = []  # (n, K + 1): probabilities and the label, for the area

    def _observe(self, samples: np.ndarray, z: Any, target: Any) -> None:
        """Counts the outputs of these samples, which this rank holds."""
        labels, scores = np.asarray(target).reshape(-1), np.asarray(z, np.float64).reshape(-1, z.shape[-1])
        known = (labels >= 0) & (labels < self.classes) & (labels != self.ignore)
        labels, scores = labels[known], two(scores[known])
        place = places(scores, labels)
        self.counts[:3] += len(labels), (place == 0).sum(), (place < min(5, self.classes)).sum()
        if k := self.crossed:
            self.counts[3:] += np.bincount(labels * k + scores.argmax(axis=1), minlength=k * k)
        if "auc" in self.wanted:
            self.scores.append(np.column_stack([softmax(scores), labels]))

    def figures(self, loss: float) -> Figures:
        """All that was wanted of what all ranks have observed, the same on every rank; a collective call."""
        if self.observe:
            self.communicator.allreduce(self.counts, "metrics")
        terms, right, five = self.counts[:3]
        found: Figures = {"test_loss": loss}
        with np.errstate(invalid="ignore", over="ignore"):
            for name in self.wanted:
                if name in ("accuracy", "top5"):
                    found[name] = float((right if name == "accuracy" else five) / terms)
                elif name == "f1":
                    found |= f1(self._confusion())
                elif name == "auc":
                    found[name] = self._auc()
                elif name == "perplexity":
                    found[name] = float(np.exp(loss))
                else:
                    found[name] = self._confusion().tolist()
        return found

    def _confusion(self) -> np.ndarray:
        return self.counts[3:].reshape(self.crossed, self.crossed).astype(np.int64)

    def _auc(self) -> float:
        rows = gather(self.communicator, np.concatenate([np.empty((0, self.classes + 1)), *self.scores]), "scores")
        area = np.array([np.nan if rows is None else auc(rows[:, :-1], rows[:, -1])])
        return float(self.communicator.broadcast(area, 0, "area")[0])


def classes(outputs: Shape, target: Any) -> int:
    """How many classes outputs of this shape tell apart for whole-numbered targets like these; 0 where none."""
    *place, last = outputs
    shape = tuple(target.shape[1:])
    if target.dtype.kind not in "iu":
        return 0
    if last == 1 and shape in (tuple(place), tuple(outputs)):
        return 2
    return last if shape == tuple(place) else 0


def two(z: np.ndarray) -> np.ndarray:
    """(M, K) scores as they are; (M, 1) with the score 0 of class 0 beside them."""
    return z if z.shape[1] > 1 else np.column_stack([np.zeros_like(z), z])


def softmax(z: np.ndarray) -> np.ndarray:
    """p[m,k] = exp(z[m,k]) / sum_j exp(z[m,j]), in float64 whatever z is."""
    with np.errstate(invalid="ignore"):
        p = np.exp(np.asarray(z, np.float64) - z.max(axis=-1, keepdims=True, initial=-np.inf))
        return p / p.sum(axis=-1, keepdims=True)


def places(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(M,): how many classes come before the label, by score and then by number; a NaN comes before everything."""
    own = np.take_along_axis(z, labels[:, np.newaxis], axis=1)
    before = (z == own) & (np.arange(z.shape[1]) < labels[:, np.newaxis])
    return (before | ~(z <= own)).sum(axis=1)


def f1(confusion: np.ndarray) -> Figures:
    """{"f1": macro, "precision": [K], "recall": [K]}; None for a class that was never predicted, or never there."""
    both, labelled, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = labelled + predicted > 0
    macro = (2 * both[occurs] / (labelled + predicted)[occurs]).mean() if occurs.any() else np.nan
    parts = {"precision": predicted, "recall": labelled}
    return {"f1": float(macro)} | {
        name: [t / n if n else None for t, n in zip(both.tolist(), of.tolist(), strict=True)]
        for name, of in parts.items()
    }


def auc(p: np.ndarray, labels: np.ndarray) -> float:
    """The area of class 1 of two, or the mean of one class against the rest; NaN where nothing can be compared."""
    chosen = [1] if p.shape[1] == 2 else np.unique(labels).astype(int)
    areas = [area(p[:, k], labels == k) for k in chosen if 0 < (labels == k).sum() < len(labels)]
    return float(np.mean(areas)) if areas else float("nan")


def area(scores: np.ndarray, positive: np.ndarray) -> float:
    """P(score of a positive > of a negative) + P(equal) / 2, by ranks, equal scores sharing their mean rank.

        area = (sum of the positives' ranks - P (P + 1) / 2) / (P N)

    Mann and Whitney 1947; Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve".
    """
    if np.isnan(scores).any():
        return float("nan")
    _, place, equal = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(equal) - (equal - 1) / 2)[place]
    p, n = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))
