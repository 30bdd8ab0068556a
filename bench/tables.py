"""Puts the results into the tables of bench/README.md and README.md, between their markers.

python bench/tables.py [--check]      --check: fails where a table is not what the results say
"""

import json
import re
import sys
from pathlib import Path

from kinds import HOW

from shoal.jobs.measured import Result, table
from shoal.jobs.targets import verdicts

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
QUESTIONS = sorted(file.stem.removeprefix("bench_") for file in (ROOT / "bench").glob("bench_*.py"))


def result(question):
    """None where it was not measured yet."""
    file = RESULTS / f"{question}.json"
    return Result.load(file) if file.exists() else None


def markdown(heads, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def answer(question):
    """The whole result: where it was measured, a row for each case (of targets' cases, each group), and what it had to reach."""
    found = result(question)
    if not found:
        return f"Not measured yet: `shoal bench {question} --output bench/results/{question}.json`"
    setting = ", ".join(f"{name} {value}" for name, value in found.setting.items())
    where = f"`{found.command}`, {found.machine['cores']} cores of {found.machine['cpu']}, {setting}."
    shown = [] if question == "targets" else [pivot(found) if question in ("gemm", "conv2d") else table(found)]
    return "\n\n".join([where, *(markdown(*one) for one in [*shown, *[verdicts(found)] * bool(found.targets)])])


def pivot(found):
    """A column for each kind of numbers and threads."""
    names = dict.fromkeys(name.rpartition("-")[0] for name in found.cases)
    return ["", *HOW], [[name, *(cell(found.cases.get(f"{name}-{how}")) for how in HOW)] for name in names]


def cell(case):
    if not case:
        return ""
    of = case.ratios["of the limit"]
    fraction = f"**{of.median:.0%}** ({of.lowest:.0%}-{of.highest:.0%})"
    peers = [f"{ratio.median:.2f} of {name}" for name, ratio in case.ratios.items() if name != "of the limit"]
    return ", ".join([f"{case.rates['GFLOP/s']:.0f}", fraction, *peers])


def accuracy():
    record = json.loads((RESULTS / "accuracy.json").read_text())
    rows = [[f"`{r['command']}`", f"{r['accuracy']:.2%}", f"{r['steps']:,}"] for r in record.values()]
    return markdown(["command", "test accuracy", "steps"], rows)


def targets():
    """The cases that the README quotes, from the same files as the large tables."""
    wanted = ("512x512x512", "lenet 2")
    cases = [(question, *one) for question in ("gemm", "conv2d") for one in result(question).cases.items()]
    rows = [
        [f"{question} {name.rpartition('-')[0].replace('-', ' ')}", f"{case.ratios['of the limit'].median:.0%}"]
        for question, name, case in cases
        if name.startswith(wanted) and name.endswith(HOW[0])
    ]
    return markdown(["float32, one core", "of the core's multiply-add limit"], rows)


def pipelines():
    return markdown(*table(result("pipeline")))


def plots():
    """Those that were drawn."""
    return "\n\n".join(f"![{file.stem}](results/{file.name})" for file in sorted(RESULTS.glob("*.svg")))


TABLES = {
    "bench/README.md": {q: lambda q=q: answer(q) for q in QUESTIONS} | {"plots": plots, "accuracy": accuracy},
    "README.md": {"targets": targets, "pipelines": pipelines, "accuracy": accuracy},
}


def filled(text, tables):
    for name, made in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, lambda m, made=made: f"{m[1]}{made()}\n{m[2]}", text, flags=re.S)
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
