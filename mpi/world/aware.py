"""Run as a program, never imported for its effect: sends device memory by MPI to itself. It may die of it."""


def probe() -> None:
    import cupy
    from mpi4py import MPI

    sent, received = cupy.arange(1024.0), cupy.zeros(1024)
    cupy.cuda.get_current_stream().synchronize()
    MPI.COMM_SELF.Sendrecv(sent, 0, recvbuf=received, source=0)
    if not (sent == received).all():
        raise SystemExit("other numbers arrived")


if __name__ == "__main__":
    probe()
