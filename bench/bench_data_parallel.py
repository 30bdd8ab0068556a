"""What do more ranks bring to a data-parallel step, and to PyTorch's DDP?

strong: the network's batch shared by p ranks; efficiency T(1) / (p T(p)).      weak: that batch for each of them; T(1) / T(p).
one rank, p threads: the speed of p ranks by that of one rank that uses their cores, the others asleep; on one machine.
"""

import numpy as np
import pytest
from networks import batch_of, build, trainer
from peers import Step, group, torch, translated

from shoal.kernels.cpu import threads
from shoal.mpi.alone import Alone

RANKS = 2


def pytest_generate_tests(metafunc):
    """1, 2, 4, ... and all ranks."""
    size = metafunc.config.comm.size
    counts = sorted({size, *(1 << i for i in range(size.bit_length() - 1))})
    metafunc.parametrize("ranks", counts, ids=lambda ranks: f"{ranks} rank{'s' * (ranks > 1)}")


@pytest.mark.parametrize("scaling", ["strong", "weak"])
@pytest.mark.parametrize("network", ["lenet", "resnet20", "vgg11"])
def bench_data_parallel(measure, comm, quick, network, scaling, ranks):
    x, labels = batch_of(network, 8 if quick else None)
    mine = slice(comm.rank * len(x) // ranks, (comm.rank + 1) * len(x) // ranks)
    wide, wide_labels = (x, labels) if scaling == "strong" else (np.concatenate([a] * ranks) for a in (x, labels))
    inside, some = comm.rank < ranks, comm.split(int(comm.rank >= ranks), comm.rank)
    ours = trainer(network, some, wide, wide_labels) if inside else None
    one = trainer(network, Alone(), x, labels) if comm.rank == 0 else None
    peers = {"one rank": lambda: one and one.feed(np.arange(len(x)))}
    cores = ranks * threads.threads()
    if 1 < ranks == comm.node_size and scaling == "strong" and cores <= threads.cap():
        peers["one rank, p threads"] = lambda: one and on(cores, lambda: one.feed(np.arange(len(x))))
    if torch:
        own = (x[mine], labels[mine]) if scaling == "strong" else (x, labels)
        peers["DDP"] = ddp(comm, network, own, ranks) if ranks > 1 else lambda: None
    fold = ranks if scaling == "strong" else 1

    def ratios(seconds):
        found = {"efficiency": seconds["one rank"] / (fold * seconds["ours"])}
        others = [name for name in ("one rank, p threads", "DDP") if name in seconds and ranks > 1]
        return found | {name: seconds[name] / seconds["ours"] for name in others}

    batch = np.arange(len(wide))
    measure(lambda: inside and ours.feed(batch), peers=peers, ratios=ratios, ranks=ranks, batch=len(wide))


def on(cores, step):
    """A step on so many threads, where otherwise there are fewer."""
    few = threads.threads()
    threads.set_threads(cores)
    step()
    threads.set_threads(few)


def ddp(comm, network, own, ranks):
    """PyTorch's step on the first ranks; a collective call."""
    members = group(comm).new_group(list(range(ranks)))
    if comm.rank >= ranks:
        return lambda: None
    wrap = lambda module: torch.nn.parallel.DistributedDataParallel(module, process_group=members)  # noqa: E731
    return Step(translated(build(network), own[0].shape[1:]), *own, wrap=wrap)
