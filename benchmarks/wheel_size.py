"""How large the wheel is: as a whole, and what of it an embedder uses, who has NumPy alone.

    python benchmarks/wheel_size.py dist/tinyae-*.whl

The columns for Numba and CUDA are sources that nobody without those reads; they are counted
apart. The exit code is 1 where either part is larger than its bound.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

BOUNDS = {"with NumPy alone": 505_500, "all": 678_000}  # bytes
# the Numba, the CUDA C (with the two that execute it on the CPU) and the Numba CUDA column
OPTIONAL = tuple(
    f"tinyae/kernels/{r}/" for r in ("cpu", "cuda", "cuda_host", "cuda_ptx", "cuda_python")
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel
    with zipfile.ZipFile(wheel) as archive:
        optional = sum(
            entry.compress_size
            for entry in archive.infolist()
            if entry.filename.startswith(OPTIONAL)
        )
    whole = wheel.stat().st_size
    found = {"with NumPy alone": whole - optional, "all": whole}
    for part, size in found.items():
        print(f"{part}: {size:,} bytes, at most {BOUNDS[part]:,}")
    return int(any(found[part] > bound for part, bound in BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
