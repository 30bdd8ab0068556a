"""Meshes: which rank is where, and who works together on an axis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.plan import Mesh

axes = st.dictionaries(st.sampled_from(["data", "pipeline", "tensor"]), st.integers(1, 4), min_size=1)
any_mesh = settings(max_examples=25, deadline=None, derandomize=True)


def mesh_of(sizes: dict[str, int]) -> Mesh:
    ranks = 1
    for size in sizes.values():
        ranks *= size
    return Mesh.of(sizes, ranks)


def test_two_pipelines_of_two() -> None:
    mesh = Mesh.of({"data": 2, "pipeline": 2}, 4)
    assert [mesh.coordinate(rank) for rank in range(4)] == [
        {"data": 0, "pipeline": 0}, {"data": 0, "pipeline": 1}, {"data": 1, "pipeline": 0}, {"data": 1, "pipeline": 1},
    ]  # fmt: skip
    assert [mesh.group(rank, "pipeline") for rank in range(4)] == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert [mesh.group(rank, "data") for rank in range(4)] == [[0, 2], [1, 3], [0, 2], [1, 3]]
    assert [mesh.split(rank, "data") for rank in range(4)] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_three_axes_and_a_group_over_two_of_them() -> None:
    mesh = Mesh.of({"data": 2, "pipeline": 3, "tensor": 2}, 12)
    assert mesh.coordinate(9) == {"data": 1, "pipeline": 1, "tensor": 1}
    assert mesh.group(9, "data", "tensor") == [2, 3, 8, 9]
    assert mesh.group(9, "tensor", "data") == [2, 3, 8, 9]


@any_mesh
@given(axes)
def test_ranks_and_coordinates_are_each_others_inverse(sizes) -> None:
    mesh = mesh_of(sizes)
    ranks = range(len(mesh.group(0, *sizes)))
    assert [mesh.rank(mesh.coordinate(rank)) for rank in ranks] == list(ranks)


@any_mesh
@given(axes)
def test_the_groups_of_an_axis_share_out_all_ranks_and_meet_those_of_the_others_once(sizes) -> None:
    mesh = mesh_of(sizes)
    everyone = mesh.group(0, *sizes)
    for axis, size in sizes.items():
        groups = {tuple(mesh.group(rank, axis)) for rank in everyone}
        assert sorted(rank for group in groups for rank in group) == everyone
        assert {len(group) for group in groups} == {size}
        others = [name for name in sizes if name != axis]
        assert all(set(mesh.group(rank, axis)) & set(mesh.group(rank, *others)) == {rank} for rank in everyone)


@pytest.mark.parametrize(
    "sizes, ranks, problem",
    [
        ({"data": 2, "pipeline": 2}, 6, r"(?s)\{data = 2, pipeline = 2\} has 4 places for 6 ranks.*start 4 ranks"),
        ({"data": -2, "pipeline": -2}, 4, "each at least 1"),
        ({"data": 0}, 0, "0 places"),
    ],
)
def test_a_mesh_that_is_not_the_world_is_refused(sizes, ranks: int, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Mesh.of(sizes, ranks)


def test_an_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"(?s)no axis tensor.*data, pipeline"):
        Mesh.of({"data": 1, "pipeline": 1}, 1).group(0, "tensor")
