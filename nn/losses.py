"""The losses by the names of the configuration: what needs no more than a target from the data."""

from __future__ import annotations

from .dice import Dice
from .elementwise_loss import BCE, L1, MSE, Focal, Huber
from .loss import CrossEntropy, Loss

LOSSES: dict[str, type[Loss]] = {
    "cross-entropy": CrossEntropy,
    "bce": BCE,
    "mse": MSE,
    "l1": L1,
    "huber": Huber,
    "dice": Dice,
    "focal": Focal,
}
