"""Losses: sums that divide by one mass, whatever the shape of a sample's target and however the batch is cut."""

import numpy as np
import pytest
from closeness import normal
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import DataError, UsageError
from shoal.nn import BCE, L1, MSE, CrossEntropy, Dice, Focal, Huber, KLDivergence

BACKENDS = ["reference", "cpu"]
LABELS = np.random.default_rng(1).integers(0, 4, (6, 3))
SHARES = np.random.default_rng(2).random((6, 3, 4))
WEIGHTS = (0.5, 1.0, 2.0, 3.0)
LOSSES = {  # loss, target for outputs (6, 3, 4), mass
    "cross-entropy": (CrossEntropy(), LABELS, 18),
    "smoothed": (CrossEntropy(smoothing=0.2), LABELS, 18),
    "weighted": (CrossEntropy(weights=WEIGHTS, ignore=2), LABELS, sum(WEIGHTS[k] for k in LABELS.flat if k != 2)),
    "with a label to ignore": (CrossEntropy(ignore=255), np.where(LABELS == 1, 255, LABELS), (LABELS != 1).sum()),
    "kl": (KLDivergence(temperature=2.0), normal(3, (6, 3, 4)), 18),
    "mse": (MSE(), SHARES, 72),
    "l1": (L1(), SHARES, 72),
    "huber": (Huber(delta=0.5), SHARES, 72),
    "bce": (BCE(), SHARES, 72),
    "weighted bce": (BCE(pos_weight=WEIGHTS), (SHARES > 0.5).astype(np.int64), 72),
    "focal": (Focal(), SHARES.round(), 72),
    "dice of labels": (Dice(), LABELS, 6),
    "dice of shares": (Dice(), SHARES, 6),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_mass_is_the_weight_of_all_terms(name) -> None:
    loss, target, mass = LOSSES[name]
    assert loss.mass(target) == pytest.approx(mass, rel=1e-15)
    if loss.even:
        assert loss.mass(np.broadcast_to(np.nan, target.shape)) == mass  # only the shape is read


@pytest.mark.parametrize("name", LOSSES)
def test_the_parts_of_a_batch_add_up_to_the_whole(name) -> None:
    loss, target, mass = LOSSES[name]
    z, ctx = normal(0, (6, 3, 4)), Context(backend="reference")
    whole = loss(z.copy(), target, 1 / mass, ctx)
    parts = [loss(z[part].copy(), target[part], 1 / mass, ctx) for part in (slice(0, 1), slice(1, 6), slice(6, 6))]
    assert sum(part[0] for part in parts) == pytest.approx(whole[0], rel=1e-13)
    assert sum(part[1] for part in parts) == whole[1]
    np.testing.assert_allclose(np.concatenate([part[2] for part in parts]), whole[2], rtol=1e-13)
    assert sum(loss.mass(target[part]) for part in (slice(0, 1), slice(1, 6))) == pytest.approx(mass)


def means(torch):
    """PyTorch's mean loss of z and target (6, 3, 4), classes last."""
    f, w = torch.nn.functional, torch.tensor(WEIGHTS, dtype=torch.float64)

    def entropy(**how):
        return lambda z, t: f.cross_entropy(z.flatten(0, 1), t.flatten(), **how)

    return {
        "cross-entropy": entropy(),
        "smoothed": entropy(label_smoothing=0.2),
        "weighted": entropy(weight=w, ignore_index=2),
        "with a label to ignore": entropy(ignore_index=255),
        "kl": lambda z, t: (
            4
            * f.kl_div(*(f.log_softmax(x.flatten(0, 1) / 2, 1) for x in (z, t)), reduction="batchmean", log_target=True)
        ),
        "mse": f.mse_loss,
        "l1": f.l1_loss,
        "huber": lambda z, t: f.huber_loss(z, t, delta=0.5),
        "bce": f.binary_cross_entropy_with_logits,
        "weighted bce": lambda z, t: f.binary_cross_entropy_with_logits(z, t.double(), pos_weight=w),
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith(("focal", "dice"))])
def test_the_mean_and_its_gradient_equal_pytorchs(name, backend) -> None:
    torch = oracle()
    (loss, target, _), z = LOSSES[name], normal(0, (6, 3, 4))
    tz = torch.tensor(z, requires_grad=True)
    expected = means(torch)[name](tz, torch.tensor(target))
    expected.backward()
    mass = loss.mass(target)
    total, _, dz = loss(z, target, 1 / mass, Context(backend=backend))
    assert total / mass == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(dz, tz.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_what_is_classified_right_is_counted() -> None:
    ctx, z = Context(backend="reference"), np.array([[2.0, 1.0], [-1.0, -3.0], [0.0, 5.0]])
    assert CrossEntropy()(z, np.array([0, 1, 1]), 1.0, ctx)[1] == 2
    assert CrossEntropy(ignore=9)(z, np.array([9, 1, 1]), 1.0, ctx)[1] == 1
    assert BCE()(z, np.array([[1, 1], [0, 1], [0, 0]]), 1.0, ctx)[1] == 4
    assert MSE()(z, z.copy(), 1.0, ctx)[1] == 0


@pytest.mark.parametrize("labels", [np.zeros(2, int), np.zeros((2, 3, 1), int), np.zeros(6, int)])
def test_labels_of_another_shape_are_refused(labels) -> None:
    with pytest.raises(UsageError, match=r"for logits \(2, 3, 4\)"):
        CrossEntropy()(np.zeros((2, 3, 4)), labels, 1.0, Context(backend="reference"))


def test_a_label_without_an_output_or_without_a_weight_is_a_data_error() -> None:
    with pytest.raises(DataError, match="labels from 1 to 4 for 4 classes"):
        CrossEntropy(ignore=255)(np.zeros((3, 4)), np.array([1, 4, 255]), 1.0, Context(backend="reference"))
    with pytest.raises(DataError, match="labels from 0 to 2 for 2 classes"):
        CrossEntropy(weights=(1.0, 2.0)).mass(np.array([0, 2]))
