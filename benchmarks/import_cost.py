"""What ``import tinyae`` costs beyond ``import numpy``: run by .ci/run, not by pytest.

Each import happens in a fresh interpreter; the figures are medians of several, taken in turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

PROBE = """
import resource, time
import numpy
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory)
"""
ROUNDS = 15


def probe(statement: str) -> tuple[float, float]:
    """(milliseconds, megabytes) of a statement after ``import numpy``, medians."""
    runs = []
    for _ in range(ROUNDS):
        code = PROBE.format(statement=statement)
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        runs.append([float(word) for word in out.stdout.split()])
    seconds, kilobytes = (statistics.median(column) for column in zip(*runs, strict=True))
    return 1e3 * seconds, kilobytes / 1024


def main() -> None:
    subprocess.run([sys.executable, "-c", "import tinyae"], check=True)  # writes the .pyc files
    milliseconds, megabytes = probe("import tinyae")
    print(f"import tinyae adds {milliseconds:.1f} ms and {megabytes:.1f} MB to import numpy")


if __name__ == "__main__":
    main()
