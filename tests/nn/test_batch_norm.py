"""Batch norm: PyTorch's numbers, whatever shares the batch; statistics that nothing can count twice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.context import Context, alone
from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.nn import Arena, BatchNorm, Layout, Sequential
from shoal.nn.arena import together

SHAPES = [(0, 3), (1, 1), (1, 5), (7, 3), (4, 5, 16), (2, 6, 5, 3), (3, 2, 3, 4, 2), (5, 300), (40, 33, 64)]


class Batch:
    """A layer with its weights, gradients, buffers and statistics, and one batch to train on."""

    def __init__(self, layer, shape, dtype=np.float64):
        self.layer = layer
        specs = layer.specs(shape)
        self.w, self.buffers = Arena(Layout(specs), dtype), Arena(Layout(specs, "buffer"), dtype).initialise(0)
        self.g, self.statistics = self.w.like(), Arena(Layout(specs, "statistic"), np.float64)
        self.w.flat[:] = normal(1, self.w.flat.shape, dtype)
        self.p, self.dw = together(self.w, self.buffers), together(self.g, self.statistics)

    def forward(self, x, **context):
        return self.layer.forward(self.p, x, Context(**{"training": True, **context}))

    def backward(self, saved, dy, **context):
        return self.layer.backward(self.p, self.dw, saved, dy.copy(), Context(**{"training": True, **context}))

    def step(self, x, dy, **context):
        y, saved = self.forward(x, **context)
        return y, self.backward(saved, dy, **context)


def torch_of(x):
    """Channels first."""
    return oracle().tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


# ---------------------------------------------------------------------------------------------------- ops


def check_ops(shape, dtype, activation=None):
    x, dy = normal(0, shape, dtype) * 3 + 2, normal(1, shape, dtype)
    vectors = [normal(2 + i, shape[-1:], dtype) for i in range(6)]
    pairs = [
        (ops.column_moments, (x,), {}),
        (ops.batch_norm, (x, *vectors[:4]), {"activation": activation}),
        (ops.batch_norm_sums, (dy, x, *vectors[:2]), {}),
        (ops.batch_norm_dx, (dy, x, *vectors[:5]), {}),
    ]
    for op, args, how in pairs:
        got, expected = op(*args, **how), op.reference(*args, **how)
        assert got.dtype == expected.dtype and distance(got, expected) <= ALLOWED[dtype], op.name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_ops_equal_their_definitions(shape, dtype):
    check_ops(shape, dtype)


@given(st.lists(st.integers(0, 6), max_size=3), st.integers(1, 70), st.sampled_from([None, "relu"]))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_ops_equal_their_definitions_on_any_shape(outer, channels, activation):
    check_ops((*outer, channels), np.float64, activation)


def test_float32_sums_do_not_lose_a_small_variance():
    x = (normal(0, (10_000, 4)) + 3e3).astype(np.float32)
    count, total, square = ops.column_moments(x)
    exact = x.astype(np.longdouble).var(axis=0)
    np.testing.assert_allclose(square / count - (total / count) ** 2, exact.astype(float), rtol=4 * 2**-52 * 9e6)


@pytest.mark.parametrize(
    ("op", "shapes", "wrong"),
    [
        ("column_moments", [(3, 0)], "C >= 1"),
        ("batch_norm", [(3, 4), (4,), (3,), (4,), (4,)], r"needs vectors \(4,\)"),
        ("batch_norm_sums", [(3, 4), (4, 4), (4,), (4,)], r"dy \(3, 4\), x \(4, 4\)"),
        ("batch_norm_dx", [(3, 4), (3, 4), (4,), (4,), (4,), (4,), (1,)], r"needs vectors \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(op, shapes, wrong):
    with pytest.raises(UsageError, match=wrong):
        getattr(ops, op)(*(np.zeros(shape) for shape in shapes))


# ---------------------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 16), (2, 6, 5, 3), (3, 2, 3, 4, 2)])
def test_training_equals_torch_with_its_running_statistics(shape, dtype):
    torch, ours = oracle(), Batch(BatchNorm(), shape[1:], dtype)
    kind = [torch.nn.BatchNorm1d, torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d][len(shape) - 2]
    theirs = kind(shape[-1], dtype=torch.float32 if dtype == np.float32 else torch.float64)
    theirs.weight.data, theirs.bias.data = (torch.tensor(ours.w[name]) for name in ("weight", "bias"))
    for step in range(3):
        x, dy = (normal(step + i, shape, dtype) * 2 + 1 for i in (0, 10))
        tx = torch_of(x)
        ty = theirs(tx)
        ty.backward(torch_of(dy).detach())
        y, dx = ours.step(x, dy)
        ours.layer.commit(ours.p, ours.dw)
        ours.statistics.flat[:] = 0
        for got, expected in [(y, ty), (dx, tx.grad)]:
            assert distance(got, np.moveaxis(expected.detach().numpy(), 1, -1)) <= ALLOWED[dtype]
    for name in ("weight", "bias"):  # three steps' gradients, added up
        assert distance(ours.g[name], getattr(theirs, name).grad.numpy()) <= ALLOWED[dtype]
    for name in ("running_mean", "running_var"):
        assert distance(ours.buffers[name], getattr(theirs, name).numpy()) <= ALLOWED[dtype]
    y, tx = ours.forward(x, training=False)[0], theirs.eval()(torch_of(x))
    assert distance(y, np.moveaxis(tx.detach().numpy(), 1, -1)) <= ALLOWED[dtype]


def test_evaluation_has_gradients_and_leaves_no_statistics():
    torch, ours, shape = oracle(), Batch(BatchNorm(activation="relu"), (4, 3)), (5, 4, 3)
    ours.buffers.flat[:] += np.abs(normal(5, ours.buffers.flat.shape))
    x, dy = normal(0, shape), normal(1, shape)
    y, dx = ours.step(x, dy, training=False)
    tx, *given = (torch.tensor(a) for a in (x, *(ours.p[n] for n in ("running_mean", "running_var", "weight", "bias"))))
    tx.requires_grad_()
    mean, variance, weight, bias = given
    ty = torch.relu((tx - mean) / torch.sqrt(variance + 1e-5) * weight + bias)
    ty.backward(torch.tensor(dy))
    assert distance(y, ty.detach().numpy()) <= 1e-14 and distance(dx, tx.grad.numpy()) <= 1e-14
    assert not ours.statistics.flat.any()


# ---------------------------------------------------------------------------------------------------- shared batches


def in_parts(parts, shape=(6, 5, 3), together=True):
    """One step of a batch over replicas, each a thread: outputs, dx, summed gradients, summed statistics."""
    x, dy = normal(0, shape) * 2 + 1, normal(1, shape)
    cuts = [slice(a, b) for a, b in zip([0, *parts], [*parts, shape[0]], strict=True)]
    barrier, said = threading.Barrier(len(cuts), timeout=30), {}

    def replica(rank):
        def total(own):
            said[rank] = own
            barrier.wait()
            everybody = sum(said[i] for i in range(len(cuts)))
            barrier.wait()
            return everybody

        batch = Batch(BatchNorm(), shape[1:])
        y, dx = batch.step(x[cuts[rank]].copy(), dy[cuts[rank]], total=total if together else alone)
        return y, dx, batch.g.flat, batch.statistics.flat

    with ThreadPoolExecutor(len(cuts)) as threads:
        y, dx, g, statistics = zip(*threads.map(replica, range(len(cuts))), strict=True)
    return np.concatenate(y), np.concatenate(dx), sum(g), sum(statistics)


@pytest.mark.parametrize("parts", [(3,), (1, 4), (5, 5)], ids=str)
def test_replicas_that_share_a_batch_equal_the_whole(parts):
    for got, expected in zip(in_parts(parts), in_parts(()), strict=True):
        assert distance(got, expected) <= 1e-12


def test_replicas_that_share_nothing_do_not():
    apart, whole = in_parts((3,), together=False), in_parts(())
    assert distance(apart[0], whole[0]) > 1e-2
    assert distance(apart[3], whole[3]) <= 1e-14  # but their statistics add up all the same


# ---------------------------------------------------------------------------------------------------- statistics


def test_recomputation_of_forward_counts_once():
    batch, x, dy = Batch(BatchNorm(), (4,)), normal(0, (8, 4)), normal(1, (8, 4))
    for _ in range(3):
        _, saved = batch.forward(x)
    batch.backward(saved, dy)
    assert batch.statistics["count"] == 8
    np.testing.assert_allclose(batch.statistics["sum"], x.sum(axis=0))
    np.testing.assert_allclose(batch.statistics["square"], (x * x).sum(axis=0))


@pytest.mark.parametrize("rows", [0, 1])
def test_a_commit_of_nothing_changes_nothing(rows):
    batch = Batch(BatchNorm(), (4,))
    before = batch.buffers.flat.copy()
    batch.step(normal(0, (rows, 4)), normal(1, (rows, 4)))
    batch.layer.commit(batch.p, batch.dw)
    np.testing.assert_array_equal(batch.buffers.flat, before)
    batch.step(normal(0, (2, 4)), normal(1, (2, 4)))
    batch.layer.commit(batch.p, batch.dw)
    assert (batch.buffers["running_mean"] != 0).all()


def test_a_container_commits_its_children():
    batch = Batch(Sequential(BatchNorm(), Sequential(BatchNorm(momentum=1.0))), (3,))
    batch.step(normal(0, (9, 3)), normal(1, (9, 3)))
    batch.layer.commit(batch.p, batch.dw)
    np.testing.assert_allclose(batch.buffers["0.running_mean"], 0.1 * normal(0, (9, 3)).mean(axis=0))
    np.testing.assert_allclose(batch.buffers["1.0.running_mean"], batch.w["0.bias"])


def test_weights_are_learnt_where_nobody_reads_dx():
    batch = Batch(BatchNorm(), (3,))
    assert batch.step(normal(0, (9, 3)), normal(1, (9, 3)), input_gradient=False)[1] is None
    assert batch.g["weight"].all() and batch.g["bias"].all() and batch.statistics["count"] == 9


def test_a_nan_stays_in_its_channel():
    batch, x = Batch(BatchNorm(), (3,)), normal(0, (9, 3))
    x[4, 1] = np.nan
    y, dx = batch.step(x, normal(1, (9, 3)))
    for a in (y, dx, batch.g["weight"]):
        assert np.isnan(a[..., 1]).all() and np.isfinite(a[..., [0, 2]]).all()


def test_nothing_decays_and_a_scalar_has_no_channels():
    assert Layout(BatchNorm().specs((4,))).decay.size == 0
    with pytest.raises(UsageError, match=r"not \(\)"):
        BatchNorm().specs(())
