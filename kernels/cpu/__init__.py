"""Kernels for CPUs, compiled by Numba at their first call.

`compile` turns a Python function into a kernel, `threads` decides how many threads it may use. `simd` holds what
Numba's own language cannot say (vectors in registers), `tile` the one inner loop that every product and convolution is
made of, `product` its plan, `brgemm` its driver; `panel` and `padding` put numbers where it wants them. `limits`
measures the CPU's limits.
The other files are named like their twins in `reference/`.
"""
