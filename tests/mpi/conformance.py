"""What every communicator must do: checks that run inside each rank, over threads and over MPI alike.

CHECKS lists them; every check gets the communicator and asserts. Started by mpirun, this file runs all of them on each
kind of world it is told, and every rank prints one line of JSON: {kind: {check: traceback or ""}}.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import numpy as np
import pytest

from shoal.core.errors import UsageError
from shoal.mpi.communicator import Communicator

SIZES = (0, 1, 2, 3, 5, 16, 1000, 4099)


def noise(rank: int, n: int, dtype: str) -> np.ndarray:
    """Numbers of very different size, so that the order of a sum shows in its bits."""
    rng = np.random.default_rng([rank, n])
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n)).astype(dtype)


def in_rank_order(size: int, n: int, dtype: str) -> np.ndarray:
    total = noise(0, n, dtype)
    for rank in range(1, size):
        total = total + noise(rank, n, dtype)
    return total


def check_rank_and_size(c: Communicator) -> None:
    assert c.allgather_obj(c.rank, "ranks") == list(range(c.size))
    assert 0 <= c.node_rank < c.node_size <= c.size


def check_messages_carry_every_dtype_and_shape(c: Communicator) -> None:
    right, left = (c.rank + 1) % c.size, (c.rank - 1) % c.size
    if c.size == 1:
        return
    for i, shape in enumerate([(), (0,), (7,), (3, 0, 2), (2, 3, 4)]):
        for dtype in ("float32", "float64", "int64", "bool", "uint8"):
            request = c.isend(np.full(shape, c.rank + i).astype(dtype), right, i, "ring")
            got = np.zeros(shape, dtype)
            c.recv(got, left, i, "ring")
            request.wait()
            assert (got == np.full(shape, left + i).astype(dtype)).all()


def check_messages_of_one_tag_do_not_overtake(c: Communicator) -> None:
    right, left = (c.rank + 1) % c.size, (c.rank - 1) % c.size
    if c.size == 1:
        return
    sends = [c.isend(np.array([i]), right, 5, "sequence") for i in range(4)]
    boxes = [np.zeros(1, np.int64) for _ in range(4)]
    receives = [c.irecv(box, left, 5, "sequence") for box in boxes]
    for request in reversed(receives):
        request.wait()
    for request in sends:
        request.wait()
    assert [int(box[0]) for box in boxes] == [0, 1, 2, 3]


def check_messages_of_two_tags_may(c: Communicator) -> None:
    right, left = (c.rank + 1) % c.size, (c.rank - 1) % c.size
    if c.size == 1:
        return
    sends = [c.isend(np.array([tag]), right, tag, "two tags") for tag in (1, 2)]
    for tag in (2, 1):
        box = np.zeros(1, np.int64)
        c.recv(box, left, tag, "two tags")
        assert box[0] == tag
    for request in sends:
        request.wait()


def check_counters_are_exact(c: Communicator) -> None:
    if c.size == 1:
        return
    messages, sent = c.counters.messages, c.counters.bytes
    request = c.isend(np.zeros((3, 5), np.float32), (c.rank + 1) % c.size, 0, "counted")
    c.recv(np.zeros((3, 5), np.float32), (c.rank - 1) % c.size, 0, "counted")
    request.wait()
    assert (c.counters.messages - messages, c.counters.bytes - sent) == (1, 60)
    assert c.counters.seconds >= 0


def check_allreduce_adds_in_rank_order(c: Communicator) -> None:
    for dtype in ("float32", "float64"):
        for n in SIZES:
            a = noise(c.rank, n, dtype)
            assert c.allreduce(a, "sum") is a
            if in_order(c):
                assert a.tobytes() == in_rank_order(c.size, n, dtype).tobytes()
            else:
                assert np.allclose(a, in_rank_order(c.size, n, dtype), rtol=1e-5, atol=1)


def check_allreduce_sends_what_a_ring_sends(c: Communicator) -> None:
    """2(p-1) messages, whatever n; n - n_r + (p-1) n_r bytes, which is 2(p-1)/p n where p divides n."""
    if not in_order(c) or c.size == 1:
        return
    for n in SIZES:
        messages, sent = c.counters.messages, c.counters.bytes
        c.allreduce(noise(c.rank, n, "float64"), "counted")
        mine = n * (c.rank + 1) // c.size - n * c.rank // c.size
        assert c.counters.messages - messages == 2 * (c.size - 1)
        assert c.counters.bytes - sent == 8 * (n - mine + (c.size - 1) * mine)
        assert n % c.size or c.counters.bytes - sent == 8 * 2 * (c.size - 1) * n // c.size


def check_allreduces_overlap(c: Communicator) -> None:
    arrays = [noise(c.rank, n, "float64") for n in range(40)]
    requests = [c.iallreduce(a, f"bucket {n}") for n, a in enumerate(arrays)]
    for request in reversed(requests):
        request.wait()
        assert request.test()
    for n, a in enumerate(arrays):
        assert np.allclose(a, in_rank_order(c.size, n, "float64"))


def check_allreduce_completes_by_polling(c: Communicator) -> None:
    a = np.ones(1000)
    request = c.iallreduce(a, "polled")
    while not request.test():
        pass
    assert (a == c.size).all()


def check_a_wait_moves_everything(c: Communicator) -> None:
    """Rank 0 waits for a message that rank 1 sends only when the sum is complete, and the sum needs rank 0."""
    a = np.ones(64)
    request = c.iallreduce(a, "needs everyone")
    if c.size > 1 and c.rank == 0:
        c.recv(np.zeros(1), 1, 2, "after the sum")
    request.wait()
    if c.rank == 1:
        c.send(np.zeros(1), 0, 2, "after the sum")
    assert (a == c.size).all()


def check_broadcast_from_every_root(c: Communicator) -> None:
    for root in range(c.size):
        a = np.arange(11.0) * (root + 1) if c.rank == root else np.zeros(11)
        assert c.broadcast(a, root, "tree") is a
        assert (a == np.arange(11.0) * (root + 1)).all()


def check_barrier_holds_everyone_back(c: Communicator) -> None:
    """Nobody leaves before the last has come: the last one's message is there when the barrier opens."""
    last = c.size - 1
    for _ in range(3):
        if c.rank == last:
            requests = [c.isend(np.array([7]), r, 9, "before the barrier") for r in range(last)]
        c.barrier("gate")
        if c.rank == last:
            for request in requests:
                request.wait()
        else:
            box = np.zeros(1, np.int64)
            c.recv(box, last, 9, "before the barrier")
            assert box[0] == 7


def check_objects(c: Communicator) -> None:
    value = {"name": "größe", "list": [1, 2.5, None, True], "nested": {"a": []}}
    assert c.broadcast_obj(value if c.rank == c.size - 1 else None, c.size - 1, "facts") == value
    assert c.allgather_obj(["x" * c.rank, c.rank], "texts") == [["x" * r, r] for r in range(c.size)]


def check_objects_are_json(c: Communicator) -> None:
    if c.size > 1:
        with pytest.raises(UsageError, match="JSON"):
            c.allgather_obj({1, 2}, "a set")


def check_split(c: Communicator) -> None:
    part = c.split(c.rank % 2, -c.rank)
    members = sorted((r for r in range(c.size) if r % 2 == c.rank % 2), reverse=True)
    assert part.allgather_obj(c.rank, "members") == members
    assert part.rank == members.index(c.rank)
    assert part.allreduce(np.array([float(c.rank)]), "part")[0] == sum(members)
    assert part.deadline == c.deadline


def check_what_is_refused(c: Communicator) -> None:
    with pytest.raises(UsageError, match="no peer"):
        c.isend(np.zeros(1), c.size, 0, "nobody")
    with pytest.raises(UsageError, match="no peer"):
        c.irecv(np.zeros(1), c.rank, 0, "myself")
    if c.size > 1:
        peer = (c.rank + 1) % c.size
        with pytest.raises(UsageError, match="not contiguous"):
            c.isend(np.zeros((4, 4)).T[::2], peer, 0, "columns")
        with pytest.raises(UsageError, match="not contiguous"):
            c.iallreduce(np.zeros((4, 4)).T[1:], "columns")
        with pytest.raises(UsageError, match="tag 16384"):
            c.isend(np.zeros(1), peer, 1 << 14, "tag")


def check_a_message_of_the_wrong_size(c: Communicator) -> None:
    if c.size == 1:
        return
    for sent, expected in ((1, 2), (2, 1)):  # at most 24 bytes: one piece
        request = c.isend(np.zeros(sent, np.int64), (c.rank + 1) % c.size, 3, "wrong")
        with pytest.raises(UsageError, match=f"sent .* bytes, {8 * expected} were expected"):
            c.recv(np.zeros(expected, np.int64), (c.rank - 1) % c.size, 3, "wrong")
        request.wait()
    c.barrier("still usable")


def in_order(c: Any) -> bool:
    return getattr(c, "reduction", "fixed") == "fixed"


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


def failures(c: Any) -> dict[str, str]:
    """{check: traceback}, empty where it passed."""
    found = {}
    for name, check in CHECKS.items():
        try:
            check(c)
            found[name] = ""
        except Exception:
            found[name] = traceback.format_exc()
    return found


def main() -> None:
    """One rank under mpirun. Kinds are made of the words: fixed or mpi (the reduction), pieces (messages are cut)."""
    from shoal.mpi.world import communicator as world

    found = {}
    for how in sys.argv[1:]:
        reduction = "mpi" if "mpi" in how else "fixed"
        world.PIECE = 24 if "pieces" in how else 1 << 30
        c = world.World(reduction=reduction, backend="reference")
        c.deadline = 20
        found[how] = failures(c)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
