"""Whether a person looks, and how wide their terminal is.

Under mpirun the question cannot be asked of a rank's own stdout and stderr: those are a pipe or a pseudo-terminal that
the launcher reads, whatever the launcher's own output is. So it is asked of the outermost launcher among the parents of
this process. Where that sits on another machine (Slurm), the answer is no.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.events import finite

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LAUNCHERS = ("mpirun", "mpiexec", "prterun", "prte", "prted", "orterun", "mpiexec.hydra", "hydra_pmi_proxy", "srun")
PLAIN = 100  # columns where nobody looks


def console(stderr: bool = False, force: bool = False) -> Console:
    """Rich's console on stdout or stderr: colours and the terminal's width for a person, plain text otherwise."""
    from rich.console import Console

    columns = width(2 if stderr else 1)
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        force_terminal=force or columns is not None,
        width=columns or _told() or PLAIN,
        highlight=False,
    )


def say_json(facts: dict[str, Any]) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(finite(facts)), flush=True)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Words, whatever brackets are in them, that fold where the terminal is narrow; columns without a word are left out."""
    from rich.table import Table
    from rich.text import Text

    filled = [(title, column) for title, column in zip(titles, zip(*rows, strict=True), strict=True) if any(column)]
    made = Table(show_header=any(titles))
    for title, _ in filled:
        made.add_column(title, overflow="fold")
    if filled and max(map(len, filled[0][1])) <= console().width // 5:
        made.columns[0].no_wrap = True  # a name to be copied
    for row in zip(*(column for _, column in filled), strict=True):
        made.add_row(*map(Text, row))
    return made


def _told() -> int:
    """COLUMNS, where it is a number of columns; else 0."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def width(descriptor: int) -> int | None:
    """Columns of the terminal where this process's stdout (1) or stderr (2) ends up; None where it is no terminal."""
    try:
        target = str(Path(f"/proc/{_launcher(os.getpid())}/fd/{descriptor}").readlink())
        if not target.startswith(("/dev/pts/", "/dev/tty")):
            return None
        terminal = os.open(target, os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.get_terminal_size(terminal).columns or 80
    except OSError:
        return None
    finally:
        os.close(terminal)


def _launcher(process: int) -> int:
    """The outermost launcher among the ancestors of `process`; itself where there is none."""
    found, ancestor = process, process
    while ancestor > 1:
        name, _, rest = Path(f"/proc/{ancestor}/stat").read_text().partition("(")[2].rpartition(")")
        if name in LAUNCHERS:
            found = ancestor
        ancestor = int(rest.split()[1])
    return found
