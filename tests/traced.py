"""A strict reader of trace files: what is wrong with one, in words; it shares no code with what writes them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

FIELDS = {
    "M": {"name": str, "pid": int, "tid": int, "args": dict},
    "X": {"name": str, "cat": str, "pid": int, "tid": int, "ts": (int, float), "dur": (int, float), "args": dict},
    "s": {"name": str, "cat": str, "pid": int, "tid": int, "ts": (int, float), "id": int},
    "f": {"name": str, "cat": str, "pid": int, "tid": int, "ts": (int, float), "id": int, "bp": str},
}


def faults(document: dict[str, Any], slack: float = 0.0) -> list[str]:
    """Of the format, of nesting, of time, of names, of arrows.   slack: microseconds that an arrow may go back in time."""
    events = document["traceEvents"]
    found = [f"not an event: {event}" for event in events if not _shaped(event)]
    return found or [*_names(events), *_threads(events), *_arrows(events, slack)]


def _shaped(event: dict[str, Any]) -> bool:
    fields = FIELDS.get(event.get("ph", ""))
    if fields is None or event.keys() != {"ph", *fields}:
        return False
    typed = all(isinstance(event[key], kind) for key, kind in fields.items())
    return typed and min(event.get("ts", 0), event.get("dur", 0)) >= 0


def _ns(microseconds: float) -> int:
    return round(microseconds * 1000)


def _names(events: list[dict[str, Any]]) -> list[str]:
    """Every process and thread that has spans has one name."""
    names = [(e["name"], e["pid"], e["tid"]) for e in events if e["ph"] == "M"]
    threads = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    wanted = [("process_name", pid, 0) for pid in {pid for pid, _ in threads}] + [("thread_name", *t) for t in threads]
    return [f"{one} is named {names.count(one)} times" for one in wanted if names.count(one) != 1]


def _threads(events: list[dict[str, Any]]) -> list[str]:
    """On each thread starts never go back, and spans lie one after the other or one inside the other."""
    found, open_until, last = [], defaultdict(list), defaultdict(int)
    for event in (e for e in events if e["ph"] == "X"):
        thread, start = (event["pid"], event["tid"]), _ns(event["ts"])
        stop, stack = start + _ns(event["dur"]), open_until[thread]
        if start < last[thread]:
            found.append(f"time goes back: {event}")
        last[thread] = start
        while stack and stack[-1] <= start:
            stack.pop()
        if stack and stop > stack[-1]:
            found.append(f"overlaps another: {event}")
        stack.append(stop)
    return found


def _arrows(events: list[dict[str, Any]], slack: float) -> list[str]:
    """Every arrow has one start and one finish, in a send and a receive, and does not go back in time, nor do its spans.

    An end belongs to the innermost span of its thread there.
    """
    ends: dict[int, list[dict[str, Any]]] = defaultdict(list)
    spans = defaultdict(list)
    for event in events:
        if event["ph"] in "sf":
            ends[event["id"]].append(event)
        elif event["ph"] == "X":
            spans[event["pid"], event["tid"]].append(event)
    found = []
    for number, pair in ends.items():
        at = [_innermost(spans[e["pid"], e["tid"]], _ns(e["ts"])) for e in pair]
        if [e["ph"] for e in pair] != ["s", "f"]:
            found.append(f"arrow {number} is {[e['ph'] for e in pair]}")
        elif pair[1]["ts"] + slack < pair[0]["ts"]:
            found.append(f"arrow {number} goes back in time by {pair[0]['ts'] - pair[1]['ts']} us")
        elif None in at:
            found.append(f"an end of arrow {number} lies in no span")
        elif [span["name"].split()[0] for span in at if span] != ["send", "recv"]:
            found.append(f"arrow {number} joins {at}")
        elif at[1]["ts"] + slack < at[0]["ts"]:
            found.append(f"arrow {number} leads to a receive that began before it was sent: {at}")
    return found


def _innermost(spans: list[dict[str, Any]], time: int) -> dict[str, Any] | None:
    """Of those on a thread, in the order of their starts."""
    around = [s for s in spans if _ns(s["ts"]) <= time < _ns(s["ts"]) + _ns(s["dur"])]
    return around[-1] if around else None
