"""How a run ends when somebody asks for it, as exceptions that unwind whichever loop they come in."""

from __future__ import annotations


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what it left behind.   agreed: all ranks end alike, none has to be told."""

    def __init__(self, problem: str, cure: str, agreed: bool = False):
        super().__init__(problem)
        self.problem, self.cure, self.agreed = problem, cure, agreed


class Asked(Exception):
    """All ranks know that this signal asks to end."""

    def __init__(self, signal: str, ranks: int):
        super().__init__(signal)
        self.signal, self.ranks = signal, ranks
