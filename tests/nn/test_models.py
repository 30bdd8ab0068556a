"""The reference networks: shapes, parameter counts, and parity with PyTorch over training steps."""

import re
from functools import partial
from typing import Any

import mirrors
import numpy as np
import pytest
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.cost import total
from shoal.core.errors import DataError, UsageError
from shoal.nn import Arena, CrossEntropy, Layout, Linear, Replica, Sequential
from shoal.nn.cost import measure
from shoal.nn.exchange import to_torch
from shoal.nn.models import MODELS, build, mlp
from shoal.optim import SGD

PARAMETERS = [  # weights and biases, counted by hand
    ("digits-cnn", (8, 8, 1), (9 * 16 + 16) + (9 * 16 * 32 + 32) + (4 * 4 * 32 * 10 + 10)),
    ("lenet", (28, 28, 1), (25 * 32 + 32) + (25 * 32 * 64 + 64) + (7 * 7 * 64 * 512 + 512) + (512 * 10 + 10)),
    ("mlp", (28, 28, 1), (784 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 10 + 10)),
]
KNOWN = [  # (parameters as torchvision or the paper counts them, GFLOP of a forward pass: twice the multiply-adds)
    ("resnet18", 11_689_512, 3.64),
    ("resnet50", 25_557_032, 8.22),
    ("vgg16", 138_357_544, 30.96),
    ("mobilenet-v1", 4_231_976, 1.15),
    ("mobilenet-v2", 3_504_872, 0.63),
]


@pytest.mark.parametrize("name, parameters, gflop", KNOWN)
def test_a_known_network_has_its_known_size(name, parameters, gflop) -> None:
    entry = MODELS[name]
    whole = total(measure(build(name, entry.shape, entry.classes), entry.shape))
    assert whole.parameters == parameters
    assert whole.forward / 1e9 == pytest.approx(gflop, rel=0.05)  # activations and normalisation come on top


TINY = {  # every model, small enough for finite differences: shape, classes, options
    "mlp": ((4, 4, 1), 3, {"width": 8, "dropout": 0.2}),
    "lenet": ((8, 8, 1), 3, {}),
    "digits-cnn": ((8, 8, 1), 3, {}),
    "resnet20": ((8, 8, 3), 3, {"width": 2, "depth": 1}),
    "resnet18": ((64, 64, 3), 3, {"width": 2}),
    "resnet50": ((64, 64, 3), 3, {"width": 1}),
    "vgg11": ((64, 64, 3), 3, {"width": 1}),
    "vgg16": ((32, 32, 3), 3, {"width": 2, "hidden": 8}),
    "mobilenet": ((16, 16, 3), 3, {"width": 2}),
    "mobilenet-v1": ((64, 64, 3), 3, {"width": 2}),
    "mobilenet-v2": ((64, 64, 3), 3, {"width": 4}),
    "unet": ((8, 8, 2), 3, {"width": 2, "depth": 2}),
    "tcn": ((6, 2, 1), 3, {"width": 4, "depth": 2}),
    "conv-autoencoder": ((8, 8, 2), 3, {"width": 4, "code": 2}),
    "lstm": ((5, 2, 2), 3, {"width": 4, "depth": 2}),
    "lstm-lm": ((5,), 7, {"width": 4}),
    "gpt": ((5,), 7, {"width": 8, "depth": 2, "heads": 2}),
    "autoencoder": ((4, 4, 1), 3, {"width": 8, "code": 3}),
}


@pytest.mark.parametrize("name, shape, count", PARAMETERS)
def test_a_model_has_this_many_parameters(name, shape, count) -> None:
    assert Layout(build(name, shape, 10).specs(shape)).parameters == count


@pytest.mark.parametrize("name", MODELS)
def test_a_models_gradient_equals_the_difference_of_its_output(name) -> None:
    """Along one direction through all weights together: sum(u * model(x)), in float64, with steps that meet no kink of a ReLU."""
    shape, classes, options = TINY[name]
    model = build(name, shape, classes, **options)
    rng = np.random.default_rng(0)
    replica = Replica(model, shape, np.float64).initialise(1, "reference")
    x = rng.integers(0, classes, (3, *shape)) if MODELS[name].tokens else rng.standard_normal((3, *shape))
    ctx = Context(training=True, step=3, seed=5, samples=np.arange(3), backend="reference", input_gradient=False)
    u = rng.standard_normal((3, *model.out_shape(shape)))
    weights = replica.weights.flat
    start, direction = weights.copy(), np.where(weights != 0, rng.standard_normal(weights.size), 0)

    def value(eps: float) -> float:
        weights[:] = start + eps * direction
        return float((u * model.forward(replica.p, x, ctx)[0]).sum())

    expected = (value(1e-8) - value(-1e-8)) / 2e-8
    weights[:] = start
    _, saved = model.forward(replica.p, x, ctx)
    model.backward(replica.p, replica.g, saved, u.copy(), ctx)
    assert abs(replica.gradients.flat @ direction - expected) <= 1e-6 * max(1.0, abs(expected))


@pytest.mark.parametrize(
    "options, problem, cure",
    [
        ({"widht": 3}, "mlp has no option widht", r'did you mean "width"\? \(options: width, dropout\)'),
        ({"width": 2.5}, "mlp: width = 2.5 is not like its default 1024", "give width as int"),
        ({"width": True}, "mlp: width = True is not like", "give width as int"),
        ({"width": 0}, "mlp: width = 0 must be at least 1", "the default is 1024"),
        ({"dropout": 2}, "Dropout rate 2 is not in", ""),
    ],
)
def test_an_unfit_option_is_named(options, problem, cure) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        build("mlp", (4, 4, 1), 3, **options)
    assert re.search(cure, caught.value.cure)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_what_its_task_says(name) -> None:
    shape, classes, options = TINY[name]
    out = build(name, shape, classes, **options).out_shape(shape)
    expected = {"classify": (classes,), "reconstruct": shape}
    assert out == expected.get(MODELS[name].task, (*(shape if MODELS[name].tokens else shape[:-1]), classes))


@pytest.mark.parametrize(
    "name, shape, words",
    [
        ("lenett", (28, 28, 1), 'model "lenett" is not known'),
        ("lenet", (28, 28), r"does not take samples of shape \(28, 28\)"),
    ],
)
def test_an_unfit_model_is_refused(name, shape, words) -> None:
    with pytest.raises(UsageError, match=words):
        build(name, shape, 10)


def test_tokens_are_for_models_of_tokens() -> None:
    with pytest.raises(UsageError, match=r"mlp takes real values, the samples are tokens \(int64\)"):
        build("mlp", (8,), 10, tokens=True)
    assert build("mlp", (8,), 10, tokens=False).out_shape((8,)) == (10,)


def test_a_label_without_an_output_is_a_data_error() -> None:
    with pytest.raises(DataError, match="labels from 0 to 10 for 10 classes"):
        CrossEntropy()(np.zeros((2, 10)), np.array([0, 10]), 1.0, Context())


MIRRORS = {
    "digits-cnn": ((8, 8, 1), partial(mirrors.digits_cnn, classes=10, side=8)),
    "lenet": ((28, 28, 1), partial(mirrors.lenet, classes=10, side=28)),
}


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", MIRRORS)
def test_three_steps_equal_pytorch(name, backend) -> None:
    torch = oracle()
    shape, mirror = MIRRORS[name]
    model = build(name, shape, 10)
    arena = Arena(Layout(model.specs(shape)), np.float64).initialise(1, "reference")

    def out() -> dict[str, Any]:
        return {
            key: torch.tensor(a) for key, a in to_torch(model, shape, {n: arena[n] for n in arena.layout.specs}).items()
        }

    twin = mirror(torch).double()
    twin.load_state_dict(out())
    ours, theirs = SGD(lr=0.1, momentum=0.9), torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    state = {slot: arena.like() for slot in ours.slots}
    rng = np.random.default_rng(0)
    for step in range(3):
        x, labels = rng.standard_normal((4, *shape)), rng.integers(0, 10, 4)
        ctx = Context(
            training=False, step=step, samples=np.arange(4), backend=backend
        )  # dropout off: PyTorch draws other bits
        g = arena.like()
        y, saved = model.forward(arena.views, x, ctx)
        loss, _, dz = CrossEntropy()(y, labels, 1 / 4, ctx)
        model.backward(arena.views, g.views, saved, dz, ctx)
        ours.update(arena, g, state, step, backend)

        theirs.zero_grad()
        expected = torch.nn.functional.cross_entropy(
            twin(torch.tensor(x.transpose(0, 3, 1, 2).copy())), torch.tensor(labels)
        )
        expected.backward()
        theirs.step()
        assert abs(loss / 4 - expected.item()) <= 1e-12
    after = out()
    for key, b in twin.state_dict().items():
        assert torch.linalg.norm(after[key] - b) <= 1e-12 * torch.linalg.norm(b)


def test_dropout_of_a_part_of_the_batch_equals_that_part_of_the_whole() -> None:
    model = mlp(10, dropout=0.3)
    arena = Arena(Layout(model.specs((4, 4, 1))), np.float64).initialise(0, "reference")
    x = np.random.default_rng(0).standard_normal((6, 4, 4, 1))
    samples = np.array([40, 3, 17, 8, 25, 0])

    def forward(part):
        ctx = Context(training=True, step=9, seed=2, samples=samples[part], backend="reference")
        return model.forward(arena.views, np.ascontiguousarray(x[part]), ctx)[0]

    whole = forward(slice(None))
    for part in (slice(0, 2), slice(2, 6)):
        np.testing.assert_allclose(forward(part), whole[part], rtol=1e-13)


def test_a_wrong_shape_names_the_cure() -> None:
    with pytest.raises(UsageError, match=r"put Flatten\(\) before it"):
        Sequential(Linear(3)).specs((4, 4, 1))
