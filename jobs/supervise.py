"""shoal run: a world that died or stalled is started again from its newest checkpoint; one that would die again is not.

MPI does not give a world back that has lost a rank, so nothing is repaired inside: the world ends, and another one
continues. Who may decide that is a process that holds no rank, no data and no kernel, and that nothing the ranks do can
take along. It reads two things only, the exit code and the run folder:

    0                     done
    2 3 4 5               a restart would meet it again: usage, the machine, data, checkpoint
    75 130                saved or interrupted because somebody asked: whoever asked wants it to end
    anything else         a rank died, stalled, was killed, or met an error nobody expected: start again
    no sign of life       stalled (7): the session is ended, then started again

An error that is in the program comes back, and restarts would hide it. It is known by what it leaves: two deaths in a
row without a newer checkpoint or a later step than ever before, and the supervision ends.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import history, lease
from ..core import errors
from ..mpi import stall
from ..train.config import Config
from . import life
from .command import Command
from .progress import Progress, finished
from .session import TICK, Session

INTERRUPTED = errors.exit_code(KeyboardInterrupt())
FINAL = {
    errors.UsageError.code: "a wrong configuration or argument",
    errors.PlatformError.code: "the machine lacks something",
    errors.DataError.code: "the data are wrong",
    errors.CheckpointError.code: "a checkpoint that cannot be written, read or believed",
}
REQUESTED = {errors.Preempted.code: "saved on request", INTERRUPTED: "interrupted"}
DEATHS = {
    1: "diverged, or an error nobody expected",
    errors.RankDied.code: "a rank died",
    errors.Stalled.code: "stalled",
}
FORWARDED = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Asked = list[int]  # the signals that asked for the end, as they came


@dataclass(frozen=True)
class Limits:
    """restarts: at most.   silence: seconds without a sign of life after which a world is stalled, 0 = never.

    fewer: each restart has one rank less, or so many less that they still fill parallel.mesh.
    """

    restarts: int = 3
    silence: float = 900.0
    fewer: bool = False


def supervise(command: Command, config: Config, limits: Limits) -> int:
    """Runs the command to its end, with restarts; the exit code of the last world.   config: the command's own."""
    folder = Path(config.run.folder)
    if limits.fewer:
        fewer(command, config)  # UsageError now, not at the first death
    seen, count = Progress(folder), 0
    with asked_to_end() as asked:
        code = world(command, folder, limits.silence, asked)
        while (end := verdict(code, asked, seen.died(), limits.restarts - count)) is None:
            await_lease(folder, asked)
            if asked:
                continue
            count += 1
            said, command = "", command.resumed()
            if limits.fewer:
                said, command = fewer(command, config)
            say(f"the world ended with {meaning(code)}; restart {count} of {limits.restarts} {origin(folder)}{said}")
            code = world(command, folder, limits.silence, asked)
    say(f"ended with {f'code {code}' if asked else meaning(code)} after {count} restart{'s' * (count != 1)}{end}")
    return code


def verdict(code: int, asked: Asked, idle: int, left: int) -> str | None:
    """Why a world that ended with this code is not started again; None where it is.

    idle: deaths in a row without progress.   left: restarts that are.
    """
    if code == 0:
        return ""
    if asked:
        return f", as it was asked to by {signal.Signals(asked[-1]).name}"
    if code in REQUESTED:
        return ", as it was asked to"
    if code in FINAL:
        return ": a restart would meet it again"
    if idle >= 2:
        return ": two deaths in a row without a newer checkpoint or a later step, so a restart would meet it again"
    return None if left else ": no restart is left"


def meaning(code: int) -> str:
    """An exit code in words."""
    words = {0: "done", **FINAL, **REQUESTED, **DEATHS}.get(code, "an end from outside")
    if code > 128 and code != INTERRUPTED:
        with suppress(ValueError):
            words = f"killed by {signal.Signals(code - 128).name}"
    return f"code {code} ({words})"


def origin(folder: Path) -> str:
    """Where a restart continues."""
    try:
        generation = history.newest(folder, lambda path, problem: None)  # the world says what it passes over
    except errors.CheckpointError:
        return "finds no checkpoint that can be believed"
    if generation is None:
        return "starts at step 0: nothing was saved"
    generation.close()
    return f"continues from {generation.path}"


def fewer(command: Command, config: Config) -> tuple[str, Command]:
    """The command on fewer ranks and what to say of it; on as many where the mesh allows no fewer.

    UsageError where the command does not say how many there are, or the ranks have unequal shares.
    """
    from ..train.parallel import mesh

    if config.parallel.shares:
        raise errors.UsageError(
            f"parallel.shares = {list(config.parallel.shares)} belong to ranks, and nobody knows whose goes with --fewer",
            "leave out parallel.shares for equal ones, or leave out --fewer",
        )
    before = command.ranks
    for ranks in range(before - 1, 0, -1):
        with suppress(errors.UsageError):
            mesh(config, ranks)
            said = f"; {ranks} ranks instead of {before}: the same as serial up to rounding, not the same bits"
            return said, command.on(ranks)
    return f"; {before} ranks are the fewest", command


def world(command: Command, folder: Path, silence: float, asked: Asked) -> int:
    """One start of the command; its exit code, Stalled's where it had to be ended.

    Open MPI's mpirun (5.0) ends with 0 where it loses a node: what counts is the run's own last word.
    """
    session, heard = Session(command.words), 0
    signs = life.Life(session, folder, silence)
    try:
        while not session.over:
            for number in asked[heard:]:
                heard += 1
                session.send(signal.SIGTERM if number == signal.SIGHUP else number)  # not every launcher ends on HUP
            if problem := signs.problem():
                say(f"{problem}; ending it")
                session.end()
                return errors.Stalled.code
            time.sleep(TICK)
    finally:
        code = session.close()
    return code if code or finished(folder) else errors.RankDied.code


def await_lease(folder: Path, asked: Asked) -> None:
    """Waits until the run folder's lease is free, at most until a silent one is stale.

    On this host it is free once its holder is gone; a rank 0 elsewhere may be still on its way out.
    """
    until = time.monotonic() + lease.STALE + lease.BEAT
    with suppress(OSError):  # what cannot be written is for the world to say
        while not asked and not lease.free(folder) and time.monotonic() < until:
            time.sleep(life.LOOK)


@contextmanager
def asked_to_end() -> Iterator[Asked]:
    """The signals that came in meanwhile and ask for the end; those that were ignored before still are."""
    asked: Asked = []
    before = {number: signal.getsignal(number) for number in FORWARDED}
    listen: Callable[..., None] = lambda number, frame: asked.append(number)  # noqa: E731
    for number in FORWARDED:
        if before[number] != signal.SIG_IGN:
            signal.signal(number, listen)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    with suppress(OSError):  # whether anybody listens or not
        stall.say(f"shoal run: {text}")
