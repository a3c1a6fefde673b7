"""``tinyae gradcheck``: is backpropagation right?"""

from __future__ import annotations

import argparse
import json
import sys

from .. import gradient_check as checks
from ..kernels.columns import get_backend
from ..kernels.conventions import ACTIVATIONS, LOSSES
from .tables import table

TOLERANCE = 1e-7


def gradcheck(given: argparse.Namespace) -> None:
    """Raises ArithmeticError where a gradient is wrong."""
    get_backend(given.backend)
    results = checks.gradcheck_table(
        activations=(given.activation,) if given.activation else ACTIVATIONS,
        names=(given.loss,) if given.loss else LOSSES,
        mode=given.mode,
        seed=given.seed,
        backend=given.backend,
        report=_counter if sys.stderr.isatty() else lambda done, total: None,
    )
    rows = [(a, n, d, c.max_error, c.straddled) for a, n, d, c in results]
    worst = max(row[3] for row in rows)
    if given.json:
        names = ("activation", "loss", "depth", "relative_error", "straddled")
        checked = [dict(zip(names, row, strict=True)) for row in rows]
        print(json.dumps({"max_relative_error": worst, "tolerance": TOLERANCE, "checks": checked}))
    else:
        print(table(("activation", "loss", "depth", "relative error", "straddled"), rows))
        print(f"\n{given.mode}: {len(rows)} nets, largest relative error {worst:.2g} "
              f"(at most {TOLERANCE:g} is right)")  # fmt: skip
    if not worst <= TOLERANCE:
        raise ArithmeticError(f"a gradient is off by {worst:.2g}, more than {TOLERANCE:g}")


def _counter(done: int, total: int) -> None:
    print(f"\r{done}/{total} nets", end="\n" if done == total else "", file=sys.stderr, flush=True)
