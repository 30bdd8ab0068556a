"""Communicators and every parallel training strategy. Only `mpi/world/` imports mpi4py, and only when it is needed."""
