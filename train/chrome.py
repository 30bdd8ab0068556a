"""One file for all ranks, in Chrome's trace format, which ui.perfetto.dev and chrome://tracing open.

A rank is a process, a stream of it a thread. On a thread of that format spans lie one after the other or one inside the
other; communications do neither, so a stream has as many threads as it needs, and how deep a communication lies on one
means nothing. An arrow goes from each send to the receive that took it, where the trace holds both. Perfetto makes rules
of its own of what it is shown: an arrow's end belongs to the innermost span there, so inside a message lies nothing; an
arrow leads from whichever span began first, so a receive begins when its message left; the main thread of a process is
the one that has the process's number.

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
    whole = [record for records in ranks.values() for record in records]
    zero = min((record.start for record in whole), default=0.0)
    left = {record.facts["flow"]: record.start for record in whole if "flow" in record.facts and _sends(record.name)}
    events: list[Event] = []
    for one in pieces:
        events.append(_name("process_name", one["rank"], 0, f"rank {one['rank']} ({one['name']})"))
        events += _spans(one["rank"], [_flight(record, left) for record in ranks[one["rank"]]], zero)
    return {"traceEvents": [*events, *_arrows(events)], "displayTimeUnit": "ms", "otherData": facts}


def _sends(name: str) -> bool:
    return name.startswith("send ")


def _flight(record: Record, left: dict[str, float]) -> Record:
    """A receive from when its message left: before that, it was posted and there was nothing to receive."""
    sent = left.get(record.facts.get("flow", ""), record.start)
    if not record.start < sent < record.stop:  # posted later; or the clocks differ by more than it took
        return record
    return record._replace(start=sent, facts={**record.facts, "posted_us_before": _ns(sent - record.start) / 1000})


def _spans(rank: int, records: Sequence[Record], zero: float) -> Iterator[Event]:
    """The spans of a rank, in the order of time, and the names of their threads."""
    threads = rank
    for stream in STREAMS:
        mine = [(_ns(one.start - zero), _ns(one.stop - zero), one) for one in records if one.stream == stream]
        lanes: list[list[tuple[int, bool]]] = []
        for start, stop, one in sorted(mine, key=lambda span: (span[0], -span[1])):
            place = {"pid": rank, "tid": threads + _lane(lanes, start, stop, "flow" in one.facts)}
            times = {"ts": start / 1000, "dur": (stop - start) / 1000}
            yield {"ph": "X", **place, **times, "name": one.name, "cat": one.kind, "args": dict(one.facts)}
        for lane in range(len(lanes)):
            yield _name("thread_name", rank, threads + lane, f"{stream} {lane + 1}" if lane else stream)
        threads += len(lanes)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _lane(lanes: list[list[tuple[int, bool]]], start: int, stop: int, message: bool) -> int:
    """The first thread where a span lies behind the others or inside one that is no message.

    A lane is what has not ended, outermost first: (stop, whether it is a message).
    """
    for number, lane in enumerate(lanes):
        while lane and lane[-1][0] <= start:
            lane.pop()
        if not lane or (stop <= lane[-1][0] and not lane[-1][1]):
            lane.append((stop, message))
            return number
    lanes.append([(stop, message)])
    return len(lanes) - 1


def _name(what: str, rank: int, thread: int, name: str) -> Event:
    return {"ph": "M", "pid": rank, "tid": thread, "name": what, "args": {"name": name}}


def _arrows(events: list[Event]) -> Iterator[Event]:
    """From the start of a send to the end of its receive."""
    sends: dict[str, Event] = {}
    receives: dict[str, Event] = {}
    for event in events:
        if (flow := event["args"].pop("flow", None)) is not None:
            (sends if _sends(event["name"]) else receives)[flow] = event
    for number, flow in enumerate([flow for flow in sends if flow in receives], 1):
        send, receive = sends[flow], receives[flow]
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
