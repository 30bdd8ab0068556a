"""The golden streams of the cards: five gradients that do not depend on w, from w = 1 with lr 0.1."""

import numpy as np
import pytest
from descent import EVERY, arena, descend

from shoal.core.errors import UsageError
from shoal.optim import NAG, OPTIMIZERS, QHM, SGD, Adagrad, Adam, AggMo, NAdam, QHAdam, RMSprop, Sutskever

STREAM = [1, -0.5, 0.25, 0.125, 2]
HEAVY = [
    0.9,
    0.86,
    0.799,
    0.7316,
    0.47094,
]  # on this stream both forms of momentum, and exact Nesterov at its own points
EXACT, PRINTED = 1e-13, 5.1e-11  # of short decimals; of ten printed digits

GOLDEN = {
    "sgd": (SGD(0.1), EXACT, [0.9, 0.95, 0.925, 0.9125, 0.7125]),
    "momentum": (SGD(0.1, momentum=0.9), EXACT, HEAVY),
    "dampened": (SGD(0.1, momentum=0.9, dampening=0.9), EXACT, [0.9, 0.815, 0.736, 0.66365, 0.578535]),
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True), EXACT, [0.81, 0.824, 0.7441, 0.67094, 0.236346]),
    "sutskever": (Sutskever(0.1), EXACT, HEAVY),
    "nag": (NAG(0.1), EXACT, HEAVY),
    "qhm": (QHM(0.1, momentum=0.9), EXACT, [0.963, 0.9752, 0.96343, 0.954962, 0.8767158]),
    "aggmo": (AggMo(0.1), EXACT, [0.9, 0.887, 0.83383, 0.7787717, 0.530410983]),
    "nadam": (NAdam(0.1), PRINTED, [0.8943548232, 0.9354657956, 0.9082600772, 0.8904467918, 0.7705473819]),
    "adagrad": (Adagrad(0.1), PRINTED, [0.9, 0.9447213596, 0.9228995705, 0.9120530476, 0.8254081899]),
    "adam": (Adam(0.1), PRINTED, [0.900000001, 0.8733662974, 0.8393233831, 0.8052907775, 0.7436635668]),
    "adam-short": (
        Adam(0.1, betas=(0.9, 0.5)),
        PRINTED,
        [0.900000001, 0.8702270843, 0.825208635, 0.7697750838, 0.7261103909],
    ),
    "amsgrad": (
        Adam(0.1, betas=(0.9, 0.5), amsgrad="torch"),
        PRINTED,
        [0.900000001, 0.8742158988, 0.8444389933, 0.8176023403, 0.7739376474],
    ),
    "amsgrad-reddi": (
        Adam(0.1, betas=(0.9, 0.5), amsgrad="reddi"),
        PRINTED,
        [0.9858578646, 0.9802010104, 0.9715743078, 0.9620425085, 0.9438752639],
    ),
    "qhadam": (
        QHAdam(0.1, betas=(0.995, 0.999), nus=(0.7, 1.0)),
        PRINTED,
        [0.900000001, 0.8970037093, 0.859326085, 0.8263668876, 0.729126034],
    ),
}


def stream(step, w, g):
    g["w"][...] = STREAM[step]


def walked(optimizer, backend="cpu"):
    return [float(w["w"][0]) for w in descend(optimizer, arena(1.0), stream, len(STREAM), backend=backend)]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_stream(name, backend) -> None:
    optimizer, allowed, expected = GOLDEN[name]
    np.testing.assert_allclose(walked(optimizer, backend), expected, rtol=0, atol=allowed)


def test_another_rule_is_told_apart() -> None:
    """AMSGrad and Adam differ on this stream only because the second moment forgets quickly."""
    _, allowed, expected = GOLDEN["amsgrad"]
    assert np.max(np.abs(np.subtract(walked(Adam(0.1, betas=(0.9, 0.5))), expected))) > 1e3 * allowed
    assert walked(Adam(0.1)) == walked(Adam(0.1, amsgrad="torch"))


@pytest.mark.parametrize("name", EVERY)
def test_padding_stays_zero_and_decay_applies_where_the_spec_says(name) -> None:
    w = arena(np.ones(20), free=3)
    *_, last = descend(EVERY[name], w, lambda step, w, g: None, 1)  # the gradient is zero: only decay acts
    assert (last["w"] < 1).all()
    np.testing.assert_array_equal(last["b"], 1)
    assert not last.flat[20:32].any() and not last.flat[35:].any()


def test_every_rule_of_the_table_is_tried() -> None:
    assert {type(optimizer) for optimizer in EVERY.values()} == set(OPTIMIZERS.values())


WRONG = [
    (SGD, {"lr": -1}, r"SGD: lr -1.0 must be in \[0, inf\)"),
    (SGD, {"lr": float("nan")}, "SGD: lr nan must be"),
    (SGD, {"momentum": -0.1}, "SGD: momentum -0.1 must be"),
    (SGD, {"nesterov": True}, r"nesterov needs momentum > 0 \(0.0\)"),
    (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"and dampening 0 \(0.1\)"),
    (Adam, {"betas": (0.9, 1.0)}, r"Adam: betas 1.0 must be in \[0, 1\)"),
    (Adam, {"betas": (0.9,)}, r"Adam: betas \(0.9,\) must be two numbers"),
    (Adam, {"eps": 0.0}, "Adam: eps 0.0 must be"),
    (Adam, {"amsgrad": True}, "Adam: amsgrad True"),
    (AggMo, {"betas": ()}, "names no velocity"),
    (QHAdam, {"nus": (1.1, 1.0)}, "QHAdam: nus 1.1 must be"),
    (RMSprop, {"alpha": 1.0}, "RMSprop: alpha 1.0 must be"),
    (NAdam, {"weight_decay": -1e-4}, "NAdam: weight_decay -0.0001 must be"),
]


@pytest.mark.parametrize("rule, settings, problem", WRONG)
def test_impossible_values_are_refused(rule, settings, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        rule(**settings)
