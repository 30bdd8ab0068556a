"""The executor: runs one rank's program of any schedule, literally.

A program (plan/program.py) says in which order a rank posts, receives, computes and sends, and was proven to come to its
end; so there is nothing left to decide here, and a new schedule needs no new code. What is given and taken waits in a
mailbox by its Message. Sends are not waited for: their buffers are held until they are complete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.trace import span
from ..plan.program import Compute, Message, Post, Program, Receive, Send
from ..plan.schedule import KINDS
from .communicator import Communicator, Request

Tensors = dict[str, Any]  # by the name of the edge


class Executor:
    """Runs programs of a rank of `communicator`.

    compute: (what to compute, what it takes) -> what it gives.   room: an array to receive a message into.
    live, most_live: micro-batches whose activations this rank keeps, now and at most.
    """

    def __init__(
        self,
        communicator: Communicator,
        compute: Callable[[Compute, Tensors], Tensors],
        room: Callable[[Message], np.ndarray],
    ):
        self.communicator, self.compute, self.room = communicator, compute, room
        self.live = self.most_live = 0
        self.posted: dict[Message, tuple[Request, np.ndarray]] = {}
        self.mail: dict[Message, Any] = {}
        self.leaving: list[tuple[Request, np.ndarray]] = []

    def run(self, program: Program) -> None:
        for instruction in program:
            match instruction:
                case Post(message):
                    array = self.room(message)
                    request = self.communicator.irecv(array, message.source, message.tag, str(message))
                    self.posted[message] = request, array
                case Receive(message):
                    request, self.mail[message] = self.posted.pop(message)
                    request.wait()
                case Compute():
                    self._compute(instruction)
                case Send(message):
                    array = self.mail.pop(message)
                    request = self.communicator.isend(array, message.target, message.tag, str(message))
                    self.leaving.append((request, array))
        for request, _ in self.leaving:
            request.wait()
        self.leaving.clear()

    def _compute(self, what: Compute) -> None:
        taken = {message.edge.name: self.mail.pop(message) for message in what.takes}
        action = what.action
        with span(self.communicator.trace, "action", str(action), action=action.kind, micro_batch=action.micro_batch):
            given = self.compute(what, taken)
        self.mail |= {message: given[message.edge.name] for message in what.gives}
        self.live += KINDS[what.action.kind].live
        self.most_live = max(self.most_live, self.live)
        self.leaving = [(request, array) for request, array in self.leaving if not request.test()]
