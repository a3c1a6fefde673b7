"""Initial weights with which a net is PCA before its first step.

PCA's coordinates p = (x - mean) V pass through every layer, and the last one makes mean + p V' of
them. Some units of each layer hold p. How they do it depends on the activation a:

    identity                     a(p) = p
    relu, silu, gelu, softplus   in pairs: a(p) - a(-p) = p, exactly
    leaky_relu                   in pairs: a(p) - a(-p) = (1 + slope) p
    elu                          shifted to where it is linear: a(p + r) = p + r for p > -r
    tanh, sigmoid                scaled to where they are nearly linear, so approximately

All other units start at random, with outgoing weights of zero towards the units that hold p and
towards the output: they change nothing at first, and learn from the first step on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.conventions import ACTIVATION_FACTS
from .network import Architecture

Floats = NDArray[np.float64]


class Carrier(NamedTuple):
    """How a layer's units hold numbers p, m of them: after the activation a,

    a(p @ spread + shift) @ gather + rest = p.
    """

    spread: Floats  # (m, units)
    shift: Floats  # (units,)
    gather: Floats  # (units, m)
    rest: Floats  # (m,)


HIDDEN, CODE = 0.1, 0.5  # the standard deviation of bounded units' inputs
SHIFT = 10.0  # of elu, in standard deviations
LOGITS = {"sigmoid": (8.0, 0.5), "tanh": (2.0, 0.0)}  # slope and centre, see ``start_as_pca``
LEVELS = 4.0  # the slope of a level's logit
LEAST = 1e-3  # the share of a level that is never seen


def _carrier(activation: str, deviations: Floats, bounded: float) -> Carrier:
    """For numbers of these standard deviations; a bounded unit's input gets that of ``bounded``."""
    m = len(deviations)
    eye, none = np.eye(m), np.zeros(m)
    if odd := ACTIVATION_FACTS[activation].odd:
        pair = np.hstack([eye, -eye])
        return Carrier(pair, np.zeros(2 * m), pair.T / odd, none)
    if activation == "elu":
        shift = SHIFT * deviations
        return Carrier(eye, shift, eye, -shift)
    if activation == "tanh":  # a(z) = z - z^3 / 3 + ...
        return Carrier(eye * (bounded / deviations), none, eye * (deviations / bounded), none)
    if activation == "sigmoid":  # a(z) = (1 + tanh(z / 2)) / 2
        spread, gather = 2 * bounded / deviations, 2 * deviations / bounded
        return Carrier(eye * spread, none, eye * gather, -gather / 2)
    if activation == "identity":
        return Carrier(eye, none, eye, none)
    raise ValueError(f"initializer='pca' knows no way through activation {activation!r}")


def holds_pca(architecture: Architecture) -> bool:
    """Whether every layer before the last can hold numbers exactly."""
    before = [spec.activation for spec in architecture.dense[:-1]]
    return all(ACTIVATION_FACTS[a].odd or a in ("identity", "elu") for a in before)


def start_as_pca(
    architecture: Architecture,
    values: Mapping[str, NDArray[Any]],
    mean: Floats,
    components: Floats,
    deviations: Floats,
) -> int:
    """Makes initial ``values`` (by parameter's name) those of a net that is PCA.

    Returns how many of PCA's coordinates the code holds, in its first units.

    mean (features,), components (k, features) and the coordinates' deviations (k,) are PCA's, the
    strongest first. As many of them are used as fit into the narrowest layer.

    Where the last layer makes logits (bce) or has a bounded activation, these are
    slope (reconstruction - centre). A steep slope makes up for a sigmoid that is flat at its ends:
    on MNIST a slope of 8 starts below PCA's own error. The logits of a category's levels are
    log(share of the level) + slope (reconstruction - share), so that their softmax is the shares
    where PCA says nothing else.
    """
    layers, code = architecture.dense, architecture.code
    in_pairs = [bool(ACTIVATION_FACTS[spec.activation].odd) for spec in layers[:-1]]
    m = min(spec.n_out // (1 + pair) for spec, pair in zip(layers, in_pairs, strict=False))
    V, m = components[:m].T, min(m, len(components))
    deviations = np.where(deviations[:m] > 0, deviations[:m], 1.0)
    last = architecture.link if architecture.link != "identity" else layers[-1].activation
    slope, centre = LOGITS.get(last, (1.0, 0.0))
    slopes, shift = np.full(mean.shape, slope), slope * (mean - centre)
    for start, stop in architecture.groups:
        slopes[start:stop] = LEVELS
        shift[start:stop] = np.log(np.maximum(mean[start:stop], LEAST))
    below = Carrier(V.T, mean, V, -mean @ V)  # what holds p is the sample itself
    for i, spec in enumerate(layers):
        w, b = values[f"{spec.name}.weight"], values[f"{spec.name}.bias"]
        if i == len(layers) - 1:
            above = Carrier(slopes * V.T, shift, V, -mean @ V)
        else:
            above = _carrier(spec.activation, deviations, CODE if i == code - 1 else HIDDEN)
        held, holding = len(below.gather), above.spread.shape[1]
        w[held:, :holding] = 0
        w[:held, :holding] = below.gather @ above.spread
        b[:holding] = below.rest @ above.spread + above.shift
        below = above
    return m
