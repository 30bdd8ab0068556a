"""What a question of bench/ has found: its file, its table, and whether it has become worse.

Times of a shared machine mean little and ratios within one round much: what ours is divided by (a peer, a limit) ran a moment
before. So a case is its ratios over the rounds, made such that more is always better, and two results are compared by these.

Noise is what the rounds themselves have shown. A ratio is worse when its median lies below all rounds of the earlier result and
the earlier median above all rounds of this one; two results of 9 rounds from one distribution do that in one of a thousand
comparisons. What lies between is not told apart, so a noisy run hides a loss but never invents one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ..core.errors import DataError
from ..train.summary import size
from .targets import Target

SIZES = ("bytes", "memory")  # facts that are numbers of bytes


class Spread(NamedTuple):
    """A figure over the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        values = list(values)
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f}-{self.highest:.2f})"


@dataclass
class Case:
    """seconds: of one call of ours; None where only ratios were kept.   rates: {"GFLOP/s" or "GB/s": of the median round}.

    facts: counted, or told with it.   ratios: {what ours is compared with: ours by it}; 1 is as fast as that, more is better.
    """

    seconds: Spread | None
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, Spread] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """setting: what the cases have in common, such as ranks and rounds.   machine: where it was measured, and with which versions.

    targets: what groups of the cases are to reach.
    """

    question: str
    command: str
    setting: dict[str, Any]
    machine: dict[str, Any]
    cases: dict[str, Case]
    targets: list[Target] = field(default_factory=list)

    def text(self) -> str:
        """JSON with a line for each case, so that a difference between two files can be read."""
        head = {key: value for key, value in vars(self).items() if key != "cases"}
        lines = [f"  {json.dumps(name)}: {json.dumps(_short(asdict(case)))}" for name, case in self.cases.items()]
        return json.dumps(head, indent=1)[:-2] + ',\n "cases": {\n' + ",\n".join(lines) + "\n }\n}\n"

    @classmethod
    def load(cls, path: Path) -> Result:
        """DataError for a file that is missing or is no result."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            cases = {name: _case(**fields) for name, fields in found["cases"].items()}
            return cls(**{**found, "cases": cases, "targets": [Target(*one) for one in found.get("targets", ())]})
        except (OSError, ValueError, TypeError, KeyError) as error:
            problem = f"{path} is not a result of shoal bench: {error}"
            raise DataError(problem, "write one with --output FILE") from error


def _case(
    seconds: list[float] | None, rates: dict[str, float], ratios: dict[str, list[float]], facts: dict[str, Any]
) -> Case:
    spreads = {name: Spread(*spread) for name, spread in ratios.items()}
    return Case(Spread(*seconds) if seconds else None, rates, spreads, facts)


def _short(value: Any) -> Any:
    """With four digits of every real number."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Change:
    """A ratio of two results, beyond noise."""

    case: str
    ratio: str
    before: Spread
    now: Spread

    @property
    def worse(self) -> bool:
        return self.now.median < self.before.median

    def __str__(self) -> str:
        word = "worse" if self.worse else "better"
        return f"{word}: {self.case}, {self.ratio}: {self.before} before, {self.now} now"


def changes(before: Result, now: Result) -> list[Change]:
    """What differs beyond noise, of all that both have; DataError where that is nothing."""
    if before.question != now.question:
        problem = f"the earlier result answers {before.question}, this one {now.question}"
        raise DataError(problem, "compare results of one question")
    pairs = list(_common(before, now))
    if not pairs:
        cure = "compare runs of the same cases: both with --quick, or neither"
        raise DataError("the two results have no case in common", cure)
    return [pair for pair in pairs if _apart(pair.before, pair.now) or _apart(pair.now, pair.before)]


def _common(before: Result, now: Result) -> Iterator[Change]:
    for name, case in now.cases.items():
        earlier = before.cases[name].ratios if name in before.cases else {}
        yield from (Change(name, ratio, earlier[ratio], now) for ratio, now in case.ratios.items() if ratio in earlier)


def _apart(low: Spread, high: Spread) -> bool:
    """Whether each median lies outside the other's rounds."""
    return low.median < high.lowest and high.median > low.highest


def table(result: Result) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) for people: a row for each case, a column for each rate, ratio and fact that some case has."""
    cases = result.cases.values()
    kinds = ("rates", "ratios", "facts")
    rates, ratios, facts = (
        list(dict.fromkeys(name for case in cases for name in getattr(case, kind))) for kind in kinds
    )
    heads = ["case", *rates, *ratios, *facts]
    return heads, [
        [
            name,
            *(f"{case.rates[rate]:.4g}" if rate in case.rates else "" for rate in rates),
            *(str(case.ratios.get(ratio, "")) for ratio in ratios),
            *(_shown(fact, case.facts.get(fact, "")) for fact in facts),
        ]
        for name, case in result.cases.items()
    ]


def _shown(name: str, fact: Any) -> str:
    if isinstance(fact, int):
        return size(fact) if name in SIZES else f"{fact:,}"
    return f"{fact:.3g}" if isinstance(fact, float) else str(fact)
