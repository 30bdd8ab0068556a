"""A call of every operation, of each kind of loop that it has: what is promised of all of them is tested on these."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from closeness import normal
from rules import RULES, arguments, listed, updated

from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.op import Op


class Call(NamedTuple):
    """op(*arguments, **settings); arrays are float32, or whole numbers where the op wants them."""

    op: Op
    arguments: list[Any]
    settings: dict[str, Any]

    def arrays(self) -> list[np.ndarray]:
        """Of its arguments, those in tuples too, then of its settings."""
        return [a for a in listed([*self.arguments, *self.settings.values()]) if isinstance(a, np.ndarray)]

    def changed(self, change: Callable[[int, np.ndarray], np.ndarray]) -> Call:
        """The same call with change(i, a) in the place of its i-th array."""
        places = count()

        def new(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(new(one) for one in value)
            return change(next(places), value) if isinstance(value, np.ndarray) else value

        arguments = [new(value) for value in self.arguments]
        return self._replace(arguments=arguments, settings={name: new(value) for name, value in self.settings.items()})

    def run(self, **how: Any) -> list[np.ndarray]:
        """All that it computes: its results, and the arguments that it overwrites."""
        results = self.op(*self.arguments, **self.settings, **how)
        given = [] if results is None else listed([results])
        return [*given, *updated(self.op, self.arguments)]


def calls() -> dict[str, Call]:
    """{name: Call}, with new arrays."""
    found: dict[str, Call] = {}
    seeds = count()

    def x(*shape: int) -> np.ndarray:
        return normal(next(seeds), shape, np.float32)

    def positive(*shape: int) -> np.ndarray:
        return np.abs(x(*shape)) + 0.1

    def add(op: Op, *arguments: Any, kind: str = "", **settings: Any) -> None:
        found[f"{op.name} {kind}".strip()] = Call(op, list(arguments), settings)

    _activations(add, x)
    _products(add, x)
    _convolutions(add, x)
    _pictures(add, x)
    _norms(add, x, positive)
    _sequences(add, x, positive)
    _losses(add, x, positive)
    _elements(add, x)
    for name in RULES:
        op, arrays, settings = arguments(name, 203, np.float32, np.array([[5, 90], [170, 200]]))
        add(op, *arrays, kind=name, **settings)
    add(ops.look_ahead, x(203), x(203), x(203), momentum=0.9)
    return found


def _activations(add: Any, x: Any) -> None:
    for name in ("gelu", "gelu_tanh", "relu", "relu6", "sigmoid", "silu", "softplus", "tanh"):
        add(getattr(ops, name), x(7, 19))
        add(getattr(ops, f"{name}_dx"), x(7, 19), x(7, 19))
    add(ops.leaky_relu, x(7, 19), slope=0.1)
    add(ops.leaky_relu_dx, x(7, 19), x(7, 19), slope=0.1)


def _products(add: Any, x: Any) -> None:
    for m in (1, 13, 70):
        add(ops.gemm, x(m, 50), x(50, 19), bias=x(19), activation="relu", kind=f"NN {m}")
        add(ops.gemm, x(m, 50), x(19, 50), trans_b=True, bias=x(19), kind=f"NT {m}")
        add(ops.gemm, x(50, m), x(50, 19), trans_a=True, kind=f"TN {m}")
        add(ops.gemm, x(50, m), x(19, 50), trans_a=True, trans_b=True, kind=f"TT {m}")
    add(ops.batched_gemm, x(3, 13, 50), x(3, 19, 50), trans_b=True, bias=x(3, 19), residual=x(3, 13, 19))
    add(ops.column_sum, x(9, 21))


def _convolutions(add: Any, x: Any) -> None:
    windows = {
        "3x3": (5, 17, Window.of(3, padding=1), 1),
        "3x3 wide": (32, 32, Window.of(3, padding=1), 1),
        "3x3 stride": (5, 17, Window.of(3, stride=2, padding=1), 1),
        "1x1": (20, 17, Window.of(1), 1),
        "first": (1, 17, Window.of(5, padding=2), 1),
        "groups": (8, 12, Window.of(3, padding=1), 4),
        "depthwise": (19, 19, Window.of(3, padding=1), 19),
    }
    for kind, (c, k, window, groups) in windows.items():
        p, q = window.out(8, 9)
        add(ops.conv2d, x(2, 8, 9, c), x(k, *window.kernel, c // groups), window, groups=groups, bias=x(k), kind=kind)
        add(ops.conv2d_dx, x(2, p, q, k), x(k, *window.kernel, c // groups), window, (8, 9), groups=groups, kind=kind)
        add(ops.conv2d_dw, x(2, 8, 9, c), x(2, p, q, k), window, groups=groups, kind=kind)
    window = Window.of(3, 1, 1, 1, 3)
    add(ops.conv3d, x(2, 3, 4, 5, 3), x(5, 3, 3, 3, 3), window, bias=x(5))
    add(ops.conv3d_dx, x(2, 3, 4, 5, 5), x(5, 3, 3, 3, 3), window, (3, 4, 5))
    add(ops.conv3d_dw, x(2, 3, 4, 5, 3), x(2, 3, 4, 5, 5), window)


def _pictures(add: Any, x: Any) -> None:
    window = Window.of(3, 2, 1)
    argmax = ops.max_pool2d.reference(x(2, 8, 9, 19), window)[1]
    add(ops.max_pool2d, x(2, 8, 9, 19), window)
    add(ops.max_pool2d_dx, x(2, 4, 5, 19), argmax, (8, 9))
    add(ops.max_unpool2d_dx, x(2, 8, 9, 19), argmax)
    add(ops.avg_pool2d, x(2, 8, 9, 19), window)
    add(ops.avg_pool2d_dx, x(2, 4, 5, 19), window, (8, 9))
    for mode in ("nearest", "linear"):
        add(ops.upsample2d, x(2, 4, 5, 19), (2, 3), mode, kind=mode)
        add(ops.upsample2d_dx, x(2, 8, 15, 19), (2, 3), mode, kind=mode)


def _norms(add: Any, x: Any, positive: Any) -> None:
    add(ops.column_moments, x(4, 3, 19))
    add(ops.batch_norm, x(4, 3, 19), x(19), positive(19), x(19), x(19))
    add(ops.batch_norm, x(4, 3, 19), x(19), positive(19), x(19), x(19), activation="relu", kind="relu")
    add(ops.batch_norm_sums, x(4, 3, 19), x(4, 3, 19), x(19), positive(19))
    add(ops.batch_norm_dx, x(4, 3, 19), x(4, 3, 19), x(19), positive(19), x(19), x(19), x(19))
    add(ops.group_norm, x(3, 5, 18), x(18), x(18), groups=2, eps=1e-5)
    add(ops.group_norm_dx, x(3, 5, 18), x(3, 5, 18), x(3, 2), positive(3, 2), x(18))
    add(ops.group_norm_dw, x(3, 5, 18), x(3, 5, 18), x(3, 2), positive(3, 2))
    for name in ("softmax", "log_softmax"):
        add(getattr(ops, name), x(7, 19))
        add(getattr(ops, f"{name}_dx"), x(7, 19), x(7, 19))
    for name in ("row_max", "row_mean", "row_sum", "sum_of_squares", "ordered_sum"):
        add(getattr(ops, name), x(7, 19))


def _sequences(add: Any, x: Any, positive: Any) -> None:
    lengths, h = np.array([4, 2, 3]), 9
    for name, gates in (("rnn", 1), ("gru", 3), ("gru_cho", 3), ("lstm", 4)):
        wide = x(3, 4, gates * h), x(gates * h, h), x(gates * h)
        add(getattr(ops, name), *wide, lengths=lengths)
    u, states, gates = x(4 * h, h), x(3, 4, h), positive(3, 4, 4 * h)
    add(ops.rnn_dx, x(3, 4, h), states, x(h, h), lengths=lengths)
    add(ops.gru_dx, x(3, 4, h), states, gates[..., : 3 * h].copy(), x(3, 4, h), u[: 3 * h].copy(), lengths=lengths)
    add(ops.gru_cho_dx, x(3, 4, h), states, gates[..., : 3 * h].copy(), u[: 3 * h].copy(), lengths=lengths)
    add(ops.lstm_dx, x(3, 4, h), states, gates, u, lengths=lengths)
    add(ops.recurrent_dw, x(3, 4, 2 * h), x(3, 4, h))
    p, valid = positive(2, 2, 5, 5), np.array([[True] * 5, [True] * 3 + [False] * 2])
    add(ops.attention, x(2, 5, 3 * 18), heads=2, causal=True, mask=valid)
    add(ops.attention_dx, x(2, 5, 18), x(2, 5, 3 * 18), p, heads=2)
    add(ops.last_step, x(3, 4, h))
    add(ops.last_step_dx, x(3, h), 4)


def _losses(add: Any, x: Any, positive: Any) -> None:
    labels = np.array([3, 0, 18, 7, 7])
    add(ops.cross_entropy, x(5, 19), labels, smoothing=0.1, weights=positive(19), ignore=0)
    add(ops.kl_divergence, x(5, 19), x(5, 19), temperature=2.0)
    add(ops.dice, x(2, 5, 19), np.stack([labels, labels]), kind="labels")
    add(ops.dice, x(2, 5, 19), positive(2, 5, 19) % 1, kind="shares")
    add(ops.bce_with_logits, x(5, 19), positive(5, 19) % 1, pos_weight=positive(19))
    for name in ("focal", "huber", "l1", "mse"):
        add(getattr(ops, name), x(5, 19), positive(5, 19) % 1)


def _elements(add: Any, x: Any) -> None:
    key, rows = (1, 2), np.array([4, 0, 4, 2, 1])
    add(ops.add, x(7, 19), x(7, 19))
    add(ops.multiply, x(7, 19), x(7, 19))
    add(ops.add_bias, x(7, 19), x(19))
    add(ops.scaled, x(7, 19), s=0.3)
    add(ops.copy, x(7, 19))
    add(ops.concat, x(7, 19), x(7, 3), x(7, 5))
    add(ops.split, x(7, 27), (19, 3, 5))
    add(ops.gather, x(5, 19), rows)
    add(ops.scatter_add, x(5, 19), rows, size=6)
    add(ops.dropout, x(5, 19), rows, rate=0.5, key=key, step=3)
    add(ops.random_bits, rows, key, 3, 19)
    add(ops.fill_uniform, x(203), key=key, low=-0.1, high=0.3)
    add(ops.fill_normal, x(203), key=key, deviation=0.3)


EVERY = calls()
