"""What an executor runs: one list of instructions for every rank, to be followed literally.

    post m       start to receive m                            irecv into a buffer
    recv m       wait until m is here                          the request of its post
    F3           compute: takes messages, gives messages       a part of the model, forward or backward
    send m       start to send m; nobody waits for its end     isend; the buffer is kept until it is complete

Where what one part gives is taken by another on the same rank, both name the message and nothing is sent: the executor
keeps what was given until it is taken or sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .graph import Edge
from .schedule import Action, Direction


@dataclass(frozen=True)
class Message:
    """The tensor of `edge` for one micro-batch, or its gradient, from rank `source` to rank `target`.

    tag: tells edges, directions and replicas apart. Not micro-batches: those of one tag go in ascending order at both
    ends, and messages of one tag do not overtake each other, so there may be any number of them.
    """

    edge: Edge
    direction: Direction
    micro_batch: int
    replica: int
    source: int
    target: int
    tag: int

    @property
    def stream(self) -> tuple[int, int, int]:
        """What has an order: (source, target, tag)."""
        return self.source, self.target, self.tag

    def __str__(self) -> str:
        letter = "F" if self.direction == "forward" else "B"
        replica = "'" * self.replica
        return f"{letter}{self.micro_batch}{replica} {self.edge.name} {self.source}>{self.target}"


@dataclass(frozen=True)
class Post:
    message: Message

    def __str__(self) -> str:
        return f"post {self.message}"


@dataclass(frozen=True)
class Receive:
    message: Message

    def __str__(self) -> str:
        return f"recv {self.message}"


@dataclass(frozen=True)
class Send:
    message: Message

    def __str__(self) -> str:
        return f"send {self.message}"


@dataclass(frozen=True)
class Compute:
    """`action` on part `part` of the model."""

    action: Action
    part: int
    takes: tuple[Message, ...] = ()
    gives: tuple[Message, ...] = ()

    def __str__(self) -> str:
        return str(self.action)


Instruction: TypeAlias = Post | Receive | Send | Compute
Program: TypeAlias = tuple[Instruction, ...]  # of one rank
