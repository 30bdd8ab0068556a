"""A new kernel: a function in Numba's language, compiled once for this CPU, serial and parallel with the same bits.

    y[n] = log sum_k exp(x[n,k])                 each row on its own, so rows are the jobs

The jobs are cut by the shape, never by the number of threads: that is why one thread and many give the same bits, and why
ranks on unequal machines agree. Little work stays on one thread, because waking another would cost more.
"""

import math
import time

import numpy as np
from numba import prange

from shoal.kernels.cpu import threads
from shoal.kernels.cpu.compile import kernel


def definition(x: np.ndarray) -> np.ndarray:
    """Written to be read; in float64 throughout."""
    return np.log(np.exp(x.astype(np.float64)).sum(axis=1))


@kernel
def log_sum_exp(x, y):
    for n in prange(x.shape[0]):
        largest = x[n, 0]
        for k in range(1, x.shape[1]):
            largest = max(largest, x[n, k])  # exp of what is left cannot overflow
        total = 0.0
        for k in range(x.shape[1]):
            total += math.exp(x[n, k] - largest)
        y[n] = largest + math.log(total)


x = np.random.default_rng(0).standard_normal((20_000, 100)).astype(np.float32)
results = []
for count in sorted({1, threads.cap()}):
    threads.set_threads(count)
    y = np.empty(len(x), np.float32)
    log_sum_exp(x, y, work=20 * x.size)  # compiled, or loaded from the cache
    began = time.perf_counter()
    log_sum_exp(x, y, work=20 * x.size)
    speed = x.size / (time.perf_counter() - began)
    print(f"{count} thread{'s' * (count > 1)}: {speed / 1e6:.0f} million elements a second")
    results.append(y)
print(f"equal to the bit: {all((y == results[0]).all() for y in results)}")
print(f"largest difference from the definition: {abs(results[0] - definition(x)).max():.0e}")
