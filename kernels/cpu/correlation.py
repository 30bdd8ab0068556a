"""Dense convolution of any rank, and its adjoint: one product whose parts are the rectangles of the window.

No matrix of patches is built and no image is padded. Pixels that meet the same taps are the rows of a part: (n, p, q)
starts at one address of A, tap (r, s) is one distance from it. Neighbouring taps of a filter row are neighbours in memory
(channels last, no dilation), so a row of S*C terms is one run, shorter at the borders. The adjoint is the same product
with the meetings read by x; its filters are rotated by half a turn, so that there too taps follow each other. What a
stride stepped over becomes phases of pixels that meet fewer taps.

    y  (n,p,q) x 6   |   for r:  for (s,c):    x[ pixel + r*row + (s,c) ] * w[ (r,s,c) ][ 16 output channels ]
    dx (n,h,w) x 6   |   for r:  for (s,k):   dy[ pixel + r*row + (s,k) ] * w[ (R-1-r, S-1-s, k) ][ 16 input channels ]

Rows run over the samples first, so a border one pixel wide fills tiles as well. Of three dimensions the depth is cut into
parts one place deep, for a row has but three digits. Filters are packed once for all parts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...core.shape import Shape, Window, prod
from .brgemm import multiply
from .meetings import axis, distances, joined, rectangles
from .panel import Layout, packed
from .patches import gather, on_patches, suit
from .product import Part, Product, product
from .simd import lanes


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
    if _copied(copying) <= 2 * prod(w):
        return Plan(copying)
    return Plan(rectangular(*how, copies=False), _rotated(w, groups) if adjoint else _straight(w, groups))


def _copied(p: Product) -> int:
    """How many numbers of B all jobs copy together."""
    terms = [p.runs[first:last, 2].sum() for first, last in p.blocks[:, :2]]
    return sum(
        sum(terms[p.parts[j["part"]]["first"] : p.parts[j["part"]]["last"]])
        * (j["last_panel"] - j["first_panel"])
        * lanes(p.dtype)
        for j in p.jobs
    )


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
    k, c, taps, nr = w[0] // groups, w[-1], prod(window.kernel), lanes(dtype)
    x, y = (*size, groups * c), (*window.out(*size), groups * k)
    (a, result), (terms, columns) = ((y, x), (k, c)) if adjoint else ((x, y), (c, k))
    axes = [axis(size[i], window, i, adjoint, result[i] if i >= len(size) - 2 else 1) for i in range(len(size))]
    (a1, a2), (c1, c2) = distances(a)[-2:], distances(result)[-2:]
    rows, columns_ = axes[-2:]
    b_step, b_column = (taps * c, 1) if adjoint else (1, taps * c)
    b_panel, b_group = b_column * nr, k * taps * c
    if not copies:
        b_step, b_column, b_panel = nr, 1, taps * terms * nr
        b_group = -(-columns // nr) * b_panel
    runs, parts = [], []
    for r in rectangles(axes, a, result, window.kernel):
        first = len(runs)
        at, tap = r.taps.T
        b = tap * c if copies else (taps - 1 - tap if adjoint else tap) * terms * nr
        runs.extend(joined(np.column_stack([at, b]), terms, 1, b_step))
        parts.append(
            Part(
                rows=n * prod(r.places),
                columns=columns,
                first=first,
                last=len(runs),
                a_step=1,
                b_step=b_step,
                b_panel=b_panel,
                a0=prod(a),
                a1=rows.at * a1,
                a2=columns_.at * a2,
                c0=prod(result),
                c1=rows.place * c1,
                c2=columns_.place * c2,
                n1=r.places[-2],
                n2=r.places[-1],
                a=r.a,
                c=r.c,
                a_group=terms,
                b_group=b_group,
                b_column=b_column,
                copies_b=copies,
                c_group=columns,
            )
        )
    return product(dtype, parts, np.array(runs), groups)
