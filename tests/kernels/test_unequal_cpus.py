"""What every replica computes for itself has the same bits on every CPU: no product and sum become one instruction.

One child for each CPU compiles and runs all of it in float32, and looks at its own assembly: Numba shows none of what it
loads from a cache.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from closeness import normal
from rules import RULES, arguments, updated

from shoal.kernels import ops
from shoal.kernels.cpu import adaptive, optimizer, philox, reduction, simd, threads

MODULE = __name__.rpartition(".")[2]
X86 = os.uname().machine == "x86_64"
CPUS = ["generic", *["haswell"] * simd.HAS_FMA] if X86 else [""]  # and the one that runs the tests
FUSED = re.compile(r"\bvfn?m(add|sub)|\bfn?m(add|sub|la|ls)\b")  # x86, ARM
VECTORS = re.compile(r"\bv?(add|sub|mul)p[sd]\b")
DECAY = np.array([[5, 900], [1700, 2000]])
KERNELS = {
    **{name: getattr(optimizer, f"_{name}").kernel for name in ("sgd", "momentum", "sutskever", "look_ahead", "nag")},
    **{name: getattr(optimizer, f"_{name}").kernel for name in ("qhm", "aggmo")},
    **{name: getattr(adaptive, f"_{name}").kernel for name in ("adagrad", "rmsprop", "adam", "mixed_adam")},
    "ordered_sum": reduction._ordered_sum,
    "sum_of_squares": reduction._sum_of_squares,
    "fill_uniform": philox._fill_uniform,
    "fill_normal": philox._fill_normal,
}
DRAWN = ("fill_uniform", "fill_normal")  # integers, mostly: no vectors of real numbers


def results():
    """(name, array) of everything."""
    for name in RULES:
        rule, arrays, hyper = arguments(name, 2001, np.float32, DECAY)
        rule(*arrays, **hyper)
        yield from ((name, a) for a in updated(rule, arrays))
    w, x, v = (normal(seed, 2001, np.float32) for seed in range(3))
    ops.look_ahead(w, x, v, momentum=0.9)
    yield "look_ahead", w
    yield "ordered_sum", ops.ordered_sum(np.stack((w, x, v)))
    yield "sum_of_squares", ops.sum_of_squares(w)
    ops.fill_uniform(v, key=(1, 2), low=-0.1, high=0.3)
    yield "fill_uniform", v
    ops.fill_normal(x, key=(1, 2), deviation=0.3)
    yield "fill_normal", x


def bits():
    """{name: digest}"""
    found = {}
    for name, array in results():
        found.setdefault(name, hashlib.sha256()).update(array.tobytes())
    return {name: digest.hexdigest() for name, digest in found.items()}


def assembly(kernel):
    """Of its serial variant, which this process must have compiled."""
    return "".join(kernel.variant(False).inspect_asm().values())


def main():
    """Of a child."""
    threads.set_threads(1)
    texts = {"bits": bits()} | {name: assembly(kernel) for name, kernel in KERNELS.items()}
    print(json.dumps(texts))


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    """{cpu: what its child printed}"""
    program = f"import sys; sys.path[:0] = {sys.path!r}; import {MODULE}; {MODULE}.main()"
    running = {}
    for cpu in CPUS:
        environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_NUM_THREADS": "1"}
        environment["SHOAL_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
        running[cpu] = subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    found = {}
    for cpu, child in running.items():
        out, err = child.communicate(timeout=240)
        assert child.returncode == 0, err
        found[cpu] = json.loads(out)
    return found


@pytest.mark.parametrize("cpu", CPUS)
def test_another_cpu_computes_the_same_bits(cpu, children):
    assert children[cpu]["bits"] == bits()
    assert len(set(bits().values())) == len(bits())  # they are not all of nothing


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_contracts_a_product_and_a_sum(name, children):
    for found in children.values():
        assert re.search(r"\bv?(mul|add|sub)[ps][sd]|\bf(add|mul)", found[name])  # there is arithmetic in it
        assert not FUSED.search(found[name])


@pytest.mark.skipif(not X86, reason="reads x86-64 assembly")
@pytest.mark.parametrize("name", [name for name in KERNELS if name not in DRAWN])
def test_updates_are_compiled_to_vectors(name, children):
    for cpu, found in children.items():
        assert VECTORS.search(found[name])
        if name in ("adagrad", "rmsprop", "adam", "mixed_adam") and cpu != "generic":  # whose vectors have slow roots
            assert re.search(r"\bvsqrtps\b", found[name]) and re.search(r"\bvdivps\b", found[name])


@pytest.mark.skipif(not simd.HAS_FMA, reason="this CPU has no fused multiply-add to be found")
def test_a_contraction_would_be_found():
    import numba

    @numba.njit(fastmath=True)
    def contracted(w, g, lr):
        for i in range(w.size):
            w[i] -= lr * g[i]

    contracted(np.ones(4), np.ones(4), 0.1)
    assert FUSED.search(next(iter(contracted.inspect_asm().values())))
