"""Every operation as a function on arrays.

`ops` says what an operation is; `reference/` (NumPy) defines it, `cpu/` (Numba) and `gpu/` (CuPy) compute it fast, with
the same file names in each. Nothing below is imported before its first call.
"""
