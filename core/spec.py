"""What one weight is, without its numbers.

A Spec names a slice of a logical tensor: the whole has `global_shape`, this rank holds `shape` starting at `origin`.
Initial values, checkpoints and sharding all speak of logical tensors, so a slice draws, saves and loads what the
whole would, and any strategy reads any checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from .errors import UsageError
from .shape import Shape, prod

Role: TypeAlias = Literal["weight", "buffer", "statistic", "borrowed"]


@dataclass(frozen=True)
class Init:
    """How a tensor starts: "zeros", "ones", "uniform" in [-scale, scale), "normal" with deviation scale."""

    kind: Literal["zeros", "ones", "uniform", "normal"] = "zeros"
    scale: float = 1.0


@dataclass(frozen=True)
class Spec:
    """One named tensor: which slice of which logical tensor, how it starts, whether weight decay applies.

    alias_of: the name of another Spec whose storage this one shares (tied weights).
    role: "weight" is trained; "buffer" is read by forward and changed by commit only (running statistics); "statistic" is
    what backward adds up for commit, in float64, once per global batch; "borrowed" is a weight that is tied to one on
    another rank: read here, its gradient is sent to the owner, who trains it.
    """

    name: str
    shape: Shape
    init: Init = Init()
    decay: bool = True
    alias_of: str | None = None
    global_shape: Shape = ()
    origin: Shape = ()
    role: Role = "weight"

    def __post_init__(self) -> None:
        if not self.global_shape:
            object.__setattr__(self, "global_shape", self.shape)
        if not self.origin:
            object.__setattr__(self, "origin", (0,) * len(self.shape))
        ends = [o + n for o, n in zip(self.origin, self.shape, strict=True)]
        if any(end > whole for end, whole in zip(ends, self.global_shape, strict=True)):
            raise UsageError(f"{self.name}: slice {self.shape} at {self.origin} leaves the tensor {self.global_shape}")

    @property
    def size(self) -> int:
        return prod(self.shape)

    def under(self, prefix: str) -> Spec:
        """The same tensor seen from one container further out: "weight" under "0" is "0.weight"."""
        alias = f"{prefix}.{self.alias_of}" if self.alias_of else None
        return replace(self, name=f"{prefix}.{self.name}", alias_of=alias)


@dataclass(frozen=True)
class State:
    """All that a checkpoint must hold: tensors under logical names, and small JSON-like facts.

    tensors: {"model/0.weight": (spec, array), "optimizer/velocity/0.weight": (spec, array), ...}
    meta: {"step": 120, ...}, only what json can hold.
    """

    tensors: dict[str, tuple[Spec, Any]]
    meta: dict[str, Any] = field(default_factory=dict)
