"""The arguments of ``Autoencoder``, checked in one place."""

from __future__ import annotations

import inspect
import math
import numbers
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from .kernels.conventions import ACTIVATIONS, LOSSES, MATMULS, OPTIMIZERS
from .net.initializers import INITIALIZERS
from .net.losses import resolve
from .train.schedules import SCHEDULES
from .train.target_blur import MOST_BLURRED

DTYPES = ("float32", "float64")


def check(config: Mapping[str, Any]) -> None:
    """Raises ValueError or TypeError that names the argument, what was expected and what came."""
    _widths("hidden", config["hidden"])
    if config["decoder_hidden"] is not None:
        _widths("decoder_hidden", config["decoder_hidden"])
    integer("code", config["code"], 1)
    _choice("activation", config["activation"], ACTIVATIONS)
    _choice("code_activation", config["code_activation"], ACTIVATIONS)
    _choice("output", config["output"], ("auto", *ACTIVATIONS))
    _choice("loss", config["loss"], ("auto", *LOSSES))
    resolve(config["output"], config["loss"], -math.inf, math.inf)  # do the two fit?
    _choice("initializer", config["initializer"], ("auto", *INITIALIZERS))
    _choice("optimizer", config["optimizer"], OPTIMIZERS)
    _choice("schedule", config["schedule"], tuple(SCHEDULES))
    _choice("dtype", config["dtype"], DTYPES)
    _choice("matmul", config["matmul"], MATMULS)
    if config["matmul"] != "fp32" and config["dtype"] != "float32":
        raise ValueError(
            f"matmul={config['matmul']!r} multiplies float32 and got dtype={config['dtype']!r}: "
            "use matmul='fp32', or dtype='float32'"
        )
    _number("learning_rate", config["learning_rate"], above=0)
    _number("momentum", config["momentum"], least=0, below=1)
    betas = config["betas"]
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers in [0, 1), got {betas!r}")
    for beta in betas:
        _number("betas", beta, least=0, below=1)
    _number("eps", config["eps"], above=0)
    _number("weight_decay", config["weight_decay"], least=0)
    if config["clip_norm"] is not None:
        _number("clip_norm", config["clip_norm"], above=0)
    _number("warmup", config["warmup"], least=0, below=1)
    integer("batch_size", config["batch_size"], 1)
    integer("epochs", config["epochs"], 0)
    noise = config["code_noise"]
    for std in noise if isinstance(noise, (tuple, list)) and len(noise) == 2 else (noise,):
        _number("code_noise", std, least=0)
    _number("target_blur", config["target_blur"], least=0)
    _image_shape(config["image_shape"])
    _number("validation_fraction", config["validation_fraction"], least=0, below=1)
    if config["patience"] is not None:
        integer("patience", config["patience"], 1)
    if config["threads"] is not None:
        integer("threads", config["threads"], 1)
    _schedule_options(config["schedule"], config["schedule_options"])


def seed_from(random_state: Any) -> int:
    """The 64-bit seed of a ``random_state``: None draws one, a RandomState or Generator too."""
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if isinstance(random_state, (int, np.integer)) and 0 <= random_state < 2**64:
        return int(random_state)
    raise ValueError(
        "random_state must be None, an integer in [0, 2^64), a RandomState or a Generator, "
        f"got {random_state!r}"
    )


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
        if name in ("every", "rise"):
            _number(f"schedule_options[{name!r}]", value, above=0, below=1)
        else:
            _number(f"schedule_options[{name!r}]", value, least=0)


def _image_shape(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels), got {value!r}"
        )
    for length in value:
        integer("image_shape", length, 1)


def image_features(image_shape: Any, target_blur: float, n_features: int) -> None:
    """Raises ValueError where samples of ``n_features`` are no pictures of this shape."""
    if target_blur and image_shape is None:
        raise ValueError(
            "target_blur blurs pictures and needs image_shape=(height, width) or (height, width, "
            "channels), got None"
        )
    if image_shape is not None and math.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={tuple(image_shape)} is {math.prod(image_shape)} features, but X has "
            f"{n_features}"
        )
    if target_blur and n_features > MOST_BLURRED:
        raise ValueError(
            f"target_blur blurs at most {MOST_BLURRED} features, X has {n_features}: "
            "make the pictures smaller"
        )


def _widths(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of layer widths such as (512, 256), got {value!r}")
    for width in value:
        integer(name, width, 1)


def integer(name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer >= {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")


def _number(
    name: str,
    value: Any,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    bounds = [f">= {least:g}"] if least > -math.inf else []
    bounds += [f"> {above:g}"] if above > -math.inf else []
    bounds += [f"< {below:g}"] if below < math.inf else []
    message = f"{name} must be a number {' and '.join(bounds)}, got {value!r}"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(message)
    if not (float(value) >= least and above < float(value) < below):  # NaN fails as well
        raise ValueError(message)


def _choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
