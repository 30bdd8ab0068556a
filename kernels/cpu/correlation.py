"""Dense convolution of any rank, and its adjoint: one product whose parts are the rectangles of the window.

Pixels that meet the same taps are the rows of a part: (n, p, q) starts at one address of A, tap (r, s) is one distance
from it. No image is padded, and the adjoint is the same product with the meetings read by x: what a stride stepped over
becomes phases of pixels that meet fewer taps. Taps are in the order of A, where neighbours of a filter row follow each
other (channels last, no dilation), and so they do in packed filters, which the adjoint has rotated by half a turn.

    y  (n,p,q) x 6   |   for r:  for (s,c):    x[ pixel + r*row + (s,c) ] * w[ (r,s,c) ][ 16 output channels ]
    dx (n,h,w) x 6   |   for r:  for (s,k):   dy[ pixel + r*row + (s,k) ] * w[ (R-1-r, S-1-s, k) ][ 16 input channels ]

Rows run over the samples first, so a border one pixel wide fills tiles as well. Of three dimensions the depth is cut into
parts one place deep, for a row has but three digits. How filters are read, and whether pixels are gathered beforehand,
depends on the batch, so none of it may show in the bits: the terms of a pixel have one order and are cut at the same taps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...core.shape import Shape, Window, prod
from .brgemm import multiply
from .meetings import axis, distances, rectangles
from .panel import Layout, packed
from .patches import gather, on_patches, suit
from .product import Part, Product, product
from .simd import lanes

CALL = 40_000  # numbers that are copied in the time that calling one kernel more would take


class Plan(NamedTuple):
    """A product, and what is made for it beforehand: packed filters, or patches of rows x length by another product."""

    product: Product
    filters: Layout | None = None
    patches: tuple[Product, int, int] | None = None


def correlate(
    a: Any, w: Any, window: Window, *, out: Any, pool: Any, groups: int, adjoint: bool = False, **epilogue: Any
) -> None:
    """y of x, or adjoint: dx of dy.   a, out: (N, ..., channels).   w: (K, ..., C/groups).   epilogue: of `multiply`."""
    size = (out if adjoint else a).shape[1:-1]
    plan = planned(a.dtype, window, len(a), size, w.shape, groups, adjoint)
    if plan.patches:
        a = gather(plan.patches[0], a, *plan.patches[1:], pool)
    if plan.filters:
        w = packed(w, plan.filters, pool)
    multiply(plan.product, a, w, out, **epilogue)


@lru_cache(maxsize=512)
def planned(dtype: np.dtype, window: Window, n: int, size: Shape, w: Shape, groups: int, adjoint: bool) -> Plan:
    """Filters are packed once for all rectangles, unless these copy no more themselves; few pixels are one matrix."""
    how = dtype, window, n, size, w, groups, adjoint
    k, c, taps = w[0] // groups, w[-1], prod(window.kernel)
    rows, terms = n * prod(size if adjoint else window.out(*size)), k if adjoint else c
    if suit(rows, terms, taps, groups) and not (adjoint and prod(window.stride) > 1):
        matrix = rectangular(*how, copies=False), rows, taps * terms
        return Plan(on_patches(dtype, rows, k, c, taps, adjoint), None, matrix)
    copying = rectangular(*how, copies=True)
    if _copied(copying) <= 2 * prod(w) + CALL:
        return Plan(copying)
    return Plan(rectangular(*how, copies=False), _rotated(w, groups) if adjoint else _straight(w, groups))


def _copied(p: Product) -> int:
    """How many numbers of B all jobs copy together."""
    of_block = [int(p.runs[first:last, 2].sum()) for first, last in p.blocks[:, :2]]
    terms = np.array([sum(of_block[part["first"] : part["last"]]) for part in p.parts])
    return int(terms[p.jobs["part"]] @ (p.jobs["last_panel"] - p.jobs["first_panel"])) * lanes(p.dtype)


def _straight(w: Shape, groups: int) -> Layout:
    """[g][panel of k][(t,r,s,c)]"""
    k, terms = w[0] // groups, prod(w[1:])
    return Layout(1, 1, terms, 0, 0, 1, k, terms, groups, k * terms)


def _rotated(w: Shape, groups: int) -> Layout:
    """[g][panel of c][(t,r,s,k)], the last tap first."""
    k, taps, s, c = w[0] // groups, prod(w[1:-1]), w[-2], w[-1]
    return Layout(taps // s, s, k, -s * c, -c, taps * c, c, 1, groups, k * taps * c, (taps - 1) * c)


def rectangular(
    dtype: np.dtype, window: Window, n: int, size: Shape, w: Shape, groups: int, adjoint: bool, copies: bool
) -> Product:
    """The product of images with filters of shape w, packed, or copied by its jobs; `size` is that of x, without N and C."""
    k, c, taps = w[0] // groups, w[-1], prod(window.kernel)
    x, y = (*size, groups * c), (*window.out(*size), groups * k)
    (a, result), (terms, columns) = ((y, x), (k, c)) if adjoint else ((x, y), (c, k))
    most = [1] * (len(size) - 2) + [*result[-3:-1]]
    axes = [axis(size[i], window, i, adjoint, most[i]) for i in range(len(size))]
    (a1, a2), (c1, c2) = distances(a)[-2:], distances(result)[-2:]
    how: dict[str, Any]
    how, tap_step = _filters(lanes(dtype), k, c, taps, adjoint, copies)
    runs: list[tuple[int, int, int]] = []
    parts: list[Part] = []
    for r in rectangles(axes, a, result, window.kernel):
        first = len(runs)
        runs += [(at, (taps - 1 - tap if adjoint and not copies else tap) * tap_step, terms) for at, tap in r.taps]
        parts.append(
            Part(
                rows=n * prod(r.places),
                columns=columns,
                first=first,
                last=len(runs),
                a=r.a,
                a0=prod(a),
                a1=axes[-2].at * a1,
                a2=axes[-1].at * a2,
                a_step=1,
                a_group=terms,
                c=r.c,
                c0=prod(result),
                c1=axes[-2].place * c1,
                c2=axes[-1].place * c2,
                c_group=columns,
                n1=r.places[-2],
                n2=r.places[-1],
                **how,
            )
        )
    return product(dtype, parts, runs, groups)


def _filters(nr: int, k: int, c: int, taps: int, adjoint: bool, copies: bool) -> tuple[dict[str, Any], int]:
    """How filters are read as B, where they lie or from panels of nr columns, and the distance of taps."""
    if copies:
        step, column = (taps * c, 1) if adjoint else (1, taps * c)
        where = {"b_step": step, "b_column": column, "b_panel": nr * column, "b_group": k * taps * c}
        return {**where, "copies_b": True}, c
    terms, columns = (k, c) if adjoint else (c, k)
    panel = taps * terms * nr
    return {"b_step": nr, "b_panel": panel, "b_group": -(-columns // nr) * panel}, terms * nr
