"""Arguments for every op, as data: for the tests, and for a run on a real GPU (bench/gpu.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from closeness import normal

from shoal.core.shape import Window
from shoal.kernels import ops

SAMPLES = np.array([3, 1, 2**32 - 1], np.int64)
KEY = (123456789, 987654321)


def tuples(value: Any) -> tuple:
    """Results as a tuple, also where there is one."""
    return value if isinstance(value, tuple) else (value,)


def labels(n, k):
    return np.random.default_rng(n).integers(0, k, n)


def positive(seed, shape, dtype):
    return np.abs(normal(seed, shape, dtype)) + dtype(0.1)


def channels(dtype, c, *seeds):
    return [positive(seed, c, dtype) for seed in seeds]


def gemm_case(t, m, n, k, trans_a=False, trans_b=False, residual=False, **hyper):
    a, b = normal(0, (k, m) if trans_a else (m, k), t), normal(1, (n, k) if trans_b else (k, n), t)
    hyper |= {"bias": normal(2, n, t)} if hyper.get("bias") else {}
    hyper |= {"residual": normal(3, (m, n), t)} if residual else {}
    return (a, b), {"trans_a": trans_a, "trans_b": trans_b, **hyper}


MASK = np.array([[True, True, False, True, False], [False] * 5])

LENGTHS = np.array([4, 2, 0])


def backwards(t, name, lengths, last):
    """The arguments of a recurrence's gradient, its forward's results among them."""
    forward = getattr(ops, name.removesuffix("_dx"))
    g = {"rnn": 1, "lstm": 4}.get(forward.name, 3)
    u = normal(1, (g * 5, 5), t)
    results = tuples(forward.reference(normal(0, (3, 4, g * 5), t), u, normal(2, g * 5, t), lengths=lengths))
    kept = {"rnn": results, "lstm": results[1:], "gru": results, "gru_cho": results[:2]}[forward.name]
    return (normal(3, (3, 5) if last else (3, 4, 5), t), *kept, u), {"lengths": lengths}


# input, output channels, window, groups
CONVOLUTIONS = [
    ((2, 7, 9, 3), 5, Window.of(3, padding=1), 1),
    ((2, 8, 9, 4), 6, Window.of((3, 2), stride=2, padding=((0, 1), (2, 0)), dilation=(1, 2)), 2),
    ((2, 5, 6, 4), 8, Window.of(3, padding=1), 4),
    ((1, 13, 12, 130), 140, Window.of(1), 1),
]
CONVOLUTIONS_3D = [
    ((2, 3, 4, 5, 4), 6, Window.of((2, 3, 1), stride=(1, 2, 1), padding=((1, 0), (1, 1), (0, 0)), rank=3), 2)
]
POOLS = [
    Window.of(2, stride=2),
    Window.of(3, stride=2, padding=1),
    Window.of((2, 3), padding=((0, 1), (1, 1)), dilation=(2, 1)),
]


def conv_case(which, t, x, k, window, groups):
    y = (x[0], *window.out(*x[1:-1]), k)
    a, dy, w = normal(0, x, t), normal(1, y, t), normal(2, (k, *window.kernel, x[-1] // groups), t)
    forward = {"groups": groups, "bias": normal(3, k, t), "activation": "relu"}
    if which == 0 and len(x) == 4:
        forward |= {"scale": normal(4, k, t), "residual": normal(5, y, t), "activation": "gelu"}
    return [
        ((a, w, window), forward),
        ((dy, w, window, x[1:-1]), {"groups": groups}),
        ((a, dy, window), {"groups": groups}),
    ][which]


def winners(t, window):
    return normal(1, (2, *window.out(7, 9), 3), t), ops.max_pool2d.reference(normal(0, (2, 7, 9, 3), t), window)[1]


# op -> cases; a case makes (arrays, hyper-parameters) for a dtype.
CASES = {
    **{
        name: [lambda t, n=n: ((3 * normal(0, n, t),), {}) for n in [(0,), (1,), (5, 301), (4096,)]]
        for name in [
            "relu",
            "relu6",
            "sigmoid",
            "tanh",
            "softplus",
            "silu",
            "gelu",
            "gelu_tanh",
            "copy",
            "sum_of_squares",
        ]
    },
    **{
        name: [lambda t, n=n: ((normal(0, n, t), 3 * normal(1, n, t)), {}) for n in [(0,), (7,), (5, 301)]]
        for name in [
            "relu_dx",
            "relu6_dx",
            "sigmoid_dx",
            "tanh_dx",
            "softplus_dx",
            "silu_dx",
            "gelu_dx",
            "gelu_tanh_dx",
            "add",
            "multiply",
        ]
    },
    "leaky_relu": [lambda t: ((normal(0, (5, 7), t),), {"slope": 0.1})],
    "leaky_relu_dx": [lambda t: ((normal(0, (5, 7), t), normal(1, (5, 7), t)), {"slope": 0.1})],
    "scaled": [lambda t: ((normal(0, (5, 77), t),), {"s": 0.3})],
    "add_bias": [lambda t: ((normal(0, (5, 7, 3), t), normal(1, (7, 3), t)), {})],
    "last_step": [lambda t: ((normal(0, (5, 7, 3), t),), {})],
    "last_step_dx": [lambda t: ((normal(0, (5, 3), t), 4), {})],
    "column_sum": [lambda t, s=s: ((normal(0, s, t),), {}) for s in [(1300, 10), (7, 70), (0, 5), (3, 4, 33)]],
    "column_moments": [lambda t, s=s: ((normal(0, s, t),), {}) for s in [(1300, 10), (3, 4, 33)]],
    **{
        name: [lambda t, s=s: ((normal(0, s, t),), {}) for s in [(70, 10), (3, 2, 3000), (1, 1), (0, 4)]]
        for name in ["row_sum", "row_mean", "row_max", "softmax", "log_softmax"]
    },
    **{
        name: [lambda t, s=s: ((normal(0, s, t), normal(1, s, t)), {}) for s in [(70, 10), (2, 3000)]]
        for name in ["softmax_dx", "log_softmax_dx"]
    },
    "gemm": [
        lambda t, s=s, h=h: gemm_case(t, *s, **h)
        for s in [(3, 5, 7), (130, 129, 17), (1, 1, 1), (257, 10, 64), (5, 5, 0)]
        for h in [
            {},
            {"trans_a": True},
            {"trans_b": True},
            {"trans_a": True, "trans_b": True},
            {"bias": 1, "activation": "relu"},
            {"bias": 1, "activation": "gelu", "residual": True, "alpha": -0.5},
        ]
    ],
    "batched_gemm": [
        lambda t, h=h: ((normal(0, (3, 5, 7), t), normal(1, (3, 7, 4), t)), h | {"bias": normal(2, (3, 4), t)})
        for h in [{}, {"alpha": 0.5, "activation": "relu"}]
    ],
    **{
        name: [lambda t, n=n, c=c: conv_case(n, t, *c) for c in CONVOLUTIONS]
        for name, n in [("conv2d", 0), ("conv2d_dx", 1), ("conv2d_dw", 2)]
    },
    **{
        name: [lambda t, n=n, c=c: conv_case(n, t, *c) for c in CONVOLUTIONS_3D]
        for name, n in [("conv3d", 0), ("conv3d_dx", 1), ("conv3d_dw", 2)]
    },
    "max_pool2d": [lambda t, c=c: ((normal(0, (2, 7, 9, 3), t), c), {}) for c in POOLS],
    "max_pool2d_dx": [lambda t, c=c: ((*winners(t, c), (7, 9)), {}) for c in POOLS],
    "max_unpool2d_dx": [lambda t, c=c: ((normal(0, (2, 7, 9, 3), t), winners(t, c)[1]), {}) for c in POOLS],
    "avg_pool2d": [
        lambda t, c=c, i=i: ((normal(0, (2, 7, 9, 3), t), c), {"count_include_pad": i})
        for c in POOLS
        for i in (True, False)
    ],
    "avg_pool2d_dx": [
        lambda t, c=c, i=i: ((normal(0, (2, *c.out(7, 9), 3), t), c, (7, 9)), {"count_include_pad": i})
        for c in POOLS
        for i in (True, False)
    ],
    "gather": [lambda t: ((normal(0, (9, 5), t), np.array([[3, 0, -1], [8, 9, 3]])), {})],
    "scatter_add": [
        lambda t: ((normal(0, (4, 3, 5), t), np.array([[3, 0, -1], [8, 9, 3], [3, 3, 1], [0, 2, 2]])), {"size": 9})
    ],
    "concat": [lambda t: (tuple(normal(c, (4, 3, c), t) for c in (2, 5, 1)), {})],
    "split": [lambda t: ((normal(0, (4, 3, 8), t), (2, 5, 1)), {})],
    "upsample2d": [
        lambda t, m=m, k=k: ((normal(0, (2, 3, 4, 5), t), k, m), {})
        for m in ("nearest", "linear")
        for k in [(2, 3), (1, 4)]
    ],
    "upsample2d_dx": [
        lambda t, m=m, k=k: ((normal(0, (2, 3 * k[0], 4 * k[1], 5), t), k, m), {})
        for m in ("nearest", "linear")
        for k in [(2, 3), (1, 4)]
    ],
    "group_norm": [
        lambda t, s=s, g=g: ((normal(0, s, t), *channels(t, 6, 1, 2)), {"groups": g, "eps": 1e-5})
        for s, g in [((3, 5, 7, 6), 3), ((4, 6), 1), ((2, 400, 6), 2)]
    ],
    "group_norm_dx": [
        lambda t: (
            (
                normal(0, (3, 5, 6), t),
                normal(1, (3, 5, 6), t),
                normal(2, (3, 2), t),
                positive(3, (3, 2), t),
                positive(4, 6, t),
            ),
            {},
        )
    ],
    "group_norm_dw": [
        lambda t: ((normal(0, (3, 5, 6), t), normal(1, (3, 5, 6), t), normal(2, (3, 2), t), positive(3, (3, 2), t)), {})
    ],
    "dice": [
        lambda t: ((normal(0, (3, 7, 5, 4), t), labels(105, 4).reshape(3, 7, 5)), {"smooth": 0.5}),
        lambda t: ((normal(0, (3, 300, 2), t), labels(1800, 2).reshape(3, 300, 2).astype(t)), {"scale": 0.5}),
    ],
    "attention": [
        lambda t, c=c, m=m: ((normal(0, (2, 5, 24), t),), {"heads": 2, "causal": c, "mask": m})
        for c in (False, True)
        for m in (None, MASK)
    ],
    "attention_dx": [
        lambda t: ((normal(0, (2, 5, 8), t), normal(1, (2, 5, 24), t), positive(2, (2, 2, 5, 5), t)), {"heads": 2})
    ],
    **{
        name: [
            lambda t, g=g, n=n: (
                (normal(0, (3, 4, g * 5), t), normal(1, (g * 5, 5), t), normal(2, g * 5, t)),
                {"lengths": n},
            )
            for n in (None, LENGTHS)
        ]
        for name, g in [("rnn", 1), ("lstm", 4), ("gru", 3), ("gru_cho", 3)]
    },
    **{
        name: [
            lambda t, name=name, n=n, last=last: backwards(t, name, n, last)
            for n in (None, LENGTHS)
            for last in (False, True)
        ]
        for name in ("rnn_dx", "lstm_dx", "gru_dx", "gru_cho_dx")
    },
    "recurrent_dw": [
        lambda t, h=h: ((normal(0, (3, 4, 15), t), normal(1, (3, 4, 5), t)), h)
        for h in [{}, {"shift": 0, "start": 5, "stop": 10}]
    ],
    "ordered_sum": [lambda t: ((normal(0, (4, 1001), t),), {})],
    "batch_norm": [
        lambda t, a=a: ((normal(0, (9, 5, 7), t), *channels(t, 7, 1, 2, 3, 4)), {"activation": a})
        for a in [None, "relu"]
    ],
    "batch_norm_sums": [lambda t: ((normal(0, (600, 7), t), normal(5, (600, 7), t), *channels(t, 7, 1, 2)), {})],
    "batch_norm_dx": [
        lambda t: ((normal(0, (9, 5, 7), t), normal(7, (9, 5, 7), t), *channels(t, 7, 1, 2, 3, 4, 5)), {})
    ],
    "cross_entropy": [
        lambda t, n=n, k=k, h=h: ((normal(0, (n, k), t), labels(n, k)), h)
        for n, k, h in [
            (5, 10, {}),
            (70, 3, {"smoothing": 0.1}),
            (3, 2500, {"scale": 0.5}),
            (9, 10, {"ignore": 4, "smoothing": 0.2}),
        ]
    ]
    + [lambda t: ((normal(0, (9, 10), t), labels(9, 10)), {"weights": positive(3, 10, t), "smoothing": 0.1})],
    "kl_divergence": [lambda t: ((normal(0, (9, 10), t), normal(1, (9, 10), t)), {"temperature": 3.0, "scale": 0.2})],
    **{
        name: [lambda t: ((normal(0, (9, 11), t), normal(1, (9, 11), t)), {"scale": 0.2})]
        for name in ["mse", "l1", "huber"]
    },
    "bce_with_logits": [
        lambda t, h=h: (
            (normal(0, (9, 11), t), labels(99, 2).reshape(9, 11).astype(t)),
            {k: f(t) for k, f in h.items()},
        )
        for h in [{}, {"pos_weight": lambda t: positive(1, 11, t)}]
    ],
    "focal": [lambda t: ((normal(0, (9, 11), t), labels(99, 2).reshape(9, 11).astype(t)), {"scale": 0.2})],
    "random_bits": [lambda t, e=e: ((SAMPLES, KEY, 2**40 + 5, e), {}) for e in [1, 4, 1030]],
    "dropout": [
        lambda t: ((normal(0, (3, 5, 7), t), SAMPLES), {"rate": 0.3, "key": KEY, "step": 9}),
        lambda t: (
            (normal(0, (3, 2, 3), t), SAMPLES),
            {"rate": 0.3, "key": KEY, "step": 9, "origin": (1, 2), "whole": (5, 7)},
        ),
    ],
}
