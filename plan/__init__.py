"""Costs in, a plan out: where to cut a model, who computes what when, who sends what to whom. Pure: no arrays, no MPI.

    bounds = cut(costs, 4).bounds                             blocks of the model -> parts
    wired = wire(table("1f1b", shape), graph(bounds))         every send and receive; deadlock is an error
    simulate(wired, costs).timeline                           what it will take; draw.text shows it

Costs are plain sequences, one number a block or a part; whoever has a model says which figure of it is meant.
"""

from .cut import Cut, Memory, cut
from .graph import Edge, Graph, Skip, graph
from .mesh import Mesh
from .schedule import SCHEDULES, Action, PipelineShape, Table, peak_live, table
from .simulate import Costs, Link, Simulation, simulate
from .timeline import Span, Timeline
from .wiring import Wired, wire

__all__ = [
    "SCHEDULES",
    "Action",
    "Costs",
    "Cut",
    "Edge",
    "Graph",
    "Link",
    "Memory",
    "Mesh",
    "PipelineShape",
    "Simulation",
    "Skip",
    "Span",
    "Table",
    "Timeline",
    "Wired",
    "cut",
    "graph",
    "peak_live",
    "simulate",
    "table",
    "wire",
]
