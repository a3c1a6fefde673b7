"""What "auto" comes to: widths, batch size, number of epochs and backend that fit the data.

The number of epochs matters most. A net that starts as PCA of the data is as good as PCA with none;
with too many it learns a small table by heart. Small tables are cross-validated, larger ones watch
a held-out part, and the largest can hardly be learnt by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.reading import Progress
from ..kernels.reference.random import random_permutation
from ..net import streams

SMALL = 1 << 18  # numbers in all samples; up to here cross-validation takes seconds
LARGE = 1 << 21  # beyond, an epoch has many updates
FEW_FEATURES = 256
UPDATES = 6000  # enough for what a table has to show
EPOCHS, MOST_EPOCHS = 20, 300
FOLDS = 5
HELD_OUT = 0.1
# What Numba takes in a process before its first step: 1 s if this processor's code is on disk,
# else 6 s or more. NumPy's speed is about that of two cores; only its order of magnitude counts.
LOADING = 2.0
NUMPYS_STEP, NUMPYS_FLOPS = 3e-4, 3e10  # seconds, per second

# Trains on the samples at the first positions; (loss, squared error) of the others before the
# first epoch and after each.
Curve = Callable[[NDArray[np.int64], NDArray[np.int64]], Sequence[tuple[float, float]]]


class Plan(NamedTuple):
    """What "auto" came to, by argument, and a line for each that says why."""

    params: dict[str, Any]
    reasons: tuple[str, ...]


def choose_code(code: int, n_features: int) -> Plan:
    """Of a run that was given none, in place of ``code``, the default."""
    if n_features >= 2 * code:
        return Plan({"code": code}, ())
    code = max(2, n_features // 4)
    why = f"code {code}: a quarter of {n_features} features; --code sets another"
    return Plan({"code": code}, (why,))


def widths(code: int, n_features: int) -> tuple[int, int]:
    """Of two hidden layers: they hold each unit of the code twice, as PCA's start wants it."""
    first, second = (128, 64) if n_features < FEW_FEATURES else (512, 256)
    return max(first, 2 * code), max(second, 2 * code)


def choose_sizes(params: Mapping[str, Any], shape: tuple[int, int], judged: bool) -> Plan:
    """For samples of this shape (n, n_features); ``judged``: there are validation data.

    With few samples the ``epochs`` are the most that ``cross_validate`` may choose.
    """
    (n, n_features), chosen, reasons = shape, dict[str, Any](), list[str]()
    small = n * n_features <= SMALL
    if params["hidden"] == "auto":
        chosen["hidden"] = widths(params["code"], n_features)
        than = "fewer" if n_features < FEW_FEATURES else "no fewer"
        reasons.append(f"hidden {','.join(map(str, chosen['hidden']))}: {than} than "
                       f"{FEW_FEATURES} features")  # fmt: skip
    if params["batch_size"] == "auto":
        chosen["batch_size"] = 32 if small else 256
        reasons.append(f"batch_size {chosen['batch_size']}: {n:,} samples of {n_features} features")
    if params["epochs"] == "auto":
        steps = -(-n // {**params, **chosen}["batch_size"])
        enough = min(max(-(-UPDATES // steps), EPOCHS), MOST_EPOCHS)
        few = not judged and n < 2 * FOLDS
        if few or n * n_features > LARGE:
            chosen["epochs"] = EPOCHS
            why = (
                "too few samples to hold some out" if few else "data as large as these need no more"
            )
            reasons.append(f"epochs {EPOCHS}: {why}")
        else:
            chosen["epochs"] = enough
            if not judged and not cross_validates(params, shape):
                judged, chosen["validation_fraction"] = True, HELD_OUT
            if judged and params["patience"] is None:
                chosen["patience"] = max(enough // 4, 5)
                reasons.append(f"epochs {enough} at most: ends after {chosen['patience']} without "
                               "a lower validation loss, and keeps the best weights")  # fmt: skip
    return Plan(chosen, tuple(reasons))


def is_quick(params: Mapping[str, Any], shape: tuple[int, int], trainings: int) -> bool:
    """Whether NumPy would have trained before Numba has begun; sizes are known."""
    (n, n_features), epochs = shape, params["epochs"] * trainings
    hidden, back = params["hidden"], params["decoder_hidden"]
    back = hidden[::-1] if back is None else back
    numbers = sum(a * b for a, b in pairwise((n_features, *hidden, params["code"],
                                              *back, n_features)))  # fmt: skip
    steps = epochs * -(-n // params["batch_size"])
    return bool(steps * NUMPYS_STEP + 6 * n * epochs * numbers / NUMPYS_FLOPS < LOADING)


def cross_validates(params: Mapping[str, Any], shape: tuple[int, int]) -> bool:
    n, n_features = shape
    return params["epochs"] == "auto" and n >= 2 * FOLDS and n * n_features <= SMALL


class Found(NamedTuple):
    """By cross-validation: a number of epochs, and the squared error of held-out samples then."""

    epochs: int
    squared_error: float
    reason: str


def cross_validate(n: int, most: int, seed: int, curve: Curve, report: Progress) -> Found:
    """The number of epochs after which n samples that are held out have the least loss.

    By ``FOLDS``-fold cross-validation and the rule of one standard error (Breiman, Friedman,
    Olshen and Stone, "Classification and regression trees", 1984, 3.4.3): the fewest epochs whose
    loss is not worse than the best one's by more than the standard error of their difference. 0
    is one of the choices.
    """
    order = np.empty(n, np.int64)
    random_permutation(streams.state(seed, streams.FOLDS), n, 0, order)
    measured = np.empty((FOLDS, most + 1, 2))
    for fold in range(FOLDS):
        held_out = np.sort(order[fold::FOLDS])
        found = curve(np.setdiff1d(order, held_out), held_out)
        measured[fold, : len(found)] = found
        measured[fold, len(found) :] = found[-1]  # it had got no better for long
        report(fold + 1, FOLDS)
    losses, squared_errors = measured[..., 0], measured[..., 1]
    mean = losses.mean(axis=0)
    best = int(mean.argmin())
    worse = losses - losses[:, best : best + 1]
    error = worse.std(axis=0, ddof=1) / np.sqrt(FOLDS)
    epochs = int(np.argmax(worse.mean(axis=0) <= error))
    reason = f"epochs {epochs} of up to {most}: by {FOLDS}-fold cross-validation"
    if epochs == 0:
        reason += ", no training lowers the held-out loss reliably, so the net stays as it starts"
    elif mean[0] > 0:
        reason += f", the held-out loss falls by {1 - mean[epochs] / mean[0]:.0%}"
    return Found(epochs, float(squared_errors[:, epochs].mean()), reason)
