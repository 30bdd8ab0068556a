"""Every question can be asked: through `shoal bench`, alone and on ranks, and its answer is a result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import ROOT_MAY, launcher, run

from shoal.cli import benches as command
from shoal.core.errors import PlatformError, UsageError
from shoal.jobs import benches
from shoal.jobs.measured import Result

ROOT = Path(__file__).parents[2]
KNOWN = benches.questions(ROOT / "bench")
SOON = ("gemm", "allreduce")  # the others are the long suite's
COMMAND = [sys.executable, "-m", "shoal", "bench"]


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-benchmark measures nothing where it sees that pytest-xdist has started it, and a question is a pytest of its own."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def shoal(*args: str | Path) -> tuple[int, str]:
    """(exit code, what was said) of `shoal bench`, in the checkout."""
    done = run([*COMMAND, *map(str, args)], 280, {**ROOT_MAY, "COLUMNS": "200", "PWD": str(ROOT)}, cwd=ROOT)
    return done.code, done.text


def test_the_questions_are_those_of_the_design() -> None:
    assert set(KNOWN) == {
        *("gemm", "conv2d", "targets", "memory_bound", "recurrent", "optimizer", "allreduce", "overlap"),
        *("data_parallel", "pipeline", "strategies", "checkpoint", "startup", "train_step"),
    }
    assert all(question.words.endswith("?") for question in KNOWN.values())
    assert {name for name, question in KNOWN.items() if question.ranks > 1} == {
        *("allreduce", "overlap", "data_parallel", "pipeline", "strategies"),
    }


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SOON else pytest.mark.long) for n in KNOWN])
def test_every_question_has_an_answer(name: str, tmp_path: Path) -> None:
    if KNOWN[name].ranks > 1:
        launcher()
    code, said = shoal(name, "--quick", "--output", tmp_path / "result.json")
    assert code == 0, said
    found = Result.load(tmp_path / "result.json")
    assert (found.question, found.setting["ranks"], found.setting["rounds"]) == (name, KNOWN[name].ranks, 2)
    assert found.command.startswith(f"shoal bench {name}") and found.machine["versions"]["numpy"]
    assert found.cases and all(case.ratios and case.seconds.lowest > 0 for case in found.cases.values())  # type: ignore[union-attr]
    assert all(case in said for case in found.cases), said


@pytest.mark.long
def test_ranks_that_a_launcher_started_are_used_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = run([*benches.mpirun(3), *COMMAND, "allreduce", "--quick", f"--output={file}"], 120, ROOT_MAY, cwd=ROOT)
    assert done.code == 0, done.text
    assert Result.load(file).setting["ranks"] == 3 and done.text.count("more is better") == 1


@pytest.mark.parametrize(
    "before, code, said",
    [
        ([2.0, 2.1, 2.2], 1, "worse: 64x64, OpenBLAS"),
        ([0.5, 0.6, 0.7], 0, "better: 64x64"),
        ([0.9, 1.0, 1.1], 0, "64x64"),
    ],
    ids=["better before", "worse before", "within noise"],
)
def test_against_an_earlier_result_only_a_loss_beyond_noise_is_an_error(
    result: Callable[..., Result],
    before: list[float],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ask(question: benches.Question, output: Path, quick: bool, ranks: int) -> int:
        output.write_text(result(OpenBLAS=[0.9, 1.0, 1.1]).text())
        return 0

    monkeypatch.setattr(benches, "ask", ask)
    monkeypatch.chdir(ROOT)
    (tmp_path / "before.json").write_text(result(cpu="6502", OpenBLAS=before).text())
    with pytest.raises(SystemExit) as end:
        command.bench("gemm", against=tmp_path / "before.json")
    heard = capsys.readouterr()
    assert end.value.code == code and said in heard.out
    assert "on z80, before on 6502" in heard.err


@pytest.mark.long
def test_a_question_that_fails_leaves_no_result(tmp_path: Path) -> None:
    (tmp_path / "bench_wrong.py").write_text('"""Why?"""\n\ndef bench_wrong(measure):\n    measure(lambda: 1 / 0)\n')
    for file in ("conftest.py", "pytest.ini", "machine.py", "measure.py", "peers.py"):
        (tmp_path / file).write_text((ROOT / "bench" / file).read_text())
    assert benches.ask(benches.questions(tmp_path)["wrong"], tmp_path / "result.json", quick=True) == 1
    assert not (tmp_path / "result.json").exists()


def test_questions_are_listed() -> None:
    code, said = shoal()
    assert code == 0 and all(f" {name} " in said for name in KNOWN)


def test_an_unknown_question_names_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        benches.find("gem", ROOT / "bench")
    assert 'did you mean "gemm"?' in error.value.cure


def test_bench_is_found_beside_the_package_and_around_the_current_folder(tmp_path: Path) -> None:
    assert benches.checkout(package=ROOT, here=tmp_path) == ROOT / "bench"
    assert benches.checkout(package=tmp_path, here=ROOT / "bench" / "results") == ROOT / "bench"


def test_the_wheel_has_no_benchmarks_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"(?s)not installed.*clone the repository"):
        benches.checkout(package=tmp_path, here=tmp_path)


def test_a_question_of_several_ranks_is_not_asked_of_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"allreduce on 1 ranks says nothing(.|\n)*at least 2"):
        benches.ask(KNOWN["allreduce"], tmp_path / "result.json", ranks=1)


def test_the_start_of_ranks_needs_mpirun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(PlatformError, match=r"2 ranks need mpirun"):
        benches.mpirun(2, {"PATH": str(tmp_path)})
