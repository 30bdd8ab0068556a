"""What an Op checks before any kernel runs, and what it counts."""

import numpy as np
import pytest

from shoal.core.errors import PlatformError, UsageError
from shoal.core.shape import Window
from shoal.kernels import op as op_module
from shoal.kernels import ops, registry
from shoal.kernels.op import Like, Op, counting, signature
from shoal.kernels.pool import Pool

EVERY = [op for op in vars(ops).values() if isinstance(op, Op)]
F4 = np.dtype(np.float32)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


# ---------------------------------------------------------------------------------------------------- checks


def test_a_strided_array_is_rejected_with_its_strides():
    with pytest.raises(UsageError, match=r"relu: x of shape \(4, 4\) has strides \(32, 4\), which is not contiguous"):
        ops.relu(ones(4, 8)[:, :4])


def test_a_strided_hyper_parameter_is_rejected_too():
    with pytest.raises(UsageError, match=r"gemm: bias of shape \(3,\) has strides \(8,\)"):
        ops.gemm(ones(2, 4), ones(4, 3), bias=ones(6)[::2])


def test_mixed_dtypes_are_rejected():
    with pytest.raises(UsageError, match="relu_dx: dy is float32 but y is float64"):
        ops.relu_dx(ones(3), ones(3, dtype=np.float64))


def test_half_precision_is_rejected():
    with pytest.raises(UsageError, match="relu: x is float16"):
        ops.relu(ones(3, dtype=np.float16))


@pytest.mark.parametrize(
    "out",
    [np.empty((2, 4), np.float32), np.empty((2, 3), np.float64), np.empty((3, 2), np.float32).T],
    ids=["shape", "dtype", "strides"],
)
def test_a_wrong_out_is_rejected(out):
    with pytest.raises(UsageError, match=r"relu: out is .* the result is a contiguous float32\(2, 3\)"):
        ops.relu(ones(2, 3), out=out)


def test_accumulate_without_out_is_rejected():
    with pytest.raises(UsageError, match="accumulate=True adds into out="):
        ops.column_sum(ones(2, 3), accumulate=True)


def test_shapes_that_break_the_rule_are_rejected():
    with pytest.raises(UsageError, match=r"relu_dx: shapes \(3,\) and \(4,\) differ"):
        ops.relu_dx(ones(3), ones(4))


def test_the_reference_is_checked_as_well():
    with pytest.raises(UsageError, match="not contiguous"):
        ops.relu.reference(ones(4, 8)[:, :4])


# ------------------------------------------------------------------------------------- what was checked once already


def seen(op, *arrays, **how):
    """Calls it twice, so that the third call finds its signature known."""
    for _ in range(2):
        op(*arrays, **how)
    assert signature("cpu", arrays, how, None) in op.admitted


def test_a_signature_is_checked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(ops.relu, "rule", lambda x: asked.append(x.shape) or (Like(x.shape, x.dtype),))
    monkeypatch.setattr(ops.relu, "admitted", {})
    for shape in [(2, 3), (2, 3), (3, 2), (2, 3)]:
        assert ops.relu(ones(*shape)).shape == shape
    assert asked == [(2, 3), (3, 2)]


WRONG = {  # a call that differs from one that was checked, and what it hears
    "strides": (
        lambda: ops.gemm(ones(4, 4).T[:3], ones(4, 5), bias=ones(5)),
        r"a of shape \(3, 4\) has strides \(4, 16\)",
    ),
    "strides of a hyper-parameter": (lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(10)[::2]), "bias of shape"),
    "dtype": (
        lambda: ops.gemm(ones(3, 4), ones(4, 5, dtype=np.float64), bias=ones(5)),
        "a is float32 but b is float64",
    ),
    "byte order": (lambda: ops.gemm(ones(3, 4), ones(4, 5, dtype=">f4"), bias=ones(5)), "a is float32 but b is >f4"),
    "shape": (lambda: ops.gemm(ones(3, 4), ones(5, 5), bias=ones(5)), "4 is not 5"),
    "out": (lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(5), out=ones(5, 3)), r"the result is .*\(3, 5\)"),
    "out's strides": (lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(5), out=ones(5, 3).T), "out is float32"),
    "hyper-parameter": (lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(5), trans_a=True), "a is 4x3, b is 4x5"),
    "beta": (
        lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(5), beta=1.0),
        "beta=1.0 adds into out=, which is missing",
    ),
    "bias": (lambda: ops.gemm(ones(3, 4), ones(4, 5), bias=ones(6)), r"bias \(6,\) for 5 columns"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_call_that_differs_from_a_checked_one_is_checked(wrong):
    call, message = WRONG[wrong]
    seen(ops.gemm, ones(3, 4), ones(4, 5), bias=ones(5))
    for _ in range(2):  # and what was refused is not remembered
        with pytest.raises(UsageError, match=message):
            call()


def test_hyper_parameters_that_are_equal_but_of_another_type_are_another_signature():
    assert signature("cpu", (), {"groups": 1}, None) != signature("cpu", (), {"groups": True}, None)


def test_an_argument_without_a_hash_is_checked_every_time():
    w, nowhere = ones(2), np.zeros((0, 2), np.int64)
    before = len(ops.aggmo.admitted)
    for _ in range(2):
        ops.aggmo(w, ones(2), (ones(2),), nowhere, lr=0.1, betas=(0.9,))
    assert len(ops.aggmo.admitted) == before
    with pytest.raises(UsageError, match=r"velocities\[0\] of shape \(2,\) has strides"):
        ops.aggmo(w, ones(2), (ones(4)[::2],), nowhere, lr=0.1, betas=(0.9,))


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(op_module, "SIGNATURES", 8)
    monkeypatch.setattr(ops.relu, "admitted", {})
    for n in range(1, 30):
        ops.relu(ones(n))
        assert len(ops.relu.admitted) <= 8


# ---------------------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize("backend", ["reference", "cpu", "gpu"])
@pytest.mark.parametrize("op", EVERY, ids=lambda op: op.name)
def test_every_op_has_a_kernel(op, backend):
    assert callable(registry.find(op.file, op.name, backend))


def test_a_missing_kernel_names_the_file_to_write():
    with pytest.raises(PlatformError, match="op nothing has no gpu kernel") as caught:
        registry.find("activation", "nothing", "gpu")
    assert caught.value.code == 3
    assert "write nothing in kernels/gpu/activation.py" in caught.value.cure


def test_an_unknown_backend_names_those_there_are():
    with pytest.raises(UsageError, match='backend "numba" is not known') as caught:
        ops.relu(ones(3), backend="numba")
    assert "reference, cpu, gpu" in caught.value.cure


# ---------------------------------------------------------------------------------------------------- results


def test_results_go_into_out_and_otherwise_come_from_the_pool():
    x, y, pool = ones(2, 3), np.empty((2, 3), np.float32), Pool()
    assert ops.relu(x, out=y) is y
    ops.relu(x, pool=pool)
    assert pool.misses == 1
    ops.relu(x, pool=pool)
    assert pool.misses == 1


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_updates_overwrite_their_arguments_and_return_nothing(backend):
    w, v, nowhere = ones(2), ones(2), np.zeros((0, 2), np.int64)
    assert ops.momentum(w, ones(2), v, nowhere, lr=1.0, momentum=1.0, backend=backend) is None
    assert (w.tolist(), v.tolist()) == ([-1, -1], [2, 2])


def test_the_definition_overwrites_nothing():
    w = ones(2)
    assert ops.sgd.reference(w, ones(2), np.zeros((0, 2), np.int64), lr=1.0).tolist() == [0, 0]
    assert w.tolist() == [1, 1]


def test_shapes_are_known_without_arrays():
    x = Like((8, 28, 28, 32), F4)
    y, argmax = ops.max_pool2d.outputs(x, Window.of(2, 2))
    assert y == Like((8, 14, 14, 32), F4) and argmax == Like((8, 14, 14, 32), np.dtype(np.int32))


def test_on_the_backend_shapes_nothing_is_computed_and_everything_is_counted():
    x = ones(2, 8, 8, 3)
    with counting() as calls:
        y, _ = ops.max_pool2d(x, Window.of(2, 2), backend="shapes")
        ops.relu(y, out=y, backend="shapes")
    assert y.shape == (2, 4, 4, 3) and not y.any()
    assert calls == [("max_pool2d", 4 * 96, x.nbytes + 2 * y.nbytes), ("relu", 96, 2 * y.nbytes)]
    ops.relu(y, backend="shapes")  # nobody counts


NOWHERE = Like((0, 2), np.dtype(np.int64))
LABELS = Like((4,), np.dtype(np.int64))
COUNTS = [  # op, arguments, hyper-parameters, flops, compulsory bytes
    (ops.gemm, [Like((2, 3), F4), Like((3, 5), F4)], {}, 2 * 2 * 3 * 5, 4 * (6 + 15 + 10)),
    (ops.gemm, [Like((3, 2), F4), Like((3, 5), F4)], {"trans_a": True}, 2 * 2 * 3 * 5, 4 * (6 + 15 + 10)),
    (ops.gemm, [Like((2, 3), F4), Like((3, 5), F4)], {"bias": Like((5,), F4)}, 2 * 2 * 3 * 5, 4 * (6 + 15 + 5 + 10)),
    (
        ops.gemm,
        [Like((2, 3), F4), Like((3, 5), F4)],
        {"residual": Like((2, 5), F4)},
        2 * 2 * 3 * 5,
        4 * (6 + 15 + 10 + 10),
    ),
    (ops.gemm, [Like((2, 3), F4), Like((3, 5), F4)], {"beta": 0.5}, 2 * 2 * 3 * 5, 4 * (6 + 15 + 10 + 10)),
    (ops.column_sum, [Like((6, 7), F4)], {"accumulate": True}, 42, 4 * (42 + 7 + 7)),
    (ops.batched_gemm, [Like((7, 2, 3), F4), Like((7, 3, 5), F4)], {}, 7 * 2 * 2 * 3 * 5, 7 * 4 * (6 + 15 + 10)),
    (
        ops.conv2d,
        [Like((2, 5, 5, 4), F4), Like((6, 3, 3, 2), F4), Window.of(3, 2, 1)],
        {"groups": 2},
        2 * (2 * 3 * 3 * 6) * (3 * 3 * 2),
        4 * (2 * 5 * 5 * 4 + 6 * 3 * 3 * 2 + 2 * 3 * 3 * 6),
    ),
    (ops.relu, [Like((6, 7), F4)], {}, 42, 2 * 4 * 42),
    (ops.relu_dx, [Like((6, 7), F4)] * 2, {}, 42, 3 * 4 * 42),
    (ops.max_pool2d, [Like((1, 4, 4, 3), F4), Window.of(2, 2)], {}, 4 * 12, 4 * (48 + 12 + 12)),
    (ops.cross_entropy, [Like((4, 10), F4), LABELS], {}, 5 * 40, 4 * (40 + 4 + 40) + 8 * 4),
    (ops.sgd, [Like((100,), F4)] * 2 + [NOWHERE], {"lr": 0.1}, 400, 4 * 300),
    (ops.momentum, [Like((100,), F4)] * 3 + [NOWHERE], {"lr": 0.1, "momentum": 0.9}, 600, 4 * 500),
    (ops.attention, [Like((2, 5, 12), F4)], {"heads": 2}, 4 * 2 * 5 * 5 * 4, 4 * (120 + 40 + 100)),
    (
        ops.lstm,
        [Like((2, 5, 12), F4), Like((12, 3), F4), Like((12,), F4)],
        {},
        2 * 5 * 2 * 12 * 3,
        4 * (120 + 36 + 12 + 30 + 30 + 120),
    ),
    (
        ops.recurrent_dw,
        [Like((2, 5, 12), F4), Like((2, 5, 3), F4)],
        {"stop": 8},
        2 * 2 * 5 * 8 * 3,
        4 * (120 + 30 + 24),
    ),
    (ops.ordered_sum, [Like((4, 100), F4)], {}, 400, 4 * 500),
]


@pytest.mark.parametrize(("op", "arrays", "hyper", "flops", "nbytes"), COUNTS, ids=lambda v: getattr(v, "name", ""))
def test_flops_and_compulsory_bytes(op, arrays, hyper, flops, nbytes):
    assert op.flops(*arrays, **hyper) == flops
    assert op.bytes(*arrays, **hyper) == nbytes
