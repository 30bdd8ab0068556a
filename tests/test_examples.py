"""The examples run, and the README shows the first of them as it is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_serial_example_trains() -> None:
    example = ROOT / "examples" / "01_serial.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=240, cwd="/")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.removeprefix("test accuracy ").rstrip("%\n")) >= 95


def test_the_readme_shows_the_serial_example() -> None:
    code = (ROOT / "examples" / "01_serial.py").read_text().split('"""', 2)[2].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text()
