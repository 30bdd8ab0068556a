"""Watch: whether a run still gets better, judged by one figure at the end of each epoch.

The figure is the same on every rank, so all of them come to the same verdict without a word. What the watch knows lies
in every checkpoint: a run that is cut and resumed keeps its best figure and its count, and stops where it would have.
Better means strictly better, so of equal epochs the first is the best one; a NaN is never better.
"""

from __future__ import annotations

from typing import Any

SMALLER = ("loss", "perplexity")  # the smaller, the better


def as_merit(figure: str, value: float) -> float:
    """The larger, the better; its own inverse."""
    return -value if figure in SMALLER else value


class Watch:
    """figure: "loss" or one of train.metrics.   patience: epochs without a better one, 0 = without end.

    value: the best so far, None before the first.   step: when it was reached.   waiting: epochs since.
    """

    def __init__(self, figure: str, patience: int = 0):
        self.figure, self.patience = figure, patience
        self.value: float | None = None
        self.step = self.waiting = 0

    def see(self, figures: dict[str, Any], step: int) -> bool:
        """Counts an epoch that ended at this step; whether it is the best."""
        value = figures["test_loss" if self.figure == "loss" else self.figure]
        better = as_merit(self.figure, value) > (
            float("-inf") if self.value is None else as_merit(self.figure, self.value)
        )
        if better:
            self.value, self.step = value, step
        self.waiting = 0 if better else self.waiting + 1
        return better

    @property
    def merit(self) -> tuple[str, float] | None:
        """The best figure as checkpoint.store wants it: the larger, the better."""
        return None if self.value is None else (self.figure, as_merit(self.figure, self.value))

    @property
    def best(self) -> dict[str, Any] | None:
        """{"figure", "value", "step"}; None before the first."""
        return None if self.value is None else {"figure": self.figure, "value": self.value, "step": self.step}

    @property
    def over(self) -> bool:
        return 0 < self.patience <= self.waiting

    def state(self) -> dict[str, Any]:
        return {"figure": self.figure, "value": self.value, "step": self.step, "waiting": self.waiting}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continues a saved watch, unless that one looked at another figure: then it starts anew."""
        if state.get("figure") == self.figure:
            self.value, self.step, self.waiting = state["value"], state["step"], state["waiting"]
