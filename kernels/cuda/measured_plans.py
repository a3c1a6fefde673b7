"""Plans of matrix products that were measured on a GPU: one file per kind of GPU, in the user's
cache, written by ``tinyae tune``.

A file counts only for the kernels that it was measured with: when their text changes, it is as if
it were not there. So is a file that cannot be read: plans decide how fast a product is, and in
which order its sums are rounded, never what it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..conventions import MATMULS
from ..user_cache import user_cache
from .dense import FILES
from .plan import MOST_SPLITS, TILES, Plan, Problem
from .source import read_source


def file_for(device: str) -> Path:
    """Where the plans for this GPU are kept, as "NVIDIA H200"."""
    name = re.sub(r"\W+", "-", device.lower()).strip("-")
    return user_cache() / "plans" / f"{name}.json"


def load(device: str) -> dict[Problem, Plan]:
    """The plans for this GPU; none where none were measured with these kernels."""
    try:
        found = json.loads(file_for(device).read_text(encoding="utf-8"))
        if found["kernels"] != kernels():
            return {}
        plans = {Problem(*problem): Plan(*plan) for problem, plan in found["plans"]}
    except Exception:  # whatever is wrong with the file
        return {}
    sound = all(
        problem.matmul in MATMULS and plan[:2] in TILES and plan.splits in range(1, MOST_SPLITS + 1)
        for problem, plan in plans.items()
    )
    return plans if sound else {}


def text(device: str, plans: Mapping[Problem, Plan]) -> str:
    """What is to be written into ``file_for(device)``."""
    lines = ",\n".join(json.dumps(pair) for pair in plans.items())
    head = f'"device": {json.dumps(device)},\n"kernels": "{kernels()}"'
    return f'{{\n{head},\n"plans": [\n{lines}\n]\n}}\n'


@cache
def kernels() -> str:
    """Stands for the text of the kernels."""
    sources = "".join(_without_paths(read_source(file)) for file in FILES.values())
    return hashlib.sha256(sources.encode()).hexdigest()[:16]


def _without_paths(source: str) -> str:
    return re.sub(r"^#line.*$", "", source, flags=re.MULTILINE)
