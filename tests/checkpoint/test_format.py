"""The format as strangers see it: with HDF5's own tools, and by the recipe of docs/checkpoints.md, taken at its word."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from shoal.checkpoint.store import Store
from shoal.cli import app
from shoal.core.spec import Spec, State
from shoal.mpi.threads import run
from shoal.train.config import Checkpoint

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
WEIGHT, SCALE = np.arange(12, dtype="float32").reshape(4, 3), np.float64(2.5)


@pytest.fixture
def generation(tmp_path) -> Path:
    """Two ranks: each has half of the weight's rows, rank 0 a scalar besides."""

    def program(communicator):
        rows = slice(2 * communicator.rank, 2 * communicator.rank + 2)
        weight = Spec("0.weight", (2, 3), global_shape=(4, 3), origin=(rows.start, 0))
        tensors = {"model/0.weight": (weight, WEIGHT[rows]), "scale": (Spec("scale", ()), SCALE)}
        with Store(tmp_path / "run", communicator) as store:
            return store.save(State(tensors, {"step": 120, "text": "ä"}))

    return run(2, program)[0]


def tool(name: str, *args: str) -> str:
    """What one of HDF5's tools says; a named skip without it, in CI a failure."""
    if not shutil.which(name):
        reason = f"{name}: hdf5-tools is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI must run its tests", pytrace=False)
        pytest.skip(reason)
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
    done = subprocess.run([name, *args], capture_output=True, text=True, check=True, timeout=60, env=environment)
    return done.stdout


def attributes(text: str) -> dict[str, str]:
    """{"attribute": "value"} of one object, as h5dump -A prints it."""
    found = re.findall(r'ATTRIBUTE "(\w+)".*?DATA \{\s*\(0\): (.*?)\s*\}', text, re.DOTALL)
    return {name: value.strip('"') for name, value in found}


def test_h5ls_lists_logical_names_with_their_shapes(generation):
    listed = tool("h5ls", "-r", str(generation / "rank-0000.h5")).splitlines()
    assert {re.sub(" +", " ", line) for line in listed} == {
        "/ Group", "/model Group", "/model/0.weight Dataset {2, 3}", "/scale Dataset {SCALAR}",
    }  # fmt: skip


def test_h5dump_says_what_a_file_and_a_tensor_are(generation):
    text = tool("h5dump", "-A", str(generation / "rank-0001.h5"))
    file, weight = attributes(text.partition('GROUP "model"')[0]), attributes(text.partition('DATASET "0.weight"')[2])
    about = file.pop("about")
    assert "manifest.json" in about and "docs/checkpoints.md" in about
    own = {"format": "shoal generation", "version": "1", "generation": "step-00000120", "step": "120", "rank": "1"}
    assert file == own
    crc = weight.pop("crc32")
    assert weight == {"name": "model/0.weight", "dtype": "float32", "origin": "2, 0", "global_shape": "4, 3"}
    assert int(crc) == zlib.crc32(WEIGHT[2:].tobytes())
    assert "H5T_IEEE_F32LE" in text and "SIMPLE { ( 2, 3 ) / ( 2, 3 ) }" in text
    assert set(file) | {"about"} | set(weight) | {"crc32"} == documented(
        "attribute of the file", "attribute of a dataset"
    )


def documented(*tables: str) -> set[str]:
    """The `names` in the first columns of tables of the page, by their headings."""
    names = set()
    for table in tables:
        rows = re.search(rf"^\| {table} \|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
        assert rows, table
        names |= {name for row in rows[1].splitlines() for name in re.findall("`([^`]+)`", row.split("|")[1])}
    return names


def test_h5dump_shows_the_numbers(generation):
    assert re.search(r"\(0,0\): 6, 7, 8", tool("h5dump", "-d", "/model/0.weight", str(generation / "rank-0001.h5")))


def recipe() -> dict:
    """The names that the page's Python defines; it imports nothing of shoal."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "shoal" not in re.sub('"shoal generation"', "", code)
    names: dict = {}
    exec(code, names)
    return names


def test_the_recipe_of_the_page_reads_what_any_number_of_ranks_wrote(generation):
    read, newest = recipe()["read"], recipe()["newest"]
    tensors, facts = read(newest(generation.parents[1]))
    assert facts == {"step": 120, "text": "ä"} and set(tensors) == {"model/0.weight", "scale"}
    for name, array in (("model/0.weight", WEIGHT), ("scale", SCALE)):
        assert (tensors[name].dtype, tensors[name].tobytes()) == (array.dtype, array.tobytes())


@pytest.mark.parametrize("name", ["manifest.json", "rank-0001.h5"])
def test_the_recipe_of_the_page_sees_damage(generation, name):
    data = bytearray((generation / name).read_bytes())
    at = data.index(b'"step": 120') + 9 if name == "manifest.json" else len(data) // 2
    data[at] ^= 1
    (generation / name).write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        recipe()["read"](generation)


def test_the_page_names_every_field_of_the_manifest(generation):
    body = json.loads((generation / "manifest.json").read_text())
    inner = {"name", "bytes", "sha256", "tensors"}
    assert documented("field") == set(body) and set(body["files"][0]) == inner
    assert all(f"`{name}`" in PAGE for name in inner)


def test_the_page_names_every_command(capsys):
    commands = set(re.findall(r"^\| `shoal checkpoint (\w+)", PAGE, re.MULTILINE))
    for command in commands:
        with pytest.raises(SystemExit) as end:
            app(["checkpoint", command, "--help"])
        assert end.value.code == 0
    assert commands == {"list", "verify", "show", "diff", "export"}
    capsys.readouterr()


def test_the_page_names_every_setting_of_checkpoints():
    assert all(f"`checkpoint.{item.name}" in PAGE for item in fields(Checkpoint))
