"""With which numbers, and on how many cores: the three ways in which kernels that compute are measured."""

import numpy as np

HOW = ["float32, 1 thread", "float64, 1 thread", "float32, all threads"]


def prepared(how, use_threads):
    """The dtype of one of HOW; its threads are set."""
    dtype, cores = how.split(", ")
    use_threads(1 if cores.startswith("1") else 0)
    return np.dtype(dtype).type
