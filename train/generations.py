"""`shoal checkpoint show` and `diff`: what one generation holds, and how two of them differ.

Numbers are handed out of verified generations only, so these read every byte before they say a word. A configuration is
shown as the settings in which it differs from the defaults: what a person would have to type.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..checkpoint import contents, difference, history
from ..checkpoint.contents import Tensor
from ..checkpoint.difference import Difference
from ..checkpoint.generation import Generation
from .catalogue import by
from .checkpoints import facts, say
from .config import Config
from .summary import size
from .terminal import console, say_json, table

LONG = 60  # characters of a fact in a table
SHOWN = ("step", "epochs", "config")  # facts with a row of their own


def opened(path: Path, best: bool) -> Generation:
    """A verified generation: this one, or a run folder's newest or best."""
    return history.open_generation(path, choose=history.best if best else history.newest)


def show(path: Path, tensor: str | None = None, best: bool = False, as_json: bool = False) -> None:
    """The facts of a generation and a table of its tensors; or what one tensor holds."""
    generation = opened(path, best)
    if tensor is None:
        _show_all(generation, as_json)
    else:
        _show_one(generation, tensor, as_json)


def _show_all(generation: Generation, as_json: bool) -> None:
    manifest, tensors = generation.manifest, contents.tensors(generation.manifest).values()
    known = facts(manifest)
    total, files = sum(file.bytes for file in manifest.files), [file.name for file in manifest.files]
    others = {key: value for key, value in manifest.meta.items() if key not in SHOWN}
    changed = settings(manifest.meta.get("config", {}))
    if as_json:
        listed = [asdict(one) for one in tensors]
        held = {"bytes": total, "files": files, "facts": others, "settings": changed, "tensors": listed}
        say_json({"generation": str(generation.path), **known, **held})
        return
    size_and_files = {"size": f"{size(total)} in {', '.join(files)}"}
    lines = {key: _text(value) for key, value in (known | size_and_files | others).items() if value is not None}
    lines["settings"] = " ".join(f"{key}={_text(value)}" for key, value in changed.items())
    rows = [
        (one.name, by(one.shape), one.dtype, f"{one.bytes:,}", str(one.slices), ", ".join(one.files)) for one in tensors
    ]
    say(str(generation.path))
    titles = ("tensor", "shape", "dtype", "bytes", "slices", "files")
    console().print(table(("", ""), lines.items()), table(titles, rows))


def _show_one(generation: Generation, name: str, as_json: bool) -> None:
    held = contents.tensors(generation.manifest)
    figures = asdict(contents.statistics(contents.read(generation, name)))
    first = figures.pop("first")
    if as_json:
        say_json({"generation": str(generation.path), **asdict(held[name]), **figures, "first": first})
        return
    rows = {"tensor": name, "shape": by(held[name].shape), "dtype": held[name].dtype}
    numbers = {key: "none" if value is None else f"{value:.6g}" for key, value in figures.items()}
    lines = {**rows, **numbers, "first": ", ".join(f"{value:.6g}" for value in first)}
    say(str(generation.path))
    console().print(table(("", ""), lines.items()))


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: value} of what a saved configuration has other than the defaults."""
    usual = json.loads(json.dumps(asdict(Config())))
    return {key: sides["b"] for key, sides in difference.facts(usual, config) if "b" in sides}


def diff(a: Path, b: Path, best: bool = False, as_json: bool = False) -> bool:
    """How two generations differ, in tensors and in facts; True if every tensor has the same bits in both."""
    sides = {"a": opened(a, best), "b": opened(b, best)}
    apart = list(difference.tensors(**sides))
    differ = dict(difference.facts(sides["a"].meta, sides["b"].meta))
    count = len(contents.tensors(sides["a"].manifest) | contents.tensors(sides["b"].manifest))
    if as_json:
        head = {name: str(side.path) for name, side in sides.items()}
        rows = [asdict(one) for one in apart]
        say_json({**head, "equal": not apart, "tensors": count, "differ": rows, "facts": differ})
        return not apart
    for name, side in sides.items():
        ranks = side.manifest.ranks
        say(f"{name}: {side.path}, step {side.manifest.step}, written by {ranks} rank{'s' * (ranks > 1)}")
    say(f"{len(apart)} of {count} tensors differ" if apart else f"all {count} tensors have the same bits")
    if apart:
        console().print(table(("tensor", "max |a - b|", "|a - b| / |a|", "a | b"), map(_row, apart)))
    for key, values in differ.items():
        say(f"{key}: {' | '.join(_text(values[name]) if name in values else 'absent' for name in sides)}")
    return not apart


def _row(one: Difference) -> tuple[str, ...]:
    figures = ("" if figure is None else f"{figure:.3g}" for figure in (one.largest, one.relative))
    kinds = dict.fromkeys((_kind(one.a), _kind(one.b)))
    return (one.name, *figures, " | ".join(kinds))


def _kind(tensor: Tensor | None) -> str:
    return f"{tensor.dtype} {by(tensor.shape)}".strip() if tensor else "absent"


def _text(value: Any) -> str:
    """A fact in one short line."""
    text = value if value and isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."
