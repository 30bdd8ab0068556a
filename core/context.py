"""What a layer's call knows besides its arrays.

Layers hold hyper-parameters only, so whatever changes from call to call arrives here: the step and the global sample
indices (they address the random bits), the layer's path, the backend, the rank's memory pool. `total` is the only way a
layer meets other ranks; it is the identity unless a strategy supplies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .trace import Trace


def alone(a: Any) -> Any:
    """The sum over one replica: the array itself."""
    return a


@dataclass(frozen=True)
class Context:
    """training: dropout and statistics are on.   samples: (N,) int64, the global indices of the batch's samples.

    step: the global step, counted from 0.   path: the layer's dotted name.   backend: "cpu", "gpu" or "reference".
    pool: where outputs and scratch come from (None: plain allocation).
    input_gradient: False lets the first block skip the gradient nobody reads.
    total: the sum of a small array over the replicas that share this batch.
    stash: what long skips put by, by name: activations until they are popped, then gradients until they are taken; one
    dict for each micro-batch.   trace: where the time of each block is recorded, if anywhere.
    """

    training: bool = False
    step: int = 0
    seed: int = 0
    samples: Any = None
    path: str = ""
    backend: str = "cpu"
    pool: Any = None
    input_gradient: bool = True
    total: Callable[[Any], Any] = alone
    stash: dict[str, Any] = field(default_factory=dict)
    trace: Trace | None = None

    def at(self, name: str, input_gradient: bool = True) -> Context:
        """The context of the child called `name`."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name, input_gradient=input_gradient)
