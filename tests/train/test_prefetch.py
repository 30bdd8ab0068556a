"""Prefetch: what was announced comes, in order; errors come at their batch; no thread stays behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from shoal.train.prefetch import Prefetch

SHARES = [np.arange(i, i + 3) for i in range(20)]


def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return indices * 10, indices


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


def test_shares_come_in_the_order_announced_from_another_thread() -> None:
    readers = set()

    def watched(indices: np.ndarray) -> Any:
        readers.add(threading.current_thread().name)
        return read(indices)

    prefetch = Prefetch(watched)
    with prefetch.reading(SHARES):
        for share in SHARES:
            x, labels = prefetch(share)
            assert x.tolist() == (share * 10).tolist() and labels.tolist() == share.tolist()
    assert readers == {"prefetch"} and threads() == []


def test_it_reads_ahead_no_further_than_its_depth() -> None:
    taken, ahead = 0, []

    def counting(indices: np.ndarray) -> Any:
        ahead.append(int(indices[0]) - taken)
        return read(indices)

    prefetch = Prefetch(counting, depth=3)
    with prefetch.reading(SHARES):
        for share in SHARES:
            prefetch(share)
            taken += 1
    assert len(ahead) == 20 and max(ahead) <= 3 + 1  # three in the queue, one in the hand


def test_an_error_is_raised_at_the_batch_it_belongs_to() -> None:
    def broken(indices: np.ndarray) -> Any:
        if indices[0] == 5:
            raise OSError("the disk is gone")
        return read(indices)

    prefetch, done = Prefetch(broken), 0
    with pytest.raises(OSError, match="the disk is gone"), prefetch.reading(SHARES):
        for share in SHARES:
            prefetch(share)
            done += 1
    assert done == 5 and threads() == []


def test_leaving_early_ends_the_thread_even_if_it_waits_for_room() -> None:
    prefetch = Prefetch(read, depth=1)
    with prefetch.reading(SHARES):
        prefetch(SHARES[0])
    assert threads() == []
    with pytest.raises(KeyboardInterrupt), prefetch.reading(SHARES):
        raise KeyboardInterrupt
    assert threads() == []


def test_other_samples_than_those_announced_are_an_error_and_never_a_wrong_batch() -> None:
    prefetch = Prefetch(read)
    with prefetch.reading(SHARES), pytest.raises(RuntimeError, match="were announced"):
        prefetch(SHARES[1])


def test_more_than_was_announced_is_an_error_and_no_wait_for_ever() -> None:
    prefetch = Prefetch(read)
    with prefetch.reading(SHARES[:1]), pytest.raises(RuntimeError, match="more than the 1 shares"):
        prefetch(SHARES[0])
        prefetch(SHARES[1])


def test_without_an_announcement_it_reads_at_once() -> None:
    assert Prefetch(read)(np.array([4]))[0].tolist() == [40]


def test_it_serves_again_after_an_epoch() -> None:
    prefetch = Prefetch(read)
    for _ in range(3):
        with prefetch.reading(SHARES):
            assert [prefetch(share)[1][0] for share in SHARES] == list(range(20))
