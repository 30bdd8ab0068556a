"""Every op on the gpu backend against its definition, its kernels executed on the CPU from their very sources."""

import numpy as np
import pytest
from closeness import ALLOWED, distance, normal
from emulated import Emulated
from opcases import CASES, KEY, tuples
from rules import NOWHERE, RULES, arguments, updated

from shoal.kernels import ops
from shoal.kernels.gpu.launch import executed_by
from shoal.kernels.op import Op


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_equal_their_definitions(name, dtype):
    op = getattr(ops, name)
    with executed_by(Emulated()):
        for case in CASES[name]:
            arrays, hyper = case(dtype)
            for found, expected in zip(
                tuples(op(*arrays, backend="gpu", **hyper)), tuples(op.reference(*arrays, **hyper)), strict=True
            ):
                if found.dtype.kind == "f":
                    assert np.array_equal(np.isnan(found), np.isnan(expected))
                    assert distance(np.nan_to_num(found), np.nan_to_num(expected)) <= ALLOWED[dtype]
                else:
                    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_updates_have_the_bits_of_their_definitions(name, dtype):
    for n, decay in [(70, NOWHERE), (9000, np.array([[5, 4000], [4090, 8192]], np.int64)), (0, NOWHERE)]:
        rule, arrays, hyper = arguments(name, n, dtype, decay)
        expected = tuples(rule.reference(*arrays, **hyper))
        with executed_by(Emulated()):
            rule(*arrays, backend="gpu", **hyper)
        assert [a.tobytes() for a in updated(rule, arrays)] == [a.tobytes() for a in expected]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name, hyper", [("fill_uniform", {"low": -1.0, "high": 2.0}), ("fill_normal", {"deviation": 0.5})]
)
@pytest.mark.parametrize("slice_", [{}, {"origin": (1, 3), "whole": (9, 41)}])
def test_what_is_drawn(name, hyper, slice_, dtype):
    op, x = getattr(ops, name), np.empty((5, 33), dtype)
    with executed_by(Emulated()):
        op(x, key=KEY, backend="gpu", **hyper, **slice_)
    assert distance(x, op.reference(x, key=KEY, **hyper, **slice_)) <= ALLOWED[dtype]


def test_every_op_has_a_kernel_and_a_case():
    table = {name for name, op in vars(ops).items() if isinstance(op, Op)}
    tested = {*CASES, *(rule.name for rule, _, _ in RULES.values()), "fill_uniform", "fill_normal"}
    assert table - tested == {"look_ahead"} - tested


@pytest.mark.parametrize(
    "accumulate", ["column_sum", "conv2d_dw", "gemm", "scatter_add", "group_norm_dw", "recurrent_dw"]
)
def test_accumulation_adds_into_what_is_there(accumulate):
    op = getattr(ops, accumulate)
    arrays, hyper = CASES[accumulate][0](np.float64)
    expected = tuples(op.reference(*arrays, **hyper))
    outs = tuple(normal(9, e.shape) for e in expected)
    before = [out.copy() for out in outs]
    with executed_by(Emulated()):
        adds = {"beta": 1.0} if accumulate == "gemm" else {"accumulate": True}
        op(*arrays, out=outs if len(outs) > 1 else outs[0], backend="gpu", **adds, **hyper)
    for out, old, added in zip(outs, before, expected, strict=True):
        assert distance(out, old + added) <= 1e-12
