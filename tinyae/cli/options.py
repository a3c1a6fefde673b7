"""The options that several commands share, and what was given by them."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..estimator import Autoencoder
from ..kernels.conventions import ACTIVATIONS, LOSSES, MATMULS, OPTIMIZERS
from ..net.initializers import INITIALIZERS
from ..train.schedules import SCHEDULES
from .run_folder import UsageError

DATA_HELP = (
    "ball (made on the spot), digits, mnist, fashion-mnist, or a path: .npy, .npz, .csv, IDX(.gz), "
    "a folder with the MNIST files, a folder of images"
)


def command(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + "."
    )
    parser.set_defaults(run_command=run)
    return parser


def data_options(parser: argparse.ArgumentParser, default: str = "ball") -> None:
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


def run_options(parser: argparse.ArgumentParser, part: str | None = None) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder")
    data_options(parser, default="the data that the run was trained on")
    parser.set_defaults(run_has_data=True)
    if part is not None:
        parser.add_argument("--part", choices=("train", "test", "all"), default=part,
                            help=f"which samples (default {part})")  # fmt: skip
    backend_option(parser)


def backend_option(parser: argparse.ArgumentParser) -> None:
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
    "optimizer": (OPTIMIZERS, "NAME", ", ".join(OPTIMIZERS)),
    "learning_rate": (float, "X", "its peak"),
    "momentum": (float, "X", "of momentum and nesterov"),
    "betas": ("floats", "B1,B2", "of adam and adamw"),
    "weight_decay": (float, "X", "on weights, never on biases"),
    "clip_norm": (float, "X", "largest norm of the gradient (default: any)"),
    "schedule": (tuple(SCHEDULES), "NAME", ", ".join(SCHEDULES)),
    "warmup": (float, "F", "fraction of training in which the learning rate climbs"),
    "batch_size": (int, "N", "samples per update"),
    "epochs": (int, "N", "passes over the training data"),
    "code_noise": ("noise", "S or S,E", "noise on the code in training, at first and in the end"),
    "target_blur": (float, "PIXELS", "blur on the targets at first, gone by half of training"),
    "validation_fraction": (float, "F", "of the training data, held out to watch"),
    "patience": (int, "N", "stop after N epochs without a better validation loss"),
    "dtype": (("float32", "float64"), "NAME", "float32 or float64"),
    "threads": (int, "N", "CPU threads of the numba backend (default: all, or TINYAE_NUM_THREADS)"),
    "backend": (str, "NAME", "auto: the fastest that works here; see 'tinyae doctor'"),
    "matmul": (
        MATMULS,
        "NAME",
        "fp32; on a GPU's tensor cores 3xtf32, as accurate, or tf32, which keeps 11 of the "
        "24 significant bits of all factors: products err by up to 1/1000",
    ),
}


def model_options(
    parser: argparse.ArgumentParser,
    recipe: Mapping[str, Any] = MappingProxyType({}),
    leave_out: Sequence[str] = (),
) -> None:
    """``recipe``: the command's own defaults, for the help; the command applies them."""
    group = parser.add_argument_group("model and training")
    absent = argparse.SUPPRESS  # only what was given may overrule a saved configuration
    defaults = inspect.signature(Autoencoder).parameters
    for name, (kind, metavar, meaning) in MODEL_HELP.items():
        if name in leave_out:
            continue
        default = recipe.get(name, defaults[name].default)
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        help = meaning if default is None else f"{meaning} (default {text})"
        options: dict[str, Any] = {"metavar": metavar, "default": absent, "help": help}
        if isinstance(kind, tuple):
            options["choices"] = kind
        else:
            options["type"] = KINDS.get(kind, kind)
        group.add_argument("--" + name.replace("_", "-"), **options)
    group.add_argument("--seed", type=int, dest="random_state", metavar="N",
                       default=absent, help="of weights and shuffles (default 0)")  # fmt: skip
    group.add_argument("--no-shuffle", action="store_false", dest="shuffle",
                       default=absent, help="keep the samples in order")  # fmt: skip


def _widths(text: str) -> list[int]:
    return [int(part) for part in text.split(",")] if text.strip() else []


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _noise(text: str) -> float | list[float]:
    numbers = _floats(text)
    return numbers if len(numbers) == 2 else float(text)


def _column(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _size(text: str) -> list[int]:
    width, height = (int(part) for part in text.lower().split("x"))
    if width < 1 or height < 1:
        raise ValueError
    return [width, height]


KINDS = {"widths": _widths, "floats": _floats, "noise": _noise}

# argparse words its complaint about a bad value with the type's name
_widths.__name__ = "list of widths"
_floats.__name__ = "list of numbers"
_noise.__name__ = "number or pair of numbers"
_size.__name__ = "WIDTHxHEIGHT"


def data_given(given: argparse.Namespace) -> dict[str, Any]:
    names = ("source", "test_fraction", "label", "size")
    data = {name: getattr(given, name) for name in names if hasattr(given, name)}
    if data and "source" not in data and hasattr(given, "run_has_data"):
        raise UsageError(f"--{next(iter(data)).replace('_', '-')} needs --data")
    return data
