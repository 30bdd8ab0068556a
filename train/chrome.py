"""One file for all ranks, in Chrome's trace format, which ui.perfetto.dev and chrome://tracing open.

A rank is a process, a stream of it a thread. On a thread of that format spans lie one after the other or one inside the
other; communications do neither, so a stream has as many threads as it needs, and how deep a communication lies on one
means nothing. An arrow goes from each send to the receive that took it, where the trace holds both.

    ph  event                            fields
    M   name of a process, a thread      args.name
    X   a span                           ts, dur (microseconds), name, cat (its kind), args
    s f both ends of an arrow            ts, id

Times are rank 0's, from the first span on, in whole nanoseconds. The format: Google, "Trace Event Format" (2016).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.trace import Record

STREAMS = ("main", "prefetch", "writer", "compile", "communication")
Event = dict[str, Any]


def merge(pieces: Sequence[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """The file of some ranks.   pieces: {"rank", "name", "records"} of each, times being rank 0's.   facts: for otherData."""
    ranks = {one["rank"]: [Record(*record) for record in one["records"]] for one in pieces}
    zero = min((record.start for records in ranks.values() for record in records), default=0.0)
    events: list[Event] = []
    for one in pieces:
        events.append(_name("process_name", one["rank"], 0, f"rank {one['rank']} ({one['name']})"))
        events += _spans(one["rank"], ranks[one["rank"]], zero)
    return {"traceEvents": [*events, *_arrows(events)], "displayTimeUnit": "ms", "otherData": facts}


def _spans(rank: int, records: Sequence[Record], zero: float) -> Iterator[Event]:
    """The spans of a rank, in the order of time, and the names of their threads."""
    threads = 0
    for stream in STREAMS:
        mine = [(_ns(one.start - zero), _ns(one.stop - zero), one) for one in records if one.stream == stream]
        lanes: list[list[int]] = []
        for start, stop, one in sorted(mine, key=lambda span: (span[0], -span[1])):
            place = {"pid": rank, "tid": threads + 1 + _lane(lanes, start, stop)}
            times = {"ts": start / 1000, "dur": (stop - start) / 1000}
            yield {"ph": "X", **place, **times, "name": one.name, "cat": one.kind, "args": dict(one.facts)}
        for lane in range(len(lanes)):
            threads += 1
            yield _name("thread_name", rank, threads, f"{stream} {lane + 1}" if lane else stream)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _lane(lanes: list[list[int]], start: int, stop: int) -> int:
    """The first thread where a span lies behind the others or inside one; a lane is what has not ended, outermost first."""
    for number, lane in enumerate(lanes):
        while lane and lane[-1] <= start:
            lane.pop()
        if not lane or stop <= lane[-1]:
            lane.append(stop)
            return number
    lanes.append([stop])
    return len(lanes) - 1


def _name(what: str, rank: int, thread: int, name: str) -> Event:
    return {"ph": "M", "pid": rank, "tid": thread, "name": what, "args": {"name": name}}


def _arrows(events: list[Event]) -> Iterator[Event]:
    """From sends to receives; a receive is told when its message left."""
    sends: dict[str, Event] = {}
    receives: dict[str, Event] = {}
    for event in events:
        if (flow := event["args"].pop("flow", None)) is not None:
            (sends if event["name"].startswith("send ") else receives)[flow] = event
    for number, flow in enumerate(sends.keys() & receives.keys(), 1):
        send, receive = sends[flow], receives[flow]
        receive["args"]["sent"] = send["ts"]
        arrow = {"id": number, "name": "message", "cat": "message"}
        last = (round((receive["ts"] + receive["dur"]) * 1000) - 1) / 1000  # the end itself is not in it any more
        within = max(receive["ts"], last)
        yield {"ph": "s", "pid": send["pid"], "tid": send["tid"], "ts": send["ts"], **arrow}
        yield {"ph": "f", "bp": "e", "pid": receive["pid"], "tid": receive["tid"], "ts": within, **arrow}


def write(path: Path, document: dict[str, Any]) -> None:
    """As gzip, which Perfetto reads: a tenth of the bytes."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=5) as file:
        json.dump(document, file)


def read(path: Path) -> dict[str, Any]:
    """A trace of shoal's, plain or gzip; DataError for anything else."""
    try:
        data = path.read_bytes()
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        if not isinstance(document["traceEvents"], list) or "shoal" not in document["otherData"]:
            raise KeyError("shoal")
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        problem = f"{path} is no trace of shoal's: {error}"
        raise DataError(problem, "give a run folder that --trace was used in, or the trace file in it") from error
    return document
