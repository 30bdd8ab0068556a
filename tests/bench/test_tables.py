"""What is shown of the results: tables between markers, pictures, and the same network for every peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import oracle
import pytest
import tables

from shoal.jobs.measured import Case, Result, Spread

ROOT = Path(__file__).parents[2]


def test_the_tables_in_the_docs_are_what_the_results_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "tables.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_table_that_was_changed_by_hand_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tables.TABLES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text().replace("512x512x512", "513x513x513"))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    with pytest.raises(SystemExit, match=r"bench/README\.md does not show bench/results"):
        tables.main()


def test_a_table_goes_between_its_markers() -> None:
    text = "a\n<!-- x -->\nold\n<!-- end -->\nb\n"
    assert tables.filled(text, {"x": lambda: "new"}) == "a\n<!-- x -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(AssertionError, match="0 places for the table y"):
        tables.filled(text, {"y": str})


def test_pictures_are_the_same_bytes_for_the_same_results(tmp_path: Path) -> None:
    plots = pytest.importorskip("plots", reason="pictures need matplotlib")
    shown = {"GFLOP/s": 77.0, "GB/s": 9.0}, {"of the limit": Spread(0.7, 0.6, 0.8), "efficiency": Spread(0.9, 0.8, 1.0)}
    for name in ("gemm", "memory_bound", "data_parallel", "allreduce"):
        cases = {
            f"{ranks} ranks-lenet-{plots.ALL}": Case(
                None, *shown, {"intensity": 8.0, "limit": 50.0, "ranks": ranks, "bytes": 1024}
            )
            for ranks in (1, 2)
        }
        (tmp_path / f"{name}.json").write_text(Result(name, "", {}, {}, cases).text())
    drawn = []
    for _ in range(2):
        plots.main(tmp_path)
        drawn.append([(tmp_path / name).read_bytes() for name in ("roofline.svg", "scaling.svg")])
    assert drawn[0] == drawn[1] and b"lenet" in drawn[0][1]


@pytest.mark.parametrize("network", ["digits-cnn", "mlp", "lenet", "resnet20", "vgg11", "mobilenet"])
def test_a_peer_is_the_same_network(network: str) -> None:
    """As many weights, and outputs of the same shape; that ours computes what PyTorch does is tested elsewhere."""
    torch = oracle.torch()
    import networks
    import peers

    x, _ = networks.batch_of(network, 2)
    ours, theirs = networks.build(network), peers.translated(networks.build(network), x.shape[1:])
    weights = sum(spec.size for spec in ours.specs(x.shape[1:]) if spec.role == "weight")
    assert sum(p.numel() for p in theirs.parameters()) == weights
    assert theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).shape == (2, 10)


def test_a_layer_without_a_peer_is_named() -> None:
    oracle.torch()
    import peers

    from shoal.nn import Embedding

    with pytest.raises(NotImplementedError, match="Embedding has no peer"):
        peers.translated(Embedding(4, 4), (4,))
