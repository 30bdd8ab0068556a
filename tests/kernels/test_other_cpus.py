"""Products and convolutions on CPUs of other widths: right where they can run here, and no sum spilled anywhere.

A child for each CPU compiles all of it without the cache, because Numba shows no assembly of what it loads. For AVX-512, which
the machine that runs the tests may not have, it compiles only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closeness import ALLOWED, distance
from every_op import EVERY, Call

from shoal.kernels.cpu import compile, simd, threads

MODULE = __name__.rpartition(".")[2]
AVX512 = ",".join(
    f"+{name}"
    for name in ["avx", "avx2", "fma", "bmi", "bmi2", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"]
)
CPUS = {  # name: (LLVM's name, its features; None are this CPU's own), whether its code runs here
    "portable": ({"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}, True),
    "haswell": ({"NUMBA_CPU_NAME": "haswell"}, True),
    "avx512": ({"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": AVX512}, False),
}
REGISTER = {"portable": "xmm", "haswell": "ymm", "avx512": "zmm"}
CALLS = [name for name in EVERY if name.startswith(("gemm", "conv2d"))]
MULTIPLY_ADD = re.compile(r"v?(?:fmadd\d+|mul)p[sd]\s.*%([xyz]mm)")
pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="names of x86-64 CPUs, and their assembly"),
    pytest.mark.skipif(not simd.HAS_FMA, reason="this CPU cannot run what is compiled for Haswell"),
]


def main(dtype: str, runs: bool) -> None:
    """Of a child: {"distances": {call: from its definition}, "spills": {kernel with a loop over k: of vectors in it}, ...}"""
    from test_gemm import vector_spills  # type: ignore[import-not-found]

    threads.set_threads(1)
    compile.folder = lambda: None  # type: ignore[assignment]
    kernels: dict[str, compile.Kernel] = {}
    called = compile.Kernel.__call__

    def call(kernel: compile.Kernel, *args: Any, work: int) -> Any:
        kernels[kernel.name] = kernel
        if runs:
            return called(kernel, *args, work=work)
        dispatcher = kernel.variant(False)
        return dispatcher.compile(tuple(map(dispatcher.typeof_pyval, args))) and None

    compile.Kernel.__call__ = call  # type: ignore[method-assign]
    distances = {name: error(EVERY[name], dtype) for name in CALLS}
    texts = {name: "".join(kernel.variant(False).inspect_asm().values()) for name, kernel in kernels.items()}
    tiles = {name: text for name, text in texts.items() if len(MULTIPLY_ADD.findall(text)) >= 2 * simd.MR}
    spills = {name: vector_spills(text) for name, text in tiles.items()}
    widths = {name: sorted({match[1] for match in MULTIPLY_ADD.finditer(text)}) for name, text in tiles.items()}
    print(json.dumps({"distances": distances, "spills": spills, "widths": widths}))


def error(call: Call, dtype: Any) -> float:
    wide = call.changed(lambda i, a: a.astype(np.float64))
    definition = wide.op.reference(*wide.arguments, **wide.settings)
    (result,) = call.changed(lambda i, a: a.astype(dtype)).run()
    return distance(np.nan_to_num(result), definition)


@pytest.fixture(scope="module", params=["float32", pytest.param("float64", marks=pytest.mark.long)])
def children(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, Any]]]:
    """{cpu: what its child printed}, of one dtype."""
    running: dict[str, subprocess.Popen[str]] = {}
    for cpu, (environment, runs) in CPUS.items():
        program = f"import sys; sys.path[:0] = {sys.path!r}; import {MODULE}; {MODULE}.main({request.param!r}, {runs})"
        running[cpu] = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_NUM_THREADS": "1", **environment},
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        found: dict[str, dict[str, Any]] = {"dtype": request.param}
        for cpu, child in running.items():
            out, err = child.communicate(timeout=280)
            assert child.returncode == 0, err
            found[cpu] = json.loads(out)
        yield found
    finally:
        for child in running.values():
            child.kill()


@pytest.mark.parametrize("cpu", [cpu for cpu, (_, runs) in CPUS.items() if runs])
def test_results_are_those_of_the_definition(cpu: str, children: Any) -> None:
    for name, found in children[cpu]["distances"].items():
        assert found <= ALLOWED[np.dtype(children["dtype"]).type], name


@pytest.mark.parametrize("cpu", CPUS)
def test_the_loops_over_k_hold_their_sums_in_the_widest_registers(cpu: str, children: Any) -> None:
    found = children[cpu]
    assert any(name.startswith("brgemm.") for name in found["spills"])
    assert all(REGISTER[cpu] in widths for widths in found["widths"].values())
    del found["spills"]["depthwise._products"]  # its loop for ragged channels has 12 sums and masks, in 16 registers
    found["spills"].pop("winograd_stages._convolve_4", None)  # its GELU, no loop over k, keeps constants on the stack
    assert not any(found["spills"].values())
