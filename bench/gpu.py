"""A run on a real GPU: is everything right, and how fast is it?   bench/run_gpu.sh starts it.

Each part is written into the result as soon as it is done, so a run that is cut short has not been for nothing; a part that
fails says why and the next one goes on. Times are medians of CUDA events around bursts of calls on random numbers.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from pathlib import Path
from statistics import median
from typing import Any

import cupy
import numpy as np
from opcases import CASES, tuples
from rules import RULES, arguments, updated

from shoal.core.context import Context
from shoal.core.shape import Window
from shoal.kernels import ops
from shoal.nn import CrossEntropy, Replica
from shoal.nn.models import build, resnet50
from shoal.optim import SGD

try:
    import torch
except ImportError:
    torch = None

ALLOWED = {np.float32: 1e-5, np.float64: 1e-12}


def sent(value: Any) -> Any:
    """Arrays, also in tuples, on the device."""
    if isinstance(value, tuple):
        return tuple(map(sent, value))
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def distance(found: Any, expected: np.ndarray) -> float:
    found = cupy.asnumpy(found).astype(np.float64)
    norm = np.linalg.norm(np.nan_to_num(expected)) or 1.0
    return float(np.linalg.norm(np.nan_to_num(found) - np.nan_to_num(expected)) / norm)


def every_op() -> dict:
    """{op: worst distance by dtype}, and what was wrong."""
    worst, wrong = {}, []
    for name, cases in CASES.items():
        for dtype, allowed in ALLOWED.items():
            for case in cases:
                arrays, hyper = case(dtype)
                expected = tuples(getattr(ops, name).reference(*arrays, **hyper))
                try:
                    found = tuples(getattr(ops, name)(*sent(arrays), **{k: sent(v) for k, v in hyper.items()}))
                    d = max(map(distance, found, expected))
                except Exception as error:
                    wrong.append(f"{name} {dtype.__name__}: {error!r}")
                    continue
                key = f"{name} {dtype.__name__}"
                worst[key] = max(worst.get(key, 0.0), d)
                if not d <= allowed:
                    wrong.append(f"{key}: {d} > {allowed}")
    return {"worst": worst, "wrong": wrong}


def update_rules() -> dict:
    """The rules whose bits differ from the definition's."""
    wrong = []
    for name in RULES:
        for dtype in ALLOWED:
            rule, arrays, hyper = arguments(name, 9000, dtype, np.array([[5, 4000], [4090, 8192]], np.int64))
            expected = tuples(rule.reference(*arrays, **hyper))
            given = [*map(sent, arrays[:-1]), arrays[-1]]
            rule(*given, **hyper)
            same = [
                cupy.asnumpy(a).tobytes() == e.tobytes() for a, e in zip(updated(rule, given), expected, strict=True)
            ]
            wrong += [f"{name} {dtype.__name__}"] * (not all(same))
    return {"wrong": wrong}


NETWORKS = {
    "mlp": (28, 28, 1),
    "lenet": (28, 28, 1),
    "resnet20": (32, 32, 3),
    "vgg11": (32, 32, 3),
    "mobilenet": (32, 32, 3),
}


def gradients(model: str, dtype: str, backend: str) -> np.ndarray:
    """Of one training step on 8 random samples."""
    shape, rng = NETWORKS[model], np.random.default_rng(0)
    network, send = build(model, shape, 10), cupy.asarray if backend == "gpu" else np.asarray
    host = Replica(network, shape, dtype).initialise(5)
    copy = Replica(network, shape, dtype, backend)
    for mine, theirs in ((copy.weights, host.weights), (copy.buffers, host.buffers)):
        mine.flat[...] = send(theirs.flat)
    x, labels = send(rng.standard_normal((8, *shape)).astype(dtype)), send(rng.integers(0, 10, 8))
    ctx = Context(training=True, seed=5, samples=send(np.arange(8)), backend=backend)
    z, saved = network.forward(copy.p, x, ctx)
    _, _, dz = CrossEntropy()(z, labels, 1 / 8, ctx)
    network.backward(copy.p, copy.g, saved, dz, ctx)
    return cupy.asnumpy(copy.gradients.flat).astype(np.float64)


def networks() -> dict:
    """One step's float32 gradients, norm-relative to the CPU's in float64."""
    found = {}
    for model in NETWORKS:
        expected = gradients(model, "float64", "cpu")
        found[model] = float(np.linalg.norm(gradients(model, "float32", "gpu") - expected) / np.linalg.norm(expected))
    return found


def seconds(call: Any, rounds: int = 7) -> float:
    """Of one call: the median round."""
    call()
    start, end, times = cupy.cuda.Event(), cupy.cuda.Event(), []
    cupy.cuda.Device().synchronize()
    began = time.perf_counter()
    call()
    cupy.cuda.Device().synchronize()
    calls = max(1, min(200, int(0.02 / (time.perf_counter() - began))))
    for _ in range(rounds):
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 1e3 / calls)
    return median(times)


def normal(*shape: int) -> Any:
    return cupy.random.standard_normal(shape, dtype=np.float32)


def bandwidth() -> dict:
    """GB/s of compulsory bytes, and by the device's own copy."""
    n = 1 << 27
    x, y = normal(n), normal(n)
    copied = 2 * x.nbytes / seconds(lambda: cupy.copyto(y, x)) / 1e9
    rows, decay = x.reshape(-1, 1024), np.zeros((0, 2), np.int64)
    mean, inverse = normal(1024), cupy.abs(normal(1024)) + 1
    calls = {
        "relu": (2, lambda: ops.relu(x, out=y)),
        "gelu": (2, lambda: ops.gelu(x, out=y)),
        "softmax": (2, lambda: ops.softmax(rows, out=y.reshape(rows.shape))),
        "batch_norm": (2, lambda: ops.batch_norm(rows, mean, inverse, mean, mean, out=y.reshape(rows.shape))),
        "column_moments": (1, lambda: ops.column_moments(rows)),
        "sgd": (3, lambda: ops.sgd(x, y, decay, lr=1e-9)),
    }
    found = {"copy": {"GB/s": copied}}
    for name, (passes, call) in calls.items():
        rate = passes * x.nbytes / seconds(call) / 1e9
        found[name] = {"GB/s": rate, "of copy": rate / copied}
    m, s = cupy.zeros(n // 4, np.float32), cupy.zeros(n // 4, np.float32)
    w, g, none = x[: n // 4], y[: n // 4], cupy.zeros(0, np.float32)
    rate = 7 * w.nbytes / seconds(lambda: ops.adam(w, g, m, s, none, decay, lr=1e-9, betas=(0.9, 0.99), eps=1e-8)) / 1e9
    return {**found, "adam": {"GB/s": rate, "of copy": rate / copied}}


def products() -> dict:
    """TFLOP/s of float32, and by cuBLAS."""
    found = {}
    for n in (512, 1024, 2048, 4096):
        a, b, c = normal(n, n), normal(n, n), normal(n, n)
        ours, theirs = seconds(lambda: ops.gemm(a, b, out=c)), seconds(lambda: cupy.matmul(a, b, out=c))  # noqa: B023
        found[str(n)] = {"TFLOP/s": 2 * n**3 / ours / 1e12, "by cuBLAS": theirs / ours}
    return found


LAYERS = {
    "C64 K64 56x56 3x3": ((32, 56, 56, 64), 64, Window.of(3, padding=1), 1),
    "C128 K128 28x28 3x3": ((32, 28, 28, 128), 128, Window.of(3, padding=1), 1),
    "depthwise 64 112x112": ((32, 112, 112, 64), 64, Window.of(3, padding=1), 64),
}


def convolutions() -> dict:
    """TFLOP/s of float32, and by PyTorch channels last without TF32."""
    found = {}
    for name, (shape, k, window, groups) in LAYERS.items():
        x, w = normal(*shape), normal(k, *window.kernel, shape[3] // groups)
        y = ops.conv2d(x, w, window, groups=groups)
        dw = cupy.empty_like(w)
        flops = ops.conv2d.flops(x, w, window, groups=groups)
        times = {
            "forward": seconds(lambda: ops.conv2d(x, w, window, groups=groups, out=y)),  # noqa: B023
            "dx": seconds(lambda: ops.conv2d_dx(y, w, window, shape[1:3], groups=groups, out=x)),  # noqa: B023
            "dw": seconds(lambda: ops.conv2d_dw(x, y, window, groups=groups, out=dw)),  # noqa: B023
        }
        found[name] = {which: {"TFLOP/s": flops / t / 1e12} for which, t in times.items()}
        if torch:
            torch.backends.cudnn.allow_tf32 = False
            tx, tw = (torch.as_tensor(a, device="cuda").permute(0, 3, 1, 2) for a in (x, w))
            theirs = seconds(lambda: torch.nn.functional.conv2d(tx, tw, padding=1, groups=groups))  # noqa: B023
            found[name]["forward"]["by PyTorch"] = theirs / times["forward"]
    return found


def training_step() -> dict:
    """ResNet-50, batch 64, float32: images/s."""
    network, rule = resnet50(), SGD(0.01, momentum=0.9)
    copy = Replica(network, (224, 224, 3), backend="gpu").initialise(0, "gpu")
    x, labels = normal(64, 224, 224, 3), cupy.random.randint(0, 1000, 64)
    slots = {slot: copy.weights.like() for slot in rule.slots}
    ctx = Context(training=True, samples=cupy.arange(64), backend="gpu")

    def step() -> None:
        copy.clear()
        z, saved = network.forward(copy.p, x, ctx)
        _, _, dz = CrossEntropy()(z, labels, 1 / 64, ctx)
        network.backward(copy.p, copy.g, saved, dz, ctx)
        copy.commit()
        rule.update(copy.weights, copy.gradients, slots, 0, "gpu")

    return {"images/s": 64 / seconds(step, rounds=3)}


def main(path: str) -> int:
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    result = {
        "machine": {"gpu": properties["name"].decode(), "cupy": cupy.__version__, "python": platform.python_version()},
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "torch": torch.__version__ if torch else None,
    }
    failed = 0
    for part in (every_op, update_rules, networks, bandwidth, products, convolutions, training_step):
        began = time.perf_counter()
        try:
            result[part.__name__] = part()
        except Exception:
            failed += 1
            result[part.__name__] = {"error": traceback.format_exc()}
        result[part.__name__]["seconds"] = round(time.perf_counter() - began, 1)
        Path(path).write_text(json.dumps(result, indent=1) + "\n")
        print(part.__name__, json.dumps(result[part.__name__])[:2000], flush=True)
    return min(1, failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
