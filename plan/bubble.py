"""What a schedule's bubble should be, next to what a trace shows.

No closed form is written down for any schedule: its table is timed by the simulator, with a second for everything, or with
the seconds that each stage was seen to take. The first gives the formulas of schedule.py; the second says how much of a
measured bubble is due to stages that are not alike. What is left is communication, and whoever else used the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .graph import graph
from .schedule import PipelineShape, table
from .simulate import Costs, simulate
from .wiring import wire


def bubble(schedule: str, shape: PipelineShape, seconds: Mapping[str, Sequence[float]] | None = None) -> float:
    """The idle fraction of all ranks' time.   seconds: of an action of each kind, for each stage; none: all alike."""
    parts = [(stage, stage + 1) for stage in range(shape.stages)]
    wired = wire(table(schedule, shape), graph(parts))
    alike = dict.fromkeys(("forward", "backward"), [1.0] * shape.stages)
    return simulate(wired, Costs(seconds or alike)).timeline.bubble
