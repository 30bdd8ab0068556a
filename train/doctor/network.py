"""Between the ranks: how far their clocks are apart, and how fast rank 0's messages come back.

By shoal's own sends and receives, so latency is what training meets: MPI's own and some microseconds of Python. Asked of one
rank of each machine first, of at most PEERS ranks, and of each for a moment only, so that a large job is not kept waiting.

    clock: the peer's time minus rank 0's half way between asking and hearing (Cristian 1989, Probabilistic clock
    synchronization), in the quickest of several rounds
"""

from __future__ import annotations

import time

import numpy as np

from ...mpi.collectives import USER_TAGS
from ...mpi.communicator import Communicator
from .check import Case, Check, Rank, note

TAG = USER_TAGS - 3
PEERS = 16
ROUNDS = 20  # of a small message
LARGE = 1 << 20  # bytes
BUDGET = 0.5  # seconds for large messages, of all peers together
APART = 1.0  # seconds


def peers(ranks: list[Rank]) -> list[int]:
    """Some ranks other than 0: the first of each machine, then others."""
    first = {rank.host: number for number, rank in reversed(list(enumerate(ranks)))}
    return sorted(range(1, len(ranks)), key=lambda number: (first[ranks[number].host] != number, number))[:PEERS]


def clocks(case: Case) -> list[Check]:
    """How far the clocks of the ranks are from rank 0's. Collective."""
    if case.comm.size == 1:
        return []
    apart = {}
    for peer in peers(case.ranks):
        if case.comm.rank == 0:
            apart[peer] = _offset(case.comm, peer)
        elif case.comm.rank == peer:
            _echo(case.comm, ROUNDS, 8, clock=True)
    worst = max(case.comm.broadcast_obj([[abs(s), rank] for rank, s in apart.items()], 0, "doctor clocks"))
    found = f"{1e3 * worst[0]:.3f} ms apart at most (rank {worst[1]} and rank 0)"
    if worst[0] > APART:
        return [note("clocks", f"{found}: times of their events do not fit together", "start chrony or ntpd there")]
    return [Check("clocks", found)]


def _offset(comm: Communicator, peer: int) -> float:
    rounds, a = [], np.zeros(1)
    for _ in range(ROUNDS):
        asked = time.time()
        comm.send(a, peer, TAG, "doctor clock")
        comm.recv(a, peer, TAG, "doctor clock")
        heard = time.time()
        rounds.append((heard - asked, float(a[0]) - (asked + heard) / 2))
    return min(rounds)[1]


def messages(case: Case) -> list[Check]:
    """Latency and bandwidth between rank 0 and the others, the slowest of them. Collective."""
    if case.comm.size == 1:
        return []
    chosen = peers(case.ranks)
    rows = [row for peer in chosen if (row := _pair(case.comm, peer, BUDGET / len(chosen)))]
    rows = case.comm.broadcast_obj(rows, 0, "doctor messages")
    latency, one = max((row[0], row[2]) for row in rows)
    rate, other = min((row[1], row[2]) for row in rows)
    found = f"{1e6 * latency:.0f} us (rank {one}), {rate / 1e9:.2f} GB/s (rank {other}): the slowest of {len(rows)} from rank 0"
    return [Check("messages", found)]


def _pair(comm: Communicator, peer: int, budget: float) -> tuple[float, float, int] | None:
    """Rank 0: seconds of a small message one way, bytes/s of a large one, the peer; the peer answers; None elsewhere."""
    if comm.rank == peer:
        _echo(comm, ROUNDS, 8)
        _echo(comm, 1, LARGE)
        more = np.zeros(1)
        comm.recv(more, 0, TAG, "doctor rounds")
        _echo(comm, int(more[0]), LARGE)
    if comm.rank:
        return None
    small, first = _times(comm, peer, ROUNDS, 8), _times(comm, peer, 1, LARGE)
    more = np.array([min(10.0, max(1.0, budget // first[0]))])
    comm.send(more, peer, TAG, "doctor rounds")
    large = _times(comm, peer, int(more[0]), LARGE)
    return min(small) / 2, 2 * LARGE / min(large + first), peer


def _times(comm: Communicator, peer: int, rounds: int, size: int) -> list[float]:
    """Seconds there and back of each round."""
    a, seconds = np.ones(size, np.uint8), []
    for _ in range(rounds):
        began = time.perf_counter()
        comm.send(a, peer, TAG, "doctor message")
        comm.recv(a, peer, TAG, "doctor message")
        seconds.append(time.perf_counter() - began)
    return seconds


def _echo(comm: Communicator, rounds: int, size: int, clock: bool = False) -> None:
    """Sends back to rank 0 what it sends.   clock: with this rank's time in it."""
    a = np.zeros(size, np.uint8)
    for _ in range(rounds):
        comm.recv(a, 0, TAG, "doctor message")
        if clock:
            a.view(np.float64)[0] = time.time()
        comm.send(a, 0, TAG, "doctor message")
