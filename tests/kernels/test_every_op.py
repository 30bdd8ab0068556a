"""What is promised of every operation: any address, no strides, and NaN and infinity where the definition has them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from closeness import shifted
from every_op import EVERY, Call

from shoal.core.errors import UsageError
from shoal.kernels import ops
from shoal.kernels.op import Op

# 0 * NaN is NaN, and 0 * inf. Whether zeros that are nobody's numbers are multiplied at all is not promised: those in the
# padding of a convolution, the state before the first step, masked steps and keys, the corner of a pixel that weighs nothing.
RECURRENT = ("rnn", "gru", "lstm")
OWN_ZEROS = ("conv", "attention", "upsample2d_dx", *RECURRENT)


def test_no_operation_is_missing() -> None:
    assert {call.op for call in EVERY.values()} == {op for op in vars(ops).values() if isinstance(op, Op)}


@pytest.mark.parametrize("name", EVERY)
def test_the_address_cannot_be_seen(name: str) -> None:
    """Arrays and results 1 to 15 numbers behind a multiple of 64 bytes, each at another place than the next."""
    call = EVERY[name]
    expected = call.changed(lambda i, a: shifted(a, 0)).run()
    for elements in range(1, 16):
        moved = call.changed(lambda i, a: shifted(a, (elements + 5 * i) % 16))  # noqa: B023
        likes = call.op.outputs(*moved.arguments, **moved.settings)
        outs = tuple(shifted(np.zeros(like.shape, like.dtype), (elements + 3) % 16) for like in likes)
        how = {"out": outs if len(outs) > 1 else outs[0]} if outs else {}
        for result, aligned in zip(moved.run(**how), expected, strict=True):
            np.testing.assert_array_equal(result, aligned)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_contiguous_is_refused_with_its_strides(name: str) -> None:
    call = EVERY[name]
    for place, a in enumerate(call.arrays()):
        if a.size > 1:
            spread = np.repeat(a[..., None], 2, axis=-1)[..., 0]
            assert not spread.flags.c_contiguous
            with pytest.raises(
                UsageError, match=f"has strides {re.escape(str(spread.strides))}, which is not contiguous"
            ):
                call.changed(lambda i, a: spread if i == place else a).run()  # noqa: B023


@pytest.mark.parametrize("name", EVERY)
def test_nan_and_infinity_go_where_the_definition_sends_them(name: str) -> None:
    """One number in the middle of each array; of what multiplies zeros of its own, those results that a finite number would change."""
    call = EVERY[name]
    values = (np.nan,) if name.startswith(RECURRENT) else (np.nan, np.inf, -np.inf)
    with np.errstate(all="ignore"):
        plain = of_definition(call)
        for place, a in enumerate(call.arrays()):
            if a.dtype.kind != "f" or not a.size:
                continue
            changed = of_definition(planted(call, place, a.flat[a.size // 2] + 0.5))
            reached = [before != after for before, after in zip(plain, changed, strict=True)]
            for value in values:
                results, expected = planted(call, place, value).run(), of_definition(planted(call, place, value))
                for result, definition, there in zip(results, expected, reached, strict=True):
                    where = there if name.startswith(OWN_ZEROS) else np.ones_like(there)
                    same = np.isfinite(result) == np.isfinite(definition)
                    assert same[where].all(), f"{value} in array {place}"


def planted(call: Call, place: int, value: float) -> Call:
    """The call with this value in the middle of its array number `place`."""

    def change(i: int, a: np.ndarray) -> np.ndarray:
        a = a.copy()
        if i == place:
            a.flat[a.size // 2] = value
        return a

    return call.changed(change)


def of_definition(call: Call) -> list[np.ndarray]:
    return call.changed(lambda i, a: a.copy()).run(backend="reference")


# ---------------------------------------------------------------------------------------------------- they can fail


class Forgetful(Call):
    """Its kernel loses what is not a number."""

    def run(self, **how: Any) -> list[np.ndarray]:
        return [a if "backend" in how else np.nan_to_num(a) for a in super().run(**how)]


class Misled(Call):
    """Its results depend on where its first array lies."""

    def run(self, **how: Any) -> list[np.ndarray]:
        return [a + self.arguments[0].ctypes.data % 64 for a in super().run(**how)]


def test_a_lost_nan_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("relu", "conv2d 3x3"):
        monkeypatch.setitem(EVERY, name, Forgetful(*EVERY[name]))
        with pytest.raises(AssertionError, match="nan in array 0"):
            test_nan_and_infinity_go_where_the_definition_sends_them(name)


def test_a_result_that_sees_the_address_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVERY, "relu", Misled(*EVERY["relu"]))
    with pytest.raises(AssertionError):
        test_the_address_cannot_be_seen("relu")
