"""A crash by event, never by timing: a process that is killed as it passes a boundary of the checkpoint's protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from shoal.checkpoint import commit


def killed_at(name: str, act: Callable[[], Any]) -> bool:
    """Runs `act` in a process of its own, which is killed at the boundary `name`; False if it never came there."""

    def boundary(passed: str) -> None:
        if passed == name:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            commit.boundary = boundary
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
