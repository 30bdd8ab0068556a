"""How a case is measured: in rounds, in which ours, its peers and its limit are timed one right after the other.

A slow moment of a shared machine then slows all of them, and what is kept of a round is ratios. The number of rounds is fixed
(`benchmark.pedantic`), because ranks that decide by their own clocks when to end would wait for each other; the peers are timed
in each round's setup. Before each timing is a barrier, and the time of a call is that of the slowest rank.
"""

import time
from statistics import median

from shoal.jobs.measured import Case, Spread

ROUNDS, ROUND = 9, 0.02  # rounds, and seconds of calls in each


class Slowest:
    """A clock whose every second reading is the latest of all ranks: between two readings passes the slowest rank's time."""

    def __init__(self, comm):
        self.comm, self.began = comm, None

    def __call__(self):
        now = time.perf_counter()
        if self.began is None:
            self.began = now
            return now
        began, self.began = self.began, None
        return began + max(self.comm.allgather_obj(now - began, "seconds"))


class Measure:
    """Times the one case of a test.   rounds; seconds: of calls in each.   quick: two rounds of one call."""

    def __init__(self, benchmark, comm, quick, rounds=ROUNDS, seconds=ROUND):
        self.benchmark, self.comm, self.quick, self.rounds, self.seconds = benchmark, comm, quick, rounds, seconds
        self.clock = Slowest(comm)

    def __call__(
        self, ours, *, peers=None, limit=None, work=0, unit="GFLOP/s", ratios=None, before=None, most=10_000, **facts
    ):
        """ours, peers: what is called, by all ranks.   limit: () -> the most that can be reached, in `unit`.   work: of a call.

        before: makes the operands fresh before each timing, which is not timed.   most: calls in one timing at most.
        ratios: {"ours" or peer: seconds of a call} in a round -> {name: ours by it}; without it, every peer by ours.
        facts: told with the case.
        """
        bursts = {name: Burst(self, run, before, most) for name, run in {"ours": ours, **(peers or {})}.items()}
        times, limits = {name: [] for name in bursts}, []

        def setup():
            for name in peers or ():
                times[name].append(bursts[name].seconds())
            if limit:
                limits.append(limit())
            bursts["ours"].prepare()

        self.benchmark.pedantic(bursts["ours"].run, setup=setup, rounds=2 if self.quick else self.rounds)
        times["ours"] = [seconds / bursts["ours"].calls for seconds in self.benchmark.stats.stats.data]
        case = Case(Spread.of(times["ours"]), facts=facts)
        if work:
            case.rates[unit] = work / case.seconds.median / 1e9
        if limit:
            case.ratios["of the limit"] = Spread.of(
                work / s / 1e9 / top for s, top in zip(times["ours"], limits, strict=True)
            )
            facts["limit"] = median(limits)
        each = [dict(zip(times, row, strict=True)) for row in zip(*times.values(), strict=True)]
        found = [(ratios or by_peers)(seconds) for seconds in each]
        case.ratios |= {name: Spread.of(one[name] for one in found) for name in found[0]}
        self.benchmark.extra_info.update(rates=case.rates, ratios=case.ratios, facts=facts)
        return case


class Burst:
    """So many calls in a row that they take a round's seconds, after the ones that compile and warm up."""

    def __init__(self, measure, call, before, most):
        self.measure, self.call, self.before, self.calls = measure, call, before, 1
        self.seconds()
        if not measure.quick and most > 1:
            calls = max(1, min(most, int(measure.seconds / self.seconds())))
            self.calls = measure.comm.broadcast_obj(calls, 0, "calls")

    def prepare(self):
        if self.before:
            self.before()
        self.measure.comm.barrier("round")

    def run(self):
        for _ in range(self.calls):
            self.call()

    def seconds(self):
        """Of one call."""
        self.prepare()
        began = self.measure.clock()
        self.run()
        return (self.measure.clock() - began) / self.calls


def by_peers(seconds):
    return {name: one / seconds["ours"] for name, one in seconds.items() if name != "ours"}
