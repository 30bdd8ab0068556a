"""Schedules are the tables they return, read as tables; what holds for all of them holds for any shape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.plan import SCHEDULES, Action, PipelineShape, peak_live, table
from shoal.plan.schedule import check, inference, text

shapes = st.builds(PipelineShape, st.integers(1, 9), st.integers(1, 20))
any_shape = settings(max_examples=25, deadline=None, derandomize=True)

TABLES = {
    ("naive", 3, 2): """
0  F0 B0 F1 B1 U1
1  F0 B0 F1 B1 U1
2  F0 B0 F1 B1 U1""",
    ("gpipe", 3, 4): """
0  F0 F1 F2 F3 B0 B1 B2 B3 U3
1  F0 F1 F2 F3 B0 B1 B2 B3 U3
2  F0 F1 F2 F3 B0 B1 B2 B3 U3""",
    ("1f1b", 3, 4): """
0  F0 F1 F2 B0 F3 B1 B2 B3 U3
1  F0 F1 B0 F2 B1 F3 B2 B3 U3
2  F0 B0 F1 B1 F2 B2 F3 B3 U3""",
    ("1f1b", 4, 2): """
0  F0 F1 B0 B1 U1
1  F0 F1 B0 B1 U1
2  F0 F1 B0 B1 U1
3  F0 B0 F1 B1 U1""",
    ("1f1b", 1, 2): """
0  F0 B0 F1 B1 U1""",
}


@pytest.mark.parametrize("name, stages, micro_batches", TABLES)
def test_the_table_is_this(name: str, stages: int, micro_batches: int) -> None:
    assert text(table(name, PipelineShape(stages, micro_batches))) == TABLES[name, stages, micro_batches].strip()


def test_inference_is_forwards_only() -> None:
    assert text(inference(PipelineShape(2, 3))) == "0  I0 I1 I2\n1  I0 I1 I2"
    assert text(inference(PipelineShape(2, 2, chunks=2))) == "0  I0 I1 I0.1 I1.1\n1  I0 I1 I0.1 I1.1"
    assert text(inference(PipelineShape(1, 2, chunks=2))) == "0  I0 I0.1 I1 I1.1"


def test_an_action_prints_what_it_is() -> None:
    assert [str(a) for a in (Action("forward", 3), Action("backward", 12, chunk=1), Action("forward", 0, replica=1))] == [
        "F3", "B12.1", "F0'",
    ]  # fmt: skip


@any_shape
@given(shapes)
def test_live_activations_are_the_closed_forms(shape: PipelineShape) -> None:
    p, m = shape.stages, shape.micro_batches
    assert [peak_live(row) for row in table("naive", shape)] == [1] * p
    assert [peak_live(row) for row in table("gpipe", shape)] == [m] * p
    assert [peak_live(row) for row in table("1f1b", shape)] == [min(m, p - k) for k in range(p)]
    assert [peak_live(row) for row in inference(shape)] == [0] * p


@any_shape
@given(shapes, st.sampled_from(sorted(SCHEDULES)))
def test_every_micro_batch_goes_forward_and_back_once_in_ascending_order(shape: PipelineShape, name: str) -> None:
    for row in table(name, shape):
        for kind in ("forward", "backward"):
            assert [a.micro_batch for a in row if a.kind == kind] == list(range(shape.micro_batches))
        assert row[-1] == Action("update", shape.micro_batches - 1)
    check(table(name, shape))


@pytest.mark.parametrize(
    "row, problem",
    [
        ([Action("forward", 1), Action("forward", 0)], "F0 comes after forward 1"),
        ([Action("forward", 0), Action("forward", 0)], "F0 comes after forward 0"),
        ([Action("backward", 0)], "B0 has no forward before it"),
        ([Action("forward", 0, chunk=1), Action("backward", 0)], "B0 has no forward before it"),
        (
            [Action("forward", 0), Action("forward", 1), Action("backward", 1), Action("backward", 0)],
            "B0 comes after backward 1",
        ),
    ],
)
def test_a_table_that_breaks_the_laws_is_refused(row: list[Action], problem: str) -> None:
    with pytest.raises(UsageError, match=f"rank 1: {problem}"):
        check([[], row])


def test_wrong_shapes_and_names_are_refused() -> None:
    with pytest.raises(UsageError, match="micro_batches=0"):
        PipelineShape(2, 0)
    with pytest.raises(UsageError, match="one chunk on each rank, not 2"):
        table("1f1b", PipelineShape(2, 2, chunks=2))
    with pytest.raises(UsageError, match=r'(?s)no schedule "1fb".*naive, gpipe, 1f1b'):
        table("1fb", PipelineShape(2, 2))
