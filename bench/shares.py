"""Which share of a step is spent in which operations: a clock around every op of the steps that are looked at.

The clock costs a microsecond a call, so these steps are not the ones that are timed.
"""

import time
from collections import Counter
from unittest.mock import patch

from shoal.kernels.op import Op

STEPS = 3


def kind(op, hyper):
    """What an op is counted as."""
    if op.name.startswith("batch_norm") or op.name == "column_moments":
        return "batch norm"
    if "pool" in op.name:
        return "pooling"
    return "depthwise" if op.name.startswith("conv") and hyper.get("groups", 1) > 1 else "other"


def shares(step):
    """{kind: share of the time of step()} of all kinds but the others."""
    spent, call = Counter(), Op.__call__

    def timed(op, *arrays, **hyper):
        began = time.perf_counter()
        result = call(op, *arrays, **hyper)
        spent[kind(op, hyper)] += time.perf_counter() - began
        return result

    with patch.object(Op, "__call__", timed):
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        whole = time.perf_counter() - began
    return {name: spent[name] / whole for name in ("batch norm", "pooling", "depthwise")}
