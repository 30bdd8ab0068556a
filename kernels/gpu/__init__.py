"""Every op on NVIDIA GPUs: CUDA C++ sources beside the Python functions that launch them.

The file names are those of `reference/` and `cpu/`. `compile.py` makes machine code of a source, `launch.py` checks and
starts a kernel; CuPy owns the memory and nothing else. Neither cuBLAS nor cuDNN is called.
"""
