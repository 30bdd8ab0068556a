"""Op: one object per operation, made from its shape rule.

The rule is an ordinary function: its docstring is the formula, its signature the hyper-parameters, its body the shape
rule. The decorator turns it into an Op that checks what every backend would have to check, once, and then calls the
backend's kernel. The reference kernel is a pure function that returns new arrays, so that it reads like the formula; the
others write into `out`.

A rule sees shapes, dtypes and hyper-parameters, never a number of an array. So what it said to one call holds for every
call that looks the same, and is looked up: all checks take some 10 us, which is what a product of 64^3 takes to compute,
the look-up 1. Whether the arrays are contiguous is asked of every call.

On the backend "shapes" nothing is computed: results are zeros that no memory is spent on until somebody looks, and
`counting` hears of every call. So what a network costs is found by running it, not by a second description of it.

    with counting() as calls: model.forward(p, x, ctx)          ctx.backend = "shapes"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from ..core.backend import backend_of
from ..core.errors import UsageError
from ..core.shape import Shape, prod
from .registry import find


class Like(NamedTuple):
    """The shape and dtype of an array that need not exist."""

    shape: Shape
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class Call(NamedTuple):
    """One call of an op on the backend "shapes"."""

    op: str
    flops: int
    nbytes: int


class Admitted(NamedTuple):
    """What the checks of a call came to: its results, and the kernel that computes them (none on "shapes")."""

    likes: tuple[Like, ...]
    kernel: Callable | None


SIGNATURES = 1024  # that an op remembers: a network has some dozens, but a hyper-parameter may change with every step

_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextmanager
def counting() -> Iterator[list[Call]]:
    """Collects the calls on the backend "shapes"."""
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


class Op:
    """One operation on arrays.

        y = op(x, ...)                       on the backend of its arrays
        op(x, ..., out=y, pool=pool)         into y, scratch from the pool: allocates nothing
        op(x, ..., backend="reference")      the definition
        op.reference(x, ...)                 the definition, as a pure function

    Raises UsageError for arrays that are not contiguous, not of one float dtype, or whose shapes break the rule.
    """

    def __init__(self, rule: Callable, flops: Callable[..., int], updates: tuple[str, ...]):
        self.rule = rule
        self.name = rule.__name__
        self.file = rule.__module__.rpartition(".")[2]  # the same in every backend's folder
        self.__doc__ = rule.__doc__
        self.flops = flops  # same arguments as the op, arrays or Likes
        self.updates = updates  # names of the arguments that are overwritten
        self.parameters = list(inspect.signature(rule).parameters)
        self.admitted: dict[tuple | None, Admitted] = {}

    def outputs(self, *arrays: Any, **hyper: Any) -> tuple[Like, ...]:
        """Shapes and dtypes of the results, from arrays or Likes."""
        return self.rule(*arrays, **hyper)

    def bytes(self, *arrays: Any, **hyper: Any) -> int:
        """Compulsory traffic: every input read once, every output and updated argument written once; out read, if added to."""
        read = sum(a.nbytes for _, a in self._named(arrays, hyper) if hasattr(a, "nbytes"))
        written = sum(like.nbytes for like in self.outputs(*arrays, **hyper))
        updated = sum(a.nbytes for a in self._updated(arrays))
        return read + written * (2 if kept(hyper) else 1) + updated

    def reference(self, *arrays: Any, **hyper: Any) -> Any:
        """The definition: new arrays, nothing overwritten."""
        self._check(arrays, hyper)
        self.rule(*arrays, **hyper)
        return find(self.file, self.name, "reference")(*arrays, **hyper)

    def __call__(
        self, *arrays: Any, out: Any = None, pool: Any = None, backend: str | None = None, **hyper: Any
    ) -> Any:
        backend = backend or backend_of(arrays[0])
        likes, kernel = self._admitted(backend, arrays, hyper, out)
        if out is None:
            empty = np.zeros if pool is None or kernel is None else pool.empty
            out = empty(*likes[0]) if len(likes) == 1 else tuple(empty(*like) for like in likes)
        if backend == "reference":
            self._define(arrays, hyper, out if isinstance(out, tuple) else (out,))
        elif kernel is not None:
            kernel(*arrays, out=out, pool=pool, **hyper)
        else:
            self._count(arrays, hyper)
        return out if likes else None

    def _admitted(self, backend: str, arrays: tuple, hyper: dict, out: Any) -> Admitted:
        """Checks a call, or finds that one with the same signature was checked."""
        key = signature(backend, arrays, hyper, out)
        try:
            known = self.admitted.get(key)
        except TypeError:  # an argument cannot be hashed, such as a tuple of arrays
            key = known = None
        if known is not None:
            return known
        self._check(arrays, hyper)
        likes = self.rule(*arrays, **hyper)
        self._check_out(likes, out, hyper)
        new = Admitted(likes, None if backend == "shapes" else find(self.file, self.name, backend))
        if key is not None:
            if len(self.admitted) >= SIGNATURES:
                self.admitted.clear()
            self.admitted[key] = new
        return new

    def _count(self, arrays: tuple, hyper: dict) -> None:
        calls = _calls.get()
        if calls is not None:
            calls.append(Call(self.name, self.flops(*arrays, **hyper), self.bytes(*arrays, **hyper)))

    def _define(self, arrays: tuple, hyper: dict, outs: tuple) -> None:
        values = find(self.file, self.name, "reference")(*arrays, **hyper)
        targets = outs or self._updated(arrays)
        for target, value in zip(targets, values if isinstance(values, tuple) else (values,), strict=True):
            target[...] = kept(hyper) * target + value if kept(hyper) else value

    def _named(self, arrays: tuple, hyper: dict) -> Iterator[tuple[str, Any]]:
        """(name, argument) of every argument; the arrays of a tuple are name[0], name[1], ..."""
        names = self.parameters + self.parameters[-1:] * len(arrays)  # the last may stand for many arrays
        for name, a in [*zip(names, arrays, strict=False), *hyper.items()]:
            if type(a) is tuple:
                yield from ((f"{name}[{k}]", inner) for k, inner in enumerate(a))
            else:
                yield name, a

    def _updated(self, arrays: tuple) -> list[Any]:
        """The arrays that are overwritten."""
        chosen = tuple(arrays[self.parameters.index(name)] for name in self.updates)
        return [a for _, a in self._named(chosen, {})]

    def _check(self, arrays: tuple, hyper: dict) -> None:
        floating = None
        for name, a in self._named(arrays, hyper):
            if not hasattr(a, "flags"):
                continue
            if not a.flags.c_contiguous:
                raise UsageError(
                    f"{self.name}: {name} of shape {a.shape} has strides {a.strides}, which is not contiguous",
                    "pass numpy.ascontiguousarray(...) of it",
                )
            if a.dtype.kind == "f":
                if a.dtype.itemsize not in (4, 8):
                    raise UsageError(f"{self.name}: {name} is {a.dtype}", "use float32 or float64")
                if floating is not None and a.dtype != floating[1]:
                    raise UsageError(
                        f"{self.name}: {floating[0]} is {floating[1]} but {name} is {a.dtype}", "use one dtype for both"
                    )
                floating = floating or (name, a.dtype)

    def _check_out(self, likes: tuple[Like, ...], out: Any, hyper: dict) -> None:
        if out is None:
            if kept(hyper):
                how = "accumulate=True" if "accumulate" in hyper else f"beta={hyper['beta']}"
                raise UsageError(f"{self.name}: {how} adds into out=, which is missing")
            return
        for given, like in zip(out if isinstance(out, tuple) else (out,), likes, strict=True):
            if given.shape != like.shape or given.dtype != like.dtype or not given.flags.c_contiguous:
                raise UsageError(
                    f"{self.name}: out is {given.dtype}{given.shape} with strides {given.strides}, "
                    f"the result is a contiguous {like.dtype}{like.shape}"
                )

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def kept(hyper: dict) -> float:
    """How much of what is in `out` a call keeps: all where a gradient accumulates, beta of it in a product."""
    return 1.0 if hyper.get("accumulate") else hyper.get("beta", 0.0)


def signature(backend: str, arrays: tuple, hyper: dict, out: Any) -> tuple | None:
    """All that the checks of a call look at, two items for each argument; None where an array is not contiguous.

    A hyper-parameter stands with its type: True and 1.0 equal 1, but need not be as good.
    """
    key: tuple = (backend, *hyper)
    for a in (out, *arrays, *hyper.values()):
        kind = type(a)
        if kind is not np.ndarray:
            key += (kind, a)
        elif a.flags.c_contiguous:
            key += (a.shape, a.dtype)
        else:
            return None
    return key


def op(flops: Callable[..., int], updates: tuple[str, ...] = ()) -> Callable[[Callable], Op]:
    """Makes an Op from a shape rule. flops: (same arguments) -> count. updates: arguments overwritten in place."""
    return lambda rule: Op(rule, flops, updates)
