"""Clipping by the norm of the whole gradient: PyTorch's, for one arena and for a model in two parts."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import torch

from shoal.core.spec import Spec
from shoal.nn import Arena, Layout
from shoal.optim import clip


def gradient(seed: int, *sizes: int, dtype: type = np.float64) -> Arena:
    g = Arena(Layout(Spec(str(i), (size,)) for i, size in enumerate(sizes)), dtype)
    rng = np.random.default_rng(seed)
    for spec in g.layout.owned():
        g[spec.name][...] = rng.standard_normal(spec.shape)
    return g


@pytest.mark.parametrize("limit", [0.5, 3.0, 100.0])
@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_equals_pytorch(limit: float, dtype: type, close: float) -> None:
    g = gradient(1, 5, 40, 17, dtype=dtype)
    theirs = [torch().nn.Parameter(torch().zeros(spec.size)).to(torch().float64) for spec in g.layout.owned()]
    for parameter, spec in zip(theirs, g.layout.owned(), strict=True):
        parameter.grad = torch().tensor(g[spec.name].astype(np.float64))
    norm = torch().nn.utils.clip_grad_norm_(theirs, limit)
    assert clip(g, limit) == pytest.approx(float(norm), rel=close)
    for parameter, spec in zip(theirs, g.layout.owned(), strict=True):
        np.testing.assert_allclose(g[spec.name], parameter.grad.numpy(), rtol=close)


def test_a_model_in_two_parts_is_clipped_as_one() -> None:
    both, parts = gradient(2, 9, 30), [gradient(2, 9, 30), gradient(2, 9, 30)]
    parts[0]["1"][...] = 0  # each part owns one of the two
    parts[1]["0"][...] = 0
    whole = np.array([(both.flat**2).sum()])
    norms = {clip(part, 1.0, total=lambda a: whole) for part in parts}
    assert norms == {clip(both, 1.0)}
    np.testing.assert_allclose(parts[0].flat + parts[1].flat, both.flat, rtol=1e-14)
    assert np.sqrt((both.flat**2).sum()) == pytest.approx(1.0, abs=1e-5)


def test_what_is_within_the_limit_keeps_its_bits() -> None:
    g = gradient(3, 20)
    before = g.flat.copy()
    clip(g, 1e3)
    assert (g.flat == before).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    g = gradient(4, 20)
    g["0"][3] = bad
    assert not np.isfinite(clip(g, 1.0))
    assert not np.isfinite(g["0"][3])
