"""`--dry-run`: what a configuration means, shown without training: blocks, stages, schedule, memory, messages.

One process looks at a job of any number of ranks: nothing is asked of them, and train/forecast.py needs none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from ..core.cost import Cost
from ..core.errors import UsageError
from ..mpi.alone import Alone
from ..nn.cost import measure
from ..plan import draw
from .build import check, loss, network, optimizer
from .config import Config
from .data import open_dataset
from .forecast import Forecast, RankPlan, forecast
from .parallel import mesh, stages
from .sampler import Sampler
from .summary import size
from .terminal import console

WIDTH = 78


@dataclass(frozen=True)
class Plan:
    """The whole of a dry run."""

    blocks: list[Cost]
    forecast: Forecast
    steps_per_epoch: int

    @property
    def ranks(self) -> list[RankPlan]:
        return self.forecast.ranks


def plan(config: Config, ranks: int) -> Plan:
    """What `ranks` ranks would do, or more where parallel.shares or mesh name more: a large job can be looked at anywhere."""
    sizes = {"data": len(config.parallel.shares) or 1, **config.parallel.mesh}
    ranks = max(ranks, prod(size for size in sizes.values() if isinstance(size, int)))
    dataset = open_dataset(config.data, config.train.dtype)
    sampler = Sampler(len(dataset.train), config.train.batch, config.train.seed, config.train.backend)
    model = network(config, dataset)
    goal = loss(config.loss, dataset)
    check(goal, config, model.out_shape(dataset.shape), dataset.target)
    rule = optimizer(config.optim, config.train.epochs * len(sampler))
    bounds = stages(config, Alone(), model, dataset, rule, mesh(config, ranks))
    blocks = measure(model, dataset.shape, config.train.dtype, integers=dataset.sample.dtype.kind == "i")
    found = forecast(config, ranks, model, dataset, rule, goal, bounds)
    return Plan(blocks, found, len(sampler))


def show(config: Config, what: Plan) -> None:
    """The plan on stdout, as tables, and the schedule of a pipeline as a picture."""
    from rich.table import Table

    blocks = Table("block", "kind", "output of one sample", "parameters", title=f"{config.model.name}")
    for block in what.blocks:
        blocks.add_row(block.name, block.kind, " x ".join(map(str, block.shape)), f"{block.parameters:,}")
    blocks.add_row("", "", "", f"{sum(block.parameters for block in what.blocks):,}")
    title = f"each step; {what.steps_per_epoch} steps an epoch, {config.train.epochs} epochs"
    ranks = Table("rank", "stage", "samples", "arenas", "activations", "messages", "bytes sent", title=title)
    for rank, one in enumerate(what.ranks):
        memory = (size(one.arenas), size(one.activations))
        ranks.add_row(str(rank), str(one.stage), str(one.samples), *memory, str(one.messages), size(one.bytes))
    console().print(blocks, *([_stages(config, what.forecast)] if str(what.forecast) else []), ranks)
    if str(what.forecast):
        timeline = what.forecast.simulation.timeline
        picture = "\n".join(draw.rows(timeline, WIDTH)).replace("rank", "stage")
        console().print(f"{config.parallel.schedule}, by counted operations\n{picture}\n{what.forecast}", markup=False)


def picture(what: Plan, path: Path) -> None:
    """The schedule as a file; UsageError for a name that does not say .svg or .png."""
    timeline = replace(what.forecast.simulation.timeline, unit="operations of a sample")
    if path.suffix == ".png":
        draw.png(timeline, path)
    elif path.suffix == ".svg":
        path.write_text(draw.svg(timeline), encoding="utf-8")
    else:
        raise UsageError(f"--picture {path} is neither a .svg nor a .png", "give it one of these endings")


def _stages(config: Config, found: Forecast) -> Any:
    from rich.table import Table

    title = f"stages, cut by {config.parallel.cut}"
    table = Table("stage", "blocks", "parameters", "operations", "micro-batches kept", title=title)
    for stage, costs in enumerate(found.stages):
        share = f"{found.loads[stage] / max(1, sum(found.loads)):.0%}"
        parameters = f"{sum(cost.parameters for cost in costs):,}"
        kept = str(found.simulation.peak_live[stage])
        table.add_row(str(stage), f"{costs[0].name}..{costs[-1].name}", parameters, share, kept)
    return table
