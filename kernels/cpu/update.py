"""How every update rule passes over its flat buffers: once, each number read once and written once.

A rule is a function of one element; what it may assume and what it must not know is said here, once for all rules.
A piece is cut at the ends of the decay ranges, so no inner loop asks where weight decay applies. Compiled without any
licence to reorder, to contract a product and a sum into one instruction or to replace a division, and in the order of
the reference: replicas on unequal CPUs get the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numba.extending import overload

from .compile import kernel, specialised

PIECE = 1 << 14  # elements
NOWHERE = np.zeros((0, 2), np.int64)  # decay ranges
_element: Any  # what _run calls: each copy of _run has its own


class update:
    """A rule for one element, as a pass over all of them:

        for every i:   d = g[i];   inside `decay`:   d += weight_decay * w[i],   w[i] *= shrink
                       w[i] = element(i, w[i], d, slots, rule)          which writes the i-th numbers of the slots

    slots: a tuple of buffers, an unused one is empty   rule: numbers, which become w's dtype, and flags.
    known: flags that element sees as globals and the compiler as constants: a buffer that is written only where a flag of
    `rule` says so would be written masked, which is slow.   The rule's name, with its flags, is its kernel's.
    """

    def __init__(self, element: Callable, **known: bool):
        name = "_".join([element.__name__, *(flag for flag, on in known.items() if on)])
        compiled = njit(error_model="numpy")(specialised(element, name, **known))
        run = njit(error_model="numpy")(specialised(_run, f"{name}_run", _element=compiled))
        self.kernel = kernel(specialised(_pass, name, _run=run))

    def __call__(
        self,
        w: np.ndarray,
        g: np.ndarray,
        slots: tuple[np.ndarray, ...],
        rule: tuple,
        decay: np.ndarray,
        weight_decay: float = 0.0,
        shrink: float = 1.0,
    ) -> None:
        real = w.dtype.type
        rule = tuple(value if isinstance(value, bool) else real(value) for value in rule)
        traffic = 3 * w.nbytes + 2 * sum(slot.nbytes for slot in slots)
        self.kernel(w, g, slots, rule, decay, real(weight_decay), real(shrink), work=traffic)


def decayed(lr: float, weight_decay: float, decoupled: bool) -> tuple[float, float]:
    """(weight_decay, shrink) of the two kinds: added to the gradient, or taken off the weight."""
    return (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)


def _run(w, g, slots, rule, decays, weight_decay, shrink):
    for i in range(w.size):
        weight, d = w[i], g[i]
        if decays:
            d += weight_decay * weight
            weight *= shrink
        w[i] = _element(i, weight, d, slots, rule)  # noqa: F821


def _pass(w, g, slots, rule, decay, weight_decay, shrink):
    edges = decay.ravel()  # outside, inside, outside, ...: a run ends at each edge
    for piece in prange(-(-w.size // PIECE)):
        at = np.int64(piece) * PIECE
        end = min(at + PIECE, w.size)
        for k in range(edges.size + 1):
            stop = min(max(edges[k], at), end) if k < edges.size else end
            if at < stop:
                _run(w[at:stop], g[at:stop], _cut(slots, at, stop), rule, k % 2 == 1, weight_decay, shrink)
                at = stop


def _cut(slots: tuple, start: Any, stop: Any) -> tuple:
    return tuple(slot[start:stop] for slot in slots)


@overload(_cut)
def _cut_compiled(slots, start, stop):
    """Slot by slot: the compiler knows no loop over a tuple that returns a tuple."""
    if len(slots) == 0:
        return lambda slots, start, stop: ()
    return lambda slots, start, stop: (slots[0][start:stop], *_cut(slots[1:], start, stop))
