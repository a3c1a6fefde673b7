"""The arguments of ``SparseAutoencoder``, and the penalties on its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..arguments import FLAG, Argument, Kind
from ..kernels.backend import Array, Backend
from ..net.layers import DenseSpec, Layer, Record
from ..net.network import Architecture, Network
from ..train.objective import Term

KINDS = ("top-k", "l1", "kl")
WEIGHTS = {"l1": 0.1, "kl": 1.0}
STEEP = 4.0  # of logits: so much more than a sigmoid's output they change, at most
EDGE = 0.01  # means nearer to 0 or 1 have no larger logits


def _check_rate(name: str, value: Any) -> None:
    checks.number(name, value, above=0, below=1)


WEIGHT = Kind(lambda name, value: checks.number(name, value, least=0), float, "X")
OWN = {argument.name: argument for argument in (
    Argument("sparsity", Kind(lambda name, value: checks.choice(name, value, KINDS), str, "NAME",
             KINDS), "top-k", "what makes the code sparse: top-k, the k greatest units of a sample "
             "stay and the others become 0; l1, a penalty on the sum of |units|; kl, one on units "
             "whose mean over a minibatch is not rho, for code_activation sigmoid"),
    Argument("k", Kind(lambda name, value: checks.integer(name, value, 1, checks.WIDEST), int, "N"),
             None, "of top-k: units of a sample that stay (default: a tenth of the code; for a run "
             "without --code as many as the code of other families has)"),
    Argument("weight", WEIGHT, None, "of the penalty of l1 and kl "
             f"(default: {WEIGHTS['l1']:g} of l1, {WEIGHTS['kl']:g} of kl)"),
    Argument("rho", Kind(_check_rate, float, "X"), 0.05, "of kl: the mean of a unit, in (0, 1)"),
    Argument("revive", WEIGHT, 1 / 32, "of top-k: weight of a second loss, by which units that no "
             "sample of an epoch used learn what the others leave over; 0 is none"),
    Argument("unit_norm", FLAG, False, "keep each row of the decoder's first weights, what a unit "
             "adds, at length 1"),
)}  # fmt: skip


OF = {"k": "top-k", "revive": "top-k", "rho": "kl"}  # what only one of KINDS reads


def readers(sparsity: str) -> dict[str, str]:
    """By argument, the one of KINDS that reads it, where it is not all; beside ``sparsity``."""
    return {**OF, "weight": "l1" if sparsity == "top-k" else sparsity}  # of both penalties


def kept(params: Mapping[str, Any]) -> int | None:
    """How many units stay; None where there is no selection."""
    return int(params["k"] or -(-params["code"] // 10)) if params["sparsity"] == "top-k" else None


def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
    """With "auto" replaced where the family means something else by it than the plain net."""
    found = dict(params)
    if found["hidden"] == "auto":
        found["hidden"] = ()
    if found["sparsity"] == "top-k" and found["output"] == "auto" and found["loss"] != "bce":
        found["output"] = "identity"
    return found


def check(params: Mapping[str, Any]) -> None:
    """Raises ValueError for arguments that do not fit each other."""
    name, act = params["sparsity"], params["code_activation"]
    for other, kind in readers(name).items():
        if kind != name and params[other] != OWN[other].default:
            kinds = "'l1' or 'kl'" if other == "weight" else repr(kind)
            raise ValueError(
                f"{other} is for sparsity={kinds}, and with {name!r} must be left out, got "
                f"{params[other]!r}"
            )
    if name == "top-k" and params["k"] is not None and params["k"] > params["code"]:
        raise ValueError(f"k must be at most code={params['code']}, got {params['k']}")
    if name == "kl" and act != "sigmoid":
        raise ValueError(
            "sparsity='kl' is for units between 0 and 1: use code_activation='sigmoid', got "
            f"{act!r}"
        )


def tie(
    values: Mapping[str, NDArray[Any]], plan: Architecture, mean: NDArray[np.float64] | None
) -> None:
    """Of first weights of one layer each: units of length 1, the decoder's are the encoder's, and
    codes are of what differs from the ``mean`` (n_features,), where it is known."""
    encoder, decoder = (values[f"{part}.0.weight"] for part in ("encoder", "decoder"))
    encoder /= np.linalg.norm(encoder, axis=0)
    last = plan.link if plan.link != "identity" else plan.dense[-1].activation
    decoder[...] = encoder.T * (STEEP if last == "sigmoid" else 1)
    if mean is None or last not in ("identity", "sigmoid"):
        return
    inside = np.clip(mean, EDGE, 1 - EDGE)
    values["encoder.0.bias"][:] = -mean @ encoder
    values["decoder.0.bias"][:] = mean if last == "identity" else np.log(inside / (1 - inside))


class UnitNorm(Term):
    """Divides the decoder's rows by their lengths after each update."""

    of_samples = True

    def __init__(self, network: Network) -> None:
        plan = network.architecture
        decoder = next(s for s in plan.layers[plan.code :] if isinstance(s, DenseSpec))
        self._w = network.parameters.value(f"{decoder.name}.weight")

    def after(self, ops: Backend) -> None:
        ops.unit_rows(self._w)


class Penalty(Term):
    """``activity_penalty`` of the code, z (batch, n):

    l1   weight times the sum of |z| of a sample
    kl   weight times the sum over units of KL(rate || mean of the unit over the minibatch)
    """

    of_the_data = True

    def __init__(
        self, network: Network, capacity: int, name: str, weight: float, rate: float
    ) -> None:
        code = network.architecture.dense[network.architecture.code - 1]
        self.name, self.weight, self.rate = name, weight, rate
        self.of_samples = name == "l1"
        self.setting, self.instead = f"sparsity={name!r}", "sparsity='l1'"
        self.remedy = f"a smaller weight (it is {weight:g})"
        self._layer, shape = code.name, (capacity, code.n_out)
        self._slopes = network.backend.empty(shape, network.dtype)

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        code = next(record for record in records if record.layer.name == self._layer)
        self._ops, self._slope = ops, self._slopes[: len(code.y)]
        ops.activity_penalty(self.name, code.y, self.weight, self.rate, self._slope, totals)
        ops.activation_backward(self._slope, code.activation, code.saved, self._slope)

    def visit(self, layer: Layer, x: Array, dz: Array) -> None:
        if layer.name == self._layer:
            self._ops.add(dz, self._slope, dz)

    def kinks(self, records: Sequence[Record]) -> list[Array]:
        return [r.y for r in records if r.layer.name == self._layer and self.name == "l1"]
