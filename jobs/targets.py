"""Targets: what a question's answers must reach, and whether they do.

A target is about many cases at once, because one shape can always be found that is fast: the geometric mean over a group
of cases, and the least of any case in it. What cannot be judged (too short to time, never asked for) is a group of its
own, with no goal: it is shown, and in no other mean. Each case counts with the median of its rounds.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .measured import Result

HEADS = ["target", "ours by", "threads", "shapes", "geometric mean", "least", "where", "verdict"]


class Target(NamedTuple):
    """Of the cases whose fact "group" is this, the ratio `by` has a geometric mean >= mean, and is >= least in each; 0: no goal."""

    group: str
    by: str
    mean: float = 0.0
    least: float = 0.0


def verdicts(result: Result) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) for people: a row for each target and number of threads that some case is of."""
    rows = []
    for target in result.targets:
        by_threads: dict[int, dict[str, float]] = {}
        for name, case in result.cases.items():
            if case.facts.get("group") == target.group and target.by in case.ratios:
                threads = case.facts.get("threads", result.setting.get("threads", 1))
                by_threads.setdefault(threads, {})[name] = case.ratios[target.by].median
        rows += [_row(target, threads, found) for threads, found in sorted(by_threads.items())]
    return HEADS, rows


def _row(target: Target, threads: int, found: dict[str, float]) -> list[str]:
    mean = exp(sum(map(log, found.values())) / len(found))
    where = min(found, key=lambda name: found[name])
    below = sum(ratio < target.least for ratio in found.values())
    least = f"{found[where]:.2f}{_goal(target.least)}" + f", {below} below" * (below > 0)
    verdict = "met" if mean >= target.mean and not below else "short"
    shown = [f"{mean:.2f}{_goal(target.mean)}", least, where, verdict if target.mean else "no goal"]
    return [target.group, target.by, str(threads), str(len(found)), *shown]


def _goal(goal: float) -> str:
    return f" of {goal:.2f}" if goal else ""
