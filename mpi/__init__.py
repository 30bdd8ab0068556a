"""Communicators and every parallel training strategy. mpi4py is imported in `mpi/world/` alone, and only when it is needed."""
