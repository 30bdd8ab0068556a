"""`shoal checkpoint list` and `verify`: which generations a run has, and which of them can be believed.

Both look only. `list` believes manifests and the sizes of files, which costs nothing and says so; `verify` reads every
byte. Damage is told below the table, in full, because a column is too narrow for what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..checkpoint import history, shard
from ..checkpoint.manifest import NAME, Manifest
from ..checkpoint.survey import Found, look, marks, survey, unfinished
from .summary import size
from .terminal import console, say_json, table
from .watch import as_merit

TITLES = ("generation", "epochs", "ranks", "size", "written (UTC)", "merit", "marks", "state")
JUDGED = "complete: by manifest and sizes; shoal checkpoint verify reads every byte"


def list_run(folder: Path, as_json: bool = False) -> None:
    """One row a generation, the last committed first; below it what is wrong with the damaged ones."""
    found, debris = survey(folder), unfinished(folder)
    marked = marks(found)
    rows = [_row(one, [mark for mark, path in marked.items() if path == one.path]) for one in found]
    if as_json:
        say_json({"folder": str(folder), "generations": rows, "unfinished": [one.name for one in debris]})
        return
    console().print(table(TITLES, map(_words, rows)))
    say(JUDGED)
    for path in debris:
        say(f"{path} is unfinished: a save is under way, or was killed")
    for problem in (problem for one in found for problem in one.problems):
        say(problem)


def _row(one: Found, marked: list[str]) -> dict[str, Any]:
    state = {"marks": marked, "state": "damaged" if one.problems else "complete", "problems": one.problems}
    return {"generation": one.path.name, **facts(one.manifest), "bytes": one.bytes, **state}


def facts(manifest: Manifest | None) -> dict[str, Any]:
    """step, epochs, ranks, written and merit; None for what is not known."""
    if manifest is None:
        return dict.fromkeys(("step", "epochs", "ranks", "written", "merit"))
    merit = manifest.merit and {"figure": manifest.merit[0], "value": as_merit(*manifest.merit)}
    known = {"step": manifest.step, "epochs": manifest.meta.get("epochs"), "ranks": manifest.ranks}
    return {**known, "written": manifest.written, "merit": merit}


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table; empty where something is not known."""
    known = ("",) * 5
    if row["step"] is not None:
        epochs = "" if row["epochs"] is None else f"{row['epochs']:.4g}"
        merit = "{figure} {value:.4g}".format(**row["merit"]) if row["merit"] else ""
        known = (epochs, str(row["ranks"]), size(row["bytes"]), row["written"][:16].replace("T", " "), merit)
    return row["generation"], *known, ", ".join(row["marks"]), row["state"]


def verify(paths: Iterable[Path], as_json: bool = False) -> bool:
    """Hashes every byte of generations, or of all of a run's; one line each, ok or bad. True if all are ok."""
    rows: list[dict[str, Any]] = []
    resumes: dict[str, str | None] = {}
    for path in paths:
        found = []
        for one in look(path, shard.damage):
            found.append(one)
            if not as_json:
                _say_verdict(one)
        rows += map(_verdict, found)
        if not (path / NAME).is_file():
            newest = marks(found).get(history.LATEST)
            resumes[str(path)] = str(newest) if newest else None
    good = all(row["ok"] for row in rows)
    if as_json:
        say_json({"ok": good, "generations": rows, "resume": resumes})
        return good
    for folder, believed in resumes.items():
        say(f"a resume of {folder} continues from {believed}" if believed else f"nothing in {folder} can be resumed")
    return good


def _verdict(one: Found) -> dict[str, Any]:
    return {"generation": str(one.path), "bytes": one.bytes, "ok": not one.problems, "problems": one.problems}


def _say_verdict(one: Found) -> None:
    from rich.text import Text

    for problem in one.problems:
        say(Text.assemble(("bad ", "bold red"), problem))
    if not one.problems:
        say(Text.assemble(("ok  ", "green"), f"{one.path}: {size(one.bytes)}"))


def say(line: Any) -> None:
    """A line on stdout, however long it is and whatever brackets are in it."""
    console().print(line, soft_wrap=True, markup=False)
