"""Rectangles of pixels that meet the same taps: what a convolution multiplies, all of it once, and nothing else."""

from math import prod

import numpy as np
import pytest

from shoal.core.shape import Window
from shoal.kernels.cpu.meetings import Axis, Run, axis, joined, rectangles

W = Window.of
WINDOWS = [
    (W(3, padding=1), (6, 7)),
    (W(1, stride=2), (5, 4)),
    (W(3, stride=2, padding=1), (7, 8)),
    (W((3, 2), stride=(2, 3), padding=((1, 0), (2, 1)), dilation=(1, 2)), (7, 5)),
    (W(2, stride=4), (9, 9)),  # some pixels are never read
    (W(5, padding=2), (2, 1)),  # a kernel larger than the image
    (W(1, padding=3), (2, 2)),  # more padding than the kernel reaches
    (W(3, padding=((0, 3), (4, 1)), dilation=3), (9, 8)),
    (W(3, stride=2, padding=1, rank=3), (4, 5, 3)),
]


def listed(window, size, adjoint):
    """(place, tap, at) of every axis, by definition."""
    for i, n in enumerate(size):
        s, d, before = window.stride[i], window.dilation[i], window.padding[i][0]
        met = [(p, r, s * p + d * r - before) for p in range(window.out(*size)[i]) for r in range(window.kernel[i])]
        yield {(h, r, p) if adjoint else (p, r, h) for p, r, h in met if 0 <= h < n}


def planned(a):
    """(place, tap, at) of an axis, from its runs."""
    for run in a.runs:
        for p in range(run.places):
            for t in range(run.taps):
                yield run.place + p * a.place, run.tap + t * a.tap, run.at + p * a.at + t * a.at_tap


def test_a_border_is_a_run_of_its_own():
    inside = Run(place=1, places=4, at=0, tap=0, taps=3)
    assert axis(6, W(3, padding=1), 0, False, 6) == Axis([Run(0, 1, 0, 1, 2), inside, Run(5, 1, 4, 0, 2)], 1, 1, 1, 1)


def test_read_by_its_input_a_stride_has_phases():
    """Even pixels meet one tap, odd ones two, in the order of the pixels of y: the later tap first."""
    phases = [Run(place=0, places=3, at=0, tap=1, taps=1), Run(1, 2, 0, 2, 2), Run(5, 1, 2, 2, 1)]
    assert axis(6, W(3, stride=2, padding=1), 0, True, 6) == Axis(phases, 2, 1, -2, 1)


@pytest.mark.parametrize("most", [1, 2, 100])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize(("window", "size"), WINDOWS, ids=str)
def test_runs_hold_every_meeting_once(window, size, adjoint, most):
    for i, expected in enumerate(listed(window, size, adjoint)):
        a = axis(size[i], window, i, adjoint, most)
        met = list(planned(a))
        assert len(met) == len(expected)
        assert set(met) == expected
        assert max(run.places for run in a.runs) <= most
        assert {(tap, place, at) for place, tap, at in met} == set(planned(a.exchanged()))


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize(("window", "size"), WINDOWS, ids=str)
def test_rectangles_cover_every_pixel_once_and_multiply_no_zero(window, size, adjoint):
    y = window.out(*size)
    a, c = (y, size) if adjoint else (size, y)
    axes = [axis(n, window, i, adjoint, 100) for i, n in enumerate(size)]
    covered, products = np.zeros(prod(c), int), 0
    for r in rectangles(axes, (*a, 1), (*c, 1), window.kernel):
        places = np.indices(r.places).reshape(len(c), -1)
        steps = [axis.place * prod(c[i + 1 :]) for i, axis in enumerate(axes)]
        covered[r.c + np.dot(steps, places)] += 1
        products += prod(r.places) * len(r.taps)
    assert (covered == 1).all()
    assert products == prod(len(met) for met in listed(window, size, adjoint))


def test_taps_that_follow_each_other_in_memory_are_one_run():
    taps = np.array([(0, 0), (4, 4), (8, 8), (20, 12), (24, 16)])  # two rows of a filter, 4 channels
    assert joined(taps, 4, 1, 1).tolist() == [[0, 0, 12], [20, 12, 8]]
    assert joined(taps, 4, 1, 2).tolist() == [[*tap, 4] for tap in taps.tolist()]
    assert joined(taps[:0], 4, 1, 1).tolist() == []
