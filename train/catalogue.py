"""`shoal models`: what there is to train, and what each block of it costs; nothing is compiled and nothing computed.

Figures are per sample, in float32, of a training step; a batch of N takes N times the flops and activations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.cost import Cost, total
from ..core.errors import UsageError
from ..core.shape import Shape
from ..nn.cost import measure
from ..nn.models import MODELS, build, find
from .summary import size
from .tables import plain, toml
from .terminal import console

NOTE = "flops and bytes for one sample in float32; activations stay from forward to backward"


def overview() -> list[dict[str, Any]]:
    """One row a model, measured on the input it was made for."""
    rows = []
    for name, entry in MODELS.items():
        whole = total(costs(name, entry.shape, entry.classes, {}))
        facts = {"task": entry.task, "shape": entry.shape, "classes": entry.classes}
        rows.append({"name": name, **facts, "parameters": whole.parameters, "forward": whole.forward})
    return rows


def costs(name: str, shape: Shape, classes: int, options: dict[str, Any]) -> list[Cost]:
    """The Cost of every block of a model."""
    return measure(build(name, shape, classes, **options), shape, integers=find(name).tokens)


def show_all(as_json: bool) -> None:
    from rich.table import Table

    rows = overview()
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("model", "task", "made for", "classes", title="shoal models NAME shows the blocks of one")
    for title in ("parameters", "flops"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        figures = (f"{row['parameters']:,}", short(row["forward"]))
        classes = "" if row["task"] == "reconstruct" else str(row["classes"])
        table.add_row(row["name"], row["task"], by(row["shape"]), classes, *figures)
    console().print(table)


def show_one(name: str, shape: str, classes: int, options: Sequence[str], as_json: bool) -> None:
    """The blocks of one model.   shape: "32,32,3", empty for its own.   classes: 0 for its own.   options: NAME=VALUE."""
    entry = find(name)
    given = _parsed(shape) if shape else entry.shape
    blocks = costs(name, given, classes or entry.classes, dict(_option(text) for text in options))
    whole = total(blocks)
    if as_json:
        facts = {"name": name, "task": entry.task, "shape": given, "options": entry.options}
        print(json.dumps({**facts, "blocks": [asdict(block) for block in blocks], "total": asdict(whole)}))
        return
    console().print(_table(name, given, blocks, whole))
    if entry.options:
        console().print("options: " + ", ".join(f"{key}={toml(value)}" for key, value in entry.options.items()))


def _table(name: str, shape: Shape, blocks: list[Cost], whole: Cost) -> Any:
    from rich.table import Table

    table = Table("block", "kind", title=f"{name} for {by(shape)}", caption=NOTE)
    table.add_column("output", no_wrap=True)
    for title in ("parameters", "forward", "backward", "activations"):
        table.add_column(title, justify="right", no_wrap=True)
    for block in blocks:
        table.add_row(block.name, block.kind, by(block.shape), *_figures(block))
    table.add_section()
    table.add_row("", "", "", *_figures(whole))
    return table


def _figures(cost: Cost) -> tuple[str, ...]:
    return f"{cost.parameters:,}", short(cost.forward), short(cost.backward), size(cost.activations)


def by(shape: Shape) -> str:
    return "x".join(map(str, shape))


def short(count: int) -> str:
    """8.18 G: a count in powers of 1000."""
    value = float(count)
    for unit in ("", " k", " M", " G"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g} T"


def _parsed(text: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f'--shape "{text}" is not a shape', "give positive integers, such as --shape 32,32,3")
    return shape


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f'"{text}" is not of the form OPTION=VALUE', "for example width=32")
    return name, plain(value)
