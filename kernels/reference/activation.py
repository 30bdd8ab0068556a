"""Activations as the formulas say: where a form would overflow, the same function of -|x|."""

from __future__ import annotations

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0, x.dtype.type(0), x)  # a NaN is not <= 0 and stays; -0 becomes 0


def relu_dx(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y > 0, dy, dy.dtype.type(0))


def relu6(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0, x.dtype.type(0), np.where(x >= 6, x.dtype.type(6), x))


def relu6_dx(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((y > 0) & (y < 6), dy, dy.dtype.type(0))


def leaky_relu(x: np.ndarray, *, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def leaky_relu_dx(dy: np.ndarray, x: np.ndarray, *, slope: float) -> np.ndarray:
    return np.where(x > 0, dy, slope * dy)


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def sigmoid_dx(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return dy * y * (1 - y)


def tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x)


def tanh_dx(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return dy * (1 - y * y)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_dx(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return dy * sigmoid(x)


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def silu_dx(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def normal_distribution(x: np.ndarray) -> np.ndarray:
    return (1 + erf(x / math.sqrt(2))) / 2


def gelu(x: np.ndarray) -> np.ndarray:
    return (x * normal_distribution(x)).astype(x.dtype)


def gelu_dx(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (dy * (normal_distribution(x) + x * density)).astype(x.dtype)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x * (1 + np.tanh(u)) / 2


def gelu_tanh_dx(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    s = (1 + np.tanh(u)) / 2
    return dy * (s + 2 * x * s * (1 - s) * slope)
