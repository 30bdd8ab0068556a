"""What whoever starts the suite leaves behind, and no test means: a width of terminal, signals that a nohup ignores."""

from __future__ import annotations

import os
import signal


def pytest_configure() -> None:
    os.environ.pop("COLUMNS", None)  # of pytest-xdist, for its workers
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:  # what is ignored, children ignore too
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
