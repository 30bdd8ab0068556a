"""A batch in parts: the gradients of its micro-batches add up to the gradient of the whole, for a fraction of the memory.

The scale 1/64 goes into the loss in front of backward, so the parts need no weights, however unequal they are. Dropout draws
by the number of a sample, not by its place in an array, so it drops the same in every part.
"""

import numpy as np

from shoal.core.context import Context
from shoal.kernels.pool import Pool
from shoal.nn import Arena, CrossEntropy, Layout
from shoal.nn.models import digits_cnn
from shoal.train.config import Data
from shoal.train.data import open_dataset

data, model, loss = open_dataset(Data("digits"), "float64"), digits_cnn(dropout=0.1), CrossEntropy()
w = Arena(Layout(model.specs(data.shape)), "float64").initialise(seed=0)
batch = np.arange(64)


def gradient(parts: int) -> tuple[np.ndarray, int]:
    """The gradient of the batch in so many parts, and the bytes of activations that it took."""
    g, pool = w.like(), Pool()
    for part in np.array_split(batch, parts):
        x, labels = data.train.read(part)
        ctx = Context(training=True, samples=part, pool=pool)
        z, saved = model.forward(w.views, x, ctx)
        dz = loss(z, labels, 1 / len(batch), ctx)[2]
        del z
        model.backward(w.views, g.views, saved, dz, ctx)  # adds into g
    return g.flat, pool.bytes


whole, memory = gradient(1)
print(f"{1:3} part    {memory / 1e6:6.2f} MB")
for parts in (2, 5, 16):
    g, less = gradient(parts)
    print(f"{parts:3} parts   {less / 1e6:6.2f} MB   largest difference {abs(g - whole).max() / abs(whole).max():.0e}")
