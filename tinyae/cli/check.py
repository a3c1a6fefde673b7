"""``tinyae gradcheck``: is backpropagation right?"""

from __future__ import annotations

import argparse
import json
from typing import Any

from .. import gradient_check
from ..kernels.conventions import ACTIVATIONS, LOSSES
from ..train.progress import Waiting
from .options import command
from .output import table

TOLERANCE = 1e-7


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "gradcheck", _gradcheck,
        "compare backpropagation with finite differences: every activation, loss and depth",
    )  # fmt: skip
    parser.add_argument("--activation", choices=ACTIVATIONS, help="only this one")
    parser.add_argument("--loss", choices=LOSSES, help="only this one")
    parser.option("--mode", "elementwise", "each weight by itself, or all of them along random "
                  "directions", choices=("elementwise", "directional"))  # fmt: skip
    parser.seed_option("weights and data")
    parser.json_option("print one JSON object")
    parser.backend_option()


def _gradcheck(given: argparse.Namespace) -> None:
    """Raises ArithmeticError where a gradient is wrong."""
    with Waiting("checking gradients") as report:
        results = gradient_check.gradcheck_table(
            activations=(given.activation,) if given.activation else ACTIVATIONS,
            names=(given.loss,) if given.loss else LOSSES,
            mode=given.mode,
            seed=given.seed,
            backend=given.backend,
            report=report,
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
