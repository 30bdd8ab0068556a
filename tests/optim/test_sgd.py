"""SGD on arenas: golden streams, decay masks, and what it refuses."""

import numpy as np
import pytest

from shoal.core.errors import UsageError
from shoal.core.spec import Init, Spec
from shoal.nn import Arena, Layout
from shoal.optim import SGD

STREAM = [1, -0.5, 0.25, 0.125, 2]  # gradients that do not depend on w
GOLDEN = [
    (SGD(0.1), [0.9, 0.95, 0.925, 0.9125, 0.7125]),
    (SGD(0.1, momentum=0.9), [0.9, 0.86, 0.799, 0.7316, 0.47094]),
    (SGD(0.1, momentum=0.9, dampening=0.9), [0.9, 0.815, 0.736, 0.66365, 0.578535]),
    (SGD(0.1, momentum=0.9, nesterov=True), [0.81, 0.824, 0.7441, 0.67094, 0.236346]),
]


ONE = (Spec("w", (1,), Init("ones")),)


def run(optimizer, stream=STREAM, backend="cpu", specs=ONE):
    w = Arena(Layout(specs), np.float64).initialise(0, "reference")
    state = {slot: w.like() for slot in optimizer.slots}
    seen = []
    for step, gradient in enumerate(stream):
        g = w.like()
        for spec in w.layout.owned():
            g[spec.name].fill(gradient)
        optimizer.update(w, g, state, step, backend)
        seen.append({s.name: float(w[s.name].ravel()[0]) for s in w.layout.owned()})
    return seen, w, state


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("optimizer, golden", GOLDEN)
def test_the_golden_stream(optimizer, golden, backend) -> None:
    seen, w, _ = run(optimizer, backend=backend)
    np.testing.assert_allclose([s["w"] for s in seen], golden, rtol=1e-13)
    assert not w.flat[1:].any()  # padding


def test_momentum_tends_to_g_over_one_minus_mu() -> None:
    _, _, state = run(SGD(0.01, momentum=0.9), [1.0] * 400)
    assert abs(state["velocity"].flat[0] - 10) < 1e-12


def test_decay_applies_where_the_spec_says() -> None:
    specs = (Spec("w", (20,), Init("ones")), Spec("b", (3,), Init("ones"), decay=False))
    (last,), *_ = run(SGD(0.1, weight_decay=0.5), [0.0], specs=specs)
    assert last == {"w": 1 - 0.1 * 0.5, "b": 1.0}


@pytest.mark.parametrize(
    "arguments", [{"lr": -1}, {"lr": float("nan")}, {"lr": 1, "nesterov": True}, {"lr": 1, "momentum": -0.1}]
)
def test_impossible_values_are_refused(arguments) -> None:
    with pytest.raises(UsageError):
        SGD(**arguments)
