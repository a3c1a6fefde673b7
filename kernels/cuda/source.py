"""The text of a .cu file, ready for a compiler: NVRTC through CuPy, or C++ on the host.

The sources include no system headers, so that NVRTC compiles them at once. Numbers that all
columns share come from ``conventions.py`` as #defines; ``#include "x.cuh"`` is resolved here, the
first time that it is met. With "for every tile" behind it the file is put in once for each tile of
``plan.TILES``, whose numbers take the place of ROWS and COLUMNS.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .. import conventions
from .plan import TILES

FOLDER = Path(__file__).parent / "c"
ROOMS = ("", "dense", "shared")  # each includes from itself and from those that follow

NVRTC_OPTIONS = ("-std=c++17", "-lineinfo")  # CuPy adds -ftz=true

REALS = {"float32": "float", "float64": "double"}

# Their kernels are there for float32 alone, and from compute capability 8.0 on.
ON_TENSOR_CORES = ("dense_3xtf32.cu", "dense_tf32.cu")

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"(  // for every tile)?$', re.MULTILINE)
_KERNEL = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([^)]*\))?\s+(\w+)\(')


@cache
def defines(dtype: str) -> str:
    """#define lines for one dtype: REAL, and names and numbers of ``conventions``."""
    c = conventions
    lines = [f"#define REAL {REALS[dtype]}", f"#define REAL_IS_DOUBLE {int(dtype == 'float64')}"]
    numbered = {
        "ACTIVATION": c.ACTIVATIONS, "LOSS": c.LOSSES, "HYPER": c.HYPER, "DATA": c.DATA,
        "PENALTY": c.PENALTIES, "OPTIMIZER": c.OPTIMIZERS,
    }  # fmt: skip
    for prefix, names in numbered.items():
        lines += [f"#define {prefix}_{name.upper()} {i}" for i, name in enumerate(names)]
        lines.append(f"#define {prefix}_COUNT {len(names)}")
    for name in ("LEAKY_SLOPE", "GELU_SCALE", "GELU_CUBIC", "HUBER_DELTA", "RATE_MARGIN"):
        lines.append(f"#define {name} ((REAL){getattr(c, name)!r})")
    for i in (0, 1):
        lines.append(f"#define PHILOX_MULTIPLIER{i} {c.PHILOX_MULTIPLIERS[i]:#x}u")
        lines.append(f"#define PHILOX_WEYL{i} {c.PHILOX_WEYL[i]:#x}u")
    for name in ("PHILOX_ROUNDS", "FEISTEL_ROUNDS", "FEISTEL_STREAM"):
        lines.append(f"#define {name} {getattr(c, name)}")
    return "\n".join(lines) + "\n"


def path_of(file: str) -> Path:
    """Where a source file lies. No two have one name: includes and launches give that alone."""
    paths = (FOLDER / room / file for room in ROOMS)
    return next(filter(Path.exists, paths), FOLDER / file)


@cache
def read_source(file: str) -> str:
    """The file with its includes in place; #line keeps errors and debuggers in the right file."""
    return _with_includes(file, set())


def _with_includes(file: str, seen: set[str]) -> str:
    path = path_of(file)

    def included(match: re.Match[str]) -> str:
        line = text[: match.start()].count("\n") + 2
        if match[1] in seen:
            return ""
        seen.add(match[1])
        there = _with_includes(match[1], seen)
        if match[2]:
            tiles = [map(str, tile) for tile in reversed(TILES)]
            there = "\n".join(there.replace("ROWS", r).replace("COLUMNS", c) for r, c in tiles)
        return f'{there}\n#line {line} "{path}"'

    text = path.read_text()
    return f'#line 1 "{path}"\n' + _INCLUDE.sub(included, text)


def kernel_names(source: str) -> list[str]:
    """The kernels of a source text, in order."""
    return _KERNEL.findall(source)
