"""The pool's promises: aligned, reused when the last view dies and not before, nothing new after the first step."""

import numpy as np
import pytest

from shoal.kernels.pool import ALIGNMENT, Pool, size_class


def address(a):
    return a.ctypes.data


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(), 0, 5, (0, 4), (3, 7), (1, 2, 3, 4), (1000, 1000)])
def test_arrays_are_what_was_asked_for(shape, dtype):
    a = Pool().empty(shape, dtype)
    assert type(a) is np.ndarray and a.dtype == dtype
    assert a.shape == ((shape,) if isinstance(shape, int) else shape)
    assert a.flags.c_contiguous and a.flags.writeable and address(a) % ALIGNMENT == 0


def test_zeros_are_zero_in_a_used_buffer():
    pool = Pool()
    pool.empty(100).fill(7)
    assert not pool.zeros(100).any() and pool.misses == 1


def test_a_buffer_comes_back_when_its_array_dies():
    pool = Pool()
    a = pool.empty((4, 5))
    where = address(a)
    del a
    assert address(pool.empty((4, 5))) == where and pool.misses == 1


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[1:],
        lambda a: a.reshape(-1),
        lambda a: a.T,
        lambda a: a.reshape(-1)[3:].view(np.int32)[1:2],
        lambda a: np.asarray(memoryview(a)),
        lambda a: np.frombuffer(a, np.uint8),
    ],
    ids=["slice", "reshape", "transpose", "view of views", "memoryview", "buffer"],
)
def test_a_buffer_stays_out_while_any_view_lives(view):
    pool = Pool()
    a = pool.empty((4, 5))
    kept, where = view(a), address(a)
    del a
    other = pool.empty((4, 5))
    assert address(other) != where and pool.misses == 2
    del kept
    assert address(pool.empty((4, 5))) == where and pool.misses == 2


def test_two_living_arrays_share_nothing():
    pool = Pool()
    arrays = [pool.empty(16) for _ in range(8)]
    for i, a in enumerate(arrays):
        a.fill(i)
    assert [a.sum() for a in arrays] == [16 * i for i in range(8)]


def test_after_the_first_step_nothing_is_allocated():
    def step(batch):
        activations = [pool.empty((batch, width)) for width in (784, 1024, 10)]
        gradients = [pool.empty(a.shape) for a in reversed(activations)]
        assert gradients[0].shape == (batch, 10)

    pool = Pool()
    step(128)
    misses, nbytes = pool.misses, pool.bytes
    for _ in range(5):
        step(128)
    assert (pool.misses, pool.bytes) == (misses, nbytes)


def test_ragged_batches_share_a_size_class():
    pool = Pool()
    pool.empty((128, 1000))
    pool.empty((125, 1000))
    assert pool.misses == 1


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 4096, 4097, 10**6, 2**30 + 1])
def test_a_size_class_wastes_an_eighth_at_most(nbytes):
    size = size_class(nbytes)
    assert size % ALIGNMENT == 0 and nbytes <= size <= max(nbytes + ALIGNMENT, nbytes * 9 / 8)
    assert size_class(size) == size


def test_an_array_outlives_its_pool():
    pool = Pool()
    a = pool.empty(10)
    a.fill(3)
    del pool
    assert a.sum() == 30
