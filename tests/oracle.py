"""PyTorch as an oracle: never a dependency, so its tests are skipped without it, except in CI, where a skip is a failure."""

from __future__ import annotations

import os
from typing import Any

import pytest


def torch() -> Any:
    """The torch module, or a skip with its reason; a failure where CI is set."""
    try:
        import torch as module
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("PyTorch is not installed, and CI must run its oracle tests", pytrace=False)
        pytest.skip("oracle: PyTorch is not installed")
    return module
