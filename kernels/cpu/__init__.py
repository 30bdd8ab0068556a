"""Kernels for CPUs, compiled by Numba at their first call.

`compile` turns a Python function into a kernel, `threads` decides how many threads it may use, `simd` holds what Numba's
own language cannot say (vectors in registers), `brgemm` the one tile every product and convolution is made of.
The other files are named like their twins in `reference/`.
"""
