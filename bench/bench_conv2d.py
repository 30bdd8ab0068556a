"""How near to the multiply-add limit are a convolution and its two gradients?"""

import numpy as np
import pytest
from kinds import HOW, prepared
from peers import convolution, torch

from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.cpu.limits import fma_gflops
from shoal.kernels.pool import Pool

# Layers of the reference networks: x, output channels, window, groups
LAYERS = {
    "lenet 1": ((128, 28, 28, 1), 32, Window.of(5, padding="same"), 1),
    "lenet 2": ((128, 14, 14, 32), 64, Window.of(5, padding="same"), 1),
    "resnet20 16": ((64, 32, 32, 16), 16, Window.of(3, padding=1), 1),
    "resnet20 32 stride": ((64, 32, 32, 16), 32, Window.of(3, stride=2, padding=1), 1),
    "resnet20 64": ((64, 8, 8, 64), 64, Window.of(3, padding=1), 1),
    "vgg11 128": ((64, 16, 16, 64), 128, Window.of(3, padding=1), 1),
    "vgg11 512": ((64, 4, 4, 256), 512, Window.of(3, padding=1), 1),
    "mobilenet depthwise": ((64, 16, 16, 128), 128, Window.of(3, padding=1), 128),
    "mobilenet pointwise": ((64, 16, 16, 128), 128, Window.of(1), 1),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("which", ["forward", "dx", "dw"])
@pytest.mark.parametrize("layer", LAYERS)
def bench_conv2d(measure, use_threads, layer, which, how):
    dtype, rng, pool = prepared(how, use_threads), np.random.default_rng(0), Pool()
    x_shape, k, window, groups = LAYERS[layer]
    dy_shape = (x_shape[0], *window.out(*x_shape[1:3]), k)
    shapes = {"forward": x_shape, "dx": dy_shape, "dw": (k, *window.kernel, x_shape[3] // groups)}
    x, dy, w = (rng.standard_normal(shape).astype(dtype) for shape in shapes.values())
    op, args = {
        "forward": (ops.conv2d, (x, w, window)),
        "dx": (ops.conv2d_dx, (dy, w, window, x_shape[1:3])),
        "dw": (ops.conv2d_dw, (x, dy, window)),
    }[which]
    out = np.empty_like({"forward": dy, "dx": x, "dw": w}[which])
    flops = ops.conv2d.flops(x, w, window, groups=groups)  # the gradients do the same
    measure(
        lambda: op(*args, groups=groups, out=out, pool=pool),
        peers={"PyTorch": convolution(which, x, w, dy, window, groups)} if torch else {},
        limit=lambda: fma_gflops(dtype, seconds=0.01),
        work=flops,
        intensity=flops / op.bytes(*args, groups=groups),
    )
