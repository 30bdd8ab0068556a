"""What has to be reached, whether it was, and over which shapes: those of the zoo's networks, none forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import layers
import pytest
from closeness import normal
from shares import shares

from shoal.core.shape import Window
from shoal.jobs.measured import Case, Result, Spread
from shoal.jobs.targets import Target, verdicts
from shoal.kernels import ops
from shoal.nn import Conv2d

Make = Callable[..., Result]


def judged(result: Make, target: Target, **medians: float) -> list[list[str]]:
    """The verdicts on cases with these ratios, named after them."""
    made = result()
    made.targets = [target]
    made.cases = {
        name: Case(None, {}, {"peer": Spread(ratio, 0.1, 9.0)}, {"group": "gemm", "threads": 1})
        for name, ratio in medians.items()
    }
    return verdicts(made)[1]


@pytest.mark.parametrize(
    "goals, mean, least, verdict",
    [
        ((1.0, 0.5), "1.00 of 1.00", "0.50 of 0.50", "met"),
        ((1.05, 0.5), "1.00 of 1.05", "0.50 of 0.50", "short"),
        ((0.9, 0.6), "1.00 of 0.90", "0.50 of 0.60, 1 below", "short"),
        ((1.0, 0.0), "1.00 of 1.00", "0.50", "met"),
        ((0.0, 0.0), "1.00", "0.50", "no goal"),
    ],
    ids=["met", "mean short", "least short", "no least", "no goal"],
)
def test_a_target_is_a_geometric_mean_and_a_least(
    result: Make, goals: tuple[float, float], mean: str, least: str, verdict: str
) -> None:
    (row,) = judged(result, Target("gemm", "peer", *goals), slow=0.5, fast=2.0)
    assert row == ["gemm", "peer", "1", "2", mean, least, "slow", verdict]


def test_a_case_counts_for_its_group_and_its_threads_only(result: Make) -> None:
    made = result()
    for name, group, threads in [("a", "gemm", 1), ("b", "gemm", 2), ("c", "conv2d", 1)]:
        made.cases[name] = Case(None, {}, {"peer": Spread(2.0, 2.0, 2.0)}, {"group": group, "threads": threads})
    made.targets = [Target("gemm", "peer", 1.0), Target("gemm", "other", 1.0), Target("nothing", "peer", 1.0)]
    assert [row[:4] for row in verdicts(made)[1]] == [["gemm", "peer", "1", "1"], ["gemm", "peer", "2", "1"]]


def test_targets_are_read_as_they_were_written(result: Make, tmp_path: Path) -> None:
    made = result(peer=[1.0])
    made.targets = [Target("gemm", "peer", 1.05, 0.85)]
    (tmp_path / "x.json").write_text(made.text())
    assert Result.load(tmp_path / "x.json") == made


def test_layers_are_found_by_walking_a_network() -> None:
    """ResNet-50 has 53 convolutions, four of them on shortcuts, of 23 kinds; and one dense layer."""
    found = list(layers.of("resnet50"))
    assert sum(isinstance(layer, Conv2d) for layer, _ in found) == 53
    distinct = layers.convolutions()
    assert sum(network == "resnet50" for network in distinct.values()) == 23
    assert layers.Convolution((56, 56, 256), 512, Window.of(1, 2), 1) in distinct  # of a shortcut
    assert layers.Convolution((32, 32, 32), 32, Window.of(3, 1, 1), 32).flops == 2 * 32 * 32 * 32 * 9
    assert layers.Product(8, 1000, 2048, "NT") in layers.products()


def test_no_gradient_of_the_data_is_asked_for() -> None:
    assert not any(p.trans == "NN" and p.n == layers.DLRM[0][0] for p in layers.products())


def test_a_share_is_of_the_time_of_a_step() -> None:
    x, w = normal(0, (2, 8, 8, 4)), normal(1, (4, 3, 3, 1))

    def step() -> None:
        ops.conv2d(x, w, Window.of(3), groups=4)
        ops.avg_pool2d(x, Window.of(2, 2))

    step()
    found = shares(step)
    assert found["batch norm"] == 0 and min(found["pooling"], found["depthwise"]) > 0 and sum(found.values()) < 1
