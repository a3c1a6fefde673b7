"""What the commands of benchmarks/README.md share, read by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = [path for path in BENCHMARKS.rglob("*.py") if "__main__" in path.read_text("utf-8")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_says_what_a_script_is_for_and_ends(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "COLUMNS": "999"},  # a line that ends within a word with a hyphen is two
    )  # fmt: skip
    purpose = script.read_text("utf-8").splitlines()[0].strip('"')
    said = " ".join(done.stdout.split())
    assert said.startswith(f"usage: {script.name}") and purpose in said


def test_a_file_that_is_no_result_is_one_line() -> None:
    command = [sys.executable, BENCHMARKS / "reports" / "compare.py", "nowhere", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("No such file or directory: 'nowhere'")
