"""Puts the results into the tables of bench/README.md and README.md, between their markers.

python bench/tables.py [--check]      --check: fails where a table is not what the results say
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"


def fractions():
    """One row a case, one column a result file."""
    files = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ("float32-1", "float32-2", "float64-1")}
    heads = [f"{f['setting']['dtype']}, {f['setting']['threads']} thread(s)" for f in files.values()]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(files)]
    limits = " | ".join(f"{f['setting']['limit_gflops']:.0f} GFLOP/s" for f in files.values())
    lines.append(f"| multiply-add limit | {limits} |")
    for name in next(iter(files.values()))["results"]:
        cells = (f["results"][name] for f in files.values())
        row = " | ".join(f"{c['gflops']:.0f}, **{c['fraction']:.0%}** ({c['lowest']:.0%}-{c['highest']:.0%})" for c in cells)
        lines.append(f"| {name} | {row} |")
    return "\n".join(lines)


def accuracy():
    record = json.loads((RESULTS / "accuracy.json").read_text())
    lines = ["| command | test accuracy | steps |", "|---|---|---|"]
    lines += [f"| `{r['command']}` | {r['accuracy']:.2%} | {r['steps']:,} |" for r in record.values()]
    return "\n".join(lines)


def pipelines():
    """One row a model."""
    record = json.loads((RESULTS / "pipelines.json").read_text())
    setting = record["setting"]
    lines = [
        f"| {setting['ranks']} stages, {setting['micro_batches']} micro-batches of {setting['batch']} | heaviest/mean | "
        "ideal | a rank's speed, of one alone | of the ideal | against serial | a pipeline of one costs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in record["results"].items():
        spread = f"{r['lowest']:.0%}-{r['highest']:.0%}"
        lines.append(
            f"| {name} | {r['balance']:.2f} | {r['ideal']:.0%} | {r['efficiency']:.0%} | **{r['of_ideal']:.0%}** ({spread}) | "
            f"{r['over_serial']:.2f} x | {r['cost_of_one']:+.1%} |"
        )
    return "\n".join(lines)


def targets():
    """The two cases the README quotes, from the same file as the large table."""
    results = json.loads((RESULTS / "float32-1.json").read_text())["results"]
    cases = [name for name in results if name.startswith(("gemm 512x512x512", "lenet-2"))]
    lines = ["| float32, one core | of the core's multiply-add limit |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {results[name]['fraction']:.0%} |" for name in cases])


TABLES = {
    "bench/README.md": {"fractions": fractions, "pipelines": pipelines, "accuracy": accuracy},
    "README.md": {"targets": targets, "pipelines": pipelines, "accuracy": accuracy},
}


def filled(text, tables):
    for name, table in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, lambda m, t=table: f"{m[1]}{t()}\n{m[2]}", text, flags=re.S)
        assert found == 1, f"{found} places for the table {name}"
    return text


def main():
    for file, tables in TABLES.items():
        path = ROOT / file
        text = filled(path.read_text(), tables)
        if "--check" in sys.argv and text != path.read_text():
            raise SystemExit(f"{file} does not show bench/results; run python bench/tables.py")
        path.write_text(text)


if __name__ == "__main__":
    main()
