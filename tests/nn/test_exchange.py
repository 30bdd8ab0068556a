"""PyTorch's weights in and out, and with them the proof of every model family: outputs and a training step, in float64."""

from __future__ import annotations

from functools import partial

import mirrors
import numpy as np
import pytest
from oracle import torch as oracle

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.nn import Conv2d, CrossEntropy, Flatten, Linear, Replica, Sequential
from shoal.nn.exchange import from_torch, tensors, to_torch
from shoal.nn.models import MODELS, build
from shoal.optim import SGD

# model: shape, classes, options, mirror in PyTorch
FAMILIES = {
    "lenet": ((8, 8, 1), 3, {}, partial(mirrors.lenet, classes=3, side=8)),
    "autoencoder": (
        (4, 3, 2),
        3,
        {"width": 8, "code": 3},
        partial(mirrors.autoencoder, shape=(4, 3, 2), width=8, code=3),
    ),
    "resnet20": ((8, 8, 3), 3, {"width": 4, "depth": 2}, partial(mirrors.resnet20, classes=3, width=4, depth=2)),
    "resnet18": (
        (64, 64, 3),
        3,
        {"width": 4},
        partial(mirrors.resnet, depths=(2, 2, 2, 2), bottleneck=False, classes=3, width=4),
    ),
    "resnet50": (
        (64, 64, 3),
        3,
        {"width": 2},
        partial(mirrors.resnet, depths=(3, 4, 6, 3), bottleneck=True, classes=3, width=2),
    ),
    "vgg11": ((64, 64, 3), 3, {"width": 2}, partial(mirrors.vgg11, classes=3, width=2, side=64)),
    "vgg16": (
        (64, 64, 3),
        3,
        {"width": 2, "hidden": 8, "dropout": 0.0},
        partial(mirrors.vgg16, classes=3, width=2, hidden=8, side=64),
    ),
    "mobilenet": ((16, 16, 3), 3, {"width": 4}, partial(mirrors.mobilenet, classes=3, width=4)),
    "mobilenet-v2": ((64, 64, 3), 3, {"width": 4, "dropout": 0.0}, partial(mirrors.mobilenet_v2, classes=3, width=4)),
    "unet": ((8, 8, 2), 3, {"width": 4, "depth": 2}, partial(mirrors.unet, inputs=2, classes=3, width=4, depth=2)),
    "tcn": (
        (6, 4),
        3,
        {"width": 5, "depth": 2, "dropout": 0.0},
        partial(mirrors.tcn, inputs=4, classes=3, width=5, depth=2),
    ),
    "conv-autoencoder": (
        (8, 8, 2),
        3,
        {"width": 4, "code": 3},
        partial(mirrors.conv_autoencoder, channels=2, width=4, code=3),
    ),
    "lstm-lm": ((5,), 7, {"width": 4, "dropout": 0.0}, partial(mirrors.lstm_lm, classes=7, width=4)),
    "gpt": (
        (5,),
        7,
        {"width": 8, "depth": 2, "heads": 2, "dropout": 0.0},
        partial(mirrors.gpt, length=5, classes=7, width=8, depth=2, heads=2),
    ),
    "lstm": ((5, 4), 3, {"width": 6, "depth": 2}, partial(mirrors.lstm, inputs=4, classes=3, width=6, depth=2)),
}
ON_CPU = ("autoencoder", "resnet20", "mobilenet-v2", "unet", "tcn", "conv-autoencoder", "lstm-lm", "gpt")


def replica_of(name: str) -> tuple[Sequential, Replica]:
    """The tiny model with weights, and buffers that a trained network could have."""
    shape, classes, options, _ = FAMILIES[name]
    model = build(name, shape, classes, **options)
    replica = Replica(model, shape, np.float64).initialise(1, "reference")
    rng = np.random.default_rng(7)
    for spec in replica.buffers.layout.owned():
        replica.buffers[spec.name][...] = rng.uniform(0.5, 1.5, spec.shape)
    return model, replica


def arrays(*arenas) -> dict[str, np.ndarray]:
    return {spec.name: arena[spec.name] for arena in arenas for spec in arena.layout.owned()}


def first(x: np.ndarray) -> np.ndarray:
    """Images with channels first, everything else as it is."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def close(ours: np.ndarray, theirs, scale: float = 1.0) -> None:
    theirs = theirs.detach().numpy()
    assert np.linalg.norm(ours - theirs) <= 1e-9 * max(np.linalg.norm(theirs), scale)


CASES = [(name, "reference") for name in FAMILIES] + [(name, "cpu") for name in ON_CPU]


@pytest.mark.parametrize("name, backend", CASES)
def test_outputs_and_a_training_step_equal_pytorch(name, backend) -> None:
    torch = oracle()
    torch.set_num_threads(1)  # for arrays as small as these, waking a second thread takes longer than the work
    shape, classes, _, mirror = FAMILIES[name]
    model, replica = replica_of(name)
    out = partial(to_torch, model, shape, family=name)
    twin = mirror(torch).double()
    state = out(arrays(replica.weights, replica.buffers))
    twin.load_state_dict({key: torch.tensor(value) for key, value in state.items()}, strict=True)
    rng = np.random.default_rng(0)
    x = rng.integers(0, classes, (2, *shape)) if MODELS[name].tokens else rng.standard_normal((2, *shape))
    twin_x = torch.tensor(first(x))
    ctx = Context(training=False, samples=np.arange(2), backend=backend, input_gradient=False)
    close(first(model.forward(replica.p, x, ctx)[0]), twin.eval()(twin_x))

    ctx = Context(training=True, samples=np.arange(2), backend=backend, input_gradient=False)
    z, saved = model.forward(replica.p, x, ctx)
    theirs = twin.train()(twin_x)
    if MODELS[name].task == "reconstruct":
        expected, dz = ((theirs - twin_x) ** 2).sum() / 2, z - x
        loss = float((dz**2).sum() / 2)
    else:
        labels = rng.integers(0, classes, z.shape[:-1])
        channels_second = theirs.transpose(1, 2) if theirs.ndim == 3 else theirs  # PyTorch wants (N, K, ...)
        expected = torch.nn.functional.cross_entropy(channels_second, torch.tensor(labels))
        loss, _, dz = CrossEntropy()(z, labels, 1 / labels.size, ctx)
        loss /= labels.size
    assert abs(loss - expected.item()) <= 1e-9 * abs(loss)
    expected.backward()
    model.backward(replica.p, replica.g, saved, dz, ctx)
    gradients = out(arrays(replica.gradients, replica.buffers))
    whole = float(np.linalg.norm(replica.gradients.flat))
    for key, parameter in twin.named_parameters():
        close(gradients[key], parameter.grad, scale=whole)  # some are zero but for rounding: a bias before a norm

    torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9).step()
    sgd = SGD(lr=0.1, momentum=0.9)
    sgd.update(replica.weights, replica.gradients, {slot: replica.weights.like() for slot in sgd.slots}, 0, backend)
    replica.commit()
    after = out(arrays(replica.weights, replica.buffers))
    for key, value in twin.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            close(after[key], value)


@pytest.mark.parametrize("name", FAMILIES)
def test_in_is_the_inverse_of_out(name) -> None:
    shape = FAMILIES[name][0]
    model, replica = replica_of(name)
    ours = arrays(replica.weights, replica.buffers)
    back = from_torch(model, shape, to_torch(model, shape, ours, name), name)
    assert back.keys() == ours.keys()
    for key in ours:
        np.testing.assert_array_equal(back[key], ours[key])


NAMES = {  # literal, from torchvision
    "resnet18": {
        "3.body.2.weight": "layer1.0.conv2.weight",
        "5.shortcut.1.running_var": "layer2.0.downsample.1.running_var",
        "12.bias": "fc.bias",
    },
    "resnet50": {"3.body.5.bias": "layer1.0.bn3.bias", "18.body.4.weight": "layer4.2.conv3.weight"},
    "vgg16": {"0.weight": "features.0.weight", "1.bias": "features.2.bias", "19.weight": "classifier.0.weight"},
    "mobilenet-v2": {
        "1.0.0.weight": "features.1.conv.0.0.weight",
        "3.body.2.weight": "features.3.conv.2.weight",
        "21.bias": "classifier.1.bias",
    },
    "lenet": {"0.weight": "0.weight", "2.bias": "3.bias", "6.weight": "9.weight"},
    "lstm": {"1.weight_ih": "1.weight_ih_l0", "2.bias_hh": "2.bias_hh_l0"},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_torchvision_or_of_the_mirrored_sequential(name) -> None:
    model, _ = replica_of(name)
    found = {tensor.ours: tensor.theirs for tensor in tensors(model, FAMILIES[name][0], name)}
    assert {key: found.get(key) for key in NAMES[name]} == NAMES[name]


SMALL = Sequential(Conv2d(4, 3), Flatten(), Linear(2))
SHAPE = (4, 4, 3)


def state() -> dict[str, np.ndarray]:
    replica = Replica(SMALL, SHAPE, np.float64).initialise(1, "reference")
    return to_torch(SMALL, SHAPE, arrays(replica.weights))


def test_a_state_dict_that_does_not_fit_is_described_whole() -> None:
    other = state()
    other["2.weight"] = np.zeros((5, 16))
    del other["0.bias"]
    other["9.weight"] = np.zeros(3)
    with pytest.raises(UsageError) as caught:
        from_torch(SMALL, SHAPE, other)
    assert caught.value.problem == (
        "these weights are not the model's: 1 missing: 0.bias (4,); 1 unexpected: 9.weight (3,); "
        "1 of another shape: 2.weight is (5, 16), the model has (2, 16)"
    )


def test_fresh_blocks_need_not_fit() -> None:
    other = state() | {"2.weight": np.zeros((5, 16)), "2.bias": np.zeros(5)}
    assert list(from_torch(SMALL, SHAPE, other, fresh=["2"])) == ["0.weight", "0.bias"]
    with pytest.raises(UsageError, match=r"2\.bias is \(5,\), the model has \(2,\)"):
        from_torch(SMALL, SHAPE, other, fresh=["2.weight"])


def test_a_missing_array_of_ours_is_named() -> None:
    with pytest.raises(UsageError, match=r"4 missing: 0\.weight \(4, 3, 3, 3\)"):
        to_torch(SMALL, SHAPE, {})


def test_another_network_is_not_of_the_family() -> None:
    with pytest.raises(UsageError, match="a resnet18 has 13 blocks, this model has 3"):
        tensors(SMALL, SHAPE, "resnet18")


def test_a_tied_tensor_goes_out_under_both_names_and_comes_in_under_one() -> None:
    model = Sequential(Linear(3), Linear(3), tie={"1.weight": "0.weight"})
    replica = Replica(model, (3,), np.float64).initialise(1, "reference")
    out = to_torch(model, (3,), arrays(replica.weights))
    np.testing.assert_array_equal(out["1.weight"], out["0.weight"])
    assert list(from_torch(model, (3,), out)) == ["0.weight", "0.bias", "1.bias"]
    del out["1.weight"]
    assert list(from_torch(model, (3,), out)) == ["0.weight", "0.bias", "1.bias"]


def test_the_check_sees_columns_that_were_not_permuted() -> None:
    torch = oracle()
    replica = Replica(SMALL, SHAPE, np.float64).initialise(1, "reference")
    twin = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)).double()
    twin.load_state_dict({key: torch.tensor(value) for key, value in state().items()})
    with torch.no_grad():
        twin[2].weight.copy_(torch.tensor(replica.weights["2.weight"]))
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    y, _ = SMALL.forward(replica.p, x, Context(backend="reference"))
    with pytest.raises(AssertionError):
        close(y, twin(torch.tensor(first(x))))
