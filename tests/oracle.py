"""PyTorch and scikit-learn as oracles: never dependencies of shoal.

So their tests are skipped without them, except in CI, where a skip is a failure.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def torch() -> Any:
    """The torch module, or a skip with its reason; a failure where CI is set."""
    return _oracle("torch", "PyTorch")


def sklearn_metrics() -> Any:
    """The module sklearn.metrics, by the same rule."""
    return _oracle("sklearn.metrics", "scikit-learn")


def pillow() -> Any:
    """PIL.Image, an optional part of shoal and no oracle, by the same rule."""
    return _oracle("PIL.Image", "Pillow")


def _oracle(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must run its oracle tests", pytrace=False)
        pytest.skip(f"oracle: {name} is not installed")
