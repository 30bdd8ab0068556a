"""Compilation: CUDA C++ becomes machine code for one architecture, straight through NVRTC, and stays on disk.

CuPy's own way cannot name architectures such as sm_90a and makes PTX, which the driver compiles again. NVRTC makes a cubin,
needs no GPU for it, and says what each kernel takes of the hardware; so tests hold registers and spills on any machine.

    <SHOAL_CACHE_DIR, NUMBA_CACHE_DIR or ~/.cache>/shoal/gpu/<hash of sources, options and NVRTC's version>.cubin and .log
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import PlatformError

SOURCES = Path(__file__).parent
OPTIONS = ("-std=c++17", "-default-device", "--ptxas-options=-v", "-lineinfo")
REAL = {"float32": "float", "float64": "double"}  # what `real` is in the sources

_ENTRY = re.compile(r"Function properties for (\w+)|(\d+) bytes spill stores|Used (\d+) registers|(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """What one kernel takes: registers of a thread, bytes of shared memory of a block, bytes spilled."""

    registers: int
    shared: int
    spills: int


@dataclass(frozen=True)
class Cubin:
    """Machine code of one source file, and what NVRTC said about it."""

    code: bytes
    log: str

    def resources(self) -> dict[str, Resources]:
        """Of each kernel, as ptxas counted them."""
        found: dict[str, dict[str, int]] = {}
        name = ""
        for entry, spills, registers, shared in _ENTRY.findall(self.log):
            name = entry or name
            kept = found.setdefault(name, {"registers": 0, "shared": 0, "spills": 0})
            kept["spills"] += int(spills or 0)
            kept["registers"] += int(registers or 0)
            kept["shared"] += int(shared or 0)
        return {name: Resources(**kept) for name, kept in found.items() if not name.startswith("__internal")}


@lru_cache(maxsize=256)
def cubin(file: str, arch: str, dtype: str) -> Cubin:
    """Compiles kernels/gpu/`file` for `arch`, such as "sm_90a", with `real` as `dtype`; or finds what was compiled before.

    Raises PlatformError (code 3) with the compiler's words and the line of the source that is wrong.
    """
    options = (*OPTIONS, f"-arch={arch}", f"-Dreal={REAL[np.dtype(dtype).name]}", *own_options(file))
    stem = folder() / _key(file, options)
    if stem.with_suffix(".cubin").exists():
        return Cubin(stem.with_suffix(".cubin").read_bytes(), stem.with_suffix(".log").read_text())
    made = _compile(file, options)
    _keep(stem.with_suffix(".log"), made.log.encode())
    _keep(stem.with_suffix(".cubin"), made.code)  # last: where it is, the log is too
    return made


def _compile(file: str, options: tuple[str, ...]) -> Cubin:
    nvrtc, names = _nvrtc(), [path.name for path in headers()]
    program = nvrtc.createProgram(
        (SOURCES / file).read_text(),
        file,
        [(SOURCES / name).read_bytes() for name in names],
        [n.encode() for n in names],
    )
    try:
        nvrtc.compileProgram(program, options)
        return Cubin(nvrtc.getCUBIN(program), nvrtc.getProgramLog(program))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise PlatformError(f"{file} does not compile with {' '.join(options)}:\n{_with_lines(log)}") from error
    finally:
        nvrtc.destroyProgram(program)


def _with_lines(log: str) -> str:
    """The compiler's log; after each place that it names, the line of source."""
    told = []
    for line in log.splitlines():
        told.append(line)
        place = re.match(r"([\w.]+)\((\d+)\): (error|warning)", line)
        if place and (SOURCES / place[1]).exists():
            told.append(f"    {place[2]} | {(SOURCES / place[1]).read_text().splitlines()[int(place[2]) - 1].strip()}")
    return "\n".join(told)


def own_options(file: str) -> list[str]:
    """What a source asks of its compiler in its first line: // nvrtc: -fmad=false"""
    with (SOURCES / file).open() as source:
        asked = re.match(r"// nvrtc: (.*)", source.readline())
    return asked[1].split() if asked else []


def headers() -> list[Path]:
    """What a source may include."""
    return sorted(SOURCES.glob("*.cuh"))


def _key(file: str, options: tuple[str, ...]) -> str:
    digest = blake2b(digest_size=10)
    for path in (SOURCES / file, *headers()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr((options, _nvrtc().getVersion())).encode())
    return f"{Path(file).stem}-{digest.hexdigest()}"


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all: ranks compile at the same time."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


@cache
def folder() -> Path:
    """Where machine code is kept; a folder that ends with the process where nothing can be written."""
    bases = (os.environ.get(name) for name in ("SHOAL_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    path = Path(next(filter(None, bases), "~/.cache")).expanduser().absolute() / "shoal" / "gpu"
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
        return path
    except OSError:
        return Path(tempfile.mkdtemp(prefix="shoal-gpu-"))


@cache
def _nvrtc() -> Any:
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        cure = 'pip install "shoal[cuda13]" (or cuda12, as the driver allows)'
        raise PlatformError(f"the gpu backend needs CuPy and NVRTC: {error}", cure) from error
    return nvrtc
