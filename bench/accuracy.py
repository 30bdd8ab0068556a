"""Trains presets on two ranks, as the README's commands do, and records what they reached.

python bench/accuracy.py [PRESET ...]      writes bench/results/accuracy.json
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine

from shoal.jobs.benches import mpirun

RESULTS = Path(__file__).with_name("results") / "accuracy.json"


def main():
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for preset in sys.argv[1:] or ["digits-cnn", "lenet-digits", "lenet-fashion"]:
        with tempfile.TemporaryDirectory() as folder:
            command = [*mpirun(2), sys.executable, "-m", "shoal", "train", preset, f"run.folder={folder}/run", "--json"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        summary = json.loads(done.stdout.strip().splitlines()[-1])
        summary.pop("checkpoint")
        command = f"mpirun -n 2 shoal train {preset}"
        record[preset] = {"command": command, **summary, "machine": machine()}
        print(f"{preset}: {summary['accuracy']:.2%}")
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
