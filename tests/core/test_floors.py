"""The house's floors: a room imports lower floors only, and heavy imports stand in the rooms that own them.

Read with ast from the sources, so that an import inside a function counts too.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOOR = {
    "core": 1,
    "kernels": 2,
    "nn": 3,
    "optim": 3,
    "compress": 4,
    "plan": 4,
    "mpi": 5,
    "checkpoint": 6,
    "edge": 6,
    "train": 7,
    "jobs": 8,
    "cli": 9,
    "__main__": 10,
}
MAY_ALSO = {("optim", "nn")}  # optimizers work on nn's arenas
OWNERS = {  # third-party module -> where it may be imported
    "mpi4py": ("mpi/world/",),
    "h5py": ("checkpoint/", "train/data/hdf5.py"),
    "PIL": ("train/data/images.py",),
    "safetensors": ("train/weights.py",),
    "numba": ("kernels/cpu/",),
    "llvmlite": ("kernels/cpu/",),
    "cupy": ("kernels/gpu/", "core/backend.py", "mpi/world/aware.py"),
    "typer": ("cli/",),
    "rich": ("train/", "jobs/", "cli/"),
    "matplotlib": ("plan/draw.py",),
}


def sources() -> list[str]:
    rooms = [room for room in FLOOR if (ROOT / room).is_dir()]
    files = [p for room in rooms for p in (ROOT / room).rglob("*.py")] + [ROOT / "__main__.py"]
    return sorted(str(p.relative_to(ROOT)) for p in files)


def imports(path: str, text: str) -> list[tuple[int, str]]:
    """(level, dotted name) of every import; level 0 is absolute."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found += [(node.level, name) for name in names]
    return found


def violations(path: str, text: str) -> list[str]:
    *folders, file = Path(path).parts
    room = folders[0] if folders else file.removesuffix(".py")
    wrong = []
    for level, name in imports(path, text):
        top = name.split(".")[0]
        if level == 0:
            if top == "shoal":
                wrong.append(f"{path}: absolute import of {name}")
            if top in OWNERS and not path.startswith(OWNERS[top]):
                wrong.append(f"{path}: {top} belongs to {OWNERS[top]}")
        elif level == len(folders) + 1:  # relative to the root: the first word is a room
            target = top
            if target in FLOOR and FLOOR[target] >= FLOOR[room] and target != room and (room, target) not in MAY_ALSO:
                wrong.append(f"{path}: {room} (floor {FLOOR[room]}) imports {target} (floor {FLOOR[target]})")
        elif level > len(folders) + 1:
            wrong.append(f"{path}: {'.' * level}{name} leaves the package")
    return wrong


@pytest.mark.parametrize("path", sources())
def test_a_room_imports_lower_floors_only(path: str) -> None:
    assert violations(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    "path, text",
    [
        ("core/x.py", "from ..kernels import ops"),
        ("kernels/cpu/x.py", "from ...nn import Linear"),
        ("nn/x.py", "import mpi4py.MPI"),
        ("nn/x.py", "def f():\n    from numba import njit"),
        ("train/x.py", "import h5py"),
        ("mpi/x.py", "import shoal.core"),
        ("nn/models/x.py", "from ....core import shape"),
    ],
)
def test_the_check_sees_a_violation(path: str, text: str) -> None:
    assert violations(path, text)


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_nn_loads_neither_numba_nor_mpi_nor_hdf5() -> None:
    assert not {"numba", "mpi4py", "h5py", "cupy", "rich", "typer"} & modules_after("import shoal.nn, shoal.optim")


def test_importing_shoal_loads_not_even_numpy() -> None:
    assert "numpy" not in modules_after("import shoal")


def test_planning_is_pure() -> None:
    assert not {"numpy", "rich", "matplotlib"} & modules_after("import shoal.plan, shoal.plan.draw")


def test_the_command_line_loads_nothing_heavy_before_a_command_runs() -> None:
    assert not {"numpy", "numba", "mpi4py", "h5py"} & modules_after("import shoal.cli")
