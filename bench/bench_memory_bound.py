"""How near to the memory's bandwidth are the kernels that compute little?

GB/s of compulsory bytes, of arrays of four times the last cache, against a triad of such arrays with non-temporal stores.
"""

import numpy as np
import pytest
from machine import last_cache
from peers import torch

from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.cpu.limits import triad_gbytes
from shoal.kernels.pool import Pool

CHANNELS, GROUPS = 64, 8
HALF = Window.of(2, 2)
MEAN, INVERSE, WEIGHT, BIAS = np.random.default_rng(1).uniform(0.5, 1, (4, CHANNELS)).astype(np.float32)

# name: x (N, H, W, C) -> the op, its arrays and settings
KERNELS = {
    "add": lambda x: (ops.add, (x, x[::-1].copy()), {}),
    "relu": lambda x: (ops.relu, (x,), {}),
    "sigmoid": lambda x: (ops.sigmoid, (x,), {}),
    "gelu": lambda x: (ops.gelu, (x,), {}),
    "softmax": lambda x: (ops.softmax, (x.reshape(-1, 1024),), {}),
    "column_moments": lambda x: (ops.column_moments, (x,), {}),
    "batch_norm": lambda x: (ops.batch_norm, (x, MEAN, INVERSE, WEIGHT, BIAS), {}),
    "group_norm": lambda x: (ops.group_norm, (x, WEIGHT, BIAS), {"groups": GROUPS, "eps": 1e-5}),
    "max_pool2d": lambda x: (ops.max_pool2d, (x, HALF), {}),
    "avg_pool2d": lambda x: (ops.avg_pool2d, (x, HALF), {}),
}


@pytest.mark.parametrize("kernel", KERNELS)
def bench_memory_bound(measure, quick, kernel):
    nbytes = (1 << 20) if quick else 4 * last_cache()
    x = np.random.default_rng(0).standard_normal((nbytes // (32 * 32 * CHANNELS * 4), 32, 32, CHANNELS), np.float32)
    op, arrays, how = KERNELS[kernel](x)
    outs, pool = tuple(np.ones(like.shape, like.dtype) for like in op.outputs(*arrays, **how)), Pool()
    out = outs if len(outs) > 1 else outs[0]
    measure(
        lambda: op(*arrays, **how, out=out, pool=pool),
        peers={"PyTorch": peer(kernel, x)} if torch else {},
        limit=lambda: triad_gbytes(nbytes, seconds=0.01 if quick else 0.2),
        work=op.bytes(*arrays, **how),
        unit="GB/s",
        intensity=op.flops(*arrays, **how) / op.bytes(*arrays, **how),
    )


def peer(kernel, x):
    """PyTorch's, channels last, into an array that is there, where PyTorch can."""
    aten, (x, mean, inverse, weight, bias) = torch.ops.aten, map(torch.from_numpy, (x, MEAN, INVERSE, WEIGHT, BIAS))
    images, rows, y = x.permute(0, 3, 1, 2), x.view(-1, 1024), torch.ones_like(x)
    half = torch.ones(len(x), x.shape[1] // 2, x.shape[2] // 2, CHANNELS).permute(0, 3, 1, 2)
    places, other = torch.ones_like(half, dtype=torch.int64), x.flip(0) if kernel == "add" else x
    return {
        "add": lambda: torch.add(x, other, out=y),
        "relu": lambda: torch.clamp_min(x, 0, out=y),
        "sigmoid": lambda: torch.sigmoid(x, out=y),
        "gelu": lambda: aten.gelu.out(x, out=y),
        "softmax": lambda: torch.softmax(rows, 1, out=y.view(rows.shape)),
        "column_moments": lambda: torch.var_mean(images, (0, 2, 3)),
        "batch_norm": lambda: torch.batch_norm(images, weight, bias, mean, inverse**-2, False, 0.1, 0.0, False),
        "group_norm": lambda: torch.group_norm(images, GROUPS, weight, bias),
        "max_pool2d": lambda: aten.max_pool2d_with_indices.out(images, 2, 2, out=half, indices=places),
        "avg_pool2d": lambda: aten.avg_pool2d.out(images, 2, 2, out=half),
    }[kernel]
