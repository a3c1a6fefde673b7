"""The command ``tinyae``: reads what was given, runs the command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import IO, cast

from .._version import __version__
from ..storage.files import replacing
from ..storage.untrusted import printable
from . import (
    check,
    demo_augment,
    demo_ball,
    export,
    generate,
    outliers,
    recipes,
    sweep,
    train,
    use,
)
from .learn import exercise, page, trace
from .machine import bench, doctor, tune
from .options import Command, UsageError
from .output import Stream
from .run import ranks

EPILOG = """\
exit codes: 0 done, 1 failed or interrupted, 2 arguments, data or files that cannot be used

a first tour:
  tinyae train                          the ball, in a minute or two; pictures in runs/ball
  tinyae train --recipe hinton          digits of MNIST in 30 numbers; pictures in runs/mnist
  tinyae evaluate runs/mnist            squared error on training and test data, beside PCA
  tinyae encode runs/mnist --out codes.npy
  tinyae reconstruct runs/mnist --out reconstructions.png
  tinyae sample runs/mnist              64 digits that nobody wrote, in runs/mnist/samples.png
  tinyae page runs/ball                 a web page to play with the net, in runs/ball/page.html
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if ranks.quiet():
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return _run(argv)
    out, err = Stream("stdout"), Stream("stderr")
    with redirect_stdout(cast(IO[str], out)), redirect_stderr(cast(IO[str], err)):
        code = _run(argv)
        out.flush()
        if out.lost is None:
            return code
        if not isinstance(out.lost, BrokenPipeError):  # `tinyae info RUN | head` is no fault
            print(f"tinyae: standard output: {out.lost}", file=sys.stderr)
        return code or 1


def _run(argv: Sequence[str] | None) -> int:
    # a polite kill is an interrupt too: training writes its checkpoint and ends
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        given = build_parser().parse_args(argv)
        token = replacing.set(getattr(given, "force", False))
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _in_one_line
                ranks.run(given.run_command, given)
        finally:
            replacing.reset(token)
    except SystemExit as stop:  # argparse has said what is wrong, or has shown its help
        return int(stop.code or 0)
    except KeyboardInterrupt as interrupt:
        print(f"tinyae: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 1
    except (UsageError, ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError,
            MemoryError) as error:  # fmt: skip
        print(f"tinyae: {printable(str(error)) or type(error).__name__}", file=sys.stderr)
        # whatever is given and refused, however late, or may not be read or written
        return 2 if isinstance(error, (UsageError, ValueError, TypeError, PermissionError)) else 1
    return 0


def _in_one_line(message: Warning | str, *_: object, **__: object) -> None:
    """A warning without the place in the code that it came from."""
    print(f"tinyae: {printable(str(message))}", file=sys.stderr)


def build_parser() -> Command:
    parser = Command(
        prog="tinyae",
        description="An autoencoder from scratch: train it, look at it, use its codes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinyae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for module in (train, recipes, use, export, page, generate, outliers, sweep):
        module.add_commands(commands)
    demo = commands.add_parser(
        "demo", help="experiments, each with a table, JSON and a picture",
        description="Experiments, each with a table, JSON and a picture.",
    )  # fmt: skip
    demos = demo.add_subparsers(title="demos", metavar="DEMO", required=True)
    for module in (demo_ball, demo_augment):
        module.add_commands(demos)
    for module in (check, trace, exercise, doctor, bench, tune):
        module.add_commands(commands)
    return parser
