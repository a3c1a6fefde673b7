"""The command ``tinyae``: what it understands. What it does stands in the modules it calls."""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
from collections.abc import Sequence
from typing import Any

from ._version import __version__
from .estimator import Autoencoder
from .initializers import INITIALIZERS
from .kernels.conventions import ACTIVATIONS, LOSSES
from .optimizers import MOMENTS
from .run_folder import UsageError
from .schedules import SCHEDULES

DATA_HELP = (
    "ball (made on the spot), digits, mnist, fashion-mnist, or a path: .npy, .npz, .csv, IDX(.gz), "
    "a folder with the MNIST files, a folder of images"
)

EPILOG = """\
exit codes: 0 done, 1 the work failed, 2 wrong arguments

a first tour:
  tinyae train                          the ball, under a minute; pictures in runs/ball
  tinyae train --data mnist --hidden 1000,500,250 --code 30 --learning-rate 2e-3 --epochs 12
  tinyae evaluate runs/mnist            squared error on training and test data, beside PCA
  tinyae encode runs/mnist --out codes.npy
  tinyae reconstruct runs/mnist --out reconstructions.png
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
        print(f"tinyae: {interrupt or 'interrupted'}", file=sys.stderr)
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

    train = _command(commands, "train", _train, "train an autoencoder into a run folder")
    train.add_argument("--out", metavar="RUN", help="the run folder (default: runs/NAME, numbered)")
    train.add_argument(
        "--resume", metavar="RUN", nargs="?", const="",
        help="go on with an interrupted run: --resume RUN, or --out RUN --resume",
    )  # fmt: skip
    train.add_argument("--json", action="store_true", help="print one JSON object at the end")
    _data_options(train)
    _model_options(train)

    evaluate = _command(
        commands, "evaluate", _evaluate, "squared error on training and test data, beside PCA"
    )
    _run_options(evaluate)
    evaluate.add_argument(
        "--json", action="store_true",
        help="print squared_error, pca_squared_error, code and samples of the test part",
    )  # fmt: skip

    encode = _command(commands, "encode", _encode, "write the codes of samples")
    _run_options(encode, part="all")
    encode.add_argument("--out", required=True, metavar="FILE", help=".npy or .csv of the codes")

    decode = _command(commands, "decode", _decode, "write the samples that codes stand for")
    decode.add_argument("run", metavar="RUN", help="a run folder")
    decode.add_argument("--codes", required=True, metavar="FILE", help=".npy or .csv of codes")
    decode.add_argument("--out", required=True, metavar="FILE", help=".npy or .csv")
    _backend_option(decode)

    reconstruct = _command(
        commands, "reconstruct", _reconstruct, "write samples after encoding and decoding"
    )
    _run_options(reconstruct, part="test")
    reconstruct.add_argument(
        "--out", required=True, metavar="FILE",
        help=".npy or .csv of all samples, or .png with the first ten under their originals",
    )  # fmt: skip

    info = _command(commands, "info", _info, "what a run folder holds: layers, settings, training")
    info.add_argument("run", metavar="RUN", help="a run folder")
    info.add_argument("--json", action="store_true", help="print one JSON object")

    check = _command(
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
    _backend_option(check)

    doctor = _command(
        commands, "doctor", _doctor, "what works here, and the command that mends the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _command(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + "."
    )
    parser.set_defaults(run_command=run)
    return parser


def _data_options(parser: argparse.ArgumentParser, default: str = "ball") -> None:
    group = parser.add_argument_group("data")
    absent = argparse.SUPPRESS
    group.add_argument("--data", metavar="DATA", dest="source", default=absent,
                       help=f"{DATA_HELP} (default: {default})")  # fmt: skip
    group.add_argument("--test-fraction", type=float, metavar="F", default=absent,
                       help="held out where the data have no test part (default 0.1)")  # fmt: skip
    group.add_argument("--label", metavar="COLUMN", type=_column, default=absent,
                       help="name or index of a .csv's label column")  # fmt: skip
    group.add_argument("--size", metavar="WIDTHxHEIGHT", type=_size, default=absent,
                       help="resize a folder's images")  # fmt: skip


def _run_options(parser: argparse.ArgumentParser, part: str | None = None) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder")
    _data_options(parser, default="the data that the run was trained on")
    if part is not None:
        parser.add_argument("--part", choices=("train", "test", "all"), default=part,
                            help=f"which samples (default {part})")  # fmt: skip
    _backend_option(parser)


def _backend_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", default="auto", help="see 'tinyae doctor' (default auto)")


MODEL_HELP: dict[str, tuple[Any, str, str]] = {
    # argument: (type or choices, metavar, help)
    "hidden": ("widths", "N,N,...", "widths of the encoder's hidden layers; '' for none"),
    "code": (int, "N", "code units"),
    "decoder_hidden": ("widths", "N,N,...", "the decoder's hidden layers (default: mirrored)"),
    "activation": (ACTIVATIONS, "NAME", "of the hidden layers: " + ", ".join(ACTIVATIONS)),
    "code_activation": (ACTIVATIONS, "NAME", "of the code"),
    "output": (("auto", *ACTIVATIONS), "NAME", "of the output; auto: sigmoid for data in [0, 1]"),
    "loss": (("auto", *LOSSES), "NAME", "auto, " + ", ".join(LOSSES)),
    "initializer": (("auto", *INITIALIZERS), "NAME", "auto, " + ", ".join(INITIALIZERS)),
    "optimizer": (tuple(MOMENTS), "NAME", ", ".join(MOMENTS)),
    "learning_rate": (float, "X", "its peak"),
    "momentum": (float, "X", "of momentum and nesterov"),
    "betas": ("floats", "B1,B2", "of adam and adamw"),
    "weight_decay": (float, "X", "on weights, never on biases"),
    "clip_norm": (float, "X", "largest norm of the gradient (default: any)"),
    "schedule": (tuple(SCHEDULES), "NAME", ", ".join(SCHEDULES)),
    "warmup": (float, "F", "fraction of training in which the learning rate climbs"),
    "batch_size": (int, "N", "samples per update"),
    "epochs": (int, "N", "passes over the training data"),
    "validation_fraction": (float, "F", "of the training data, held out to watch"),
    "patience": (int, "N", "stop after N epochs without a better validation loss"),
    "dtype": (("float32", "float64"), "NAME", "float32 or float64"),
    "backend": (str, "NAME", "auto: the fastest that works here; see 'tinyae doctor'"),
}


def _model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model and training")
    absent = argparse.SUPPRESS  # only what was given may overrule a saved configuration
    defaults = inspect.signature(Autoencoder).parameters
    for name, (kind, metavar, meaning) in MODEL_HELP.items():
        default = defaults[name].default
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        help = meaning if default is None else f"{meaning} (default {text})"
        options: dict[str, Any] = {"metavar": metavar, "default": absent, "help": help}
        if isinstance(kind, tuple):
            options["choices"] = kind
        else:
            options["type"] = {"widths": _widths, "floats": _floats}.get(kind, kind)
        group.add_argument("--" + name.replace("_", "-"), **options)
    group.add_argument("--seed", type=int, dest="random_state", metavar="N",
                       default=absent, help="of weights and shuffles (default 0)")  # fmt: skip
    group.add_argument("--no-shuffle", action="store_false", dest="shuffle",
                       default=absent, help="keep the samples in order")  # fmt: skip


def _widths(text: str) -> list[int]:
    return [int(part) for part in text.split(",")] if text.strip() else []


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _column(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _size(text: str) -> list[int]:
    width, height = (int(part) for part in text.lower().split("x"))
    if width < 1 or height < 1:
        raise ValueError
    return [width, height]


# argparse words its complaint about a bad value with the type's name
_widths.__name__ = "list of widths"
_floats.__name__ = "list of numbers"
_size.__name__ = "WIDTHxHEIGHT"


def _data_given(given: argparse.Namespace) -> dict[str, Any]:
    names = ("source", "test_fraction", "label", "size")
    data = {name: getattr(given, name) for name in names if hasattr(given, name)}
    if data and "source" not in data and hasattr(given, "part"):
        raise UsageError(f"--{next(iter(data)).replace('_', '-')} needs --data")
    return data


def _train(given: argparse.Namespace) -> None:
    from .train_command import train

    names = inspect.signature(Autoencoder).parameters
    model = {name: getattr(given, name) for name in names if hasattr(given, name)}
    train(given, _data_given(given), model)


def _evaluate(given: argparse.Namespace) -> None:
    from .train_command import evaluate

    evaluate(given, _data_given(given))


def _encode(given: argparse.Namespace) -> None:
    from .use_commands import encode

    encode(given, _data_given(given))


def _decode(given: argparse.Namespace) -> None:
    from .use_commands import decode

    decode(given)


def _reconstruct(given: argparse.Namespace) -> None:
    from .use_commands import reconstruct

    reconstruct(given, _data_given(given))


def _info(given: argparse.Namespace) -> None:
    from .use_commands import info

    info(given)


def _gradcheck(given: argparse.Namespace) -> None:
    from .check_commands import gradcheck

    gradcheck(given)


def _doctor(given: argparse.Namespace) -> None:
    from .doctor import doctor

    doctor(given)
