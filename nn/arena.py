"""Arena: all weights of a model in one flat buffer, with named views.

One buffer means that an optimizer is one pass, an allreduce bucket is a slice, a weight version is a copy and a checkpoint
is a loop over names. Tensors start on cache lines and the gaps are zero, so passes over the whole buffer need no masks and
the offsets are the same for every dtype.

    | 0.weight ......|0| 0.bias ..|000| 3.weight .........|        |0| = zero padding up to 16 elements
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.backend import library
from ..core.errors import UsageError
from ..core.random import key
from ..core.spec import Role, Spec
from ..kernels import ops

ALIGN = 16  # elements: one cache line of float32, two of float64


class Layout:
    """Where the tensor of each Spec of one role lies in the flat buffer; equal lists of Specs give the same layout.

    size: elements of the buffer, padding included.   parameters: elements of the tensors, aliases counted once.
    """

    def __init__(self, specs: Iterable[Spec], role: Role = "weight"):
        self.specs = {spec.name: spec for spec in specs if spec.role == role}
        self.offsets: dict[str, int] = {}
        self.size = 0
        for spec in self.specs.values():
            if spec.alias_of is None:
                self.offsets[spec.name] = self.size
                self.size += -(-spec.size // ALIGN) * ALIGN
        for spec in self.specs.values():
            if spec.alias_of is not None:
                self.offsets[spec.name] = self._alias(spec)
        self.parameters = sum(spec.size for spec in self.owned())
        self.decay = self._decay_ranges()

    def _alias(self, spec: Spec) -> int:
        target = self.specs.get(str(spec.alias_of))
        if target is None or target.alias_of is not None or target.shape != spec.shape:
            raise UsageError(f"{spec.name} {spec.shape} is an alias of {spec.alias_of}, which is {target}")
        return self.offsets[target.name]

    def owned(self) -> list[Spec]:
        """The Specs that own storage (no aliases), in buffer order."""
        return [spec for spec in self.specs.values() if spec.alias_of is None]

    def bounds(self, prefix: str) -> tuple[int, int]:
        """[start, stop) of the storage owned under `prefix`, padding included; empty where it owns nothing."""
        inside = [s for s in self.owned() if s.name == prefix or s.name.startswith(prefix + ".")]
        if not inside:
            return 0, 0
        last = inside[-1]
        return self.offsets[inside[0].name], self.offsets[last.name] + -(-last.size // ALIGN) * ALIGN

    def _decay_ranges(self) -> np.ndarray:
        """Merged [start, stop) ranges where weight decay applies, as the optimizer ops want them."""
        ranges: list[list[int]] = []
        for spec in self.owned():
            if spec.decay:
                start = self.offsets[spec.name]
                if ranges and start == -(-ranges[-1][1] // ALIGN) * ALIGN:
                    ranges[-1][1] = start + spec.size
                else:
                    ranges.append([start, start + spec.size])
        return np.array(ranges, np.int64).reshape(-1, 2)


class Arena:
    """One flat buffer laid out by a Layout.

    flat: (layout.size,), aligned to 64 bytes.   views: nested dicts of arrays, views["0"]["weight"].
    arena["0.weight"] is the same view by its full name.
    """

    def __init__(self, layout: Layout, dtype: Any = np.float32, backend: str = "cpu"):
        self.layout, self.backend = layout, backend
        self.flat = _aligned_zeros(layout.size, np.dtype(dtype), backend)
        self.views: dict[str, Any] = {}
        for name, spec in layout.specs.items():
            *path, leaf = name.split(".")
            node = self.views
            for part in path:
                node = node.setdefault(part, {})
            start = layout.offsets[name]
            node[leaf] = self.flat[start : start + spec.size].reshape(spec.shape)

    def __getitem__(self, name: str) -> np.ndarray:
        node = self.views
        for part in name.split("."):
            node = node[part]
        return node  # type: ignore[return-value]

    @property
    def dtype(self) -> np.dtype:
        return self.flat.dtype

    def like(self) -> Arena:
        """A zero arena of the same layout and dtype."""
        return Arena(self.layout, self.dtype, self.backend)

    def initialise(self, seed: int, backend: str = "cpu") -> Arena:
        """Fills every tensor by its Init from the stream (seed, "init", name); a slice draws what the whole would."""
        for spec in self.layout.owned():
            view = self[spec.name]
            where = {"origin": spec.origin, "whole": spec.global_shape} if spec.shape else {}
            stream = key(seed, "init", spec.name)
            if spec.init.kind == "uniform":
                scale = spec.init.scale
                ops.fill_uniform(view, key=stream, low=-scale, high=scale, backend=backend, **where)
            elif spec.init.kind == "normal":
                ops.fill_normal(view, key=stream, deviation=spec.init.scale, backend=backend, **where)
            else:
                view.fill({"zeros": 0.0, "ones": 1.0}[spec.init.kind])
        return self


def together(*arenas: Arena) -> dict[str, Any]:
    """Their views in one tree: what layers read (weights and buffers), what they add into (gradients and statistics)."""
    return _merged([arena.views for arena in arenas])


def _merged(trees: list[dict[str, Any]]) -> dict[str, Any]:
    names = {name: [tree[name] for tree in trees if name in tree] for tree in trees for name in tree}
    return {name: _merged(found) if isinstance(found[0], dict) else found[0] for name, found in names.items()}


def _aligned_zeros(size: int, dtype: np.dtype, backend: str) -> Any:
    if backend == "gpu":
        return library(backend).zeros(size, dtype)  # CuPy aligns to 512 bytes
    raw = np.zeros(size * dtype.itemsize + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size * dtype.itemsize].view(dtype)
