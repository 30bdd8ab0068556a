"""Sizes that no layer can have: found where the layer is made, not in a division by them."""

from collections.abc import Callable

import pytest

from shoal.core.errors import UsageError
from shoal.core.shape import each
from shoal.nn import LSTM, BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Embedding, Linear, MaxPool2d, Module, Upsample2d

WRONG: dict[str, Callable[[], Module]] = {
    "channels = 0 must be an integer of at least 1": lambda: Conv2d(0, 3),
    "channels = -4 must be": lambda: ConvTranspose2d(-4, 3),
    "groups = 0 must be": lambda: Conv1d(4, 3, groups=0),
    "features = 0 must be": lambda: Linear(0),
    "features = 2.5 must be": lambda: Linear(2.5),  # type: ignore[arg-type]
    "width = 0 must be": lambda: LSTM(0),
    "vocabulary = 0 must be": lambda: Embedding(0, 3),
    "1.5 must be an integer, or 2 of them": lambda: Upsample2d(1.5),  # type: ignore[arg-type]
    r"\(2, 1.5\) must be an integer, or 2 of them": lambda: MaxPool2d((2, 1.5)),  # type: ignore[arg-type]
    r"momentum 2 must be in \[0, 1\]": lambda: BatchNorm(momentum=2),
    "eps -1 above 0": lambda: BatchNorm(eps=-1),
}


@pytest.mark.parametrize("problem", WRONG)
def test_a_size_that_is_none_is_refused_with_a_cure(problem: str) -> None:
    """Conv2d(0, 3) and LSTM(0) divided by zero, (2, 1.5) was taken for (2, 1), Upsample2d(1.5) had no len()."""
    with pytest.raises(UsageError, match=problem) as caught:
        WRONG[problem]()
    assert caught.value.cure


def test_samples_without_a_channel_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Conv2d takes samples of shape \(H, W, C\), not \(8, 8, 0\)"):
        Conv2d(4, 3).specs((8, 8, 0))


def test_one_number_for_all_axes_or_one_for_each() -> None:
    assert each(3, 2) == (3, 3) and each((1, 2, 3), 3) == (1, 2, 3)
