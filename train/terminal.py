"""Whether a person looks, and how wide their terminal is.

Under mpirun the question cannot be asked of a rank's own stdout and stderr: those are a pipe or a pseudo-terminal that
the launcher reads, whatever the launcher's own output is. So it is asked of the outermost launcher among the parents of
this process. Where that sits on another machine (Slurm), the answer is no.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

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
