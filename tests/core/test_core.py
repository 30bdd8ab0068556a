"""Small words of the house: windows, specs, keys, errors, cores, events."""

import json
from pathlib import Path

import pytest

from shoal.core import errors
from shoal.core.cores import quota, threads_per_rank
from shoal.core.errors import UsageError
from shoal.core.events import Events
from shoal.core.random import key
from shoal.core.shape import Window
from shoal.core.spec import Spec

# kernel, stride, padding, dilation, input -> output
WINDOWS = [
    (3, 1, 0, 1, (8, 8), (6, 6)),
    (3, 1, "same", 1, (8, 5), (8, 5)),
    (2, 1, "same", 1, (8, 5), (8, 5)),
    (5, 1, "same", 2, (20, 20), (20, 20)),
    (2, 2, 0, 1, (7, 8), (3, 4)),
    (3, 2, 1, 1, (8, 8), (4, 4)),
    (1, 5, 0, 1, (4, 11), (1, 3)),
    ((3, 1), (1, 2), ((1, 0), (0, 2)), 1, (4, 4), (3, 3)),
    (5, 1, 2, 1, (1, 1), (1, 1)),
    (3, 1, "causal", 2, (5,), (5,)),
    (3, 2, "causal", 1, (7,), (4,)),
    ((2, 3, 1), 1, (0, 1, 2), 1, (4, 4, 4), (3, 4, 8)),
]


@pytest.mark.parametrize("kernel, stride, padding, dilation, size, out", WINDOWS)
def test_a_window_gives_this_output(kernel, stride, padding, dilation, size, out) -> None:
    assert Window.of(kernel, stride, padding, dilation, rank=len(size)).out(*size) == out


@pytest.mark.parametrize("kernel, stride, padding, dilation, size, out", WINDOWS)
def test_the_inputs_of_an_output_are_these_and_no_others(kernel, stride, padding, dilation, size, out) -> None:
    window = Window.of(kernel, stride, padding, dilation, rank=len(size))
    least = window.inputs(out, (0,) * len(out))
    most = window.inputs(out, tuple(s - 1 for s in window.stride))
    assert window.out(*least) == window.out(*most) == out
    assert all(low <= n <= high for low, n, high in zip(least, size, most, strict=True))
    assert all(p > q for p, q in zip(window.out(*(n + 1 for n in most)), out, strict=True))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Window.of(5).out(3, 9), "spans 5 .* larger than the input 3"),
        (lambda: Window.of(0), "at least 1"),
        (lambda: Window.of((3, 3), rank=3), r"\(3, 3\) has 2 numbers, for 3 axes"),
        (
            lambda: Window.of(2, 2).inputs((3, 3), (0, 2)),
            r"output_padding \(0, 2\) must be less than the stride \(2, 2\)",
        ),
        (lambda: Window.of(1, 1, 2).inputs((3, 4), (0, 0)), "leaves nothing of an output"),
        (lambda: Window.of(3, 2, "same"), "stride 1"),
        (lambda: Window.of(3, 1, "full"), '"full" is not known'),
        (lambda: Window.of(3, 1, -1), "must not be negative"),
    ],
)
def test_an_impossible_window_is_refused(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def test_a_spec_is_the_whole_unless_it_says_otherwise() -> None:
    spec = Spec("weight", (4, 3))
    assert (spec.global_shape, spec.origin, spec.under("2").name) == ((4, 3), (0, 0), "2.weight")
    with pytest.raises(UsageError, match="leaves the tensor"):
        Spec("weight", (4, 3), global_shape=(4, 4), origin=(0, 2))


def test_streams_differ_by_seed_purpose_and_path() -> None:
    names = [
        (0, "init", "0.weight"),
        (1, "init", "0.weight"),
        (0, "dropout", "0.weight"),
        (0, "init", "0.bias"),
        (0, "init0", ".weight"),
    ]
    assert len({key(*name) for name in names}) == len(names)
    assert key(0, "init", "0.weight") == key(0, "init", "0.weight")


def test_every_error_has_its_documented_code() -> None:
    table = {
        line.split()[1]: line.split()[0] for line in (errors.__doc__ or "").splitlines() if line.strip()[:1].isdigit()
    }
    classes = {c.__name__: str(c.code) for c in errors.ShoalError.__subclasses__()}
    assert classes == {name: code for name, code in table.items() if name in classes}
    assert errors.exit_code(KeyboardInterrupt()) == 130
    assert errors.exit_code(ValueError()) == 1
    assert errors.exit_code(UsageError("", "")) == 2


@pytest.mark.parametrize(
    "masks, quota_cores, threads",
    [
        ([{0, 1}], float("inf"), 2),  # one rank, two cores
        ([{0, 1}, {0, 1}], float("inf"), 1),  # two ranks share two cores
        ([{0}, {1}], float("inf"), 1),  # bound one core each
        ([{0, 1, 2, 3}, {4, 5, 6, 7}], float("inf"), 4),
        ([set(range(64))], 2.0, 2),  # a container granted two cores of 64
        ([set(range(64))] * 4, 2.0, 1),  # never less than one
        ([set(range(8))], 0.5, 1),
    ],
)
def test_threads_per_rank(masks, quota_cores, threads) -> None:
    assert threads_per_rank([frozenset(m) for m in masks], 0, quota_cores) == threads


@pytest.mark.parametrize("text, cores", [("max 100000", float("inf")), ("150000 100000", 1.5)])
def test_the_cgroup_quota_is_read(tmp_path: Path, text: str, cores: float) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert quota(tmp_path) == cores


def test_no_cgroup_means_no_limit_but_that_of_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    assert quota(tmp_path) == float("inf")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    assert quota(tmp_path) == 3


def test_events_are_one_json_object_a_line(tmp_path: Path) -> None:
    events = Events(tmp_path, rank=3)
    events.write("step", step=1, loss=0.5)
    lines = (
        (tmp_path / "events-3.jsonl").read_text().splitlines()
    )  # readable before close: a killed rank leaves its lines
    events.close()
    assert [json.loads(line)["event"] for line in lines] == ["step"]
    assert json.loads(lines[0])["rank"] == 3
    Events(None, 0).write("step")


def test_a_disk_that_takes_no_more_events_is_said_once_and_ends_no_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events-3.jsonl").symlink_to("/dev/full")
    events = Events(tmp_path, 3)
    for step in range(3):
        events.write("step", step=step)
    events.close()
    assert (
        capsys.readouterr().err == f"rank 3 writes no more events: {tmp_path}/events-3.jsonl: No space left on device\n"
    )
