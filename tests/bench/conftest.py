"""What the tests of the benchmarks share: their modules, and results made by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.jobs.measured import Case, Result, Spread

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "bench"))


@pytest.fixture
def result() -> Callable[..., Result]:
    """result(peer=[1.0, 1.1, 0.9]): of one case, with these ratios over the rounds."""

    def make(question: str = "gemm", cpu: str = "z80", **ratios: list[float]) -> Result:
        case = Case(
            Spread.of([0.1, 0.2, 0.3]),
            {"GFLOP/s": 77.0},
            {name: Spread.of(r) for name, r in ratios.items()},
            {"bytes": 4096},
        )
        machine = {"cpu": cpu, "cores": 2, "versions": {"python": "3.11"}}
        return Result(question, f"shoal bench {question}", {"ranks": 1, "rounds": 3}, machine, {"64x64": case})

    return make
