"""Activations: an expression each, in the loop that all element-wise functions share.

Arguments of the expressions: (x, x, s) forward; (dy, x or y, s) backward, s being the hyper-parameter if there is one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .elementwise import FUNCTION, apply, elementwise
from .exponential import DENSITY, exp, normal_distribution
from .exponential import sigmoid as logistic
from .exponential import softplus as softened
from .exponential import tanh as hyperbolic
from .pooling import choose
from .precision import by_precision

GELU, CUBE = 2 * math.sqrt(2 / math.pi), 0.044715


@by_precision
def _relu(x, _, s):
    return choose(x <= 0.0, 0.0, x)  # a NaN is not <= 0 and stays


@by_precision
def _relu_dx(dy, y, s):
    return choose(y > 0.0, dy, 0.0)


@by_precision
def _relu6(x, _, s):
    low = choose(x <= 0.0, 0.0, x)
    return choose(low >= 6.0, 6.0, low)


@by_precision
def _relu6_dx(dy, y, s):
    inner = choose(y < 6.0, dy, 0.0)
    return choose(y > 0.0, inner, 0.0)


@by_precision
def _leaky_relu(x, _, s):
    return choose(x > 0.0, x, s * x)


@by_precision
def _leaky_relu_dx(dy, x, s):
    return choose(x > 0.0, dy, s * dy)


@by_precision
def _sigmoid(x, _, s):
    return logistic(x)


@by_precision
def _sigmoid_dx(dy, y, s):
    return dy * y * (1.0 - y)


@by_precision
def _tanh(x, _, s):
    return hyperbolic(x)


@by_precision
def _tanh_dx(dy, y, s):
    return dy * (1.0 - y * y)


@by_precision
def _softplus(x, _, s):
    return softened(x)


@by_precision
def _softplus_dx(dy, x, s):
    return dy * logistic(x)


@by_precision
def _silu(x, _, s):
    return x * logistic(x)


@by_precision
def _silu_dx(dy, x, s):
    y = logistic(x)
    return dy * y * (1.0 + x * (1.0 - y))


@by_precision
def _gelu(x, _, s):
    return x * normal_distribution(x)


@by_precision
def _gelu_dx(dy, x, s):
    return dy * (normal_distribution(x) + x * exp(-0.5 * x * x) * DENSITY)


@by_precision
def _gelu_tanh(x, _, s):
    return x * logistic(GELU * (x + CUBE * x * x * x))


@by_precision
def _gelu_tanh_dx(dy, x, s):
    y = logistic(GELU * (x + CUBE * x * x * x))
    return dy * (y + x * y * (1.0 - y) * GELU * (1.0 + 3.0 * CUBE * x * x))


def _forward(element: Any, cost: int = FUNCTION) -> Any:
    kernel = elementwise(element)

    def forward(x: np.ndarray, *, out: np.ndarray, pool: Any, slope: float = 0.0) -> None:
        apply(kernel, x, x, out, slope, cost)

    return forward


def _backward(element: Any, cost: int = FUNCTION) -> Any:
    kernel = elementwise(element)

    def backward(dy: np.ndarray, known: np.ndarray, *, out: np.ndarray, pool: Any, slope: float = 0.0) -> None:
        apply(kernel, dy, known, out, slope, cost)

    return backward


COMPARISON = 8  # bytes and operations of an element: no more than memory takes
relu, relu_dx = _forward(_relu, COMPARISON), _backward(_relu_dx, COMPARISON)
relu6, relu6_dx = _forward(_relu6, COMPARISON), _backward(_relu6_dx, COMPARISON)
leaky_relu, leaky_relu_dx = _forward(_leaky_relu, COMPARISON), _backward(_leaky_relu_dx, COMPARISON)
sigmoid, sigmoid_dx = _forward(_sigmoid), _backward(_sigmoid_dx, COMPARISON)
tanh, tanh_dx = _forward(_tanh), _backward(_tanh_dx, COMPARISON)
softplus, softplus_dx = _forward(_softplus), _backward(_softplus_dx)
silu, silu_dx = _forward(_silu), _backward(_silu_dx)
gelu, gelu_dx = _forward(_gelu), _backward(_gelu_dx)
gelu_tanh, gelu_tanh_dx = _forward(_gelu_tanh), _backward(_gelu_tanh_dx)
