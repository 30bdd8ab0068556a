"""Collectives: all that a communicator owes, made from isend and irecv.

MPI has faster ones, but a rank that waits inside MPI_Barrier cannot say for whom. Made from messages, every
collective knows its missing peer, counts its bytes exactly, and is the same code over threads and over MPI. The one
that moves real data, the allreduce, loses nothing by it.

Objects travel as UTF-8 JSON: what JSON cannot hold has no business between ranks, and no pickle is ever loaded.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np

from ..core.errors import UsageError
from ..core.trace import NOTHING, Span, Trace, span
from ..kernels.pool import Pool
from .allreduce import fixed_order
from .communicator import Request
from .operation import Done, Operation, Staged, traced
from .stall import Watch, rest

USER_TAGS = 1 << 14  # [0, 2^14) are the caller's; negative tags are the collectives' own
UNDER_WAY = 256  # collectives that may be started and not complete at once
LABELS = 1 << 18  # names that tags can tell apart, where the messages below allow so many tags
LARGEST = 1 << 26  # bytes of an object's JSON: more is no small object, or not an object at all
LOOK = 0.05  # seconds a wait goes on before it looks whether another rank is in trouble


class Collectives:
    """Base of the communicators with more than one rank; they supply _isend, _irecv, alarm, alarmed, split and abort.

    ranks: the outermost rank of every rank, for reports.   backend: where the allreduce adds.   labels: of tags.
    group: names this communicator among those split from one another, alike on all its ranks.
    """

    def __init__(self, rank: int, ranks: list[int], node: tuple[int, int], watch: Watch, backend: str, group: tuple):
        self.rank, self.size, self.ranks = rank, len(ranks), ranks
        self.node_rank, self.node_size = node
        self.watch, self.backend, self.group = watch, backend, group
        self.counters = watch.counters
        self.pool = Pool()  # the allreduce's scratch
        self.sequence = 0
        self.labels = LABELS
        self.routes: Counter[tuple[int, int, int]] = Counter()  # messages so far, while there is a trace

    @property
    def deadline(self) -> float:
        return self.watch.deadline

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self.watch.deadline = seconds

    @property
    def patience(self) -> float:
        return self.watch.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self.watch.patience = seconds

    @property
    def step(self) -> int:
        return self.watch.step

    @step.setter
    def step(self, step: int) -> None:
        self.watch.step = step

    @property
    def trace(self) -> Trace | None:
        return self.watch.trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self.watch.trace = trace

    # ------------------------------------------------------------------------------------------------ what is supplied

    def _isend(self, a: np.ndarray, to: int, tag: int, name: str) -> Operation:
        raise NotImplementedError

    def _irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> Operation:
        raise NotImplementedError

    def alarm(self) -> None:
        """Tells all ranks that this one stalled."""
        raise NotImplementedError

    def alarmed(self) -> bool:
        """Whether some rank stalled; over threads RankDied, where one has ended with an error."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ point to point

    def isend(self, a: np.ndarray, to: int, tag: int, name: str) -> Operation:
        self._check(a, to, tag, f"send '{name}'")
        self.counters.messages += 1
        self.counters.bytes += a.nbytes
        under_way = self._span("send", self.rank, to, tag, name, a.nbytes)
        return traced(self._isend(a, to, tag, name), under_way)

    def irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> Operation:
        self._check(a, source, tag, f"recv '{name}'")
        under_way = self._span("recv", source, self.rank, tag, name, a.nbytes)
        return traced(self._irecv(a, source, tag, name), under_way)

    def send(self, a: np.ndarray, to: int, tag: int, name: str) -> None:
        self.isend(a, to, tag, name).wait()

    def recv(self, a: np.ndarray, source: int, tag: int, name: str) -> None:
        self.irecv(a, source, tag, name).wait()

    def _span(self, kind: str, source: int, target: int, tag: int, name: str, size: int) -> Span:
        """Of a message in the trace. Those of one tag do not overtake, so both its ends count it alike: that is `flow`."""
        if self.trace is None:
            return NOTHING
        route = source, target, tag
        self.routes[route] += 1
        if not self.trace.recording:
            return NOTHING
        flow = " ".join(map(str, (*self.group, *route, self.routes[route])))
        facts = {"peer": self.ranks[target if kind == "send" else source], "bytes": size, "flow": flow}
        return span(self.trace, "communication", kind, name, stream="communication", **facts).start()

    def _check(self, a: np.ndarray, peer: int, tag: int, what: str) -> None:
        if not 0 <= peer < self.size or peer == self.rank:
            raise UsageError(f"{what}: rank {self.rank} of {self.size} has no peer {peer}")
        if tag >= USER_TAGS:
            raise UsageError(f"{what}: tag {tag} is not below {USER_TAGS}")
        contiguous(a, what)

    def progress(self) -> None:
        """Moves on whatever this rank has started."""
        self.watch.touch()
        for operation in list(self.watch.under_way):
            operation.advance()

    def wait(self, operation: Operation) -> None:
        """Polls until complete; Stalled after the deadline and the patience, or when another rank stalled."""
        began, reported = time.monotonic(), False
        self.watch.enter(operation)
        waiting = span(self.trace, "wait", operation.kind, operation.name).start()
        try:
            while not operation.advance():
                self.progress()
                waited = time.monotonic() - began
                if waited > max(self.deadline, self.patience) or (waited > LOOK and self.alarmed()):
                    error = self.watch.stalled(waited, self._missing(operation))
                    self.alarm()
                    raise error
                if waited > self.deadline and not reported:
                    reported = True
                    self.watch.overdue(waited, self._missing(operation))
                rest(waited)
        finally:
            waiting.stop()
            self.watch.leave()
            self.counters.seconds += time.monotonic() - began

    def _missing(self, operation: Operation) -> list[int]:
        return sorted(self.ranks[r] for r in operation.peers())

    # ------------------------------------------------------------------------------------------------ collectives

    def collective_tag(self, kind: str, name: str) -> tuple[int, int]:
        """The two tags of the next collective.

        A hash of the name is in the tag, so that ranks that have come to different collectives stall, each with its own
        report, instead of taking each other's messages: all but one pair of names in `labels`.
        """
        self.sequence += 1
        label = crc32(f"{kind} {name}".encode()) % self.labels
        number = 2 * (self.sequence % UNDER_WAY * self.labels + label)
        return -1 - number, -2 - number

    def iallreduce(self, a: np.ndarray, name: str) -> Request:
        contiguous(a, f"allreduce '{name}'")
        return fixed_order(self, a, name) if self.size > 1 else Done()

    def allreduce(self, a: np.ndarray, name: str) -> np.ndarray:
        self.iallreduce(a, name).wait()
        return a

    def broadcast(self, a: np.ndarray, root: int, name: str) -> np.ndarray:
        tag, _ = self.collective_tag("broadcast", name)
        self.wait(Staged(self, "broadcast", name, self._broadcast(a, root, tag, name), size=a.nbytes))
        return a

    def _broadcast(self, a: np.ndarray, root: int, tag: int, name: str) -> Iterator[list[Operation]]:
        """A binomial tree: the rank d behind root hears from d - 2^k (2^k <= d the largest), tells d + 2^(k+1), ..."""
        me, step = (self.rank - root) % self.size, 1
        while step <= me:
            step *= 2
        if me:
            yield [self.irecv(a, (root + me - step // 2) % self.size, tag, name)]
        sends = []
        while me + step < self.size:
            sends.append(self.isend(a, (root + me + step) % self.size, tag, name))
            step *= 2
        yield sends

    def barrier(self, name: str) -> None:
        tag, _ = self.collective_tag("barrier", name)
        self.wait(Staged(self, "barrier", name, self._barrier(tag, name)))

    def _barrier(self, tag: int, name: str) -> Iterator[list[Operation]]:
        """Dissemination: in round k, rank r tells r + 2^k and hears from r - 2^k."""
        nothing, distance = np.empty(0, np.uint8), 1
        while distance < self.size:
            hear = self.irecv(nothing, (self.rank - distance) % self.size, tag, name)
            yield [hear, self.isend(nothing, (self.rank + distance) % self.size, tag, name)]
            distance *= 2

    def broadcast_obj(self, value: Any, root: int, name: str) -> Any:
        data = _encode(value, name) if self.rank == root else np.empty(0, np.uint8)
        length = self.broadcast(np.array([data.size]), root, name)
        _check_lengths(length, f"broadcast '{name}'")
        data = data if self.rank == root else np.empty(int(length[0]), np.uint8)
        return _decode(self.broadcast(data, root, name))

    def allgather_obj(self, value: Any, name: str) -> list[Any]:
        texts = [_encode(value, name)] * self.size
        tags = self.collective_tag("allgather", name)
        self.wait(Staged(self, "allgather", name, self._allgather(texts, tags, name)))
        return [_decode(text) for text in texts]

    def _allgather(self, texts: list[np.ndarray], tags: tuple[int, int], name: str) -> Iterator[list[Operation]]:
        """Everyone to everyone, lengths and then texts; fills `texts`."""
        mine, others = texts[self.rank], [r for r in range(self.size) if r != self.rank]
        lengths = np.full((self.size, 1), mine.size)
        receives = [self.irecv(lengths[r], r, tags[0], name) for r in others]
        yield receives + [self.isend(lengths[self.rank], r, tags[0], name) for r in others]
        _check_lengths(lengths[:, 0], f"allgather '{name}'")
        for r in others:
            texts[r] = np.empty(int(lengths[r, 0]), np.uint8)
        receives = [self.irecv(texts[r], r, tags[1], name) for r in others]
        yield receives + [self.isend(mine, r, tags[1], name) for r in others]


def contiguous(a: np.ndarray, what: str) -> None:
    if not a.flags.c_contiguous:
        problem = f"{what}: an array {a.shape} with strides {a.strides} is not contiguous"
        raise UsageError(problem, "pass a contiguous copy")


def _check_lengths(lengths: np.ndarray, what: str) -> None:
    """Before memory is taken for them: what was received may be no length at all."""
    if lengths.min() < 0 or lengths.max() > LARGEST:
        raise UsageError(
            f"{what}: lengths of {lengths.tolist()} bytes were announced, {LARGEST} is the most",
            "send arrays as arrays; are all ranks in the same program?",
        )


def _encode(value: Any, name: str) -> np.ndarray:
    try:
        return np.frombuffer(json.dumps(value).encode(), np.uint8)
    except (TypeError, ValueError) as error:
        raise UsageError(f"'{name}': {error}", "ranks exchange what JSON can hold") from error


def _decode(text: np.ndarray) -> Any:
    return json.loads(text.tobytes())
