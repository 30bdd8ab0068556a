"""A launch is checked before it reaches a GPU; and the device of these tests notices what it is there for."""

import numpy as np
import pytest
from emulated import Emulated

from shoal.core.errors import PlatformError, UsageError
from shoal.kernels import ops
from shoal.kernels.gpu import compile, launch
from shoal.kernels.gpu.launch import Source, cover, executed_by

FLAWED = """
#include "map.cuh"
#include "reduce.cuh"
extern "C" {
__global__ void beyond(const real* x, real* y, long n) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void racing(const real* x, real* y, long n) {
    __shared__ real kept[64];
    kept[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = kept[63 - threadIdx.x];
}
__global__ void careful(const real* x, real* y, long n) {
    __shared__ real kept[64];
    kept[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = kept[63 - threadIdx.x];
}
__global__ void apart(const real* x, real* y, long n) {
    if (threadIdx.x % 32 < 16) __syncthreads();
    else y[threadIdx.x] = sum(team(false), x[threadIdx.x]);
}
}
"""


@pytest.fixture
def flawed(tmp_path, monkeypatch):
    """A source file of kernels with a mistake each."""
    for header in compile.headers():
        (tmp_path / header.name).write_text(header.read_text())
    (tmp_path / "flawed.cu").write_text(FLAWED)
    for module in (compile, launch, __import__("emulated")):
        monkeypatch.setattr(module, "SOURCES", tmp_path)
    return Source("flawed.cu")


def run(source, kernel, y_size=64):
    x, y = np.arange(64.0), np.empty(y_size)
    with executed_by(Emulated()):
        source.launch(kernel, 1, 64, x, y, 64)
    return y


def test_a_write_outside_an_array_is_seen(flawed):
    with pytest.raises(AssertionError, match="beyond writes outside its array"):
        run(flawed, "beyond", y_size=60)


def test_a_missing_barrier_is_seen_and_a_barrier_is_enough(flawed):
    with pytest.raises(AssertionError, match="racing: the result depends on the threads' order"):
        run(flawed, "racing")
    assert np.array_equal(run(flawed, "careful"), np.arange(64.0)[::-1])


def test_threads_at_different_barriers_are_seen(flawed):
    with pytest.raises(AssertionError, match="apart: threads of a block wait for each other"):
        run(flawed, "apart")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((np.zeros(4), np.zeros(4)), "relu takes 3 arguments, not 2"),
        ((np.zeros(4), np.zeros(4, np.float32), 4), "y of relu is float32"),
        ((np.zeros(8)[::2], np.zeros(4), 4), "strides"),
        ((np.zeros(4), [0.0] * 4, 4), "not a contiguous array of float64"),
    ],
)
def test_what_does_not_fit_the_declaration_is_an_error(args, words):
    with pytest.raises(UsageError, match=words), executed_by(Emulated()):
        Source("activation.cu").launch("relu", *cover(4), *args)


def test_without_cupy_or_a_gpu_the_error_says_what_to_do():
    with pytest.raises(PlatformError) as error:
        ops.relu(np.zeros(4), backend="gpu")
    assert error.value.code == 3
    assert "gpu" in str(error.value).lower()
