"""Winograd's convolution: exact in rational numbers, close to its definition in float32, and chosen by the sample's shape."""

import re
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from closeness import distance, normal, shifted
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.kernels.cpu import compile, threads, winograd, winograd_plan, winograd_stages
from shoal.kernels.cpu.simd import SHORT, VECTORS
from shoal.kernels.cpu.winograd_transform import FILTER, INPUT, OUTPUT, TRANSFORMS
from shoal.kernels.pool import Pool
from shoal.mpi.alone import Alone
from shoal.train import build
from shoal.train.config import load

SAME = Window.of(3, padding=1)
TILES = [2, 4]
ALLOWED = {2: 1e-6, 4: 3e-6}  # norm-relative


@contextmanager
def taking(m):
    """F(m x m) for every window of 3 x 3."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "tile", lambda size, w, window: m)
        yield


@pytest.fixture
def always(request):
    with taking(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def restored():
    before = threads.threads()
    threads.set_threads(1)
    yield
    threads.set_threads(before)
    winograd.use(True)


def arrays(n=2, h=7, w=5, c=16, k=32, window=SAME):
    """x, filters, dy, bias."""
    shapes = (n, h, w, c), (k, 3, 3, c), (n, *window.out(h, w), k), (k,)
    return tuple(normal(i, shape, np.float32) for i, shape in enumerate(shapes))


def wide(*some):
    return tuple(a.astype(float) for a in some)


# -------------------------------------------------------------------------------------------------- the algebra


@pytest.mark.parametrize("m", TILES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_the_transforms_are_exact(m, data):
    """A^T [(G g) . (B^T d)] is the correlation, in rational numbers."""
    number = st.fractions(max_denominator=50)
    d = data.draw(st.lists(number, min_size=m + 2, max_size=m + 2))
    g = data.draw(st.lists(number, min_size=3, max_size=3))
    (into, _), (filters, _), (out, _) = (TRANSFORMS[m][which] for which in (INPUT, FILTER, OUTPUT))
    assert out([a * b for a, b in zip(filters(g), into(d), strict=True)]) == correlation(d, g)


def correlation(d, g):
    return [sum(d[i + r] * g[r] for r in range(3)) for i in range(len(d) - 2)]


def test_a_wrong_transform_would_be_found():
    d, g = [Fraction(i * i - 3) for i in range(6)], [Fraction(2), Fraction(-1), Fraction(5)]
    (into, _), (filters, _), (out, _) = TRANSFORMS[4]
    products = [a * b for a, b in zip(filters(g), into(d), strict=True)]
    assert out(products) == correlation(d, g)
    assert out([*products[:3], products[3] * Fraction(16, 15), *products[4:]]) != correlation(d, g)


# ---------------------------------------------------------------------------------------------------- closeness


@pytest.mark.parametrize("m", TILES)
@given(
    st.tuples(st.integers(1, 3), st.integers(2, 11), st.integers(2, 11)),
    st.tuples(st.sampled_from([16, 48]), st.sampled_from([16, 48])),
    st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
    st.sampled_from([None, "relu"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_forward_and_dx_equal_their_definitions(m, nhw, channels, padding, activation, with_bias):
    """Ragged tiles, padding that differs on every side, and none at all."""
    (n, h, w), (c, k) = nhw, channels
    padding = tuple((a, max(b, 3 - size - a)) for (a, b), size in zip(padding, (h, w), strict=True))
    window = Window((3, 3), padding=padding)
    x, filters, dy, bias = arrays(n, h, w, c, k, window)
    bias = bias if with_bias else None
    with taking(m):
        y = ops.conv2d(x, filters, window, bias=bias, activation=activation)
        dx = ops.conv2d_dx(dy, filters, window, (h, w))
    plain = ops.conv2d.reference(*wide(x, filters), window, bias=None if bias is None else bias.astype(float))
    expected = np.maximum(plain, 0) if activation else plain
    assert np.linalg.norm(y - expected) <= ALLOWED[m] * np.linalg.norm(plain)
    assert distance(dx, ops.conv2d_dx.reference(*wide(dy, filters), window, (h, w))) <= ALLOWED[m]


@pytest.mark.parametrize("always", TILES, indirect=True)
@pytest.mark.parametrize("c", [16, 272, 528], ids=lambda c: f"{c} channels")
@pytest.mark.parametrize("most", [1, 5, 64], ids=lambda most: f"blocks of {most}")
def test_blocks_of_tiles_and_of_the_sum(always, c, most, monkeypatch):
    """One block and many, ragged; sums of one, two and three blocks."""
    monkeypatch.setattr(winograd_plan, "MOST_TILES", most)
    winograd_plan.planned.cache_clear()
    x, filters, dy, _ = arrays(2, 11, 9, c, 32)
    assert distance(ops.conv2d(x, filters, SAME), ops.conv2d.reference(*wide(x, filters), SAME)) <= ALLOWED[always]
    dx = ops.conv2d_dx(dy, filters, SAME, (11, 9))
    assert distance(dx, ops.conv2d_dx.reference(*wide(dy, filters), SAME, (11, 9))) <= ALLOWED[always]
    winograd_plan.planned.cache_clear()


@pytest.mark.parametrize("always", TILES, indirect=True)
def test_dx_is_the_adjoint_of_forward(always):
    window = Window((3, 3), padding=((0, 2), (1, 0)))
    x, filters, dy, _ = arrays(3, 9, 10, 32, 48, window)
    y, dx = ops.conv2d(x, filters, window), ops.conv2d_dx(dy, filters, window, (9, 10))
    there, back = np.vdot(*wide(y, dy)), np.vdot(*wide(x, dx))
    assert abs(there - back) <= 1e-5 * np.linalg.norm(y) * np.linalg.norm(dy) / np.sqrt(dy.size)


@pytest.mark.parametrize("always", [4], indirect=True)
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_the_whole_epilogue(always, activation):
    x, filters, residual, bias = arrays()
    how = {"scale": bias * bias, "bias": bias, "residual": residual}
    expected = ops.conv2d.reference(
        *wide(x, filters), SAME, activation=activation, **dict(zip(how, wide(*how.values()), strict=True))
    )
    assert distance(ops.conv2d(x, filters, SAME, activation=activation, **how), expected) <= ALLOWED[4]


# measured 1.1 and 1.2, 4.6 and 5.3 times in the mean, 1.1 and 1.3, 7 and 8 times at most, of 2.4e-7 and 1.7e-6
@pytest.mark.parametrize(("always", "mean", "most"), [(2, 1.5, 2), (4, 6, 10)], indirect=["always"])
@pytest.mark.parametrize("c", [64, 256])
def test_the_error_beside_that_of_the_direct_sum(always, mean, most, c):
    """Normal numbers; in the mean, and at most. F(4x4) pays for points whose powers are multiplied by up to 8 on the way back."""
    x, filters, _, _ = arrays(2, 16, 16, c, 64)
    exact, errors = ops.conv2d(*wide(x, filters), SAME), []
    for on in (True, False):
        winograd.use(on)
        errors.append(ops.conv2d(x, filters, SAME) - exact)
    ours, direct = errors
    assert 0 < ours.std() <= mean * direct.std()
    assert abs(ours).max() <= most * abs(direct).max()


# ------------------------------------------------------------------------------------------------ what bits depend on


@pytest.mark.parametrize("always", TILES, indirect=True)
def test_a_sample_has_the_same_bits_in_any_batch(always):
    """Alone it is one block of tiles, with others many."""
    x, filters, dy, _ = arrays(24, 7, 9, 32, 32)
    y, dx = ops.conv2d(x, filters, SAME), ops.conv2d_dx(dy, filters, SAME, (7, 9))
    assert winograd_plan.planned(x.shape, y.shape, 1, 1, False, always).few is False
    for n in (0, 5, 23):
        one = slice(n, n + 1)
        np.testing.assert_array_equal(ops.conv2d(x[one], filters, SAME), y[one])
        np.testing.assert_array_equal(ops.conv2d_dx(dy[one], filters, SAME, (7, 9)), dx[one])


@pytest.mark.parametrize("n", [1, 24])
def test_the_number_of_threads_cannot_be_seen(n, monkeypatch):
    if threads.cap() < 2:
        pytest.skip("one core: there is no second thread")
    monkeypatch.setattr(compile, "WORTH", 0)
    monkeypatch.setattr(winograd, "tile", lambda size, w, window: 4)
    results, (x, filters, dy, bias) = [], arrays(n, 7, 9, 32, 48)
    for count in (1, 2):
        threads.set_threads(count)
        results.append((ops.conv2d(x, filters, SAME, bias=bias), ops.conv2d_dx(dy, filters, SAME, (7, 9))))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("always", [4], indirect=True)
@pytest.mark.parametrize("elements", [1, 7, 15])
def test_the_alignment_cannot_be_seen(always, elements):
    x, filters, _, bias = arrays()
    y = ops.conv2d(x, filters, SAME, bias=bias)
    out = shifted(np.zeros_like(y), elements)
    ops.conv2d(*(shifted(a, elements) for a in (x, filters)), SAME, bias=shifted(bias, elements), out=out)
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("always", [4], indirect=True)
def test_nothing_is_written_beside_out(always):
    x, filters, dy, _ = arrays()
    room = np.full(dy.size + 128, 7.0, np.float32)
    ops.conv2d(x, filters, SAME, out=room[64:-64].reshape(dy.shape))
    assert (room[:64] == 7).all()
    assert (room[-64:] == 7).all()


@pytest.mark.parametrize("always", TILES, indirect=True)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_spread_over_the_tiles_that_read_them(always, value):
    """The outermost pixels of a tile's window are read for its outermost outputs only, the others for all of them."""
    x, filters, _, _ = arrays(2, 16, 16, 16, 16)
    x[1, 4, 9, 3] = value
    y = ops.conv2d(x, filters, SAME, activation="relu" if np.isnan(value) else None)

    def reached(pixel):
        ends = {0: [0], always + 1: [always - 1]}
        windows = [(first, pixel - first + 1) for first in range(0, 16, always)]
        return [first + i for first, a in windows if 0 <= a < always + 2 for i in ends.get(a, range(always))]

    touched = np.zeros((2, 16, 16), bool)
    touched[np.ix_([1], reached(4), reached(9))] = True
    assert touched[1, 3:6, 8:11].all()
    np.testing.assert_array_equal(~np.isfinite(y), np.broadcast_to(touched[..., None], y.shape))


@pytest.mark.parametrize("always", [4], indirect=True)
def test_a_pool_is_used_and_returned(always):
    pool, misses = Pool(), []
    for n in (1, 24) * 3:
        x, filters, dy, _ = arrays(n, 7, 9)
        ops.conv2d(x, filters, SAME, out=dy, pool=pool)
        misses.append(pool.misses)
    assert 0 < misses[1] == misses[-1]


@pytest.mark.parametrize("always", [4], indirect=True)
def test_no_samples(always):
    x, filters, _, _ = arrays(0)
    assert ops.conv2d(x, filters, SAME).shape == (0, 7, 5, 32)


# ------------------------------------------------------------------------------------------------------- the choice


def test_the_rule():
    """By the sample's map and the channels; a sample of 5 x 5 or 2 x 2 outputs wastes too much of its tiles."""
    sides = 2, 4, 6, 7, 56
    chosen = {c: [winograd.tile((side, side), (c, 3, 3, c), SAME) for side in sides] for c in (16, 64, 512)}
    assert chosen == {16: [0, 0, 0, 4, 4], 64: [0, 4, 2, 4, 4], 512: [0, 4, 2, 4, 4]}


@pytest.mark.parametrize(
    ("w", "window"),
    [
        ((64, 3, 3, 3), SAME),  # a first layer
        ((60, 3, 3, 64), SAME),  # channels that are no whole cache lines
        ((64, 5, 5, 64), Window.of(5, padding=2)),
        ((64, 3, 3, 64), Window.of(3, stride=2, padding=1)),
        ((64, 3, 3, 64), Window.of(3, padding=2, dilation=2)),
    ],
)
def test_other_windows_and_channels_are_summed_directly(w, window):
    assert winograd.tile((56, 56), w, window) == 0


def test_only_float32_without_groups_and_only_where_it_is_on():
    x, filters, _, _ = arrays(1, 8, 8, 64, 64)

    def suits(x, groups=1):
        return winograd.suits(x, filters.shape, SAME, groups, (8, 8))

    assert suits(x)
    assert not suits(x.astype(np.float64))
    assert not suits(x, groups=2)
    winograd.use(False)
    assert not suits(x)


def test_the_setting_changes_the_bits_and_little_else():
    x, filters, _, _ = arrays(1, 8, 8, 64, 64)
    y = ops.conv2d(x, filters, SAME)
    winograd.use(False)
    direct = ops.conv2d(x, filters, SAME)
    assert 0 < distance(y, direct) <= ALLOWED[4]


@pytest.mark.parametrize("on", [True, False])
def test_the_setting_reaches_the_kernels(on):
    winograd.use(not on)
    build.use_threads(load("digits-cnn", [f"kernels.winograd={str(on).lower()}"]), Alone())
    assert winograd.suits(np.zeros(0, np.float32), (64, 3, 3, 64), SAME, 1, (8, 8)) is on


# ---------------------------------------------------------------------------------------------------- the inner loop


def test_the_sums_stay_in_registers_and_addresses_are_integers(monkeypatch):
    monkeypatch.setattr(compile, "folder", lambda: None)  # what comes from the cache has no assembly
    monkeypatch.setattr(winograd, "tile", lambda size, w, window: 4)
    fresh = compile.Kernel(winograd_stages.KERNELS[4].function)
    monkeypatch.setitem(winograd_stages.KERNELS, 4, fresh)
    ops.conv2d(*arrays(24, 7, 9)[:2], SAME)
    dispatcher = fresh.variant(False)
    assembly = dispatcher.inspect_asm(dispatcher.signatures[0])
    loops = re.findall(r"^(\.LBB\S+):\n((?:(?!\.LBB).*\n)*?\s+j\w+\s+\1\n)", assembly, re.MULTILINE)
    tiles = [body for _, body in loops if len(re.findall("fmadd231ps|mulps", body)) >= SHORT * VECTORS]
    inner = [body for body in tiles if "div" not in body]  # as GELU's does
    assert inner
    assert not [
        line for body in inner for line in body.splitlines() if "mm" in line and re.search(r"\(%r[sb]p\)", line)
    ]
    assert not re.search(r"cvt\w*si2sd|cvtt\w*sd2si", assembly)  # an unsigned address makes a float of a sum
