"""The command line: arguments in, exit code out. Commands that belong together share a file."""

# A command is known once its file is imported, and listed in this order.
from . import training, views, checkpoints, traces, jobs, benches  # noqa: F401, I001
from .app import app


def main() -> None:
    """The entry point of the command `shoal`."""
    app()
