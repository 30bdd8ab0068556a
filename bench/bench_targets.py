"""Is every product and every convolution of real networks as fast as the best of OpenBLAS, MKL and oneDNN?

Peers are called as their users call them: np.matmul and torch.mm with out=, PyTorch's convolutions channels last, which have none.
So a convolution's batch is left out where an array of it passes 32 MiB: malloc would give PyTorch fresh pages for each result.
In no mean: what is below 1 MFLOP, depthwise layers, and gradients of the data, which training never asks for.
"""

from functools import cache

import numpy as np
import pytest
from layers import BATCHES, SQUARES, Product, convolutions, products
from peers import convolution, torch

from shoal.core.shape import prod
from shoal.jobs.targets import Target
from shoal.kernels import ops
from shoal.kernels.cpu import winograd
from shoal.kernels.pool import Pool

PACE = (5, 0.003)
TARGETS = [
    Target("gemm of networks", "BLAS", 1.05, 0.85),
    Target("gemm of squares", "BLAS", 1.0, 0.85),
    Target("conv2d forward", "oneDNN, direct", 1.0, 0.85),
    Target("conv2d forward", "oneDNN", 1.3, 0.85),
    Target("conv2d dx", "oneDNN", 1.1),
    Target("conv2d dw", "oneDNN", 1.15),
    Target("gemm below 1 MFLOP", "BLAS"),
    Target("conv2d below 1 MFLOP", "oneDNN"),
    Target("conv2d dx of the data", "oneDNN"),
    *(Target(f"depthwise {which}", "oneDNN") for which in ("forward", "dx", "dw")),
]
CORES = {"1 thread": 1, "all threads": 0}
MOST = 32 << 20  # bytes of an array, for batches above 1
PRODUCTS = {f"{who} {p.m}x{p.n}x{p.k} {p.trans}" + f" x{p.heads}" * (p.heads > 1): p for p, who in products().items()}
PRODUCTS |= {f"square {n} NN": Product(n, n, n, "NN") for n in SQUARES}
CONVOLUTIONS = {
    f"{who} {one}, batch {batch}": (one, batch)
    for one, who in convolutions().items()
    for batch in BATCHES
    if batch == 1 or 4 * batch * max(prod(one.x), prod(one.y)) <= MOST
}


@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("name", PRODUCTS)
def bench_products(measure, use_threads, name, cores):
    p, threads, pool = PRODUCTS[name], use_threads(CORES[cores]), Pool()
    trans_a, trans_b = (one == "T" for one in p.trans)
    a = numbers(p.heads, *((p.k, p.m) if trans_a else (p.m, p.k)))
    b = numbers(p.heads, *((p.n, p.k) if trans_b else (p.k, p.n)))
    c = np.empty((p.heads, p.m, p.n), np.float32)
    left, right = a.swapaxes(1, 2) if trans_a else a, b.swapaxes(1, 2) if trans_b else b
    work, kind = 2 * p.heads * p.m * p.n * p.k, "squares" if name.startswith("square") else "networks"

    several = p.heads > 1
    ours = called(ops.batched_gemm if several else ops.gemm, a, b, c, trans_a=trans_a, trans_b=trans_b, pool=pool)
    peers = {"OpenBLAS": called(np.matmul, left, right, c)}
    if torch:
        peers["MKL"] = called(torch.bmm if several else torch.mm, *map(torch.from_numpy, (left, right, c)))

    def ratios(seconds):
        found = {name: seconds[name] / seconds["ours"] for name in peers}
        return {"BLAS": min(found.values()), **found}

    group = f"gemm of {kind}" if work >= 1e6 else "gemm below 1 MFLOP"
    measure(ours, peers=peers, ratios=ratios, work=work, group=group, threads=threads)


def called(product, a, b, c, **how):
    """A call into c; of one product, with its matrices."""
    if len(c) == 1:
        a, b, c = a[0], b[0], c[0]
    return lambda: product(a, b, out=c, **how)


@pytest.mark.skipif(not torch, reason="oneDNN is called by PyTorch")
@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("which", ["forward", "dx", "dw"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def bench_convolutions(measure, use_threads, name, which, cores):
    (one, batch), threads, pool = CONVOLUTIONS[name], use_threads(CORES[cores]), Pool()
    x, dy = numbers(batch, *one.x), numbers(batch, *one.y)
    w = numbers(one.channels, *one.window.kernel, one.x[2] // one.groups)
    op, args, out = {
        "forward": (ops.conv2d, (x, w, one.window), np.empty_like(dy)),
        "dx": (ops.conv2d_dx, (dy, w, one.window, one.x[:2]), np.empty_like(x)),
        "dw": (ops.conv2d_dw, (x, dy, one.window), np.empty_like(w)),
    }[which]
    ours = lambda: op(*args, groups=one.groups, out=out, pool=pool)  # noqa: E731
    peers = {"oneDNN": convolution(which, x, w, dy, one.window, one.groups)}
    if which == "forward" and winograd.suits(x, w.shape, one.window, one.groups, one.x[:2]):
        peers["direct"] = directly(ours)

    def ratios(seconds):
        found = {"oneDNN": seconds["oneDNN"] / seconds["ours"]}
        direct = {"oneDNN, direct": seconds["oneDNN"] / seconds.get("direct", seconds["ours"])}
        return found | (direct if which == "forward" else {})

    work = batch * one.flops
    measure(ours, peers=peers, ratios=ratios, work=work, group=group(one, which, work), threads=threads)


def group(one, which, work):
    if one.groups > 1:
        return f"depthwise {which}"
    if work < 1e6:
        return "conv2d below 1 MFLOP"
    return "conv2d dx of the data" if which == "dx" and one.x[2] <= 3 else f"conv2d {which}"


def directly(call):
    """The call without Winograd's algorithm."""

    def run():
        winograd.use(False)
        call()
        winograd.use(True)

    return run


def numbers(*shape):
    """Random ones; drawn once, because to draw them for each case takes longer than to measure it."""
    return np.resize(_drawn(), shape)


@cache
def _drawn():
    return np.random.default_rng(0).standard_normal(1_000_003, np.float32)
