"""A command line that starts `shoal train`, and the two things a restart may change in it.

The words are the user's own. A supervisor that built the command from settings would have to know every launcher and
every site's options; one that is given the command needs to know two words of it: where `shoal train` stands, so that
--resume can be added, and the number of ranks, so that it can be lowered. Everything else is passed on as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from ..core.errors import UsageError

EXAMPLE = "write the command as you would type it: shoal run -- mpirun -n 4 shoal train PRESET key=value"
RESUME = "--resume"
SEPARATE = ("-n", "-np", "--n", "--np", "--ntasks")  # the number is the next word; mpirun, mpiexec, srun
JOINED = re.compile(r"(-n|--n=|--np=|--ntasks=)(\d+)")
FOLDER = ("-wdir", "--wdir", "-wd", "--wd", "-D", "--chdir")  # the launcher's word for: start the ranks elsewhere


@dataclass(frozen=True)
class Command:
    """words: what is executed.   train: the index of the word "train" that follows "shoal"."""

    words: tuple[str, ...]
    train: int

    @classmethod
    def of(cls, words: Sequence[str]) -> Command:
        """UsageError where `shoal train`, `python -m shoal train` or /a/path/shoal train is not in the words."""
        for i in range(1, len(words)):
            if words[i] == "train" and (words[i - 1] == "-mshoal" or PurePath(words[i - 1]).name == "shoal"):
                return cls(tuple(words), i)
        said = f'"{" ".join(words)}" has no "shoal train" in it' if words else "there is no command after --"
        raise UsageError(said, EXAMPLE)

    @property
    def launcher(self) -> tuple[str, ...]:
        """The words before `shoal train`, a `python -m` among them."""
        return self.words[: self.train - 1]

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `shoal train` is given."""
        return self.words[self.train + 1 :]

    @property
    def moves(self) -> bool:
        """Whether the launcher starts its ranks in another folder than this one."""
        return any(word.partition("=")[0] in FOLDER for word in self.launcher)

    def resumed(self) -> Command:
        """The same run, continued."""
        if RESUME in self.arguments:
            return self
        at = self.train + 1
        return replace(self, words=(*self.words[:at], RESUME, *self.words[at:]))

    @property
    def ranks(self) -> int:
        """The number of ranks it says; UsageError where it says none, or more than one."""
        return self._count()[2]

    def on(self, ranks: int) -> Command:
        """The same on another number of ranks."""
        at, before, _ = self._count()
        return replace(self, words=(*self.words[:at], f"{before}{ranks}", *self.words[at + 1 :]))

    def _count(self) -> tuple[int, str, int]:
        """(index of the word with the number, what stands before it in that word, the number)."""
        found = list(self._counts())
        if len(found) != 1:
            said = f"{len(found)} numbers of ranks" if found else "no number of ranks"
            cure = "give the launcher one -n N, so that it can be lowered, or leave out --fewer"
            raise UsageError(f'"{" ".join(self.launcher)}" has {said}', cure)
        return found[0]

    def _counts(self) -> Iterator[tuple[int, str, int]]:
        for i, word in enumerate(self.launcher):
            if word in SEPARATE and self.words[i + 1].isdecimal():
                yield i + 1, "", int(self.words[i + 1])
            elif joined := JOINED.fullmatch(word):
                yield i, joined[1], int(joined[2])

    def __str__(self) -> str:
        return " ".join(self.words)
