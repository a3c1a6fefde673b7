"""What ``import tinyae`` costs beyond ``import numpy``: run by .ci/run, not by pytest.

Each import happens in a fresh interpreter; the figures are medians of several.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

PROBE = """
import resource, time
import numpy
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
import tinyae
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory)
"""
ROUNDS = 15


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    runs = []
    for _ in range(ROUNDS + 1):
        out = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True)
        runs.append([float(word) for word in out.stdout.split()])
    # the first one writes the .pyc files
    seconds, kilobytes = (statistics.median(column) for column in zip(*runs[1:], strict=True))
    added = f"{1e3 * seconds:.1f} ms and {kilobytes / 1024:.1f} MB"
    print(f"import tinyae adds {added} to import numpy")


if __name__ == "__main__":
    main()
