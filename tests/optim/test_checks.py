"""What each rule promises, beside its golden numbers."""

import itertools

import numpy as np
import pytest
from descent import arena, descend, noise, slots

from shoal.optim import NAG, QHM, SGD, Adagrad, Adam, AggMo, NAdam, QHAdam, RMSprop, Step, Sutskever

START = np.random.default_rng(0).standard_normal(40)


def after(optimizer, steps, gradient=noise, start=START, dtype=np.float64):
    *_, w = descend(optimizer, arena(start, dtype), gradient, steps)
    return w["w"]


def constant(step, w, g):
    g["w"][...] = 1


def quadratic(*curvatures):
    """The gradient of 1/2 sum c w^2."""
    c = np.array(curvatures)

    def gradient(step, w, g):
        g["w"][...] = c * w["w"]

    return gradient


# ---------------------------------------------------------------------------------------------------- momentum


@pytest.mark.parametrize("rule", [Sutskever(0.1, momentum=0.0), NAG(0.1, momentum=0.0), AggMo(0.1, betas=(0.0,))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_memory_every_momentum_is_sgd_bit_by_bit(rule, dtype) -> None:
    assert after(rule, 5, dtype=dtype).tobytes() == after(SGD(0.1), 5, dtype=dtype).tobytes()


def test_one_velocity_of_aggmo_is_momentum_bit_by_bit() -> None:
    assert after(AggMo(0.1, betas=(0.9,)), 20).tobytes() == after(SGD(0.1, momentum=0.9), 20).tobytes()
    assert after(AggMo(0.1, betas=(0.8,)), 20).tobytes() != after(SGD(0.1, momentum=0.9), 20).tobytes()


def test_the_velocity_of_a_constant_gradient_tends_to_its_limit() -> None:
    w = arena(START)
    for rule, limit in [(SGD(0.01, momentum=0.9), 10), (Sutskever(0.01), -0.1), (QHM(0.01, momentum=0.9), 1)]:
        state = slots(rule, w)
        list(descend(rule, w, constant, 400, state))
        np.testing.assert_allclose(state["velocity"]["w"], limit, rtol=1e-12)


def test_the_two_forms_of_momentum_part_when_the_rate_drops() -> None:
    """PyTorch keeps lr outside the velocity, so its next step shrinks at once; Sutskever's does not."""
    drop = Step(0.1, milestones=(5,), gamma=0.01)
    steps = {}
    for rule in (SGD(drop, momentum=0.9), Sutskever(drop)):
        path = [w["w"].copy() for w in descend(rule, arena(np.zeros(1)), constant, 6)]
        steps[type(rule)] = np.diff(path, axis=0).ravel()
    np.testing.assert_allclose(steps[SGD][:4], steps[Sutskever][:4], rtol=1e-12)
    assert abs(steps[SGD][4]) < 0.02 * abs(steps[SGD][3])
    assert abs(steps[Sutskever][4]) > 0.85 * abs(steps[Sutskever][3])


def test_torchs_nesterov_holds_the_look_ahead_of_the_exact_one() -> None:
    """w_torch = w_exact + momentum * v at every step, while lr is constant."""
    gradient = quadratic(1.0, 0.3, 0.01)
    exact, torch = arena(np.ones(3)), arena(np.ones(3))
    state = slots(NAG(0.1), exact)
    steps = zip(
        descend(NAG(0.1), exact, gradient, 30, state),
        descend(SGD(0.1, momentum=0.9, nesterov=True), torch, gradient, 30),
        strict=True,
    )
    for x, y in steps:
        np.testing.assert_allclose(y["w"], x["w"] + 0.9 * state["velocity"]["w"], rtol=0, atol=1e-15)
    assert np.abs(exact["w"] - torch["w"]).max() > 1e-3


def test_nesterov_needs_a_tenth_of_the_steps_of_descent() -> None:
    """On a quadratic of condition number 1e4, to 1e-6, both tuned: sqrt(kappa) against kappa."""
    kappa = 1e4
    gradient = quadratic(1.0, 1 / kappa)
    root = kappa**0.5
    fast = NAG(1.0, momentum=(root - 1) / (root + 1))
    path = descend(fast, arena(np.ones(2)), gradient, 5000, backend="reference")
    needed = next(step for step, w in enumerate(path, 1) if np.linalg.norm(w["w"]) < 1e-6)
    *_, slow = descend(SGD(2 / (1 + 1 / kappa)), arena(np.ones(2)), gradient, 10 * needed, backend="reference")
    assert needed < 25 * root
    assert np.linalg.norm(slow["w"]) > 1e-2


def test_qhm_with_nu_one_is_momentum_at_another_rate() -> None:
    np.testing.assert_allclose(
        after(QHM(0.1 / (1 - 0.9), momentum=0.9, nu=1.0), 30), after(SGD(0.1, momentum=0.9), 30), rtol=1e-12
    )
    np.testing.assert_allclose(after(QHM(0.1, nu=0.0), 30), after(SGD(0.1), 30), rtol=1e-12)


def test_aggmo_damps_what_a_single_long_momentum_keeps_swinging() -> None:
    """On a quadratic of condition number 1e4: the amplitude of each fifty steps along the steep axis."""

    def amplitudes(rule):
        path = [abs(w["w"][0]) for w in descend(rule, arena(np.ones(2)), quadratic(1.0, 1e-4), 300)]
        return np.array(path).reshape(6, 50).max(axis=1)

    passive = amplitudes(AggMo(1.0, betas=(0.0, 0.9, 0.999)))
    assert (np.diff(passive) < 0).all() and passive[-1] < 1e-6
    assert amplitudes(SGD(1.0, momentum=0.999))[-1] > 0.8


# ---------------------------------------------------------------------------------------------------- adaptive rules


def test_adagrad_moves_by_lr_over_the_root_of_how_often_it_was_touched() -> None:
    def every(step, w, g):
        g["w"][:] = [step % n == 0 for n in (1, 2, 5)]

    path = [w["w"].copy() for w in descend(Adagrad(0.1), arena(np.zeros(3)), every, 20)]
    moved = np.abs(np.diff([np.zeros(3), *path], axis=0))
    for i, n in enumerate((1, 2, 5)):
        times = np.arange(1, len(moved[::n]) + 1)
        np.testing.assert_allclose(moved[::n, i], 0.1 / np.sqrt(times), rtol=1e-8)


def test_adagrad_leaves_untouched_rows_as_they_are() -> None:
    def sparse(step, w, g):
        g["w"][3:5] = 1 + step

    w = arena(START)
    list(descend(Adagrad(0.1), w, sparse, 5))
    assert w["w"][:3].tobytes() == START[:3].tobytes() and w["w"][5:].tobytes() == START[5:].tobytes()
    assert (w["w"][3:5] < START[3:5]).all()


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_adams_first_step_is_lr_whatever_the_gradient(size) -> None:
    def gradient(step, w, g):
        g["w"][...] = size * np.sign(START) * (1 + np.abs(START))

    np.testing.assert_allclose(START - after(Adam(0.1, eps=1e-12), 1, gradient), 0.1 * np.sign(START), rtol=1e-6)


def test_adams_path_does_not_depend_on_the_scale_of_the_gradients() -> None:
    def louder(step, w, g):
        noise(step, w, g)
        g["w"][...] *= 1000

    np.testing.assert_allclose(after(Adam(0.1), 30, louder), after(Adam(0.1), 30), rtol=1e-5)
    assert np.abs(after(SGD(0.1), 30, louder) - after(SGD(0.1), 30)).max() > 1


@pytest.mark.parametrize("variant", ["torch", "reddi"])
def test_the_highest_moment_never_falls(variant) -> None:
    rule = Adam(0.1, betas=(0.9, 0.5), amsgrad=variant)
    w = arena(START)
    state = slots(rule, w)
    highest, fell = [], False
    for _ in descend(rule, w, noise, 1000, state):
        highest.append(state["highest"]["w"].copy())
        fell |= bool((state["square"]["w"] < highest[-1]).any())
    assert fell and all((b >= a).all() for a, b in itertools.pairwise(highest))


def test_qhadam_between_adam_and_rmsprop() -> None:
    np.testing.assert_allclose(after(QHAdam(0.1), 30), after(Adam(0.1), 30), rtol=1e-12)
    corrected, square = START.copy(), np.zeros_like(START)
    for step in range(30):  # RMSprop with its bias corrected
        g = np.random.default_rng([step, 40]).standard_normal(40)
        square = 0.999 * square + 0.001 * g**2
        corrected -= 0.1 * g / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
    np.testing.assert_allclose(after(QHAdam(0.1, nus=(0.0, 1.0)), 30), corrected, rtol=1e-11)
    near = np.abs(after(QHAdam(0.1, nus=(0.9, 1.0)), 30) - after(NAdam(0.1, momentum_decay=0.0), 30)).max()
    assert 1e-6 < near < 0.5


def test_a_centered_rmsprop_survives_a_constant_gradient() -> None:
    """Rounding makes the variance of a constant negative; its root would be a NaN, as it is in PyTorch."""

    def still(step, w, g):
        g["w"][...] = START

    rule, w = RMSprop(1e-3, alpha=0.9, centered=True), arena(START, np.float32)
    state = slots(rule, w)
    list(descend(rule, w, still, 200, state))
    assert (state["square"]["w"] < state["mean"]["w"] ** 2).any()
    assert np.isfinite(w["w"]).all()


def test_a_nan_is_not_hidden() -> None:
    def broken(step, w, g):
        noise(step, w, g)
        g["w"][7] = np.nan

    for rule in (Adam(0.1, amsgrad="torch"), RMSprop(0.1, centered=True, momentum=0.9), Adagrad(0.1)):
        found = np.isnan(after(rule, 3, broken))
        assert found[7] and found.sum() == 1
