"""Activations and their gradients, from the output where the output tells enough, else from the input.

A gradient's out may be dy itself. All of them are stable for large |x|, and a NaN stays a NaN.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


def like(name: str, a: Any, b: Any) -> tuple[Like, ...]:
    need(a.shape == b.shape, lambda: f"{name}: shapes {a.shape} and {b.shape} differ")
    return (Like(a.shape, a.dtype),)


@op(flops=lambda x: prod(x.shape))
def relu(x: Any) -> tuple[Like, ...]:
    """y = max(x, 0)"""
    return like("relu", x, x)


@op(flops=lambda dy, y: prod(dy.shape))
def relu_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of relu from its output: dx = dy where y > 0, else 0."""
    return like("relu_dx", dy, y)


@op(flops=lambda x: 2 * prod(x.shape))
def relu6(x: Any) -> tuple[Like, ...]:
    """y = min(max(x, 0), 6)

    After Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10" (unpublished).
    """
    return like("relu6", x, x)


@op(flops=lambda dy, y: 2 * prod(dy.shape))
def relu6_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of relu6 from its output: dx = dy where 0 < y < 6, else 0."""
    return like("relu6_dx", dy, y)


@op(flops=lambda x, **_: 2 * prod(x.shape))
def leaky_relu(x: Any, *, slope: float) -> tuple[Like, ...]:
    """y = x where x > 0, else slope * x.

    After Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """
    return like("leaky_relu", x, x)


@op(flops=lambda dy, x, **_: 2 * prod(dy.shape))
def leaky_relu_dx(dy: Any, x: Any, *, slope: float) -> tuple[Like, ...]:
    """Gradient of leaky_relu from its input: dx = dy where x > 0, else slope * dy."""
    return like("leaky_relu_dx", dy, x)


@op(flops=lambda x: 20 * prod(x.shape))
def sigmoid(x: Any) -> tuple[Like, ...]:
    """y = 1 / (1 + exp(-x))"""
    return like("sigmoid", x, x)


@op(flops=lambda dy, y: 3 * prod(dy.shape))
def sigmoid_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of sigmoid from its output: dx = dy * y * (1 - y)"""
    return like("sigmoid_dx", dy, y)


@op(flops=lambda x: 20 * prod(x.shape))
def tanh(x: Any) -> tuple[Like, ...]:
    """y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))"""
    return like("tanh", x, x)


@op(flops=lambda dy, y: 3 * prod(dy.shape))
def tanh_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of tanh from its output: dx = dy * (1 - y^2)"""
    return like("tanh_dx", dy, y)


@op(flops=lambda x: 40 * prod(x.shape))
def softplus(x: Any) -> tuple[Like, ...]:
    """y = log(1 + exp(x))"""
    return like("softplus", x, x)


@op(flops=lambda dy, x: 20 * prod(dy.shape))
def softplus_dx(dy: Any, x: Any) -> tuple[Like, ...]:
    """Gradient of softplus from its input: dx = dy * sigmoid(x)"""
    return like("softplus_dx", dy, x)


@op(flops=lambda x: 20 * prod(x.shape))
def silu(x: Any) -> tuple[Like, ...]:
    """y = x * sigmoid(x)

    After Elfwing, Uchibe, Doya 2018, "Sigmoid-weighted linear units for neural network function approximation".
    """
    return like("silu", x, x)


@op(flops=lambda dy, x: 24 * prod(dy.shape))
def silu_dx(dy: Any, x: Any) -> tuple[Like, ...]:
    """Gradient of silu from its input: dx = dy * s * (1 + x * (1 - s)),  s = sigmoid(x)"""
    return like("silu_dx", dy, x)


@op(flops=lambda x: 60 * prod(x.shape))
def gelu(x: Any) -> tuple[Like, ...]:
    """y = x * F(x),  F(x) = (1 + erf(x / sqrt(2))) / 2, the normal distribution function.

    After Hendrycks and Gimpel 2016, "Gaussian error linear units".
    """
    return like("gelu", x, x)


@op(flops=lambda dy, x: 64 * prod(dy.shape))
def gelu_dx(dy: Any, x: Any) -> tuple[Like, ...]:
    """Gradient of gelu from its input: dx = dy * ( F(x) + x * exp(-x^2 / 2) / sqrt(2 pi) )"""
    return like("gelu_dx", dy, x)


@op(flops=lambda x: 26 * prod(x.shape))
def gelu_tanh(x: Any) -> tuple[Like, ...]:
    """y = x * (1 + tanh(u)) / 2,  u = sqrt(2 / pi) * (x + 0.044715 x^3): gelu to about 1e-3."""
    return like("gelu_tanh", x, x)


@op(flops=lambda dy, x: 34 * prod(dy.shape))
def gelu_tanh_dx(dy: Any, x: Any) -> tuple[Like, ...]:
    """Gradient of gelu_tanh from its input: dx = dy * ( s + 2 x s (1 - s) u' ),  s = (1 + tanh(u)) / 2 = sigmoid(2u)"""
    return like("gelu_tanh_dx", dy, x)
