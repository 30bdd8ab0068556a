"""How many cores this process may really use.

The smallest of these counts: the number of cores, the affinity mask (mpirun binds ranks with it, and Slurm where its site
wants that), the cgroup's CPU quota (containers), and what Slurm has granted the job on this node, bound or not.
`os.cpu_count()` knows the first only, which is how ranks come to oversubscribe a node.
"""

from __future__ import annotations

import os
from pathlib import Path


def affinity() -> frozenset[int]:
    """The cores in this process's affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores granted to all ranks of this node, by the cgroup or by Slurm; infinity where there is no limit."""
    granted = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(_cgroup(root), int(granted) if granted.isdigit() else float("inf"))


def _cgroup(root: Path) -> float:
    """v2 cpu.max or v1 cfs_quota."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return float("inf") if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu/cpu.cfs_period_us").read_text())
        return limit_us / period_us if limit_us > 0 else float("inf")
    except (OSError, ValueError):
        return float("inf")


def threads_per_rank(masks: list[frozenset[int]], rank: int, cpu_quota: float) -> int:
    """Threads for one rank of a node: its cores divided by the ranks that share them, at least 1.

    masks: the affinity masks of all ranks on the node, this rank's at [rank].   cpu_quota: cores granted on the whole node.
    """
    sharing = sum(1 for mask in masks if mask & masks[rank])
    by_mask = len(masks[rank]) // sharing
    by_quota = int(min(cpu_quota, 1 << 20)) // len(masks)
    return max(1, min(by_mask, by_quota))
