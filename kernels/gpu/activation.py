"""Activations and their gradients: one pass each; the formulas are in activation.cu."""

from __future__ import annotations

from typing import Any

from .launch import Source, cover

_kernels = Source("activation.cu")


def _one(kernel: str, *numbers: str) -> Any:
    """The op that gives kernel its arrays, then `out`, then the named numbers."""

    def run(*arrays: Any, out: Any, pool: Any = None, **hyper: Any) -> None:
        _kernels.launch(kernel, *cover(out.size), *arrays, out, *(hyper[name] for name in numbers), out.size)

    return run


relu, relu_dx = _one("relu"), _one("relu_dx")
relu6, relu6_dx = _one("relu6"), _one("relu6_dx")
leaky_relu, leaky_relu_dx = _one("leaky_relu", "slope"), _one("leaky_relu_dx", "slope")
sigmoid, sigmoid_dx = _one("sigmoid"), _one("sigmoid_dx")
tanh, tanh_dx = _one("tanh_"), _one("tanh_dx")
softplus, softplus_dx = _one("softplus"), _one("softplus_dx")
silu, silu_dx = _one("silu"), _one("silu_dx")
gelu, gelu_dx = _one("gelu"), _one("gelu_dx")
gelu_tanh, gelu_tanh_dx = _one("gelu_tanh"), _one("gelu_tanh_dx")
