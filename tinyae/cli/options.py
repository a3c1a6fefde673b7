"""Declaring commands and their options, and what was given by them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import checks
from ..arguments import ARGUMENTS, FLAG, Argument, read_seed
from ..data.reading import Reading
from ..families import FAMILIES, PLAIN
from ..kernels.columns import get_backend

DATA_HELP = (
    "ball (made on the spot), digits, mnist, fashion-mnist, or a path: .npy, .npz, a table (.csv, "
    ".tsv, .txt, .data; .gz or not; .parquet, .feather, .arrow) or IDX file (.gz or not), "
    "a folder with the MNIST files, a folder of images; under mpirun {rank} in it is the number of "
    "the process that reads it, each its own rows"
)
RANK = "{rank}"  # in --data: the number of the process that reads it
_FLAG = argparse.BooleanOptionalAction
# How load_dataset reads the source: its arguments of these names.
READING: dict[str, dict[str, Any]] = {
    "label": dict(metavar="COLUMN", help="the column of labels of a table, by its name or by its "
                  "index from 0 in the file (after training on text and numbers, columns that "
                  "--label and --drop named may be in new data or not)"),
    "drop": dict(metavar="COLUMN", action="append", help="a column of a table that is no feature, "
                 "by name or index; may be repeated"),
    "header": dict(action=_FLAG, help="whether a table's first line holds names (default: if a "
                   "cell of it is no number where the next line has one, or if it counts 0, 1, 2, "
                   "...)"),
    "index": dict(action=_FLAG, help="whether a table's first column numbers the lines and is left "
                  "out (default: if it has whole numbers and no name, or if it counts up by "
                  "one in a table without names)"),
    "separator": dict(metavar="CHAR", help="between a table's cells: a character, 'tab', or "
                      "'space' for any run of blanks (default: told by the first lines)"),
    "decimal": dict(metavar="CHAR", help="a table's decimal sign, . or , (default: told by the "
                    "first lines)"),
    "encoding": dict(metavar="NAME", help="of a table, such as latin-1, cp1252 or utf-16 (default "
                     "utf-8)"),
    "size": dict(metavar="WIDTHxHEIGHT", help="resize a folder's images"),
    "skip_bad": dict(action="store_true", help="leave out a folder's images that cannot be read, "
                     "and list them"),
}  # fmt: skip
# What `tinyae train` trains where Autoencoder has another default.
DEFAULTS: dict[str, Any] = {"random_state": 0}


class UsageError(Exception):
    """Arguments that cannot be meant; exit code 2, as of what else is given and refused."""


class Command(argparse.ArgumentParser):
    """The parser of a command, with methods for the options that several commands share."""

    def error(self, message: str) -> NoReturn:
        """One line, and where to read more: argparse would print the usage, all options, first."""
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help explains the options)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command refuses what it does not know itself: argparse would have ``tinyae`` do it,
        whose --help has no options of commands."""
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return given, unknown

    def option(self, name: str, default: Any, help: str, **how: Any) -> None:
        """An option whose help says its default."""
        self.add_argument(name, default=default, help=_with_default(help, default), **how)

    def count(self, name: str, default: Any, help: str, least: int = 1) -> None:
        """An integer of at least ``least``."""
        self.option(name, default, help, type=at_least(least), metavar="N")

    def file_option(self, name: str, help: str, *suffixes: str, required: bool = False) -> None:
        """A file to be written; its folder must be there."""
        kind = _file_ending_in(*suffixes)
        self.add_argument(name, metavar="FILE", type=kind, required=required, help=help)
        self.force_option()

    def force_option(self) -> None:
        """Of a command that writes files."""
        if self.get_default("force") is None:
            self.add_argument("--force", action="store_true", help="write into a folder and over "
                              "files that tinyae did not write")  # fmt: skip

    def seed_option(self, what: str) -> None:
        self.option("--seed", 0, f"of {what}", type=read_seed, metavar="N")

    def backend_option(self) -> None:
        self.option("--backend", "auto", "see 'tinyae doctor'", type=_backend, metavar="NAME")

    def json_option(self, help: str = "print one JSON object at the end") -> None:
        self.add_argument("--json", action="store_true", help=help)

    def data_options(self, default: str = "ball", leave_out: Sequence[str] = ()) -> None:
        group = self.add_argument_group("data")
        kinds = {"test_fraction": _fraction, "label": _column, "drop": _column, "size": _size}
        options: dict[str, dict[str, Any]] = {
            "source": dict(metavar="DATA", help=f"{DATA_HELP} (default: {default})"),
            "test_fraction": dict(
                metavar="F", help="held out where data have no test part (default 0.1)"
            ),
            **READING,
        }
        for name, how in options.items():
            if name in leave_out:
                continue
            if name in kinds:
                how = {**how, "type": kinds[name]}
            group.add_argument(
                _dashed("data" if name == "source" else name), dest=name,
                default=argparse.SUPPRESS, **how,
            )  # fmt: skip

    def run_options(self, part: str | None = None) -> None:
        """A trained run, and the data that it is used on; ``part`` is the default of --part."""
        self.add_argument("run", metavar="RUN", help="a run folder")
        self.data_options(default="the data that the run was trained on")
        self.set_defaults(run_has_data=True)
        if part is not None:
            self.option("--part", part, "which samples; all: in the order of the data, unless "
                        "they have a test part of their own, which comes last",
                        choices=("train", "test", "all"))  # fmt: skip
        self.backend_option()

    def model_options(
        self, leave_out: Sequence[str] = (), arguments: Mapping[str, Argument] = ARGUMENTS
    ) -> None:
        """Arguments of ``Autoencoder``, or of another table."""
        self._arguments("model and training", arguments, leave_out)

    def family_options(self) -> None:
        """The family of the autoencoder, and the options of each."""
        self.add_argument("--family", choices=(PLAIN, *FAMILIES), default=argparse.SUPPRESS,
                          help="the kind of autoencoder; for options that a kind has of its "
                          f"own see below (default {PLAIN})")  # fmt: skip
        for name, kind in FAMILIES.items():
            self._arguments(f"only with --family {name}", kind.own)

    def _arguments(
        self, title: str, arguments: Mapping[str, Argument], leave_out: Sequence[str] = ()
    ) -> None:
        group = self.add_argument_group(title, "" if arguments else "it has no options of its own")
        for name, argument in arguments.items():
            if name in leave_out or not argument.on_command_line:
                continue
            help = _with_default(argument.help, DEFAULTS.get(name, argument.default))
            how: dict[str, Any] = {"help": help, "default": argparse.SUPPRESS}
            if argument.kind is FLAG:
                how["action"] = argparse.BooleanOptionalAction
            else:
                how["type"], how["metavar"] = argument.kind.read, argument.kind.metavar
                how["choices"] = argument.kind.choices
            shorter = ["--seed"] if name == "random_state" else []
            group.add_argument(_dashed(name), *shorter, dest=name, **how)


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], help: str, epilog: str = ""
) -> Command:
    """Declares a command: ``run`` gets what was given to it."""
    parser: Command = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run_command=run)
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """What argparse reads an integer >= ``least`` with."""

    def read(text: str) -> int:
        try:
            checks.integer("", int(text), least)
        except ValueError:
            message = f"must be an integer >= {least}, got {text}"
            raise argparse.ArgumentTypeError(message) from None
        return int(text)

    return read


def integers(text: str) -> tuple[int, ...]:
    """N,N,..., each at least 1."""
    numbers = tuple(int(part) for part in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"must be integers >= 1, got {text}")
    return numbers


def names(text: str) -> tuple[str, ...]:
    """NAME,NAME,..."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _file_ending_in(*suffixes: str) -> Callable[[str], Path]:
    """What argparse reads the path of a file to be written with."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"must end in {' or '.join(suffixes)}, got {text}")
        if RANK in text:
            raise argparse.ArgumentTypeError(
                f"{RANK} is for --data: all ranks' rows go into one file, in order, got {text}"
            )
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
        return path

    return read


def _backend(text: str) -> str:
    """Raises BackendUnavailable for one that cannot run here."""
    if text != "auto":
        try:
            get_backend(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _with_default(help: str, default: Any) -> str:
    if default is None or "(default" in help:
        return help
    text = ",".join(map(str, default)) if isinstance(default, (tuple, list)) else default
    return f"{help} (default {text})"


def data_given(given: argparse.Namespace) -> dict[str, Any]:
    """What the options of ``data_options`` were given.

    Raises UsageError without --data, and for values that cannot be meant.
    """
    names = ("source", "test_fraction", *READING)
    data = {name: getattr(given, name) for name in names if hasattr(given, name)}
    if data and "source" not in data and hasattr(given, "run_has_data"):
        raise UsageError(f"{_dashed(next(iter(data)))} needs --data")
    try:
        Reading(**{name: value for name, value in data.items() if name in READING})
    except ValueError as error:
        raise UsageError(str(error)) from error
    return data


def model_given(
    given: argparse.Namespace, arguments: Mapping[str, Argument] = ARGUMENTS
) -> dict[str, Any]:
    """The arguments of ``Autoencoder``, and of families with their name, that were given: only
    these may overrule a saved run's. Raises UsageError for no epochs, which "auto" may come to."""
    names = [*arguments]
    if arguments is ARGUMENTS:
        names += ["family", *(name for kind in FAMILIES.values() for name in kind.own)]
    found = {name: getattr(given, name) for name in names if hasattr(given, name)}
    if found.get("epochs") == 0:
        raise UsageError("--epochs must be at least 1, got 0: a run is what training leaves")
    return found


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")


def _column(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _size(text: str) -> list[int]:
    width, height = (int(part) for part in text.lower().split("x"))
    if width < 1 or height < 1:
        raise ValueError
    return [width, height]


def _fraction(text: str) -> float:
    if not 0 < float(text) < 1:
        raise ValueError
    return float(text)


# argparse words its complaint about a bad value with these names
_fraction.__name__ = "number between 0 and 1"
integers.__name__ = "list of integers"
_size.__name__ = "WIDTHxHEIGHT"
