"""The arguments of ``Autoencoder``: one table.

From it come the estimator's checks, ``get_params`` and ``set_params``, the parameters in its
docstring, the options of ``tinyae train`` with their help, and the keys of a run's config.json.
"""

from __future__ import annotations

import inspect
import math
import numbers
import secrets
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import checks
from .data.missing import HOW as MISSING
from .data.scaling import HOW, scaling_from
from .data.shifts import MOST_SHIFTED
from .kernels.conventions import ACTIVATIONS, LOSSES, MATMUL_CHOICES, OPTIMIZERS
from .net.initializers import INITIALIZERS
from .net.losses import resolve
from .train.schedules import SCHEDULES
from .train.terms.target_blur import MOST_BLURRED

DTYPES = ("float32", "float64")


class Kind(NamedTuple):
    """The values of an argument: how they are checked, and read from a command line."""

    check: Callable[[str, Any], object]  # (name, value); raises ValueError or TypeError
    read: Callable[[str], Any]
    metavar: str
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Argument:
    """One argument. Where ``default`` is None, None is a value as well."""

    name: str
    kind: Kind
    default: Any
    help: str
    since: str = "0.1"
    absent: Any = ...  # what files of versions before it mean
    on_command_line: bool = True


def _integer(least: int, most: float = math.inf) -> Kind:
    return Kind(lambda name, value: checks.integer(name, value, least, most), int, "N")


def _number(metavar: str = "X", **bounds: float) -> Kind:
    return Kind(lambda name, value: checks.number(name, value, **bounds), float, metavar)


def _or_auto(kind: Kind) -> Kind:
    """Of the same kind, or the word auto."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, str) and value == "auto":
            return
        try:
            kind.check(name, value)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace(", got", ", or 'auto', got", 1)) from None

    def read(text: str) -> Any:
        return text if text == "auto" else kind.read(text)

    read.__name__ = kind.read.__name__  # argparse words its complaint with it
    return Kind(check, read, kind.metavar)


def _choice(*known: str) -> Kind:
    return Kind(lambda name, value: checks.choice(name, value, known), str, "NAME", known)


def _check_widths(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of layer widths such as (512, 256), got {value!r}")
    for width in value:
        checks.integer(name, width, 1, checks.WIDEST)


def _check_scale(name: str, value: Any) -> None:
    if isinstance(value, str):
        checks.choice(name, value, ("auto", *HOW))
    elif value is not None and (not isinstance(value, (tuple, list)) or len(value) != 2):
        raise TypeError(
            f"{name} must be None, one of 'auto', {', '.join(map(repr, HOW))}, or two arrays, the "
            f"center and the spread of each feature, got {value!r}"
        )
    elif value is not None:
        scaling_from(value, np.size(value[0]))


def _check_betas(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers in [0, 1), got {value!r}")
    for beta in value:
        checks.number(name, beta, least=0, below=1)


def _check_blur(name: str, value: Any) -> None:
    checks.number(name, value, least=0)
    checks.number(name, value, below=1e6)  # far beyond pictures, and its square does not overflow


def _check_noise(name: str, value: Any) -> None:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    for std in value if pair else (value,):
        checks.number(name, std, least=0)


def _check_image_shape(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise ValueError(
            f"{name} must be (height, width) or (height, width, channels), got {value!r}"
        )
    for length in value:
        checks.integer(name, length, 1)


def _check_seed(name: str, value: Any) -> None:
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return
    if not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
        raise ValueError(
            f"{name} must be None, an integer in [0, 2^64), a RandomState or a Generator, "
            f"got {value!r}"
        )


def _check_name(name: str, value: Any) -> None:
    if not isinstance(value, str):  # which names there are, ``get_backend`` knows
        raise TypeError(f"{name} must be a name, got {value!r}")


def _check_nothing(name: str, value: Any) -> None:
    """Any value counts as true or false."""


def _read_integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")] if text.strip() else []


def _read_numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _read_noise(text: str) -> float | list[float]:
    numbers = _read_numbers(text)
    return numbers if len(numbers) == 2 else float(text)


def _read_options(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split("=") for part in text.split(","))}


def _read_scale(text: str) -> str | None:
    checks.choice("", text, ("auto", "none", *HOW))
    return None if text == "none" else text


def read_seed(text: str) -> int:
    _check_seed("seed", int(text))
    return int(text)


# argparse words its complaint about a bad value with these names
_read_integers.__name__ = "list of integers"
_read_numbers.__name__ = "list of numbers"
_read_noise.__name__ = "number or pair of numbers"
_read_scale.__name__ = "scale (auto, none, " + ", ".join(HOW) + ")"
_read_options.__name__ = "list of NAME=number"
read_seed.__name__ = "integer in [0, 2^64)"

WIDTHS = Kind(_check_widths, _read_integers, "N,N,...")
SCALE = Kind(_check_scale, _read_scale, "NAME")
BETAS = Kind(_check_betas, _read_numbers, "B1,B2")
BLUR = Kind(_check_blur, float, "PIXELS")
NOISE = Kind(_check_noise, _read_noise, "S or S,E")
IMAGE_SHAPE = Kind(_check_image_shape, _read_integers, "H,W[,C]")
OPTIONS = Kind(_check_nothing, _read_options, "NAME=X,...")  # checked beside the schedule
FLOAT_ABOVE_0 = _number(above=0)
SEED = Kind(_check_seed, read_seed, "N")
FLAG = Kind(_check_nothing, bool, "")
NAME = Kind(_check_name, str, "NAME")

TABLE = (
    Argument("hidden", _or_auto(WIDTHS), "auto", "widths of the encoder's hidden layers; none at "
             "all ('' on the command line) is a linear code; auto: 128,64 for fewer than 256 "
             "features, else 512,256, and at least twice the code"),
    Argument("code", _integer(1, checks.WIDEST), 32, "code units; for a run of fewer than "
             "64 features a quarter of them, at least 2; of the family sparse with top-k 4 for "
             "each feature, at most 1024"),
    Argument("decoder_hidden", WIDTHS, None, "widths of the decoder's hidden layers (default: "
             "those of the encoder, mirrored)"),
    Argument("activation", _choice(*ACTIVATIONS), "relu", "of the hidden layers: "
             + ", ".join(ACTIVATIONS)),
    Argument("code_activation", _choice(*ACTIVATIONS), "identity", "of the code"),
    Argument("output", _choice("auto", *ACTIVATIONS), "auto", "activation of the output; auto: "
             "sigmoid where all training data lie in [0, 1], else identity"),
    Argument("loss", _choice("auto", *LOSSES), "auto", ", ".join(LOSSES) + ", summed over features "
             "and averaged over samples; auto: bce for a sigmoid output, else mse"),
    Argument("scale", SCALE, "auto", "of the features: standard (mean 0, standard deviation 1), "
             "robust (median, interquartile range), minmax ([0, 1]), none, or in Python (center, "
             "spread), such as scaling_ of another model; auto: none for uint8 and data in [0, 1], "
             "else standard", absent=None),
    Argument("missing", _choice(*MISSING), "auto", "values (NaN, empty cells of a table): allow, "
             "read as the mean of their column and left out of the loss; error; auto: allow where "
             "the training data have some, or categories, of which a new level is missing",
             absent="error"),
    Argument("initializer", _choice("auto", "pca", "random", *INITIALIZERS), "auto", "pca: "
             "the net is PCA of the training data before its first step (approximately with tanh "
             "and sigmoid), and with patience it ends no worse on the validation data; random: he "
             "before rectifiers, else glorot; these and others by name: " + ", ".join(INITIALIZERS)
             + "; auto: pca where the hidden layers and the code can hold it exactly, else random"),
    Argument("optimizer", _choice(*OPTIMIZERS), "adam", ", ".join(OPTIMIZERS)),
    Argument("learning_rate", FLOAT_ABOVE_0, 1e-3, "the highest one of the schedule"),
    Argument("momentum", _number(least=0, below=1), 0.9, "of momentum and nesterov"),
    Argument("betas", BETAS, (0.9, 0.999), "decay of the two moments of adam and adamw"),
    Argument("eps", _number(above=0), 1e-8, "of adam and adamw, added to the root"),
    Argument("weight_decay", _number(least=0), 0.0, "on weights, never on biases"),
    Argument("clip_norm", _number(above=0), None, "largest Euclidean norm of the whole gradient "
             "(default: any)"),
    Argument("schedule", _choice(*SCHEDULES), "cosine", "of the learning rate after the warm-up: "
             + ", ".join(SCHEDULES)),
    Argument("schedule_options", OPTIONS, None, "of step: every, factor; of cosine: end; of "
             "one-cycle: rise, start, end (see tinyae.train.schedules)"),
    Argument("warmup", _number("F", least=0, below=1), 0.3, "fraction of all updates in which "
             "the learning rate climbs linearly: a long one keeps what PCA's start knows"),
    Argument("batch_size", _or_auto(_integer(1)), "auto", "samples per update; auto: 32 for up to "
             "262,144 numbers in the data, else 256"),
    Argument("epochs", _or_auto(_integer(0)), "auto", "passes over the training data; more than at "
             "first for a run that is resumed, if its schedule is constant and its warmup 0; auto: "
             "by cross-validation for up to 262,144 numbers in the data; up to 2,097,152 hold out "
             "a tenth, and patience ends training; beyond, 20"),
    Argument("shuffle", FLAG, True, "samples in another random order in each epoch"),
    Argument("code_noise", NOISE, 0.0, "standard deviation of Gaussian noise on the code in "
             "training, or the first and the last; 0.05 to 0.1 with a bounded code_activation "
             "(tanh) makes neighbouring codes stand for similar samples"),
    Argument("target_blur", BLUR, 0.0, "standard deviation of a "
             "blur on the targets at first, gone by half of training; losses are against the "
             "blurred targets, and image_shape must be known"),
    Argument("shift", _integer(0, MOST_SHIFTED), 0, "pixels by which each training picture is "
             "moved down and across at most, at random and anew in each epoch: less error on new "
             "pictures, after more epochs; image_shape must be known", absent=0),
    Argument("image_shape", IMAGE_SHAPE, None, "height, width and perhaps channels of samples that "
             "are pictures"),
    Argument("validation_fraction", _number("F", least=0, below=1), 0.0, "of the training data, "
             "held out to watch"),
    Argument("patience", _integer(1), None, "stop after so many epochs without a better validation "
             "loss, and restore the best weights (default: train to the end)"),
    Argument("warm_start", FLAG, False, "fit goes on from the present weights",
             on_command_line=False),
    Argument("backend", NAME, "auto", "auto: the fastest that works here for "
             "so much work; see 'tinyae doctor'"),
    Argument("matmul", _choice(*MATMUL_CHOICES), "auto", "how float32 is multiplied: fp32; on a "
             "processor with AMX (backend numba) 6xbf16, as accurate, but that infinity becomes "
             "NaN; on a GPU's tensor cores (compute capability 8.0) 3xtf32, as accurate, or tf32, "
             "which keeps 11 of the 24 significant bits of all factors: products err by up to "
             "1/1000; auto: 6xbf16 where it works, else fp32; see 'tinyae doctor'"),
    Argument("threads", _integer(1), None, "CPU threads of the numba backend (default: "
             "TINYAE_NUM_THREADS, or as 'tinyae doctor' says); the bytes of a result depend on it"),
    Argument("dtype", _choice(*DTYPES), "float32", "of weights and results: float32 or float64"),
    Argument("random_state", SEED, None, "seed of weights, shuffles and splits; the same seed "
             "gives the same bytes on the same backend, machine and number of threads"),
    Argument("verbose", FLAG, False, "print a line per epoch", on_command_line=False),
)  # fmt: skip
ARGUMENTS = {argument.name: argument for argument in TABLE}
ABSENT = {a.name: a.absent for a in TABLE if a.absent is not ...}


def of_file(
    params: Mapping[str, Any], own: Mapping[str, Argument] | None = None
) -> dict[str, Any]:  # fmt: skip
    """``params`` of a file, with those that its version did not have yet; ``own``: a family's."""
    absent = {a.name: a.absent for a in (own or {}).values() if a.absent is not ...}
    return ABSENT | absent | dict(params)


def described(arguments: Mapping[str, Argument]) -> str:
    """The section "Parameters" of a docstring."""
    lines = ["Parameters", "----------"]
    for a in arguments.values():
        lines.append(f"{a.name} : default {a.default!r}")
        lines += textwrap.wrap(a.help, 96, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """An argument as Python has it: NumPy's numbers, words and arrays, other real numbers, dtypes.

    float16, say, would overflow in what is computed with it, and JSON knows none of them.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, Mapping):
        return {plain(name): plain(number) for name, number in value.items()}
    if isinstance(value, (tuple, list)):
        return list(map(plain, value)) if isinstance(value, list) else tuple(map(plain, value))
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value)
    return value


def check(params: Mapping[str, Any], table: Mapping[str, Argument] = ARGUMENTS) -> None:
    """Raises ValueError or TypeError that names the argument, what was expected and what came.

    ``table``: these arguments, or those of a family beside them."""
    try:
        _check(params, table)
    except (TypeError, ValueError) as error:  # what came may have lines
        raise type(error)(" ".join(str(error).split())) from None


def _check(params: Mapping[str, Any], table: Mapping[str, Argument]) -> None:
    for name, argument in table.items():
        if params[name] is not None or argument.default is not None:
            argument.kind.check(name, params[name])
    resolve(params["output"], params["loss"], -math.inf, math.inf)  # do the two fit?
    if params["matmul"] not in ("auto", "fp32") and params["dtype"] != "float32":
        raise ValueError(
            f"matmul={params['matmul']!r} multiplies float32 and got dtype={params['dtype']!r}: "
            "use matmul='fp32', or dtype='float32'"
        )
    if params["missing"] == "allow" and params["target_blur"]:
        raise ValueError(
            f"target_blur={params['target_blur']} would spread missing values over their "
            "neighbours: use missing='error', or target_blur=0"
        )
    _schedule_options(params["schedule"], params["schedule_options"])


def _schedule_options(schedule: str, options: Any) -> None:
    if options is None:
        return
    known = list(inspect.signature(SCHEDULES[schedule]).parameters)[1:]
    if not isinstance(options, Mapping) or set(options) - set(known):
        raise ValueError(
            f"schedule_options of {schedule!r} must be a dict with some of "
            f"{', '.join(known) or '(nothing)'}, got {options!r}"
        )
    for name, value in options.items():
        bounds = {"above": 0.0, "below": 1.0} if name in ("every", "rise") else {"least": 0.0}
        checks.number(f"schedule_options[{name!r}]", value, **bounds)


def image_features(params: Mapping[str, Any], n_features: int) -> None:
    """Raises ValueError where samples of ``n_features`` are no pictures of their image_shape."""
    image_shape, target_blur = params["image_shape"], params["target_blur"]
    for name, does in (("target_blur", "blurs"), ("shift", "moves")):
        if params[name] and image_shape is None:
            raise ValueError(
                f"{name} {does} pictures and needs image_shape=(height, width) or (height, width, "
                "channels), got None"
            )
    if image_shape is not None and math.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={tuple(image_shape)} is {math.prod(image_shape)} features, but X has "
            f"{n_features}"
        )
    if params["shift"] and params["shift"] >= min(image_shape[:2]):
        raise ValueError(
            f"shift={params['shift']} would move pictures of {image_shape[0]} x {image_shape[1]} "
            f"pixels out of sight: it must be below {min(image_shape[:2])}"
        )
    if target_blur and n_features > MOST_BLURRED:
        raise ValueError(
            f"target_blur blurs at most {MOST_BLURRED} features, X has {n_features}: "
            "make the pictures smaller"
        )


def seed_from(random_state: Any) -> int:
    """The 64-bit seed of a ``random_state``: None draws one, a RandomState or Generator too."""
    random_state = plain(random_state)
    if random_state is None:
        return secrets.randbits(32)
    _check_seed("random_state", random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    return int(random_state)
