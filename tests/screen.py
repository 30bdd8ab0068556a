"""A program on a real terminal, and what a person would see of it: a pseudo-terminal of a given width, and its screen.

The screen understands what shoal sends, and nothing else: a code that it does not know fails the test, because then nobody has
looked at what it does.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence

import pytest
from launch import session

HALF = re.compile(r"\x1b(\[[?\d;]*)?$")  # a code of which the rest has not come yet
TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|(.)", re.DOTALL)


class Screen:
    """Rows of text, and a cursor; without a height, so that nothing is ever scrolled away."""

    def __init__(self, columns: int):
        self.columns, self.rows, self.x, self.y = columns, [""], 0, 0
        self.cursor = True
        self.colours = False

    def feed(self, text: str) -> None:
        for argument, code, character in TOKEN.findall(text):
            self._write(character) if character else self._obey(argument, code)

    def _write(self, character: str) -> None:
        if character == "\r":
            self.x = 0
        elif character == "\n":
            self._to(self.y + 1)
        else:
            assert character.isprintable(), f"unknown: {character!r}"
            if self.x == self.columns:
                self._to(self.y + 1)
                self.x = 0
            row = self.rows[self.y].ljust(self.x)
            self.rows[self.y] = row[: self.x] + character + row[self.x + 1 :]
            self.x += 1

    def _obey(self, argument: str, code: str) -> None:
        match argument, code:
            case "2", "K":
                self.rows[self.y] = ""
            case _, "A":
                self.y = max(0, self.y - int(argument or 1))
            case "?25", "h" | "l":
                self.cursor = code == "h"
            case _, "m":
                self.colours |= bool(re.search(r"(^|;)(3|4)\d", argument))
            case _:
                raise AssertionError(f"unknown: ESC [ {argument} {code}")

    def _to(self, row: int) -> None:
        self.y = row
        self.rows += [""] * (row + 1 - len(self.rows))

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows).strip("\n")


class Terminal:
    """A command that has a terminal of so many columns as stdin, stdout and stderr, and is killed at the end."""

    def __init__(self, command: Sequence[str], columns: int, **environment: str):
        self.ours, theirs = pty.openpty()
        self.screen, self.unread, self.decoder = Screen(columns), "", getincrementaldecoder("utf-8")()
        self.resize(columns)
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "SHOAL_PROGRESS")}
        self.child = subprocess.Popen(
            command, env=inherited | {"TERM": "xterm-256color"} | environment, preexec_fn=lambda: os.login_tty(theirs)
        )
        os.close(theirs)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen.columns = columns

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def until(self, true: Callable[[str], object], seconds: float = 60) -> None:
        """Reads until the screen's text is as wanted."""
        end = time.monotonic() + seconds
        while not true(self.screen.text):
            if time.monotonic() > end or not self._read():
                pytest.fail(f"it did not come to that:\n{self.screen.text}", pytrace=False)

    def ended(self, seconds: float = 60) -> int:
        """Reads to the end; the exit code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read():
            pass
        return self.child.wait(max(0.1, end - time.monotonic()))

    def _read(self) -> bool:
        """What comes within a second goes to the screen; False at the end."""
        if not select.select([self.ours], [], [], 1)[0]:
            return True
        try:
            self.unread += self.decoder.decode(os.read(self.ours, 1 << 16))
        except OSError:  # Linux: nobody is left at the other end
            return False
        half = HALF.search(self.unread)
        whole = half.start() if half else len(self.unread)
        self.screen.feed(self.unread[:whole])
        self.unread = self.unread[whole:]
        return True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        for process in session(self.child.pid):
            os.kill(process, signal.SIGKILL)
        self.child.wait()
        os.close(self.ours)
