"""How long to train between two saves: the time that loses least.

Saving often costs saves, saving seldom costs work that a failure takes with it. With cost δ of a save and mean time M
between failures, both in seconds, the sum of the two is least near √(2 δ M), and flat there: twice that interval loses
only a quarter more. So δ and M need to be known roughly, and may be learnt while the job runs.

The prior is worth PRIOR = 1/100 of a failure. What is assumed without asking is one failure in a year of a machine; the
first failure at time t makes that t + a year / 100, four days, and the n-th divides what is left by n, so a bad cluster
is believed after a failure or two. The other side: time without a failure counts a hundredfold until there is the first
one. That makes saves rare once, by no more than LONGEST.

Nothing here reads a clock: rank 0 tells times and costs, and what follows is told to the other ranks.
"""

from __future__ import annotations

from math import sqrt

FIRST = 60.0  # seconds until the first save, whose cost is the first to be known
LONGEST = 3600.0  # seconds
PRIOR = 0.01  # failures
WEIGHT = 0.75  # of the newest cost: three saves leave 1/64 of an old one


def young(cost: float, mtbf: float) -> float:
    """Seconds of work between saves, first order: τ = √(2 δ M).   cost δ, mtbf M: seconds.

    J. W. Young 1974, A first order approximation to the optimum checkpoint interval.
    """
    return sqrt(2 * cost * mtbf)


def daly(cost: float, mtbf: float) -> float:
    """Seconds of work between saves, higher order: τ = √(2 δ M) (1 + √(δ/2M)/3 + (δ/2M)/9) - δ for δ < 2M, else M.

    cost δ, mtbf M: seconds.   J. T. Daly 2006, A higher order estimate of the optimum checkpoint interval for restart dumps.
    """
    part = cost / (2 * mtbf)
    return young(cost, mtbf) * (1 + sqrt(part) / 3 + part / 9) - cost if part < 1 else mtbf


def overhead(interval: float, cost: float, mtbf: float, restart: float) -> float:
    """Seconds lost for each second of work, first order: δ/τ + (τ + δ)/(2M) + R/M.   interval τ, restart R: seconds.

    What a save costs, half an interval and its save at each failure, and the way back from it.
    """
    return cost / interval + (interval + cost) / (2 * mtbf) + restart / mtbf


class Interval:
    """The seconds of work until the next save, from what saves cost and how often the run has failed.

    mtbf: what is assumed of the whole job, seconds.   failures, uptime: what the run has seen, in all its lives; uptime
    (seconds) is for the caller to bring up to date.
    """

    def __init__(self, mtbf: float, failures: int = 0, uptime: float = 0.0):
        self.assumed = mtbf
        self.failures, self.uptime = failures, uptime
        self.cost: float | None = None  # seconds; None before the first save

    def saved(self, seconds: float) -> None:
        """A save held training up for so long."""
        self.cost = seconds if self.cost is None else self.cost + WEIGHT * (seconds - self.cost)

    @property
    def mtbf(self) -> float:
        """M = (a M0 + uptime) / (a + failures): the mean rate of failures after a Gamma prior of a = PRIOR failures in a M0."""
        return (PRIOR * self.assumed + self.uptime) / (PRIOR + self.failures)

    @property
    def seconds(self) -> float:
        """Daly's interval, at most LONGEST, and at least twice the cost: a job that only saves goes nowhere."""
        if self.cost is None:
            return FIRST
        return max(2 * self.cost, min(daly(self.cost, self.mtbf), LONGEST))
