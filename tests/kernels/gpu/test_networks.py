"""Whole networks on the gpu backend, its kernels executed on the CPU: training steps equal the cpu backend's."""

import pytest
from emulated import Emulated
from equals import EVERY, WHOLE, descent, difference

from shoal.kernels.gpu.launch import executed_by

LONG = [
    pytest.param(*case, marks=pytest.mark.long)
    for case in [("digits-cnn", "momentum"), ("skips", "adam"), ("gpt", "adamw")]
]
TRAINED = [("lstm-lm", "sgd"), ("unet", "rmsprop"), *LONG]


@pytest.mark.parametrize(("model", "optimizer"), TRAINED)
def test_two_steps_of_training_equal_the_cpus(model, optimizer):
    with executed_by(Emulated()) as device:
        found = descent(model, optimizer, "float64", [WHOLE] * 2, backend="gpu")
    expected = descent(model, optimizer, "float64", [WHOLE] * 2, backend="cpu")
    assert device.launched
    assert difference(found.weights, expected.weights) <= 1e-10
    assert difference(found.gradients, expected.gradients) <= 1e-10
    assert found.losses == pytest.approx(expected.losses, rel=1e-12)
    assert found.right == expected.right


@pytest.mark.long
@pytest.mark.parametrize("model", ["mlp", "lenet", "resnet20"])
def test_the_reference_networks_do(model):
    with executed_by(Emulated()):
        found = descent(model, "momentum", "float32", [WHOLE], backend="gpu")
    expected = descent(model, "momentum", "float64", [WHOLE], backend="cpu")
    assert difference(found.gradients, expected.gradients) <= 1e-5, EVERY[model]
