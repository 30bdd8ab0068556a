"""One clock for all ranks: how far each rank's clock is from rank 0's, measured more than once, and how sure that is.

Clocks of different machines begin anywhere and do not run alike, so spans of two ranks cannot be laid side by side as they
were recorded. A rank asks rank 0 for the time (Cristian 1989, "Probabilistic clock synchronization"): the answer was given
somewhere between question and arrival, so half of the round trip is the most that the middle of it is wrong by.

    offset = t_0 - (asked + heard)/2,    bound = (heard - asked)/2       of the quickest of EXCHANGES round trips

Between two measurements the offset is taken to change evenly (drift), outside of them not at all. The bound holds while
the drift is even: of crystals it is, over minutes. An offset below its bound is taken for none, since the ranks of one
machine share its clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .collectives import USER_TAGS
from .communicator import Communicator

EXCHANGES = 20
TAG = USER_TAGS - 2


@dataclass
class Clock:
    """Of one rank.   points: (local time, offset, bound), in seconds, in the order they were measured."""

    points: list[tuple[float, float, float]] = field(default_factory=list)

    def measure(self, communicator: Communicator, clock: Callable[[], float]) -> None:
        """One more point; a collective call, rank 0 serves one rank after the other."""
        stamp = np.zeros(1)
        if communicator.rank == 0:
            for rank in range(1, communicator.size):
                for _ in range(EXCHANGES):
                    communicator.recv(stamp, rank, TAG, "clock")
                    stamp[0] = clock()
                    communicator.send(stamp, rank, TAG, "clock")
            self.points.append((clock(), 0.0, 0.0))
        else:
            answers = [self._ask(communicator, clock, stamp) for _ in range(EXCHANGES)]
            self.points.append(min(answers, key=lambda point: point[2]))

    @staticmethod
    def _ask(communicator: Communicator, clock: Callable[[], float], stamp: np.ndarray) -> tuple[float, float, float]:
        asked = clock()
        communicator.send(stamp, 0, TAG, "clock")
        communicator.recv(stamp, 0, TAG, "clock")
        heard = clock()
        middle, bound = (asked + heard) / 2, (heard - asked) / 2
        offset = float(stamp[0]) - middle
        return middle, offset if abs(offset) > bound else 0.0, bound

    def shared(self, local: float) -> float:
        """Rank 0's time, at this rank's time."""
        times, offsets, _ = zip(*self.points, strict=True)
        return local + float(np.interp(local, times, offsets))

    @property
    def bound(self) -> float:
        """Seconds by which shared() may be wrong."""
        return max(bound for _, _, bound in self.points)

    def facts(self) -> dict[str, Any]:
        """The last offset, its bound, and the drift in millionths, for people."""
        (began, first, _), (ended, last, _) = self.points[0], self.points[-1]
        drift = (last - first) / (ended - began) if ended > began else 0.0
        return {"offset_s": last, "bound_s": self.bound, "drift_ppm": drift * 1e6}
