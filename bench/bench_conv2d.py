"""How near to the multiply-add limit are a convolution and its two gradients?

python -m pytest bench/bench_conv2d.py -o python_functions="bench_*" --benchmark-json=bench/results/conv2d.json
"""

import numpy as np
import pytest

from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.pool import Pool

# Layers of the reference networks: x, output channels, window, groups
LAYERS = {
    "lenet-1": ((128, 28, 28, 1), 32, Window.of(5, padding="same"), 1),
    "lenet-2": ((128, 14, 14, 32), 64, Window.of(5, padding="same"), 1),
    "resnet20-16": ((64, 32, 32, 16), 16, Window.of(3, padding=1), 1),
    "resnet20-32-stride": ((64, 32, 32, 16), 32, Window.of(3, stride=2, padding=1), 1),
    "resnet20-64": ((64, 8, 8, 64), 64, Window.of(3, padding=1), 1),
    "vgg11-128": ((64, 16, 16, 64), 128, Window.of(3, padding=1), 1),
    "vgg11-512": ((64, 4, 4, 256), 512, Window.of(3, padding=1), 1),
    "mobilenet-depthwise": ((64, 16, 16, 128), 128, Window.of(3, padding=1), 128),
    "mobilenet-pointwise": ((64, 16, 16, 128), 128, Window.of(1), 1),
}


def calls(layer, dtype):
    """{"forward" | "dx" | "dw": (function, flops)} of a layer, on random data."""
    x_shape, k, window, groups = LAYERS[layer]
    rng, pool = np.random.default_rng(0), Pool()
    x, w, dy = (
        rng.standard_normal(shape).astype(dtype)
        for shape in (
            x_shape,
            (k, *window.kernel, x_shape[3] // groups),
            (x_shape[0], *window.out(*x_shape[1:3]), k),
        )
    )
    y, dx, dw, size = np.empty_like(dy), np.empty_like(x), np.empty_like(w), x_shape[1:3]
    flops = ops.conv2d.flops(x, w, window, groups=groups)
    return {
        "forward": (lambda: ops.conv2d(x, w, window, groups=groups, out=y, pool=pool), flops),
        "dx": (lambda: ops.conv2d_dx(dy, w, window, size, groups=groups, out=dx, pool=pool), flops),
        "dw": (lambda: ops.conv2d_dw(x, dy, window, groups=groups, out=dw, pool=pool), flops),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("which", ["forward", "dx", "dw"])
@pytest.mark.parametrize("layer", LAYERS)
def bench_conv2d(rate, layer, which, dtype):
    rate(*calls(layer, dtype)[which], dtype)
