"""Layout and Arena: one flat buffer, named views, zero padding."""

import numpy as np
import pytest

from shoal.core.errors import UsageError
from shoal.core.spec import Init, Spec
from shoal.nn import Arena, Layout, Linear, Sequential

SPECS = [
    Spec("0.weight", (3, 5), Init("uniform", 0.5)),
    Spec("0.bias", (3,), decay=False),
    Spec("1.weight", (16,), Init("ones")),
    Spec("2.weight", (3, 5), alias_of="0.weight"),
]


def test_tensors_start_on_cache_lines_in_the_order_of_their_specs() -> None:
    layout = Layout(SPECS)
    assert layout.offsets == {"0.weight": 0, "0.bias": 16, "1.weight": 32, "2.weight": 0}
    assert (layout.size, layout.parameters) == (48, 15 + 3 + 16)


def test_views_share_the_flat_buffer_and_aliases_share_storage() -> None:
    arena = Arena(Layout(SPECS))
    arena["0.weight"][1, 0] = 7
    assert arena.flat[5] == 7 and arena.views["2"]["weight"][1, 0] == 7
    assert arena.flat.ctypes.data % 64 == 0


def test_the_padding_stays_zero() -> None:
    arena = Arena(Layout(SPECS)).initialise(0, "reference")
    inside = np.zeros(arena.layout.size, bool)
    for spec in arena.layout.owned():
        start = arena.layout.offsets[spec.name]
        inside[start : start + spec.size] = True
    assert not arena.flat[~inside].any() and arena.flat[inside].any()


def test_bounds_of_a_block_cover_its_tensors_and_their_padding() -> None:
    layout = Layout(SPECS)
    assert [layout.bounds(name) for name in ("0", "1", "2", "0.bias", "3")] == [
        (0, 32),
        (32, 48),
        (0, 0),
        (16, 32),
        (0, 0),
    ]


def test_decay_ranges_leave_out_what_does_not_decay() -> None:
    assert Layout(SPECS).decay.tolist() == [[0, 15], [32, 48]]
    assert Layout([Spec("b", (3,), decay=False)]).decay.shape == (0, 2)


def test_a_slice_starts_as_the_whole_would() -> None:
    whole = Arena(Layout([Spec("w", (6, 4), Init("uniform"))])).initialise(3, "reference")["w"]
    part = Spec("w", (2, 3), Init("uniform"), global_shape=(6, 4), origin=(3, 1))
    assert np.array_equal(Arena(Layout([part])).initialise(3, "reference")["w"], whole[3:5, 1:4])


def test_float32_starts_as_the_rounding_of_float64() -> None:
    specs = Sequential(Linear(9), Linear(4)).specs((7,))
    single, double = (Arena(Layout(specs), t).initialise(1, "reference").flat for t in (np.float32, np.float64))
    assert np.array_equal(single, double.astype(np.float32))


def test_an_alias_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="alias of missing"):
        Layout([Spec("w", (3,), alias_of="missing")])
