"""A trace of all ranks: one file, on one clock, that says what the run's own summary says."""

from __future__ import annotations

import gzip
import json
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trace_processor
import traced
from launch import mpirun

from shoal.core.errors import DataError, Preempted, UsageError
from shoal.core.trace import Trace
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.clocks import Clock
from shoal.mpi.communicator import Communicator
from shoal.train import chrome, loop, start, trace_summary, tracing
from shoal.train.config import Config, load
from shoal.train.progress import Silent
from shoal.train.signals import Wishes
from shoal.train.summary import Summary

PIPELINE = ["parallel.mesh={pipeline=2}", "train.micro_batches=2"]
PERFETTO_FAULTS = (  # an arrow that it cannot place is no error to it
    "select name from stats where value > 0 and (severity in ('error', 'data_loss') or name glob 'flow_*')"
)


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def config(tiny: list[str], tmp_path: Path) -> Any:
    """config("run.trace=0:3"): the tiny run of 2 epochs of 5 steps, changed."""
    return lambda *settings: load("digits-cnn", [*tiny, f"run.folder={tmp_path / 'run'}", *settings])


def train(config: Config, ranks: int = 1, screen: Silent | None = None, resume: bool = False) -> list[Summary]:
    if ranks == 1:
        return [start.train(config, Alone(), screen or Silent(), resume)]
    return threads.run(
        ranks, lambda c: start.train(config, c, screen or Silent(), resume), deadline=60, backend="reference"
    )


def trace(folder: Path) -> dict[str, Any]:
    return chrome.read(folder / tracing.NAME)


def place(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


def spans(document: dict[str, Any], rank: int, *kinds: str) -> list[str]:
    """Names of spans, in the order of time."""
    mine = [e for e in document["traceEvents"] if e["ph"] == "X" and e["pid"] == rank]
    return [e["name"] for e in sorted(mine, key=lambda e: e["ts"]) if not kinds or e["cat"] in kinds]


# ---------------------------------------------------------------------------------------------------- what is in it


@pytest.mark.parametrize("settings", [[], PIPELINE, ["checkpoint.background=true"]], ids=["data", "pipe", "background"])
def test_one_file_of_all_ranks_holds_the_steps_of_the_window(config: Any, tmp_path: Path, settings: list[str]) -> None:
    screen = Heard()
    train(config("run.trace=3:7", *settings), 2, screen)
    document = trace(tmp_path / "run")
    assert traced.faults(document) == []
    for rank in (0, 1):
        assert spans(document, rank, "step") == ["step 3", "step 4", "drain", "step 5", "step 6"]
        seldom = spans(document, rank, "evaluate", "checkpoint", "write", "warm-up")
        assert seldom[:4] == ["warm-up", "evaluate", "save", "write"]
        assert spans(document, rank, "read") and spans(document, rank, "data") == ["wait for data"] * 4
        assert spans(document, rank, "update") == ["update"] * 4
    assert any(line.startswith("trace of steps 3 to 6: ") for line in screen.lines)
    names = {e["args"]["name"] for e in document["traceEvents"] if e["ph"] == "M"}
    assert {"main", "prefetch", "writer", "communication"} <= names
    assert any(name.startswith("rank 1 (") for name in names)


def test_blocks_waits_and_messages_have_their_names(config: Any, tmp_path: Path) -> None:
    train(config("run.trace=0:1"), 2)
    document = trace(tmp_path / "run")
    blocks = spans(document, 1, "forward", "backward")
    assert blocks[0] == "forward 0 Conv2d" and blocks[-1] == "backward 0 Conv2d"
    assert {"allreduce gradients 0", "allreduce loss"} <= {*spans(document, 1, "wait")}
    sends = [e for e in document["traceEvents"] if e["ph"] == "X" and e["name"].startswith("send gradients")]
    assert {(e["pid"], e["args"]["peer"]) for e in sends} == {(0, 1), (1, 0)}
    assert all(e["args"]["bytes"] > 0 for e in sends)


def test_actions_of_a_pipeline_are_the_schedules(config: Any, tmp_path: Path) -> None:
    train(config("run.trace=1:2", *PIPELINE), 2)
    document = trace(tmp_path / "run")
    assert spans(document, 0, "action") == ["F0", "F1", "B0", "B1", "U1"]
    assert spans(document, 1, "action") == ["F0", "B0", "F1", "B1", "U1"]
    arrows = {e["id"]: e for e in document["traceEvents"] if e["ph"] == "s"}
    assert len(arrows) >= 4  # two micro-batches, both ways
    assert trace_summary.summarise([document]).arrows == len(arrows)


def test_a_run_shorter_than_its_window_says_so(config: Any, tmp_path: Path) -> None:
    screen = Heard()
    train(config("run.trace=8:99"), screen=screen)
    assert spans(trace(tmp_path / "run"), 0, "step") == ["step 8", "step 9", "drain"]
    assert any(line.startswith("trace of steps 8 to 9: ") for line in screen.lines)
    train(config("run.trace=20:30", f"run.folder={tmp_path / 'b'}"), screen=screen)
    assert any("without a step, the run ended before run.trace = 20:30" in line for line in screen.lines)


def test_a_resumed_run_counts_its_window_from_where_it_begins(config: Any, tmp_path: Path) -> None:
    train(config("train.epochs=1", "run.trace=0:1"))
    screen = Heard()
    train(config("run.trace=0:2"), resume=True, screen=screen)
    assert not any("run.trace" in line for line in screen.lines)  # nobody has to know
    assert spans(trace(tmp_path / "run"), 0, "step") == ["step 5", "step 6"]


def test_a_traced_run_is_the_same_run(config: Any, tmp_path: Path) -> None:
    plain = train(config(f"run.folder={tmp_path / 'a'}"), 2)[0]
    watched = train(config(f"run.folder={tmp_path / 'b'}", "run.trace=2:4"), 2)[0]
    assert (plain.messages, plain.test_loss) == (watched.messages, watched.test_loss)
    assert plain.bytes == pytest.approx(watched.bytes, abs=200)  # of small objects, such as seconds in words


def test_the_summary_is_the_runs_own(config: Any, tmp_path: Path) -> None:
    own = train(config("run.trace=0:99", *PIPELINE), 2)[0]
    found = trace_summary.summarise(trace_summary.load(tmp_path / "run"))
    assert found.steps == (0, 10) and found.lost == 0
    assert max(one.seconds for one in found.ranks) == pytest.approx(own.seconds, rel=0.02)
    for part, name in [("compute", "compute"), ("communication", "blocked"), ("idle", "idle")]:
        assert np.mean([getattr(one, name) for one in found.ranks]) == pytest.approx(getattr(own, part), abs=0.02)
    assert found.bubble and found.bubble.formula == pytest.approx(1 / 3)  # (p - 1)/(m + p - 1)


@pytest.mark.parametrize("text", ["5", "5:5", "7:5", "-1:4", "a:b"])
def test_no_window_is_refused(config: Any, text: str) -> None:
    with pytest.raises(UsageError, match="no window of steps"):
        config(f"run.trace={text}")


# ---------------------------------------------------------------------------------------------------- one clock


def skew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 1's clock is an hour late, and a tenth too fast."""
    clocks = {0: time.monotonic, 1: lambda: 1.1 * time.monotonic() - 3600}
    monkeypatch.setattr(tracing, "Trace", lambda rank: Trace(rank, clocks[rank]))


def test_skewed_clocks_are_laid_side_by_side(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skew(monkeypatch)
    train(config("run.trace=0:4", *PIPELINE), 2)
    document = trace(tmp_path / "run")
    bound = document["otherData"]["clocks"]["1"]["bound_s"]
    assert traced.faults(document, slack=bound * 1e6) == []
    assert document["otherData"]["clocks"]["1"]["drift_ppm"] == pytest.approx(-1e5 / 1.1, rel=0.1)


def test_without_alignment_messages_arrive_before_they_leave(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skew(monkeypatch)
    monkeypatch.setattr(Clock, "shared", lambda self, local: local)
    train(config("run.trace=0:4", *PIPELINE), 2)
    found = traced.faults(trace(tmp_path / "run"), slack=1e6)
    assert found and all("goes back in time" in fault for fault in found)


# ---------------------------------------------------------------------------------------------------- what goes wrong


def test_a_signal_within_the_window_leaves_the_trace_so_far(config: Any, tmp_path: Path) -> None:
    wishes, feed = Wishes(), loop.Loop._feed

    def program(c: Communicator) -> None:
        mine = wishes if c.rank == 1 else Wishes()
        with pytest.raises(Preempted):
            start.train(config("run.trace=0:99"), c, Silent(), wishes=mine)

    def asked(self: loop.Loop, name: str, batch: np.ndarray) -> None:
        feed(self, name, batch)
        wishes.counts["SIGUSR1"] += self.fed == 3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_feed", asked)
        threads.run(2, program, deadline=60, backend="reference")
    document = trace(tmp_path / "run")
    assert traced.faults(document) == []
    assert spans(document, 0, "step")[:3] == spans(document, 1, "step")[:3] == ["step 0", "step 1", "step 2"]
    assert "save" in spans(document, 0, "checkpoint")


def test_a_rank_that_ends_alone_leaves_what_it_has_and_so_do_the_others(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = loop.Loop._timed

    def broken(self: loop.Loop, name: str, what: str, work: Any) -> None:
        feed(self, name, what, (lambda: 1 / 0) if what == "step 2" and self.job.comm.rank == 1 else work)

    monkeypatch.setattr(loop.Loop, "_timed", broken)
    with pytest.raises(ZeroDivisionError):
        train(config("run.trace=0:99"), 2)
    folder = tmp_path / "run"
    assert not (folder / tracing.NAME).exists()
    documents = trace_summary.load(folder)
    assert [traced.faults(one) for one in documents] == [[], []]
    assert spans(documents[1], 1, "step") == ["step 0", "step 1", "step 2"]
    last = [e["args"] for e in documents[1]["traceEvents"] if e["ph"] == "X" and e["name"] == "step 2"]
    assert last == [{"error": "ZeroDivisionError"}]
    assert [one.rank for one in trace_summary.summarise(documents).ranks] == [0, 1]


def test_a_window_that_is_over_is_on_the_disk_whatever_follows(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.Loop, "_evaluate", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(config("run.trace=0:3"), 2)
    assert spans(trace(tmp_path / "run"), 1, "step") == ["step 0", "step 1", "step 2"]


def test_a_trace_that_cannot_be_written_ends_nothing(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Heard()

    def full(path: Path, document: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chrome, "write", full)
    assert train(config("run.trace=0:3"), screen=screen)[0].steps == 10
    assert any(line.startswith("no trace: ") and line.endswith("No space left on device") for line in screen.lines)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no trace in"):
        trace_summary.load(tmp_path)
    file = tmp_path / "trace.json.gz"
    for data in (b"{}", b"\x1f\x8b", b'{"traceEvents": []}', gzip.compress(b"[]")[:-4]):
        file.write_bytes(data)
        with pytest.raises(DataError, match="is no trace of shoal's"):
            trace_summary.load(tmp_path)


# ---------------------------------------------------------------------------------------------------- the format


def test_the_reader_sees_every_kind_of_fault(config: Any, tmp_path: Path) -> None:
    """One change each, to a trace that is right."""
    train(config("run.trace=0:2", *PIPELINE), 2)
    right = trace(tmp_path / "run")
    assert traced.faults(right) == []
    events = right["traceEvents"]
    step = next(i for i, e in enumerate(events) if e["ph"] == "X" and e["cat"] == "step")
    inner = events[step + 1]  # of the same thread
    middle = inner["ts"] + inner["dur"] / 2
    flow = next(i for i, e in enumerate(events) if e["ph"] == "f")
    lane = [(i, e) for i, e in enumerate(events) if e["ph"] == "X" and place(e) == place(events[flow])]
    receive, taken = next((i, e) for i, e in reversed(lane) if e["ts"] <= events[flow]["ts"])
    for at, change, words in [
        (step, {"dur": "long"}, "not an event"),
        (step, {"dur": -1.0}, "not an event"),
        (step, {"ts": middle}, "time goes back"),
        (step, {"dur": middle - events[step]["ts"]}, "overlaps another"),
        (0, {"pid": 7}, "is named 0 times"),
        (flow, {"id": 10**6}, r"is ['s']"),
        (flow, {"ts": 0.0}, "goes back in time"),
        (flow, {"ts": 1e12}, "lies in no span"),
        (receive, {"name": "step 1"}, "joins"),
        (receive, {"ts": 0.0, "dur": taken["ts"] + taken["dur"]}, "began before it was sent"),
    ]:
        wrong = deepcopy(right)
        wrong["traceEvents"][at].update(change)
        assert any(words in fault for fault in traced.faults(wrong)), words


def test_ranks_of_mpi_make_one_trace_and_the_command_reads_it(
    shoal: Any, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "from shoal.cli import main; main()"
    settings = [*tiny, "train.epochs=1", f"run.folder={tmp_path / 'run'}", "run.trace=0:99", *PIPELINE]
    done = mpirun(2, command, "train", "digits-cnn", *settings, "--trace", "--json", timeout=120)
    assert done.code == 0, done.text
    document = trace(tmp_path / "run")
    assert traced.faults(document, slack=document["otherData"]["clocks"]["1"]["bound_s"] * 1e6) == []
    own = json.loads(done.out[0][-1])
    found = json.loads(shoal("trace", "summary", str(tmp_path / "run"), "--json").stdout)
    assert found["steps"] == [0, 5] and found["arrows"] > 0
    assert np.mean([one["compute"] for one in found["ranks"]]) == pytest.approx(own["compute"], abs=0.02)
    trace_summary.show(tmp_path / "run" / tracing.NAME, as_json=False)
    text = capsys.readouterr().out
    assert "computed most: the others wait for it" in text
    assert "the schedule has 33.3% with stages that are alike" in text


def test_a_receive_begins_when_its_message_left_and_nothing_lies_inside_it() -> None:
    first, second = {"flow": "0>1"}, {"flow": "1>0"}
    kind = ("communication", "communication")
    pieces = [
        {"rank": 0, "name": "a", "records": [(*kind, "send x", 5.0, 6.0, first), (*kind, "recv y", 7.5, 9.0, second)]},
        {"rank": 1, "name": "b", "records": [(*kind, "recv x", 1.0, 8.0, first), (*kind, "send y", 7.0, 8.0, second)]},
    ]
    document = chrome.merge(pieces, {})
    sent, late, early, inner = [e for e in document["traceEvents"] if e["ph"] == "X"]
    assert (early["ts"], early["dur"], early["args"]) == (4e6, 3e6, {"posted_us_before": 4e6})
    assert (late["ts"], late["args"]) == (6.5e6, {})  # posted after its message had left
    assert place(sent) == place(late) and early["pid"] == inner["pid"] and early["tid"] != inner["tid"]
    assert traced.faults(document) == []


def test_perfetto_reads_it(config: Any, tmp_path: Path) -> None:
    """With its own trace processor: everything arrives, nothing is complained of, and an arrow joins what it joined.

    Nearly half of the arrows once pointed backwards there, from a receive that had been posted early to its send; some ended at a
    span that lay inside the receive; and of rank 3 the writer was the main thread.
    """
    train(config("run.trace=0:3", *PIPELINE), 2)
    events = trace(tmp_path / "run")["traceEvents"]
    faults, slices, processes, threads, main, arrows = trace_processor.ask(
        tmp_path / "run" / tracing.NAME,
        PERFETTO_FAULTS,
        "select count(*) as n, sum(dur) as ns from slice",
        "select name from process where name is not null order by pid",
        "select distinct utid from thread_track join slice on slice.track_id = thread_track.id",
        "select distinct name from thread where is_main_thread and name is not null",
        "select o.name as send, i.name as receive from flow join slice o on o.id = slice_out join slice i on i.id = slice_in",
    )
    own = [e for e in events if e["ph"] == "X"]
    assert faults == []
    assert slices == [{"n": len(own), "ns": sum(round(e["dur"] * 1000) for e in own)}]
    assert [one["name"][:7] for one in processes] == ["rank 0 ", "rank 1 "]
    assert len(threads) == len({place(e) for e in own})
    assert main == [{"name": "main"}]
    assert len(arrows) == sum(e["ph"] == "s" for e in events) > 0
    assert all(one["receive"] == one["send"].replace("send", "recv") for one in arrows)


def test_perfetto_complains_of_what_is_wrong(tmp_path: Path) -> None:
    """So that its silence means something: spans that overlap, an arrow from nowhere, one to nowhere, and one that it turns."""
    span = {"ph": "X", "pid": 0, "name": "send x", "cat": "communication", "args": {}}
    send, receive = span | {"tid": 0, "ts": 5.0, "dur": 2.0}, span | {"tid": 1, "ts": 1.0, "dur": 8.0, "name": "recv x"}
    begins = {"ph": "s", "pid": 0, "tid": 0, "ts": 5.0, "id": 1, "name": "message", "cat": "message"}
    ends = begins | {"ph": "f", "bp": "e", "tid": 1, "ts": 8.0}
    wrong = [send | {"ts": 6.0, "dur": 9.0}, begins | {"tid": 2, "id": 2}, ends | {"id": 3}]
    file = tmp_path / tracing.NAME
    chrome.write(file, {"traceEvents": [send, receive, begins, ends, *wrong]})
    faults, turned = trace_processor.ask(
        file, PERFETTO_FAULTS, "select o.name from flow join slice o on o.id = slice_out"
    )
    kinds = ["flow_end_without_start", "flow_no_enclosing_slice", "slice_drop_overlapping_complete_event"]
    assert sorted(one["name"] for one in faults) == kinds
    assert turned == [{"name": "recv x"}]
