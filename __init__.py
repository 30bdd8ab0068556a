"""shoal: one neural network, trained and run across many machines, by hand-written kernels and MPI.

This folder is the package `shoal`: `kernels/` is `shoal.kernels`, `nn/` is `shoal.nn` (see setup.py).
It imports nothing on purpose: a test runner may load this file under the name of the checkout's folder,
and an import here would then load the whole library a second time.
"""

__version__ = "0.1.0"
