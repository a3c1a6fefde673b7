"""``tinyae tune``: finds how this GPU multiplies fastest, and keeps it for training."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..kernels.conventions import MATMULS
from ..kernels.cuda.plan import Plan, Problem
from .options import KINDS, command
from .run_folder import UsageError
from .tables import table

if TYPE_CHECKING:
    from .tuning import Tuned

EPILOG = """\
A product of matrices is cut into tiles, one for each block of the GPU, and its sums perhaps into
parts. Which cut is best depends on the GPU and on the shapes. This command launches every cut that
may be worth it on the shapes of a net, checks the results and keeps the fastest in the user's
cache, for each kind of GPU; backend cupy uses them from then on. Sums are then rounded in another
order than without. What was found is saved as it goes.

examples:
  tinyae tune                                     784-1000-500-250-30 and back
  tinyae tune --features 784 --hidden 128 --code 32 --batch-size 256
  tinyae tune --matmul 3xtf32
  tinyae tune --square 4096
"""


def add_commands(commands: Any) -> None:
    parser = command(commands, "tune", _tune, "measure how this GPU multiplies a net's shapes best")
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    numbers = KINDS["widths"]
    parser.add_argument("--features", type=int, default=784, metavar="N",
                        help="of a sample (default 784)")  # fmt: skip
    parser.add_argument("--hidden", type=numbers, default=[1000, 500, 250], metavar="N,N,...",
                        help="the encoder's hidden layers (default 1000,500,250)")  # fmt: skip
    parser.add_argument("--code", type=int, default=30, metavar="N",
                        help="code units (default 30)")  # fmt: skip
    parser.add_argument("--batch-size", type=numbers, metavar="N,N,...",
                        default=[128, 256, 1024],
                        help="samples per update (default 128,256,1024)")  # fmt: skip
    parser.add_argument("--square", type=numbers, metavar="N,N,...",
                        help="N x N matrices instead of a net's layers")  # fmt: skip
    parser.add_argument("--matmul", choices=MATMULS, default="fp32",
                        help="as for 'tinyae train' (default fp32)")  # fmt: skip


def _tune(given: argparse.Namespace) -> None:
    from ..kernels.columns import get_backend
    from ..kernels.cuda import measured_plans
    from . import tuning

    wanted = _problems(given)
    backend = get_backend("cupy", given.matmul)  # or says what is missing, and the remedy
    from ..kernels.cuda.device import DeviceRunner

    runner = DeviceRunner()
    timer, device = tuning.gpu_timer(runner), runner.device_name
    found: list[tuning.Tuned] = []
    for i, problem in enumerate(wanted):
        _show(f"{i + 1}/{len(wanted)}  {problem.kernel} {_sizes(problem)}")
        found.append(tuning.tune(runner, backend, problem, timer))
        tuning.save(device, found[-1:])
    _show("")
    print(render(found))
    print(f"\n{device}: {measured_plans.file_for(device)}")


def _problems(given: argparse.Namespace) -> list[Problem]:
    from .tuning import problems

    for name in ("features", "hidden", "code", "batch_size", "square"):
        value = getattr(given, name)
        values = value if isinstance(value, list) else [value]
        if not values and name != "hidden":  # a net may do without hidden layers
            raise UsageError(f"--{name.replace('_', '-')} must be one or more numbers, got none")
        if value is not None and min(values, default=1) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {min(values)}")
    if given.square:
        return [p for n in given.square for p in problems([(n, n), (n, n)], [n], given.matmul)]
    widths = [given.features, *given.hidden, given.code]
    widths += widths[-2::-1]
    return problems(list(itertools.pairwise(widths)), given.batch_size, given.matmul)


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def render(found: Sequence[Tuned]) -> str:
    """A line for each problem: the times without measuring, and with the plan that was found."""
    rows = [
        (
            tuned.problem.kernel, _sizes(tuned.problem),
            _name(tuned.usual), round(tuned.usual_seconds * 1e6, 2),
            _name(tuned.plan), round(tuned.seconds * 1e6, 2),
            round(tuned.usual_seconds / tuned.seconds, 2),
        )
        for tuned in found
    ]  # fmt: skip
    return table(("product", "m x n x k", "usual", "us", "found", "us", "faster"), rows)


def _sizes(problem: Problem) -> str:
    return f"{problem.m} x {problem.n} x {problem.k}"


def _name(plan: Plan) -> str:
    return f"{plan.rows}x{plan.columns}" + (f" / {plan.splits}" if plan.splits > 1 else "")
