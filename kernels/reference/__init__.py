"""The definitions, in NumPy: pure functions that return new arrays and read like the formulas in `kernels/ops/`.

Never optimised: what is slow here is slow so that it can be believed. An op that overwrites arguments returns their new
values, in the order of the op's `updates`.
"""
