"""The last example, on a real Slurm: the mesh across two nodes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cluster import Cluster

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_example_of_a_mesh_runs_on_two_nodes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_MCA_osc", "^ucx")
    monkeypatch.chdir(ROOT)
    job = cluster.submit(ROOT / "examples" / "12_slurm.sbatch")
    if job.ended() != "COMPLETED":
        job.fail("the example failed")
    distances = re.findall(r"difference from serial (\d+e[-+]\d+)", job.said)
    assert len(distances) == 4 and max(map(float, distances)) < 1e-8, job.said
