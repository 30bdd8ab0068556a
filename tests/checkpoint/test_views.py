"""shoal checkpoint list, verify, show, diff: what is said of generations, good and bad, and that looking changes nothing."""

from __future__ import annotations

import json
import shutil
import weakref

import numpy as np
import pytest

from shoal.checkpoint import commit, lease, shard
from shoal.checkpoint import contents as tensors
from shoal.checkpoint.history import open_generation
from shoal.checkpoint.store import Store
from shoal.cli import app
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


@pytest.fixture
def command(capsys):
    """`shoal checkpoint ...` in this process: (exit code, stdout, stderr)."""

    def call(*args):
        with pytest.raises(SystemExit) as end:
            app(["checkpoint", *map(str, args)])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return call


@pytest.fixture
def facts(command):
    """The same with --json: (exit code, what was said)."""

    def call(*args):
        code, out, err = command(*args, "--json")
        assert out.count("\n") == 1 and "NaN" not in out, out + err
        return code, json.loads(out)

    return call


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def save(folder, tensors, step=1, ranks=1, merit=None, **meta):
    """Arrays as one generation; among several ranks each holds some of the rows, where there are rows for all."""

    def program(communicator):
        held = {}
        for name, array in tensors.items():
            start, mine = 0, array
            if array.ndim and len(array) >= ranks:
                cuts = [len(array) * rank // ranks for rank in range(ranks + 1)]
                start = cuts[communicator.rank]
                mine = array[start : cuts[communicator.rank + 1]]
            origin = (start, *(0,) * (array.ndim - 1)) if array.ndim else ()
            held[name] = (Spec(name, mine.shape, global_shape=array.shape, origin=origin), mine)
        with Store(folder, communicator, keep=9) as store:
            return store.save(State(held, {"step": step, **meta}), merit)

    return run(ranks, program)[0]


ARRAYS = {"model/0.weight": np.arange(12, dtype="float32").reshape(4, 3), "model/0.bias": np.ones(5, "float32")}


def test_list_shows_the_newest_first_with_marks_and_merit(tmp_path, command, facts):
    for step, loss in [(10, 0.5), (20, 0.25), (30, None)]:
        save(tmp_path, ARRAYS, step, merit=None if loss is None else ("loss", -loss), epochs=step / 20)
    code, told = facts("list", tmp_path)
    rows = told["generations"]
    assert code == 0 and [row["step"] for row in rows] == [30, 20, 10]
    assert [row["marks"] for row in rows] == [["latest"], ["best"], []]
    assert [row["merit"] for row in rows] == [None, {"figure": "loss", "value": 0.25}, {"figure": "loss", "value": 0.5}]
    assert [row["epochs"] for row in rows] == [1.5, 1, 0.5] and {row["state"] for row in rows} == {"complete"}
    code, out, _ = command("list", tmp_path)
    line = next(line for line in out.splitlines() if "step-00000020" in line)
    assert code == 0 and "loss 0.25" in line and "best" in line and "complete" in line


def test_the_last_committed_is_the_newest_even_if_its_step_is_lower(tmp_path, saved, facts):
    saved(tmp_path, 20, 10)
    assert [row["step"] for row in facts("list", tmp_path)[1]["generations"]] == [10, 20]


def test_list_says_what_is_wrong_with_each_and_what_was_not_finished(tmp_path, saved, command, facts):
    first, second, third, _ = saved(tmp_path, 10, 20, 30, 40)
    (first / "manifest.json").write_text("{")
    (second / "rank-0000.h5").write_bytes(b"short")
    (third / "manifest.json").unlink()
    code, told = facts("list", tmp_path)
    assert code == 0, "to list what is damaged is no failure"
    states = {row["generation"]: row["state"] for row in told["generations"]}
    assert states == {"step-00000040": "complete", "step-00000020": "damaged", "step-00000010": "damaged"}
    assert told["unfinished"] == ["step-00000030"]
    out = command("list", tmp_path)[1]
    assert f"{second / 'rank-0000.h5'} has 5 bytes" in out and f"{first / 'manifest.json'} cannot be read" in out
    assert f"{third} is unfinished" in out


def test_verify_reads_every_byte_and_names_what_a_resume_uses(tmp_path, saved, command, facts):
    first, second = saved(tmp_path, 10, 20)
    assert facts("verify", tmp_path)[1]["resume"] == {str(tmp_path): str(second)}
    flip(second / "rank-0000.h5")
    assert {row["state"] for row in facts("list", tmp_path)[1]["generations"]} == {"complete"}, "sizes do not tell"
    code, out, _ = command("verify", tmp_path)
    assert code == 5
    assert out.splitlines()[0].startswith(f"bad {second / 'rank-0000.h5'} is damaged")
    assert out.splitlines()[1].startswith(f"ok  {first}: ")
    assert out.splitlines()[2] == f"a resume of {tmp_path} continues from {first}"
    with Store(tmp_path, Alone(), reject=lambda path, problem: None) as store:
        assert store.newest().path == first
    assert command("verify", first)[0] == 0 and command("verify", first, second)[0] == 5


def test_verify_says_when_nothing_can_be_resumed(tmp_path, saved, command):
    for path in saved(tmp_path, 10, 20):
        flip(path / "rank-0000.h5")
    code, out, _ = command("verify", tmp_path)
    assert code == 5 and out.splitlines()[-1] == f"nothing in {tmp_path} can be resumed"


@pytest.mark.parametrize("words", [["list"], ["verify"], ["show"], ["diff", "."], ["export", "w.npz"]])
def test_where_nothing_was_saved_is_an_error_of_checkpoints(tmp_path, command, words):
    code, out, err = command(words[0], tmp_path / "nothing", *words[1:])
    assert (code, out) == (5, "")
    assert f"error: {tmp_path / 'nothing'} holds no checkpoint\ncure:  " in err


def test_show_lists_tensors_in_how_many_slices_and_where(tmp_path, facts, command):
    path = save(tmp_path, ARRAYS, step=7, ranks=2, loss=0.5)
    code, told = facts("show", tmp_path)
    assert code == 0 and (told["step"], told["ranks"], told["facts"]) == (7, 2, {"loss": 0.5})
    files = ["rank-0000.h5", "rank-0001.h5"]
    weight = {"name": "model/0.weight", "shape": [4, 3], "dtype": "float32", "bytes": 48, "slices": 2, "files": files}
    assert told["tensors"][0] == weight and told["files"] == files
    out = command("show", path)[1]
    assert "model/0.weight" in out and "4x3" in out and str(path) in out


def test_show_of_a_tensor_counts_what_is_no_number_and_measures_the_rest(tmp_path, facts):
    values = np.array([[1.0, np.nan, 3.0], [np.inf, -np.inf, -4.0], [0.5, 2.0, np.nan], [1.0, 1.0, 1.0]], "float32")
    save(tmp_path, {"x": values, "none": np.zeros((0, 3)), "all nan": np.full(2, np.nan)}, ranks=2)
    _, told = facts("show", tmp_path, "x")
    real = np.float64(values[np.isfinite(values)])
    assert (told["nan"], told["inf"], told["first"]) == (2, 2, [1.0, None, 3.0, None, None, -4.0])
    assert (told["min"], told["max"]) == (-4, 3)
    for name, figure in [("mean", real.mean()), ("std", real.std()), ("norm", np.sqrt((real**2).sum()))]:
        assert told[name] == pytest.approx(figure, rel=1e-12)
    for name in ("none", "all nan"):
        assert facts("show", tmp_path, name)[1]["mean"] is None


def test_an_unknown_tensor_names_the_nearest(tmp_path, command):
    save(tmp_path, ARRAYS)
    code, _, err = command("show", tmp_path, "model/0.wieght")
    assert code == 2 and "holds no tensor 'model/0.wieght'" in err and 'did you mean "model/0.weight"?' in err


def test_a_damaged_generation_is_not_shown(tmp_path, saved, command):
    (path,) = saved(tmp_path, 10)
    flip(path / "rank-0000.h5")
    code, out, err = command("show", path)
    assert (code, out) == (5, "") and "is damaged" in err


def test_diff_of_the_same_bits_written_by_other_ranks_is_0(tmp_path, command, facts):
    save(tmp_path / "a", ARRAYS)
    save(tmp_path / "b", ARRAYS, ranks=2)
    code, told = facts("diff", tmp_path / "a", tmp_path / "b")
    assert (code, told["equal"], told["tensors"], told["differ"], told["facts"]) == (0, True, 2, [], {})
    assert "all 2 tensors have the same bits" in command("diff", tmp_path / "a", tmp_path / "b")[1]


def test_diff_says_by_how_much_and_what_is_on_one_side_only(tmp_path, facts, command):
    other = dict(ARRAYS)
    other["model/0.weight"] = ARRAYS["model/0.weight"].copy()
    other["model/0.weight"][1, 1] += 3
    other["model/0.bias"] = np.ones(6, "float32")
    save(tmp_path / "a", {**ARRAYS, "gone": np.ones(1)}, ranks=1)
    save(tmp_path / "b", {**other, "new": np.ones(1)}, ranks=2)
    code, told = facts("diff", tmp_path / "a", tmp_path / "b")
    found = {row["name"]: row for row in told["differ"]}
    assert code == 1 and not told["equal"] and list(found) == ["model/0.weight", "model/0.bias", "gone", "new"]
    weight = found["model/0.weight"]
    assert weight["largest"] == 3 and weight["relative"] == pytest.approx(3 / np.linalg.norm(np.arange(12.0)))
    assert found["model/0.bias"]["largest"] is None and found["gone"]["b"] is None and found["new"]["a"] is None
    code, out, _ = command("diff", tmp_path / "a", tmp_path / "b")
    assert (
        code == 1 and "4 of 4 tensors differ" in out and "float32 5 | float32 6" in out and "absent | float64 1" in out
    )


@pytest.mark.parametrize(
    "a, b, largest, relative",
    [
        (np.array([0.0]), np.array([-0.0]), 0, 0),
        (np.array([1.0]), np.nextafter(np.array([1.0]), 2), 2**-52, 2**-52),
        (np.array([np.nan, 2.0]), np.array([np.nan, 1.0]), 1, 0.5),
        (np.array([np.inf, 2.0]), np.array([np.inf, 2.5]), 0.5, 0.25),
        (np.array([np.nan, 2.0]), np.array([1.0, 2.0]), None, None),
        (np.array([2.0], "float32"), np.array([2.0]), 0, 0),
        (np.array([0.0]), np.array([1.0]), 1, None),  # relative to nothing
    ],
)
def test_bits_decide_and_figures_explain(tmp_path, facts, a, b, largest, relative):
    for name, array in (("a", a), ("b", b)):
        save(tmp_path / name, {"x": array})
    code, told = facts("diff", tmp_path / "a", tmp_path / "b")
    ((row),) = told["differ"]
    assert (code, row["largest"], row["relative"]) == (1, largest, relative)
    assert facts("diff", tmp_path / "a", tmp_path / "a")[0] == 0, "the same bits are equal, numbers or not"


def test_facts_that_differ_are_named_by_key_and_do_not_decide(tmp_path, facts, command):
    save(tmp_path / "a", ARRAYS, config={"optim": {"lr": 0.1, "name": "sgd"}, "mesh": {}}, data="abc")
    save(
        tmp_path / "b",
        ARRAYS,
        step=2,
        config={"optim": {"lr": 0.2, "name": "sgd"}, "mesh": {"pipeline": 2}},
        data="abc",
    )
    code, told = facts("diff", tmp_path / "a", tmp_path / "b")
    lr, mesh = {"a": 0.1, "b": 0.2}, {"b": 2}
    assert code == 0 and told["facts"] == {
        "step": {"a": 1, "b": 2},
        "config.optim.lr": lr,
        "config.mesh.pipeline": mesh,
    }
    assert "config.mesh.pipeline: absent | 2" in command("diff", tmp_path / "a", tmp_path / "b")[1]


def test_diff_of_what_cannot_be_read_is_5(tmp_path, saved, command):
    (path,) = saved(tmp_path / "a", 10)
    shutil.copytree(path, tmp_path / "copy")
    assert command("diff", path, tmp_path / "copy")[0] == 0
    flip(tmp_path / "copy" / "rank-0000.h5")
    assert command("diff", path, tmp_path / "copy")[0] == 5


def test_diff_holds_a_tensor_of_each_side_at_a_time(tmp_path, facts, monkeypatch):
    for name in ("a", "b"):
        save(tmp_path / name, {f"x{i}": np.full(9, i + (name == "b")) for i in range(8)})
    read, alive, most = tensors.read, weakref.WeakSet(), []

    class Array(np.ndarray):  # that a set can hold
        __hash__ = object.__hash__

    def counted(*args):
        most.append(len(alive))
        array = read(*args).view(Array)
        alive.add(array)
        return array

    monkeypatch.setattr(tensors, "read", counted)
    code, told = facts("diff", tmp_path / "a", tmp_path / "b")
    assert code == 1 and len(told["differ"]) == 8
    assert most == [0, 1] * 8


LOOKS = [["list"], ["verify"], ["show"], ["show", "model/0.bias"], ["diff", "."]]


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_looking_takes_no_lease_and_writes_nothing_while_a_job_writes(
    tmp_path, saved, contents, command, monkeypatch, words
):
    saved(tmp_path, 10, 20)
    debris = tmp_path / "generations" / "step-00000030" / "rank-0000.h5.tmp"
    with Store(tmp_path, Alone()):
        debris.parent.mkdir()  # a save has begun
        debris.write_bytes(b"half")
        before = contents(tmp_path)

        def refuse(*args, **kwargs):
            raise AssertionError("looking writes")

        for owner, name in ((commit, "publish"), (lease.Lease, "_take"), (shutil, "rmtree")):
            monkeypatch.setattr(owner, name, refuse)
        rest = [tmp_path if word == "." else word for word in words[1:]]
        assert command(words[0], tmp_path, *rest)[0] == 0
        assert contents(tmp_path) == before
        monkeypatch.undo()


@pytest.fixture
def meanwhile(monkeypatch):
    """Lets a job with keep=1 save this state as soon as a reader begins to hash a generation."""

    def arrange(folder, state):
        hashed, left = shard.damage, [state]

        def late(path, file):
            if left:
                with Store(folder, Alone(), keep=1) as job:
                    job.save(left.pop())
            return hashed(path, file)

        monkeypatch.setattr(shard, "damage", late)

    return arrange


@pytest.mark.parametrize("step", [20, 30], ids=["saved again", "removed"])
def test_what_the_job_replaces_while_it_is_read_is_no_damage(tmp_path, saved, command, make_state, meanwhile, step):
    saved(tmp_path, 10, 20)
    meanwhile(tmp_path, make_state(step, version=1))
    code, out, _ = command("verify", tmp_path)
    assert code == 0 and "bad" not in out


@pytest.mark.parametrize("step", [20, 30], ids=["saved again", "removed"])
def test_the_newest_is_looked_for_again_if_the_job_replaced_it(tmp_path, saved, make_state, is_same, meanwhile, step):
    saved(tmp_path, 10, 20)
    meanwhile(tmp_path, make_state(step, version=1))
    told = []
    found = open_generation(tmp_path, reject=lambda path, problem: told.append(problem))
    assert is_same(found, make_state(step, version=1)) and told == []


def test_a_narrow_terminal_and_a_file_lose_no_words(tmp_path, command, monkeypatch):
    folder = tmp_path / "[red] run"
    save(folder, ARRAYS, merit=("loss", -0.5))
    for columns in (80, 50):
        monkeypatch.setenv("COLUMNS", str(columns))
        for words in (["list", folder], ["show", folder], ["show", folder, "model/0.weight"]):
            code, out, _ = command(*words)
            lines = [line for line in out.splitlines() if line[:1] in "│┃└┌┏┡"]
            assert code == 0 and lines and all(len(line) <= columns for line in lines) and "\x1b" not in out
            assert words[0] == "list" or str(folder) in out


def test_a_state_without_tensors_is_a_state(tmp_path, facts):
    path = save(tmp_path, {})
    assert facts("show", path)[1]["tensors"] == [] and facts("diff", path, path)[0] == 0
