"""Random bits: the published answers, and the same bits wherever, however sliced and by whomever they are drawn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.cpu import philox
from shoal.kernels.cpu.elementary import cos_sin_of_turns, log
from shoal.kernels.reference.philox import philox4x32

KEY = (0xA4093822, 0x299F31D0)
ONES = 0xFFFFFFFF

# Random123 (Salmon et al. 2011), kat_vectors: counter, key -> philox4x32 with 10 rounds
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    assert tuple(philox4x32(counter, key)) == words
    stream = philox.stream(key, counter[2] + (counter[3] << 32))
    assert philox.block_of(counter[0], np.uint64(counter[1]), stream) == words


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_counter_is_block_sample_step(backend):
    samples, step = np.array([0, 0x85A308D3]), 0x0370734413198A2E
    bits = ops.random_bits(samples, KEY, step, 9, backend=backend)
    for i, sample in enumerate(samples):
        for e in range(9):
            assert bits[i, e] == philox4x32((e // 4, int(sample), 0x13198A2E, 0x03707344), KEY)[e % 4]


@given(
    samples=st.lists(st.integers(0, 2**32 - 1), max_size=4),
    key=st.tuples(*[st.integers(0, ONES)] * 2),
    step=st.integers(0, 2**64 - 1),
    elements=st.sampled_from([0, 1, 3, 4, 5, 31, 4095, 4096, 4097, 10_003]),
)
@settings(deadline=None, max_examples=60)
def test_both_backends_draw_the_same_bits(samples, key, step, elements):
    samples = np.array(samples, np.int64)
    bits = ops.random_bits(samples, key, step, elements)
    np.testing.assert_array_equal(bits, ops.random_bits.reference(samples, key, step, elements))


def test_bits_are_fair():
    bits = ops.random_bits(np.arange(64), KEY, 0, 4096)
    ones = np.unpackbits(bits.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 5 * 0.5 / np.sqrt(32 * bits.size)  # five standard deviations
    assert len(np.unique(bits)) > bits.size * (1 - bits.size / 2**32)  # as few repetitions as chance allows


def test_wrong_samples_are_rejected():
    with pytest.raises(UsageError, match=r"samples int32\(3,\)"):
        ops.random_bits(np.zeros(3, np.int32), KEY, 0, 4)


# ---------------------------------------------------------------------------------------------------- fills

SLICES = [  # shape, origin, whole
    ((10,), (3,), (17,)),
    ((3, 5), (1, 2), (4, 9)),
    ((3, 9), (1, 0), (4, 9)),
    ((2, 3, 4), (1, 1, 3), (5, 4, 7)),
    ((2, 3, 4), (1, 0, 0), (5, 3, 4)),
    ((2, 1, 3, 4), (0, 1, 1, 0), (2, 2, 6, 4)),
    ((4, 1, 6, 4), (0, 1, 0, 0), (4, 3, 6, 4)),
    ((9000,), (1001,), (12_000,)),
    ((0, 3), (1, 0), (4, 3)),
]
FILLS = {
    "uniform": lambda x, **where: ops.fill_uniform(x, key=KEY, low=-0.3, high=0.7, **where),
    "normal": lambda x, **where: ops.fill_normal(x, key=KEY, deviation=0.1, **where),
}


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("shape", "origin", "whole"), SLICES)
def test_a_slice_draws_what_the_whole_would(shape, origin, whole, backend, fill):
    part, all_of_it = np.empty(shape), np.empty(whole)
    fill(part, origin=origin, whole=whole, backend=backend)
    fill(all_of_it, backend=backend)
    inside = tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))
    np.testing.assert_array_equal(part, all_of_it[inside])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (7,), (3, 5), (2, 3, 4, 5), (10_003,)])
def test_fills_equal_their_definitions(shape, dtype):
    x, y = np.empty(shape, dtype), np.empty(shape, dtype)
    FILLS["uniform"](x)
    FILLS["uniform"](y, backend="reference")
    np.testing.assert_array_equal(x, y)
    FILLS["normal"](x)
    FILLS["normal"](y, backend="reference")
    # The reference rounds 2 pi v before it takes the cosine: 4.4e-16 at most, times a radius of at most 6.7 deviations.
    np.testing.assert_allclose(x, y, rtol=np.finfo(dtype).eps, atol=0.1 * 6.7 * 6e-16)


def test_fills_have_the_right_moments():
    x, n = np.empty(200_000), 200_000
    ops.fill_uniform(x, key=KEY, low=-2.0, high=2.0)
    assert -2 < x.min() < -1.999 and 1.999 < x.max() < 2
    assert abs(x.mean()) < 5 * (4 / np.sqrt(12)) / np.sqrt(n)
    ops.fill_normal(x, key=KEY, deviation=3.0)
    assert abs(x.mean()) < 5 * 3 / np.sqrt(n)
    assert abs(x.std() / 3 - 1) < 5 / np.sqrt(2 * n)
    assert abs(np.mean(x**4) / 81 - 3) < 5 * np.sqrt(96 / n)  # the fourth moment tells a normal from its look-alikes


@pytest.mark.parametrize(
    ("origin", "whole", "wrong"),
    [((1,), (), "go together"), ((2,), (4,), "leaves"), ((0, 0), (4, 4), "leaves")],
)
def test_a_slice_that_leaves_the_whole_is_rejected(origin, whole, wrong):
    with pytest.raises(UsageError, match=wrong):
        FILLS["uniform"](np.empty(3), origin=origin, whole=whole)


# ---------------------------------------------------------------------------------------------------- elementary


@given(st.floats(2.0**-33, 1 - 2.0**-33))
@settings(max_examples=300)
def test_log_is_right_to_a_unit_in_the_last_place(x):
    assert abs(log(x) - math.log(x)) <= math.ulp(math.log(x))


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no floats longer than 64 bits to compare with")
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_cosine_and_sine_are_right_to_a_unit_of_one(bits):
    v = (bits + 0.5) / 2**32
    angle = 8 * np.arctan(np.longdouble(1)) * v
    cosine, sine = cos_sin_of_turns(v)
    assert abs(cosine - np.cos(angle)) <= math.ulp(1.0)
    assert abs(sine - np.sin(angle)) <= math.ulp(1.0)


@pytest.mark.parametrize("v", [0.0, 0.125, 0.25, 0.5, 0.75, 0.875])
def test_cosine_and_sine_of_eighths(v):
    np.testing.assert_allclose(cos_sin_of_turns(v), (math.cos(2 * math.pi * v), math.sin(2 * math.pi * v)), atol=3e-16)
