"""Slices: who writes what, and that any set of slices is read through any other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.checkpoint import slices
from shoal.checkpoint.generation import Generation
from shoal.checkpoint.slices import Slice, overlap, owners, pieces
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.core.spec import Spec, State
from shoal.mpi.threads import run


def box(name, shape, origin, whole=(4, 6), dtype="float32"):
    return Slice(name, dtype, shape, origin, whole)


WHOLE = box("w", (4, 6), (0, 0))
TOP, BOTTOM = box("w", (1, 6), (0, 0)), box("w", (3, 6), (1, 0))


@pytest.mark.parametrize(
    ("held", "writes"),
    [
        ([[WHOLE]], [["w"]]),
        ([[WHOLE], [WHOLE], [WHOLE]], [["w"], [], []]),  # data parallelism: the lowest replica
        ([[TOP], [BOTTOM]], [["w"], ["w"]]),  # tensor parallelism
        ([[TOP], [BOTTOM], [TOP], [BOTTOM]], [["w"], ["w"], [], []]),  # both
        ([[], [WHOLE], [box("v", (), (), ())]], [[], ["w"], ["v"]]),  # a pipeline behind a server
        ([[], []], [[], []]),
    ],
)
def test_equal_slices_are_written_by_the_lowest_rank(held, writes):
    assert [[one.name for one in part] for part in owners(held)] == writes


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ([[TOP]], "w: the ranks hold 6 of 24 elements"),
        ([[TOP], [box("w", (4, 6), (0, 0))]], r"w: slices \(1, 6\) at \(0, 0\) and \(4, 6\) at \(0, 0\) overlap"),
        ([[WHOLE], [box("w", (4, 6), (0, 0), dtype="float64")]], "w: the ranks disagree about the whole tensor"),
        ([[TOP], [box("w", (3, 6), (1, 0), whole=(5, 6))]], "w: the ranks disagree about the whole tensor"),
    ],
)
def test_slices_that_do_not_tile_the_tensor_are_refused(held, says):
    with pytest.raises(CheckpointError, match=says):
        owners(held)


def test_an_array_must_fit_its_spec():
    with pytest.raises(CheckpointError, match=r"w: the array is \(2, 3\), its Spec says \(3, 2\)"):
        Slice.of("w", Spec("w", (3, 2)), np.zeros((2, 3)))


def test_the_common_box_is_counted_from_both_origins():
    a, b = box("w", (3, 4), (0, 1)), box("w", (3, 4), (1, 2))
    assert overlap(a, b) == ((slice(1, 3), slice(1, 4)), (slice(0, 2), slice(0, 3)))
    assert overlap(TOP, BOTTOM) is None
    assert overlap(box("s", (), (), ()), box("s", (), (), ())) == ((), ())


@given(shape=st.lists(st.integers(0, 5), max_size=4), most=st.sampled_from([4, 12, 40, 1000]))
def test_pieces_are_small_contiguous_and_follow_each_other(shape, most):
    whole = np.arange(np.prod(shape, dtype=int), dtype="float32").reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "PIECE", most)
        found = [whole[one] for one in pieces(box("w", tuple(shape), (0,) * len(shape)))]
    assert all(0 < piece.nbytes <= most and piece.flags.c_contiguous for piece in found)
    assert np.concatenate([piece.ravel() for piece in [*found, np.empty(0)]]).tolist() == whole.ravel().tolist()


cuts = st.lists(st.integers(1, 6), max_size=3).map(lambda inner: sorted({0, *inner, 7}))


def slabs(cut, axis):
    """Specs of the slabs of a (7, 7) tensor between the cuts along an axis."""
    for start, stop in pairwise(cut):
        shape, origin = [7, 7], [0, 0]
        shape[axis], origin[axis] = stop - start, start
        yield Spec("w", tuple(shape), global_shape=(7, 7), origin=tuple(origin))


def part(array, spec):
    return array[tuple(slice(o, o + n) for o, n in zip(spec.origin, spec.shape, strict=True))]


@settings(deadline=None)
@given(saved=cuts, axis=st.integers(0, 1), wanted=cuts, other=st.integers(0, 1))
def test_any_split_is_read_through_any_other(tmp_path_factory, saved, axis, wanted, other):
    folder, whole = tmp_path_factory.mktemp("split"), np.random.default_rng(0).standard_normal((7, 7))
    specs = list(slabs(saved, axis))

    def program(communicator):
        spec = specs[communicator.rank]
        with Store(folder, communicator) as store:
            return store.save(State({"model/w": (spec, part(whole, spec))}, {"step": 1}))

    generation = Generation(run(len(specs), program)[0])
    assert len(generation.manifest.files) == len(specs)
    for spec in slabs(wanted, other):
        assert generation.read("model/w", spec).tobytes() == part(whole, spec).tobytes()
    generation.close()


def test_a_hole_in_what_is_stored_is_an_error_and_no_number_is_made_up(tmp_path):
    def program(communicator):
        spec = Spec("w", (2, 3), global_shape=(4, 3), origin=(2 * communicator.rank, 0))
        with Store(tmp_path, communicator) as store:
            return store.save(State({"model/w": (spec, np.ones((2, 3)))}, {"step": 1}))

    path = run(2, program)[0]
    true = Generation(path).manifest
    (path / "manifest.json").write_text(replace(true, files=true.files[:1]).text())
    assert Generation(path).read("model/w", Spec("w", (2, 3), global_shape=(4, 3))).sum() == 6
    with pytest.raises(CheckpointError, match="has 6 of the 12 elements of model/w"):
        Generation(path).read("model/w", Spec("w", (4, 3)))


def test_a_hole_is_found_before_anything_is_written(tmp_path, contents):
    spec = Spec("w", (2, 3), global_shape=(4, 3))

    def program(communicator):
        with Store(tmp_path, communicator) as store, pytest.raises(CheckpointError, match="hold 6 of 12 elements"):
            store.save(State({"model/w": (spec, np.zeros((2, 3)))}, {"step": 1}))

    run(2, program)
    assert contents(tmp_path) == {}
