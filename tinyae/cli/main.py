"""The command ``tinyae``: what it understands. What it does stands in the modules it calls."""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
from collections.abc import Sequence

from .._version import __version__
from ..estimator import Autoencoder
from ..kernels.conventions import ACTIVATIONS, LOSSES
from . import augment, bench, demo, generate, sweep, tune
from .options import backend_option, command, data_given, data_options, model_options, run_options
from .run_folder import UsageError

EPILOG = """\
exit codes: 0 done, 1 the work failed, 2 wrong arguments

a first tour:
  tinyae train                          the ball, under a minute; pictures in runs/ball
  tinyae train --data mnist --hidden 1000,500,250 --code 30 --learning-rate 2e-3 --epochs 12
  tinyae evaluate runs/mnist            squared error on training and test data, beside PCA
  tinyae encode runs/mnist --out codes.npy
  tinyae reconstruct runs/mnist --out reconstructions.png
  tinyae sample runs/mnist              64 digits that nobody wrote, in runs/mnist/samples.png
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    # a polite kill is an interrupt too: training writes its checkpoint and ends
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        given = build_parser().parse_args(argv)
        given.run_command(given)
    except SystemExit as stop:  # argparse has said what is wrong, or has shown its help
        return int(stop.code or 0)
    except UsageError as error:
        print(f"tinyae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"tinyae: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has gone: `tinyae info RUN | head`
        sys.stderr.close()
        return 1
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError,
            MemoryError) as error:  # fmt: skip
        print(f"tinyae: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyae",
        description="An autoencoder from scratch: train it, look at it, use its codes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinyae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train = command(commands, "train", _train, "train an autoencoder into a run folder")
    train.add_argument("--out", metavar="RUN", help="the run folder (default: runs/NAME, numbered)")
    train.add_argument(
        "--resume", metavar="RUN", nargs="?", const="",
        help="go on with an interrupted run: --resume RUN, or --out RUN --resume",
    )  # fmt: skip
    train.add_argument("--json", action="store_true", help="print one JSON object at the end")
    data_options(train)
    model_options(train)

    evaluate = command(
        commands, "evaluate", _evaluate, "squared error on training and test data, beside PCA"
    )
    run_options(evaluate)
    evaluate.add_argument(
        "--json", action="store_true",
        help="print squared_error, pca_squared_error, code and samples of the test part",
    )  # fmt: skip

    encode = command(commands, "encode", _encode, "write the codes of samples")
    run_options(encode, part="all")
    encode.add_argument("--out", required=True, metavar="FILE", help=".npy or .csv of the codes")

    decode = command(commands, "decode", _decode, "write the samples that codes stand for")
    decode.add_argument("run", metavar="RUN", help="a run folder")
    decode.add_argument("--codes", required=True, metavar="FILE", help=".npy or .csv of codes")
    decode.add_argument("--out", required=True, metavar="FILE", help=".npy or .csv")
    backend_option(decode)

    reconstruct = command(
        commands, "reconstruct", _reconstruct, "write samples after encoding and decoding"
    )
    run_options(reconstruct, part="test")
    reconstruct.add_argument(
        "--out", required=True, metavar="FILE",
        help=".npy or .csv of all samples, or .png with the first ten under their originals",
    )  # fmt: skip

    info = command(commands, "info", _info, "what a run folder holds: layers, settings, training")
    info.add_argument("run", metavar="RUN", help="a run folder")
    info.add_argument("--json", action="store_true", help="print one JSON object")

    check = command(
        commands, "gradcheck", _gradcheck,
        "compare backpropagation with finite differences: every activation, loss and depth",
    )  # fmt: skip
    check.add_argument("--activation", choices=ACTIVATIONS, help="only this one")
    check.add_argument("--loss", choices=LOSSES, help="only this one")
    check.add_argument(
        "--mode", choices=("elementwise", "directional"), default="elementwise",
        help="each weight by itself, or all of them along random directions",
    )  # fmt: skip
    check.add_argument("--seed", type=int, default=0, help="of weights and data (default 0)")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    backend_option(check)

    doctor = command(
        commands, "doctor", _doctor, "what works here, and the command that mends the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")

    for module in (sweep, augment, generate, demo, bench, tune):
        module.add_commands(commands)
    return parser


def _train(given: argparse.Namespace) -> None:
    from .train import train

    names = inspect.signature(Autoencoder).parameters
    model = {name: getattr(given, name) for name in names if hasattr(given, name)}
    train(given, data_given(given), model)


def _evaluate(given: argparse.Namespace) -> None:
    from .train import evaluate

    evaluate(given, data_given(given))


def _encode(given: argparse.Namespace) -> None:
    from .use import encode

    encode(given, data_given(given))


def _decode(given: argparse.Namespace) -> None:
    from .use import decode

    decode(given)


def _reconstruct(given: argparse.Namespace) -> None:
    from .use import reconstruct

    reconstruct(given, data_given(given))


def _info(given: argparse.Namespace) -> None:
    from .use import info

    info(given)


def _gradcheck(given: argparse.Namespace) -> None:
    from .check import gradcheck

    gradcheck(given)


def _doctor(given: argparse.Namespace) -> None:
    from .doctor import doctor

    doctor(given)
