"""Every loss op against its definition, finite differences and PyTorch, or an expression of torch's autograd."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch as oracle

from shoal.core.errors import UsageError
from shoal.kernels import ops

DTYPES = [np.float32, np.float64]
BACKENDS = ["cpu", "reference"]
SHAPES = [(0, 3), (1, 1), (5, 7), (3, 4, 5), (2, 3, 301)]


def classes(shape, seed, dtype):
    return np.random.default_rng(seed).integers(0, shape[-1], shape[:-1])


def numbers(shape, seed, dtype):
    return normal(seed, shape, dtype)


def shares(shape, seed, dtype):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def hits(shape, seed, dtype):
    return (normal(seed, shape) > 0).astype(dtype)


def weights(shape, dtype):
    return np.linspace(0.5, 2, shape[-1]).astype(dtype)


LOSSES = {  # name: (op, rows only, target, hyper-parameters)
    "cross-entropy": (ops.cross_entropy, True, classes, lambda *_: {}),
    "smoothed": (ops.cross_entropy, True, classes, lambda *_: {"smoothing": 0.1}),
    "weighted": (ops.cross_entropy, True, classes, lambda *a: {"weights": weights(*a), "ignore": 0}),
    "all three": (ops.cross_entropy, True, classes, lambda *a: {"weights": weights(*a), "ignore": 1, "smoothing": 0.3}),
    "kl": (ops.kl_divergence, True, numbers, lambda *_: {"temperature": 3.0}),
    "mse": (ops.mse, False, numbers, lambda *_: {}),
    "l1": (ops.l1, False, numbers, lambda *_: {}),
    "huber": (ops.huber, False, numbers, lambda *_: {"delta": 0.7}),
    "bce": (ops.bce_with_logits, False, shares, lambda *_: {}),
    "weighted bce": (ops.bce_with_logits, False, shares, lambda *a: {"pos_weight": weights(*a)}),
    "focal": (ops.focal, False, hits, lambda *_: {"gamma": 1.5, "alpha": 0.3}),
    "dice of labels": (ops.dice, False, classes, lambda *_: {}),
    "dice of shares": (ops.dice, False, shares, lambda *_: {"smooth": 0.5}),
}


def problem(name, shape, dtype=np.float64, seed=0):
    """(op, outputs, target, hyper-parameters)"""
    op, rows, target, hyper = LOSSES[name]
    shape = (int(np.prod(shape[:-1])), shape[-1]) if rows else shape
    return op, normal(seed, shape, dtype) * dtype(2), target(shape, seed + 1, dtype), hyper(shape, dtype)


def double(value):
    return value.astype(float) if getattr(value, "dtype", None) == np.float32 else value


def check(name, shape, dtype, seed=0):
    op, z, target, hyper = problem(name, shape, dtype, seed)
    got = op(z, target, scale=0.25, **hyper)
    exact = {key: double(value) for key, value in hyper.items()}
    for ours, theirs in zip(got, op.reference(double(z), double(target), scale=0.25, **exact), strict=True):
        assert ours.dtype == dtype and distance(ours, theirs) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_equals_its_definition(name, shape, dtype):
    check(name, shape, dtype)


@given(st.sampled_from(list(LOSSES)), st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_a_loss_equals_its_definition_on_any_shape(name, shape, seed):
    check(name, tuple(shape), np.float64, seed)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_the_slope_of_the_scaled_sum(name, backend):
    op, z, target, hyper = problem(name, (4, 3, 5))
    dz = op(z, target, scale=0.25, backend=backend, **hyper)[1]
    for seed in range(3):
        direction = normal(seed + 9, z.shape)
        above, below = (op(z + e * direction, target, backend=backend, **hyper)[0].sum() for e in (1e-6, -1e-6))
        slope = 0.25 * (above - below) / 2e-6
        assert abs((dz * direction).sum() - slope) <= 1e-8
        assert abs((1.001 * dz * direction).sum() - slope) > 1e-8  # a thousandth is seen


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_nan_stays_in_its_sample(name, backend):
    op, z, target, hyper = problem(name, (3, 4))
    hyper.pop("ignore", None)  # an ignored sample is not even read
    z[1, 2] = np.nan
    loss, dz = op(z, target, backend=backend, **hyper)
    assert np.isnan(loss[1]).any() and np.isnan(dz[1, 2])
    assert np.isfinite(loss[[0, 2]]).all() and np.isfinite(dz[[0, 2]]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name", ["smoothed", "weighted", "kl", "bce", "weighted bce", "focal", "dice of labels", "dice of shares"]
)
def test_large_logits_are_stable(name, backend):
    op, z, target, hyper = problem(name, (3, 4))
    for scale in (1e3, -1e3):
        loss, dz = op(z * scale, target, backend=backend, **hyper)
        assert np.isfinite(loss).all() and np.isfinite(dz).all()


# ---------------------------------------------------------------------------------------------------- PyTorch


def expressions(torch):
    """The loss of each term in torch, from (z, target, hyper)."""
    f = torch.nn.functional

    def overlap(p, t, smooth):
        p, t = p.flatten(1, -2), t.flatten(1, -2)
        return 1 - ((2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)).mean(1)

    def kl(z, t, temperature):
        soft = (f.log_softmax(x / temperature, 1) for x in (z, t))
        return f.kl_div(*soft, reduction="none", log_target=True).sum(1) * temperature**2

    def focal(z, t, gamma, alpha):
        p = torch.sigmoid(z)
        right, a = p * t + (1 - p) * (1 - t), alpha * t + (1 - alpha) * (1 - t)
        return -a * (1 - right) ** gamma * torch.log(right)

    def entropy(z, t, smoothing=0.0, weights=None, ignore=-100):
        return f.cross_entropy(z, t, weights, ignore_index=ignore, label_smoothing=smoothing, reduction="none")

    return {
        ops.cross_entropy: entropy,
        ops.kl_divergence: kl,
        ops.mse: lambda z, t: f.mse_loss(z, t, reduction="none"),
        ops.l1: lambda z, t: f.l1_loss(z, t, reduction="none"),
        ops.huber: lambda z, t, delta: f.huber_loss(z, t, delta=delta, reduction="none"),
        ops.bce_with_logits: lambda z, t, pos_weight=None: f.binary_cross_entropy_with_logits(
            z, t, pos_weight=pos_weight, reduction="none"
        ),
        ops.focal: focal,
        "labels": lambda z, t, smooth=1.0: overlap(torch.softmax(z, -1), f.one_hot(t, z.shape[-1]), smooth),
        "shares": lambda z, t, smooth=1.0: overlap(torch.sigmoid(z), t, smooth),
    }


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_equals_pytorch(name):
    torch = oracle()
    op, z, target, hyper = problem(name, (4, 3, 5))
    expression = expressions(torch)[name.split()[-1] if op is ops.dice else op]
    tz = torch.tensor(z, requires_grad=True)
    given = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in hyper.items()}
    expected = expression(tz, torch.tensor(target), **given)
    (0.25 * expected.sum()).backward()
    loss, dz = op(z, target, scale=0.25, **hyper)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dz, tz.grad.numpy(), rtol=1e-11, atol=1e-14)


# ---------------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_ignored_label_may_be_any_number_and_a_wrong_one_is_a_nan(backend):
    z = normal(0, (3, 4))
    loss, dz = ops.cross_entropy(z, np.array([1, 255, 2]), ignore=255, backend=backend)
    assert loss[1] == 0 and not dz[1].any() and loss[[0, 2]].all()
    if backend == "cpu":
        assert np.isnan(ops.cross_entropy(z, np.array([1, 255, 2]), ignore=254)[0]).tolist() == [False, True, False]


def test_huber_meets_both_its_halves_and_l1_has_no_slope_at_zero():
    z, t = np.array([-3.0, -0.5, 0.0, 0.5, 3.0]), np.zeros(5)
    assert ops.huber(z, t, delta=1.0)[0].tolist() == [2.5, 0.125, 0, 0.125, 2.5]
    assert ops.huber(z, t, delta=1.0)[1].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert ops.l1(z, t)[1].tolist() == [-1, -1, 0, 1, 1]


def test_a_perfect_segmentation_loses_nothing_and_samples_add_up():
    labels = np.array([[0, 1, 1], [2, 2, 2]])
    z = 1e3 * (np.arange(3) == labels[..., None])
    assert np.abs(ops.dice(z, labels)[0]).max() <= 1e-12
    z = normal(0, z.shape)
    alone = [ops.dice(z[i : i + 1], labels[i : i + 1])[0][0] for i in range(2)]
    assert alone == ops.dice(z, labels)[0].tolist()


REFUSED = [
    (lambda z: ops.mse(z, np.zeros(3)), r"mse: the target is float64\(3,\) for outputs float64\(3, 4\)"),
    (lambda z: ops.l1(z, np.zeros((3, 4), np.int64)), r"l1: the target is int64\(3, 4\)"),
    (lambda z: ops.huber(z, z, delta=0.0), "delta 0.0 must be more than 0"),
    (lambda z: ops.bce_with_logits(z, z, pos_weight=np.ones(3)), r"pos_weight \(3,\) for outputs \(3, 4\)"),
    (lambda z: ops.focal(z, z, alpha=2.0), r"alpha 2.0 in \[0, 1\]"),
    (lambda z: ops.kl_divergence(z, z, temperature=0.0), "temperature 0.0 must be more than 0"),
    (lambda z: ops.dice(z, np.zeros(4, np.int64)), r"dice: the target is int64\(4,\) for logits float64\(3, 4\)"),
    (lambda z: ops.cross_entropy(z, np.zeros(3, np.int64), smoothing=2.0), r"smoothing 2.0 is not in \[0, 1\]"),
    (lambda z: ops.cross_entropy(z, np.zeros(3, np.int64), weights=np.ones(3)), r"weights \(3,\) for 4 classes"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call(np.zeros((3, 4)))
