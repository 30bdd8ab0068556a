"""Schedules on paper: before a pipeline runs, its table is written down, wired, proven to end, timed and drawn.

A schedule says only who computes which micro-batch when. Sends and receives follow from where the model is cut, and the
simulator from what its blocks cost: here their floating point operations, on machines of 10 GFLOP/s between which a
message takes a millisecond. GPipe and 1F1B take the same time; what they differ in is how many micro-batches are alive.
"""

from shoal.nn.cost import measure
from shoal.nn.models import resnet20
from shoal.plan import SCHEDULES, Costs, Link, PipelineShape, cut, draw, graph, simulate, table, wire

STAGES, MICRO_BATCHES, SAMPLES = 4, 8, 8  # of a micro-batch
SPEED, SHAPE = 10e9, (32, 32, 3)

blocks = measure(resnet20(), SHAPE)  # of one sample, found by running it on arrays that are not there
bounds = cut([block.forward + block.backward for block in blocks], STAGES).bounds
stages = [blocks[start:stop] for start, stop in bounds]
edges = graph(bounds)
costs = Costs(
    seconds={
        "forward": [SAMPLES * sum(block.forward for block in stage) / SPEED for stage in stages],
        "backward": [SAMPLES * sum(block.backward for block in stage) / SPEED for stage in stages],
    },
    bytes={edge: SAMPLES * stages[edge.source][-1].output for edge in edges.edges},
    live=[SAMPLES * sum(block.activations for block in stage) for stage in stages],
)
for name in SCHEDULES:
    wired = wire(table(name, PipelineShape(STAGES, MICRO_BATCHES)), edges)
    result = simulate(wired, costs, Link(latency=1e-3, bandwidth=1e9))
    print(f"{name}\n{draw.text(result.timeline, width=96)}")
    print(f"       micro-batches alive {result.peak_live}, activations at most {max(result.peak_bytes) / 1e6:.0f} MB\n")
