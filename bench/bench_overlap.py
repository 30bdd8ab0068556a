"""How much of the gradients' journey is hidden behind backward?

The same data-parallel step three times: with buckets that leave while backward works, with one bucket that leaves after it, and
without other ranks. hidden: what buckets save, by what the sums cost where nothing hides them.
"""

import numpy as np
import pytest
from networks import batch_of, trainer

from shoal.mpi.alone import Alone

RANKS = 2
LEAST = 0.05  # of a step: sums that cost less cannot be told from noise, and count as this much


def hidden(seconds):
    cost = max(seconds["one bucket"] - seconds["no other ranks"], LEAST * seconds["one bucket"])
    return {
        "hidden": (seconds["one bucket"] - seconds["ours"]) / cost,
        "one bucket": seconds["one bucket"] / seconds["ours"],
        "no other ranks": seconds["no other ranks"] / seconds["ours"],
    }


@pytest.mark.parametrize("network", ["lenet", "mlp", "vgg11"])
def bench_overlap(measure, comm, quick, network):
    x, labels = batch_of(network, 8 if quick else None)
    mine = len(x) // comm.size
    buckets = trainer(network, comm, x, labels, bucket_bytes=1 << 20)
    late = trainer(network, comm, x, labels, bucket_bytes=1 << 40)
    alone = trainer(network, Alone(), x[:mine], labels[:mine])
    everything, share = np.arange(len(x)), np.arange(mine)
    measure(
        lambda: buckets.feed(everything),
        peers={"one bucket": lambda: late.feed(everything), "no other ranks": lambda: alone.feed(share)},
        ratios=hidden,
        buckets=len(buckets.buckets),
        bytes=buckets.replica.gradients.flat.nbytes,
    )
