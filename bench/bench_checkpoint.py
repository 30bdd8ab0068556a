"""What does a checkpoint cost, against plain files that hold the same bytes?

GB/s of the bytes of weights, optimizer state and buffers of vgg11.   save: believed and on the disk, against write + fsync.
background: until training goes on.   verify: every checksum, against a plain read.   load: verify, and all tensors in memory.
"""

import os
from itertools import count

import numpy as np
import pytest
from networks import batch_of, trainer

from shoal.checkpoint.store import Store
from shoal.core.spec import State
from shoal.mpi.alone import Alone


@pytest.fixture
def state(quick):
    network = "digits-cnn" if quick else "vgg11"
    return trainer(network, Alone(), *batch_of(network, 8)).state()


@pytest.fixture
def plain(state, tmp_path):
    """(write, read): the same bytes, in the simplest way."""
    file, arrays = tmp_path / "plain", [np.ascontiguousarray(array) for _, array in state.tensors.values()]

    def write():
        with file.open("wb") as out:
            for array in arrays:
                out.write(array.data)
            out.flush()
            os.fsync(out.fileno())

    def read():
        with file.open("rb") as source:
            for array in arrays:
                np.fromfile(source, array.dtype, array.size)

    write()
    return write, read


@pytest.mark.parametrize("what", ["save", "background", "verify", "load"])
def bench_checkpoint(measure, state, plain, tmp_path, what):
    write, read = plain
    with Store(tmp_path / "run", Alone()) as store:
        steps = count()

        def save(how):
            how(State(state.tensors, {"step": next(steps)}))

        def load():
            generation = store.newest()
            for name, (spec, _) in state.tensors.items():
                generation.read(name, spec)
            generation.close()

        save(store.save)
        ours, peer = {
            "save": (lambda: save(store.save), {"write + fsync": write}),
            "background": (lambda: save(store.begin), {"write + fsync": write}),
            "verify": (lambda: store.newest().close(), {"read": read}),
            "load": (load, {"read": read}),
        }[what]
        work = sum(array.nbytes for _, array in state.tensors.values())
        measure(
            ours,
            peers=peer,
            before=store.finish,
            most=1,
            work=work,
            unit="GB/s",
            bytes=work,
        )
