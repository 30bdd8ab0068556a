"""Ranks as MPI processes. The only folder that imports mpi4py, once `world.communicator` is asked for."""
