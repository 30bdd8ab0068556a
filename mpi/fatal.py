"""One rank's error ends all ranks, by default.

MPI's own way is that the others wait for ever for the rank that is gone. So every door out of a rank is hooked: an
uncaught exception in the main thread, one in another thread, and leaving while the others still communicate. Each
prints what happened, every line prefixed by the rank, flushes, and aborts the world with the error's exit code. Open
MPI's mpirun and MPICH's return that code; srun returns the highest code of its tasks.

An error that all ranks find, like a wrong configuration, is said once: rank 0 speaks at once, the others a little
later, if the world still exists.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

from ..core.errors import ShoalError, Stalled, exit_code
from .communicator import Communicator
from .stall import GRACE, prefixed, say

LAST = 600.0  # seconds that a rank waits at the end of the program
AFTER_YOU = 0.5  # seconds a rank other than 0 holds back an error that explains itself


def install(communicator: Communicator) -> None:
    """From now on an uncaught error on this rank ends the world."""

    def in_main(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        end(communicator, error)

    def in_thread(failure: Any) -> None:
        if failure.exc_type is not SystemExit and failure.exc_value is not None:
            end(communicator, failure.exc_value)

    def at_exit() -> None:
        if communicator.deadline < LAST or communicator.deadline == float("inf"):
            communicator.deadline = LAST  # others may still write files; if they stall, this rank reports too
        try:
            communicator.barrier("end of the program")
        except BaseException as error:  # there is no one left to raise to
            end(communicator, error)

    sys.excepthook = in_main
    threading.excepthook = in_thread
    atexit.register(at_exit)


def end(communicator: Communicator, error: BaseException) -> None:
    """Says what happened on this rank and aborts the world with the error's exit code; does not return."""
    if _explains_itself(error) and not isinstance(error, Stalled) and communicator.rank != 0:
        time.sleep(AFTER_YOU)
    with suppress(Exception):  # a full disk or a closed pipe must not keep the others waiting
        sys.stdout.flush()
    with suppress(Exception):  # nor make this rank silent
        say(prefixed(communicator.rank, describe(error)))
    if isinstance(error, Stalled):
        time.sleep(GRACE)
    communicator.abort(exit_code(error))


def describe(error: BaseException) -> str:
    """The traceback; for an error that explains itself only problem, place and cure, unless SHOAL_DEBUG=1."""
    if not _explains_itself(error) or os.environ.get("SHOAL_DEBUG") == "1":
        return "".join(traceback.format_exception(error))
    cure = f"  cure: {words}" if (words := getattr(error, "cure", "")) else ""
    if isinstance(error, Stalled):
        return cure  # its report was printed when it was raised
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (raised in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {getattr(error, 'problem', 'interrupted')}{place}\n{cure}".rstrip()


def _explains_itself(error: BaseException) -> bool:
    return isinstance(error, ShoalError | KeyboardInterrupt)
