"""Prefetch: one thread reads the coming shares while this rank computes.

A thread and never a fork: a forked child inherits locked mutexes of MPI and of the threading layer. The queue is
bounded, so memory is; the thread only reads, so order and content are what the trainer announced. What goes wrong in
the thread is raised in the trainer, at the batch it belongs to.

    announced shares --> [thread: read] --> queue of `depth` --> strategy's fetch
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np

from ..core.trace import Trace, span

Read: TypeAlias = Callable[[np.ndarray], tuple[Any, Any]]


class Prefetch:
    """A strategy's fetch, served from the background.

    with prefetch.reading([strategy.needs(batch) for batch in batches]):
        for batch in batches:
            strategy.feed(batch)              which calls prefetch(strategy.needs(batch))
    """

    def __init__(self, read: Read, depth: int = 4, trace: Trace | None = None):
        self.read, self.depth, self.trace = read, depth, trace
        self.waited = 0.0  # seconds the trainer has waited for data
        self.ready: queue.Queue[tuple[np.ndarray, Any, BaseException | None]] | None = None

    def __call__(self, indices: np.ndarray) -> tuple[Any, Any]:
        """(x, labels) of exactly these samples, the next that were announced; their error is raised here."""
        if self.ready is None:
            return self.read(indices)
        began = time.perf_counter()
        with span(self.trace, "data", "wait for data"):
            announced, samples, error = self.ready.get()
        self.waited += time.perf_counter() - began
        if error is not None:
            raise error
        if not np.array_equal(announced, indices):
            raise RuntimeError(f"samples {indices[:4]}... were asked for, but {announced[:4]}... were announced")
        return samples

    @contextmanager
    def reading(self, shares: Sequence[np.ndarray], read: Read | None = None) -> Iterator[None]:
        """Reads these shares, in order, while the body runs; leaving the body ends the thread, wherever it is.

        read: how, where it is not as ever; an epoch's augmentation, for example.
        """
        ready: queue.Queue = queue.Queue(self.depth)
        left = threading.Event()
        work = (shares, read or self.read, ready, left)
        thread = threading.Thread(target=self._run, args=work, name="prefetch", daemon=True)
        self.ready = ready
        thread.start()
        try:
            yield
        finally:
            self.ready = None
            left.set()
            while thread.is_alive():  # it may be waiting for room
                with suppress(queue.Empty):
                    ready.get_nowait()
                thread.join(0.01)

    def _run(self, shares: Sequence[np.ndarray], read: Read, ready: queue.Queue, left: threading.Event) -> None:
        indices = np.empty(0, np.int64)
        try:
            for indices in shares:
                if left.is_set():
                    return
                with span(self.trace, "read", "read", stream="prefetch", samples=len(indices)):
                    samples = read(indices)
                ready.put((indices, samples, None))
            raise RuntimeError(f"more than the {len(shares)} shares that were announced were asked for")
        except BaseException as error:
            ready.put((indices, None, error))
