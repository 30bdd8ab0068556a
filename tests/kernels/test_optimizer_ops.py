"""SGD, momentum and the ordered sum: golden numbers, and the same bits on every CPU."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import compile, optimizer, philox, reduction, simd

NOWHERE = np.zeros((0, 2), np.int64)
STREAM = [1, -0.5, 0.25, 0.125, 2]  # gradients that do not depend on w; w starts at 1, lr is 0.1

GOLDEN = {
    "sgd": ({}, [0.9, 0.95, 0.925, 0.9125, 0.7125]),
    "momentum": ({"momentum": 0.9}, [0.9, 0.86, 0.799, 0.7316, 0.47094]),
    "dampened": ({"momentum": 0.9, "dampening": 0.9}, [0.9, 0.815, 0.736, 0.66365, 0.578535]),
    "nesterov": ({"momentum": 0.9, "nesterov": True}, [0.81, 0.824, 0.7441, 0.67094, 0.236346]),
}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("rule", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_golden_stream(rule, expected, backend):
    w, v = np.ones(1), np.full(1, np.nan)  # the first step must not look at v
    got = []
    for step, g in enumerate(STREAM):
        if rule:
            ops.momentum(w, np.array([float(g)]), v, NOWHERE, lr=0.1, first=step == 0, backend=backend, **rule)
        else:
            ops.sgd(w, np.array([float(g)]), NOWHERE, lr=0.1, backend=backend)
        got.append(w[0])
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def buffers(n, dtype, count=3, seed=0):
    return [a.astype(dtype) for a in np.random.default_rng(seed).standard_normal((count, n))]


def ranges(n, cuts):
    """Sorted disjoint [start, stop) within n from any list of numbers."""
    cuts = sorted({c % (n + 1) for c in cuts})
    return np.array(cuts[: len(cuts) // 2 * 2], np.int64).reshape(-1, 2)


rules = st.fixed_dictionaries(
    {
        "lr": st.floats(0, 1),
        "momentum": st.floats(0, 1),
        "dampening": st.floats(0, 1),
        "weight_decay": st.sampled_from([0.0, 1e-4, 0.1]),
        "nesterov": st.booleans(),
        "first": st.booleans(),
    }
)


@given(
    n=st.one_of(st.integers(0, 70), st.integers(16_380, 16_390), st.just(40_000)),
    cuts=st.lists(st.integers(0, 40_000), max_size=8),
    rule=rules,
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=80)
def test_updates_have_the_bits_of_their_definitions(n, cuts, rule, dtype):
    w, g, v = buffers(n, dtype)
    decay = ranges(n, cuts)
    plain = {"lr": rule["lr"], "weight_decay": rule["weight_decay"]}
    expected = ops.sgd.reference(w, g, decay, **plain)
    moved = w.copy()
    ops.sgd(moved, g, decay, **plain)
    assert moved.tobytes() == expected.tobytes()
    expected, velocity = ops.momentum.reference(w, g, v, decay, **rule)
    ops.momentum(w, g, v, decay, **rule)
    assert w.tobytes() == expected.tobytes() and v.tobytes() == velocity.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_momentum_zero_is_sgd_bit_by_bit(dtype):
    w, g, v = buffers(1000, dtype)
    plain, decay = w.copy(), np.array([[3, 500]])
    for step in range(5):
        ops.momentum(w, g, v, decay, lr=0.1, momentum=0.0, weight_decay=0.01, first=step == 0)
        ops.sgd(plain, g, decay, lr=0.1, weight_decay=0.01)
    assert w.tobytes() == plain.tobytes()


def test_velocity_of_a_constant_gradient_tends_to_its_limit():
    w, v = np.zeros(1), np.zeros(1)
    for step in range(300):
        ops.momentum(w, np.ones(1), v, NOWHERE, lr=0.1, momentum=0.9, first=step == 0)
    np.testing.assert_allclose(v, 1 / (1 - 0.9), rtol=1e-12)


def test_weight_decay_stays_inside_its_ranges():
    decay = np.array([[0, 10], [16, 17], [40, 64]])
    inside = np.zeros(64, bool)
    for start, stop in decay:
        inside[start:stop] = True
    w, g = np.ones(64), np.zeros(64)
    ops.sgd(w, g, decay, lr=0.5, weight_decay=0.5)
    np.testing.assert_array_equal(w, np.where(inside, 0.75, 1.0))
    w, v = np.ones(64), np.zeros(64)
    ops.momentum(w, g, v, decay, lr=0.5, momentum=0.9, weight_decay=0.5)
    np.testing.assert_array_equal(w, np.where(inside, 0.75, 1.0))


@pytest.mark.parametrize("rule", [GOLDEN[name][0] for name in GOLDEN], ids=GOLDEN)
def test_twenty_steps_equal_torch(rule):
    torch = oracle()
    w, v = buffers(50, np.float64, count=2)
    tw = torch.nn.Parameter(torch.tensor(w))
    optimizer = torch.optim.SGD([tw], lr=0.1, weight_decay=0.01, **rule)
    for step in range(20):
        (g,) = buffers(50, np.float64, count=1, seed=step)
        tw.grad = torch.tensor(g)
        optimizer.step()
        everywhere = np.array([[0, 50]])
        if rule:
            ops.momentum(w, g, v, everywhere, lr=0.1, weight_decay=0.01, first=step == 0, **rule)
        else:
            ops.sgd(w, g, everywhere, lr=0.1, weight_decay=0.01)
    np.testing.assert_allclose(w, tw.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 5), (2, 0), (3, 1), (4, 2049), (7, 5000)])
def test_ordered_sum_has_the_bits_of_its_definition(shape, dtype):
    parts = np.random.default_rng(0).standard_normal(shape).astype(dtype) * 1e3
    assert ops.ordered_sum(parts).tobytes() == ops.ordered_sum.reference(parts).tobytes()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_ordered_sum_adds_in_rank_order(backend):
    parts = np.array([[1.0], [1e16], [-1e16]])
    assert ops.ordered_sum(parts, backend=backend) == 0.0  # (1 + 1e16) - 1e16; any other order gives 1
    assert ops.ordered_sum(np.ascontiguousarray(parts[::-1]), backend=backend) == 1.0


def test_wrong_buffers_are_rejected():
    w, g, v = buffers(4, np.float32)
    with pytest.raises(UsageError, match=r"\(4,\), \(3,\)"):
        ops.sgd(w, g[:3].copy(), NOWHERE, lr=0.1)
    with pytest.raises(UsageError, match=r"need int64 \(k, 2\)"):
        ops.sgd(w, g, np.zeros(2, np.int64), lr=0.1)
    with pytest.raises(UsageError, match="w is float32 but velocity is float64"):
        ops.momentum(w, g, v.astype(np.float64), NOWHERE, lr=0.1, momentum=0.9)


# ---------------------------------------------------------------------------------------------------- unequal CPUs

FUSED = re.compile(r"\bvfn?m(add|sub)|\bfn?m(add|sub|la|ls)\b")  # x86, ARM
REPLICATED = {
    "sgd": optimizer._sgd.kernel,
    "momentum": optimizer._momentum.kernel,
    "ordered_sum": reduction._ordered_sum,
    "fill_uniform": philox._fill_uniform,
    "fill_normal": philox._fill_normal,
}


def results():
    """What every replica computes for itself."""
    for dtype in (np.float32, np.float64):
        w, g, v = buffers(20_001, dtype)
        decay = np.array([[5, 9000], [17_000, 20_000]])
        ops.sgd(w, g, decay, lr=0.1, weight_decay=0.01)
        yield w
        for nesterov in (False, True):
            ops.momentum(w, g, v, decay, lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
            yield from (w, v)
        yield ops.ordered_sum(np.stack((w, g, v)))
        ops.fill_uniform(w, key=(1, 2), low=-0.1, high=0.3)
        yield w
        ops.fill_normal(w, key=(1, 2), deviation=0.3)
        yield w


def fingerprint():
    digest = hashlib.sha256()
    for array in results():
        digest.update(array.tobytes())
    return digest.hexdigest()


def assembly(kernel, monkeypatch):
    """Of the serial variant, for every signature it was called with; compiled anew: Numba shows none from a cache."""
    monkeypatch.setattr(compile, "folder", lambda: None)
    fresh = compile.kernel(kernel.function).variant(False)
    for signature in kernel.variant(False).signatures:
        fresh.compile(signature)
        yield fresh.inspect_asm(signature)


@pytest.mark.parametrize("name", REPLICATED)
def test_nothing_replicated_contracts_a_product_and_a_sum(name, monkeypatch):
    for _ in results():
        pass
    for text in assembly(REPLICATED[name], monkeypatch):
        assert re.search(r"\bv?(mul|add)[ps][sd]|\bfadd", text)  # there is arithmetic in it
        assert not FUSED.search(text)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="reads x86-64 assembly")
@pytest.mark.parametrize("name", ["sgd", "momentum", "ordered_sum"])
def test_updates_are_compiled_to_vectors(name, monkeypatch):
    for _ in results():
        pass
    for text in assembly(REPLICATED[name], monkeypatch):
        assert re.search(r"\bv?addp[sd]\b|\bv?subp[sd]\b", text)


@pytest.mark.skipif(not simd.HAS_FMA, reason="this CPU has no fused multiply-add to be found")
def test_a_contraction_would_be_found():
    import numba

    @numba.njit(fastmath=True)
    def contracted(w, g, lr):
        for i in range(w.size):
            w[i] -= lr * g[i]

    contracted(np.ones(4), np.ones(4), 0.1)
    assert FUSED.search(next(iter(contracted.inspect_asm().values())))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86-64 CPUs")
@pytest.mark.parametrize("cpu", ["generic", "haswell"])
def test_an_older_cpu_computes_the_same_bits(cpu, tmp_path):
    if cpu == "haswell" and not simd.HAS_FMA:
        pytest.skip("this CPU cannot run code for haswell")
    module = __name__.rpartition(".")[2]
    program = f"import sys; sys.path[:0] = {sys.path!r}; import {module}; print({module}.fingerprint())"
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_NUM_THREADS": "1", "SHOAL_CACHE_DIR": str(tmp_path)}
    here = Path(__file__).parent
    child = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=here, capture_output=True, text=True, timeout=240
    )
    assert child.stdout.strip() == fingerprint(), child.stderr
