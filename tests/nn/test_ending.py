"""What is computed together where no backward follows: the same as layer after layer, and how many calls it takes."""

from __future__ import annotations

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.core.trace import Trace
from shoal.kernels.op import counting
from shoal.nn import (
    GELU,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Dropout,
    Linear,
    Pop,
    Recompute,
    ReLU,
    Replica,
    Residual,
    Sequential,
    Sigmoid,
    Stash,
)
from shoal.nn.ending import NOTHING, Ending
from shoal.nn.models import MODELS, build

NORM, NORM_RELU = BatchNorm(), BatchNorm(activation="relu", eps=1e-3)


def conv(channels=6, **how):
    return Conv2d(channels, 3, padding=1, **how)


IMAGE, STEPS, VECTOR, VOLUME = (5, 4, 6), (7, 6), (6,), (3, 4, 4, 6)
CASES = {  # model, shape of a sample, the ops that are called
    "conv": ([conv()], IMAGE, "conv2d"),
    "conv - relu": ([conv(activation="relu")], IMAGE, "conv2d"),
    "conv - norm": ([conv(), NORM], IMAGE, "conv2d"),
    "conv - norm - relu": ([conv(bias=False), NORM_RELU], IMAGE, "conv2d"),
    "conv - norm - norm - ReLU()": ([conv(), NORM, NORM, ReLU()], IMAGE, "conv2d"),
    "depthwise and pointwise": ([conv(groups=6), NORM_RELU, Conv2d(8, 1), NORM_RELU], IMAGE, "conv2d conv2d"),
    "conv - GELU()": ([conv(), GELU()], IMAGE, "conv2d"),
    "conv - dropout - norm": ([conv(), Dropout(0.5), NORM], IMAGE, "conv2d"),
    "conv1d - norm": ([Conv1d(5, 3, padding="causal"), NORM_RELU], STEPS, "conv2d"),
    "linear - GELU() - linear": ([Linear(9), GELU(), Linear(4), Dropout(0.1)], STEPS, "gemm gemm"),
    "residual": ([Residual(Sequential(conv(), NORM_RELU, conv(), NORM), activation="relu")], IMAGE, "conv2d conv2d"),
    "residual with shortcut": (
        [Residual(Sequential(conv(8), NORM), Sequential(Conv2d(8, 1), NORM), activation="relu")],
        IMAGE,
        "conv2d conv2d",
    ),
    "residual of steps": (
        [Residual(Conv1d(6, 1)), Residual(Sequential(Linear(6), Dropout(0.1)))],
        STEPS,
        "conv2d gemm",
    ),
    "recompute and concat": ([Recompute(Concat(Sequential(conv(), NORM), conv(2)))], IMAGE, "conv2d conv2d concat"),
    # what cannot be joined is not
    "conv - relu - norm": ([conv(activation="relu"), NORM], IMAGE, "conv2d batch_norm"),
    "conv - norm - relu - norm": ([conv(), NORM_RELU, NORM], IMAGE, "conv2d batch_norm"),
    "conv - sigmoid": ([conv(), Sigmoid()], IMAGE, "conv2d sigmoid"),
    "conv - GELU(approximate)": ([conv(), GELU(approximate=True)], IMAGE, "conv2d gelu_tanh"),
    "linear - norm": ([Linear(4), NORM_RELU], VECTOR, "gemm batch_norm"),
    "norm first": ([NORM, conv()], IMAGE, "batch_norm conv2d"),
    "conv3d": ([Conv3d(4, 1), NORM], VOLUME, "conv3d batch_norm"),
    "transposed": ([ConvTranspose2d(4, 2), NORM], IMAGE, "conv2d_dx batch_norm"),
    "stash between": ([conv(), Stash("a"), NORM, Pop("a", 6)], IMAGE, "conv2d batch_norm concat"),
    "list in a list": ([Sequential(conv()), NORM], IMAGE, "conv2d batch_norm"),
    "residual of a relu": ([Residual(conv(activation="relu"), activation="relu")], IMAGE, "conv2d add relu"),
    "residual in a residual": ([Residual(Residual(conv()), activation="relu")], IMAGE, "conv2d add relu"),
}


def replica_of(model, shape, dtype=np.float64):
    """With weights and running statistics that are all different from one another."""
    replica = Replica(model, shape, dtype).initialise(0, "reference")
    replica.weights.flat[:] += 0.3 * normal(1, replica.weights.flat.shape)
    replica.buffers.flat[:] = 0.2 + np.abs(normal(2, replica.buffers.flat.shape))
    return replica


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_inference_equals_layer_after_layer(name, backend):
    blocks, shape, _ = CASES[name]
    model, x = Sequential(*blocks), normal(0, (3, *shape))
    replica, before = replica_of(model, shape), x.copy()
    y = model.infer(replica.p, x, Context(backend=backend))
    np.testing.assert_array_equal(x, before)
    assert distance(y, model.forward(replica.p, x, Context(backend=backend))[0]) <= ALLOWED[np.float64]


@pytest.mark.parametrize("name", CASES)
def test_the_calls_of_inference_are_this_table(name):
    blocks, shape, calls = CASES[name]
    model = Sequential(*blocks)
    with counting() as counted:
        model.infer(replica_of(model, shape).p, np.zeros((2, *shape)), Context(backend="shapes"))
    assert " ".join(call.op for call in counted) == calls


@pytest.mark.parametrize("name", ["resnet20", "mobilenet", "gpt", "tcn", "unet"])
def test_a_network_infers_what_its_layers_compute(name):
    shape = (16, 16, 3) if len(MODELS[name].shape) == 3 else MODELS[name].shape
    model = build(name, shape, 10)
    replica = replica_of(model, shape)
    x = np.arange(2 * shape[0]).reshape(2, *shape) % 10 if MODELS[name].tokens else normal(3, (2, *shape))
    ctx = Context(samples=np.arange(2), backend="reference")
    assert distance(model.infer(replica.p, x, ctx), model.forward(replica.p, x, ctx)[0]) <= ALLOWED[np.float64]


def test_resnet20_infers_with_a_call_for_each_convolution():
    model = build("resnet20", (32, 32, 3), 10)
    with counting() as counted:
        model.infer(Replica(model, (32, 32, 3)).p, np.zeros((1, 32, 32, 3), np.float32), Context(backend="shapes"))
    assert [call.op for call in counted] == ["conv2d"] * 21 + ["avg_pool2d", "gemm"]


def test_the_comparison_can_fail():
    model, x = Sequential(conv(), NORM), normal(0, (3, *IMAGE))
    replica = replica_of(model, IMAGE)
    expected = model.forward(replica.p, x, Context())[0]
    replica.p["1"]["running_mean"][2] += 1e-6
    assert distance(model.infer(replica.p, x, Context()), expected) > ALLOWED[np.float64]


def test_a_part_of_a_list_infers_its_part():
    model, x = Sequential(conv(), NORM, conv(), NORM_RELU), normal(0, (3, *IMAGE))
    replica = replica_of(model, IMAGE)
    for cut in range(5):
        y = model[cut:].infer(replica.p, model[:cut].infer(replica.p, x, Context()), Context())
        assert distance(y, model.forward(replica.p, x, Context())[0]) <= ALLOWED[np.float64]


def test_a_trace_shows_a_span_for_each_call():
    model, trace = Sequential(conv(), NORM, ReLU(), Residual(conv())), Trace(0)
    trace.recording = True
    model.infer(replica_of(model, IMAGE).p, normal(0, (3, *IMAGE)), Context(trace=trace))
    assert [record.name for record in trace.records] == ["forward 0 Conv2d", "forward 3 Residual"]


def test_endings_follow_each_other_as_the_formulas_do():
    y, a, b, c, d, r = (normal(i, 4) for i in range(6))
    both = Ending(a, b).then(Ending(c, d, r, "relu"))
    np.testing.assert_allclose(both.scale * y + both.bias, c * (a * y + b) + d, rtol=1e-12)
    assert both.residual is r and both.activation == "relu"
    assert both.then(NOTHING) is both and NOTHING.then(Ending(activation="gelu")) == Ending(activation="gelu")
    assert both.then(Ending(bias=b)) is None and Ending(residual=r).then(Ending(scale=a)) is None


@pytest.mark.parametrize("layer", [lambda a: Conv2d(4, 3, activation=a), lambda a: Linear(4, activation=a)])
def test_a_layer_refuses_an_activation_whose_gradient_needs_more_than_its_result(layer):
    with pytest.raises(UsageError, match='activation "gelu" is not known'):
        layer("gelu")
