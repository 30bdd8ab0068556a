"""One hierarchy of errors; each class is an exit code with a meaning.

A job script can only see the exit code, so the code is part of the class and the table below is the
documentation of it. Every error says what is wrong with the numbers in it, and how to cure it.

    code  class            meaning
    1     Diverged         training whose loss is no number any more; also any exception nobody expected
    2     UsageError       a wrong configuration, argument or shape
    3     PlatformError    the machine: MPI, GPU, threads, a kernel that does not exist
    4     DataError        data missing, truncated or of the wrong kind
    5     CheckpointError  a checkpoint that cannot be written, read or believed
    6     RankDied         another rank is gone (ranks as threads; under mpirun its own status counts, 137 after a kill)
    7     Stalled          a communication passed its deadline
    75    Preempted        a signal asked to end: saved, start me again
    130   KeyboardInterrupt (Ctrl-C in one process)
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


class ShoalError(Exception):
    """An error with an exit code and a cure.

    problem: one sentence with the numbers that are wrong.   cure: what to do about it.
    """

    code = 1

    def __init__(self, problem: str, cure: str = ""):
        super().__init__(problem)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.problem}\n  cure: {self.cure}" if self.cure else self.problem


class Diverged(ShoalError):
    """The loss is infinite or not a number: nothing that follows would mean anything."""


class UsageError(ShoalError):
    """A wrong configuration, argument, dtype or shape."""

    code = 2


class PlatformError(ShoalError):
    """The machine cannot do what was asked: MPI, GPU, threads, a missing kernel."""

    code = 3


class DataError(ShoalError):
    """Data missing, truncated or of the wrong kind."""

    code = 4


class CheckpointError(ShoalError):
    """A checkpoint that cannot be written, read or believed."""

    code = 5


class RankDied(ShoalError):
    """Another rank is gone."""

    code = 6


class Stalled(ShoalError):
    """A communication passed its deadline."""

    code = 7


class Preempted(ShoalError):
    """Saved on request; the same command continues.   agreed: all ranks end alike, none has to be told."""

    code = 75
    agreed = True


def exit_code(error: BaseException) -> int:
    """The exit code of any exception, by the table above."""
    if isinstance(error, ShoalError):
        return error.code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def nearest(word: str, known: Sequence[str]) -> str:
    """The question to ask about an unknown word: a key of the same last part, else the most similar one."""
    leaf = word.rsplit(".", 1)[-1]

    def likeness(key: str) -> float:
        return 2.0 if key.rsplit(".", 1)[-1] == leaf else SequenceMatcher(None, word, key).ratio()

    return f'did you mean "{max(known, key=likeness)}"?'
