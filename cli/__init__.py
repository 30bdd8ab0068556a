"""The command line: arguments in, exit code out. Commands that belong together share a file."""

from . import benches, training, views  # noqa: F401  a command is known once its file is imported, and listed in that order
from .app import app


def main() -> None:
    """The entry point of the command `shoal`."""
    app()
