"""Compilation and threads: what is compiled, when, by whom; seen from fresh processes, as a user's are."""

import json
import os
import shutil
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from closeness import normal

import shoal
from shoal.core.errors import PlatformError, UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import compile, threads

PACKAGE = Path(shoal.__file__).parent

# Runs the lines of argv[1]; prints what was compiled or loaded, and `result`.
CHILD = """
import json, sys
import numpy as np
from shoal.kernels import ops
from shoal.kernels.cpu import compile, threads
events, result = [], None
compile.listeners.append(lambda name, seconds, from_cache: seconds is None or events.append((name, from_cache)))
exec(sys.argv[1])
print(json.dumps({"events": events, "result": result}))
"""
SUM = "threads.set_threads(1); result = ops.column_sum(np.ones((3, 2))).tolist()"
PRODUCT = "threads.set_threads(1); result = ops.gemm(np.ones((3, 2)), np.ones((2, 3)), bias=np.ones(3)).tolist()"


def start(lines, cache, path=PACKAGE.parent, **environment):
    environment = {**os.environ, "SHOAL_CACHE_DIR": str(cache), "PYTHONPATH": str(path), **environment}
    command = [sys.executable, "-W", "always", "-c", CHILD, lines]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child):
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    return {**json.loads(out), "err": err}


def run(lines, cache, **how):
    return finish(start(lines, cache, **how))


# ---------------------------------------------------------------------------------------------------- the cache


def test_a_second_process_compiles_nothing(tmp_path):
    first, second = run(SUM, tmp_path), run(SUM, tmp_path)
    assert first["events"] == [["gemm._column_sums", False]]
    assert second["events"] == [["gemm._column_sums", True]]
    assert first["result"] == second["result"] == [3, 3]


def test_copies_of_one_loop_are_kept_apart_and_found_again(tmp_path):
    """A closure over the function that differs would be compiled by every process."""
    lines = (
        "threads.set_threads(1); x = np.full(3, 2.0); result = [float(ops.add(x, x)[0]), float(ops.multiply(x, -x)[0])]"
    )
    for from_cache in (False, True):
        child = run(lines, tmp_path)
        assert child["events"] == [[f"elementwise.{name}_pieces", from_cache] for name in ("_add", "_multiply")]
        assert child["result"] == [4, -4]


def test_of_two_processes_one_compiles_and_the_other_loads(tmp_path):
    both = [finish(child) for child in [start(SUM, tmp_path) for _ in range(2)]]
    assert sorted(from_cache for child in both for _, from_cache in child["events"]) == [False, True]


def test_an_edit_of_an_intrinsic_leads_to_new_results(tmp_path):
    copy, ignore = tmp_path / "shoal", shutil.ignore_patterns("__pycache__")
    for room in ("core", "kernels"):
        shutil.copytree(PACKAGE / room, copy / room, ignore=ignore)
    shutil.copy(PACKAGE / "__init__.py", copy)
    before = run(PRODUCT, tmp_path / "cache", path=tmp_path)
    source = copy / "kernels/cpu/tile.py"
    old, new = "y = self.b.fadd(y, bias", "y = self.b.fsub(y, bias"
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, new))
    after = run(PRODUCT, tmp_path / "cache", path=tmp_path)
    assert before["result"] == [[3] * 3] * 3
    assert after["result"] == [[1] * 3] * 3
    assert ["brgemm._multiply", False] in after["events"]


def test_the_two_variants_are_kept_apart(tmp_path):
    if threads.cap() < 2:
        pytest.skip("one core: there is no parallel variant")
    lines = f"{SUM}; threads.set_threads(2); compile.WORTH = 0; ops.column_sum(np.ones((3, 2)))"
    for from_cache in (False, True):
        names = ["gemm._column_sums", "gemm._column_sums_parallel"]
        assert run(lines, tmp_path)["events"] == [[name, from_cache] for name in names]


def test_without_a_folder_it_compiles_and_says_so_once(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for _ in range(2):
        child = run(f"{SUM}; {PRODUCT}", file)
        assert child["result"] == [[3] * 3] * 3
        assert not any(from_cache for _, from_cache in child["events"])
        assert child["err"].count("cannot be written") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_the_folder_goes_where_numba_was_told(tmp_path):
    lines = "import os; del os.environ['SHOAL_CACHE_DIR']; result = str(compile.folder())"
    child = run(lines, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert child["result"].startswith(str(tmp_path / "numba/shoal"))


@pytest.mark.parametrize("cpu", ["generic", "haswell"])
def test_other_cpus(cpu, tmp_path):
    """Another CPU gets a folder of its own, and right results without AVX2 and without fused multiply-adds."""
    lines = """
threads.set_threads(1)
draw = np.random.default_rng(0).standard_normal
result = [str(compile.folder())]
for dtype in (np.float32, np.float64):
    a, b = draw((13, 300)).astype(dtype), draw((19, 300)).astype(dtype)
    for trans_b in (False, True):
        b_given = b if trans_b else np.ascontiguousarray(b.T)
        error = ops.gemm(a, b_given, trans_b=trans_b) - a.astype(float) @ b.T
        result.append(float(abs(error).max() / np.finfo(dtype).eps))
"""
    folder, *errors = run(lines, tmp_path, NUMBA_CPU_NAME=cpu)["result"]
    assert Path(folder).name != compile.fingerprint()
    assert max(errors) < 300


# ---------------------------------------------------------------------------------------------------- threads

LAYER = "from numba.np.ufunc import parallel; result = parallel.threading_layer() if parallel._is_initialized else None"


def test_one_thread_starts_no_threading_layer(tmp_path):
    assert run(f"{PRODUCT}; {LAYER}", tmp_path)["result"] is None


def test_the_layer_is_openmp_or_tbb_and_never_workqueue(tmp_path):
    if threads.cap() < 2 or threads.layer() is None:
        pytest.skip("one core or no threading library")
    lines = f"threads.set_threads(2); compile.WORTH = 0; ops.column_sum(np.ones((3, 2))); {LAYER}"
    assert run(lines, tmp_path)["result"] == threads.layer()
    try:
        metadata.version("tbb")
    except metadata.PackageNotFoundError:
        pytest.skip("the tbb wheel is not installed")
    without = "loads = threads._loads; threads._loads = lambda path: 'gomp' not in path and loads(path); "
    assert run(without + lines, tmp_path)["result"] == "tbb"


def test_without_a_threading_library_there_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "layer", lambda: None)
    monkeypatch.setattr(threads, "cap", lambda: 2)
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setattr(threads, "affinity", lambda: frozenset({0, 1}))
    monkeypatch.setattr(threads, "quota", lambda: 2.0)
    with pytest.warns(UserWarning, match="one thread"):
        assert threads.threads() == 1
    with pytest.raises(PlatformError, match="OpenMP or TBB"):
        threads.set_threads(2)


def test_more_threads_than_numba_starts_are_refused():
    with pytest.raises(UsageError, match=f"between 1 and {threads.cap()}"):
        threads.set_threads(threads.cap() + 1)
    with pytest.raises(UsageError):
        threads.set_threads(0)


def test_serial_kernels_may_run_in_several_python_threads():
    before = threads.threads()
    threads.set_threads(1)
    a, b = normal(0, (96, 300), np.float32), normal(1, (300, 64), np.float32)
    expected, wrong = ops.gemm(a, b), []

    def work():
        for _ in range(50):
            if not np.array_equal(ops.gemm(a, b), expected):
                wrong.append(1)

    team = [threading.Thread(target=work) for _ in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    threads.set_threads(before)
    assert not wrong
