"""Update rules as ops, with arguments of every kind they take."""

from __future__ import annotations

from typing import Any

import numpy as np
from closeness import normal

from shoal.kernels import ops

NOWHERE = np.zeros((0, 2), np.int64)
MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
ADAM = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.01}
BOTH = {**ADAM, "first": (0.3, 0.8), "second": (0.1, 0.9)}

# op, its buffers after w and g ("+": not negative; 3: a tuple of three; "": not used), its settings
RULES = {
    "sgd": (ops.sgd, [], {"lr": 0.1, "weight_decay": 0.01}),
    "momentum": (ops.momentum, ["v"], {**MOMENTUM, "dampening": 0.2}),
    "momentum-first": (ops.momentum, ["v"], {**MOMENTUM, "first": True}),
    "nesterov": (ops.momentum, ["v"], {**MOMENTUM, "nesterov": True}),
    "sutskever": (ops.sutskever, ["v"], MOMENTUM),
    "nag": (ops.nag, ["x", "v"], MOMENTUM),
    "qhm": (ops.qhm, ["v"], {**MOMENTUM, "nu": 0.7}),
    "aggmo": (ops.aggmo, [3], {"lr": 0.1, "betas": (0.0, 0.9, 0.99), "weight_decay": 0.01}),
    "adagrad": (ops.adagrad, ["+"], {"lr": 0.1, "eps": 1e-10, "initial": 0.1, "weight_decay": 0.01}),
    "rmsprop": (ops.rmsprop, ["+", "", ""], {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.01}),
    "rmsprop-all": (ops.rmsprop, ["+", "m", "v"], {**MOMENTUM, "alpha": 0.9, "eps": 1e-8}),
    "adam": (ops.adam, ["m", "+", ""], {**ADAM, "corrections": (0.1, 0.01)}),
    "adamw": (ops.adam, ["m", "+", ""], {**ADAM, "corrections": (0.1, 0.01), "decoupled": True}),
    "amsgrad": (ops.adam, ["m", "+", "+"], ADAM),
    "mixed_adam": (ops.mixed_adam, ["m", "+"], BOTH),
    "mixed_adamw": (ops.mixed_adam, ["m", "+"], {**BOTH, "decoupled": True}),
}


def made(kind: Any, seed: int, n: int, dtype: Any) -> Any:
    if isinstance(kind, int):
        return tuple(normal(seed + k, n, dtype) for k in range(kind))
    values = normal(seed, n if kind else 0, dtype)
    return np.abs(values) if kind == "+" else values


def arguments(name: str, n: int, dtype: Any, decay: np.ndarray = NOWHERE) -> tuple[Any, list[Any], dict[str, Any]]:
    """(op, arrays, settings) of a line of RULES."""
    rule, kinds, hyper = RULES[name]
    return rule, [*(made(kind, 10 * i, n, dtype) for i, kind in enumerate(["w", "g", *kinds])), decay], hyper


def listed(values: Any) -> list[np.ndarray]:
    """The arrays, those of a tuple too."""
    return [a for value in values for a in (value if isinstance(value, tuple) else (value,))]


def updated(rule: Any, arrays: list[Any]) -> list[np.ndarray]:
    """The arrays that the op overwrites."""
    return listed([arrays[rule.parameters.index(name)] for name in rule.updates])
