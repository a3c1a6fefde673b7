"""The arguments of ``VariationalAutoencoder``, and the terms that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import checks
from ..arguments import FLAG, Argument, Kind
from ..net import streams
from ..net.network import Network
from ..train.draws import Draws
from ..train.objective import Term
from .terms.binarisation import Binarisation
from .terms.divergence import Divergence
from .terms.importance import Importance

LOSSES = ("auto", "bce", "mse")
MOST = 10_000  # draws

OWN = {argument.name: argument for argument in (
    Argument("beta", Kind(lambda name, value: checks.number(name, value, least=0), float, "X"), 1.0,
             "weight of the divergence of the codes from the standard normal; above 1, codes whose "
             "units are more independent and pictures that are less sharp"),
    Argument("kl_warmup", Kind(lambda name, value: checks.number(name, value, least=0, most=1),
             float, "F"), 0.0, "part of training in which beta rises from 0, epoch by epoch; 0: "
             "none of it, 1: all"),
    Argument("free_bits", Kind(lambda name, value: checks.number(name, value, least=0), float, "X"),
             0.0, "nats of each unit's mean divergence over a minibatch that cost nothing more: it "
             "counts as at least so much", absent=0.0),
    Argument("samples", Kind(lambda name, value: checks.integer(name, value, 1, MOST), int, "N"), 1,
             "draws of the code for each sample and update; with more than 1 training is on the "
             "importance weighted bound, which is nearer to the likelihood", absent=1),
    Argument("binarize", FLAG, False, "of data in [0, 1]: what is trained on is 1 with the "
             "probability of a value, else 0, another draw at every update", absent=False),
)}  # fmt: skip


def check(params: Mapping[str, Any]) -> None:
    """Raises ValueError for arguments that do not fit each other."""
    for name, needed in (("code_activation", "identity"), ("code_noise", 0)):
        if params[name] != needed:
            raise ValueError(
                f"{name} must be {needed!r} for a variational autoencoder, whose codes are "
                f"draws of normals, got {params[name]!r}"
            )
    if params["loss"] not in LOSSES:
        raise ValueError(
            "loss of a variational autoencoder must be 'auto', 'bce' (Bernoulli) or 'mse' "
            f"(normal), got {params['loss']!r}"
        )
    if params["binarize"] and params["loss"] == "mse":
        raise ValueError("binarize=True is for loss='bce', got loss='mse'")
    if params["samples"] > 1:
        for name in ("free_bits", "target_blur"):
            if params[name] != 0:
                raise ValueError(
                    f"{name} must be 0 with samples={params['samples']}, for the importance "
                    f"weighted bound has no such part, got {params[name]!r}"
                )


def adjustable(params: Mapping[str, Any], network: Network) -> list[str]:
    """The arguments that ``check`` and ``terms`` leave a choice of."""
    gaps, groups = network.fill is not None, network.architecture.groups
    refused = {
        "free_bits": params["samples"] > 1,
        "samples": gaps or groups or params["free_bits"] or params["target_blur"],
        "binarize": gaps or network.architecture.loss != "bce",
    }
    return [name for name in OWN if not refused.get(name)]


def terms(params: Mapping[str, Any], network: Network, seed: int, capacity: int) -> list[Term]:
    """Those of a net for batches of up to ``capacity`` samples; raises ValueError for data that
    they are not for."""
    several, binarize = params["samples"] > 1, params["binarize"]
    told = f"samples={params['samples']}" if several else "binarize=True"
    cure = "samples=1" if several else "binarize=False"
    if (several or binarize) and network.fill is not None:
        raise ValueError(
            f"{told} is for data without missing values: fill the gaps first, with 'tinyae impute' "
            f"of a run without it, or use {cure}"
        )
    if several and network.architecture.groups:
        raise ValueError(f"{told} is for numbers, and the data have categories: use samples=1")
    if binarize and network.architecture.loss != "bce":
        raise ValueError(
            "binarize=True draws values in [0, 1] as 0 or 1, and the loss of these data is "
            f"{network.architecture.loss!r}: scale them to [0, 1], with scale=None"
        )
    given = network, seed, capacity, params["beta"], params["kl_warmup"]
    found: list[Term] = [
        Importance(*given, params["samples"])
        if several
        else Divergence(*given, params["free_bits"])
    ]
    if binarize:
        shape, draws = (capacity, network.n_features), Draws(network.backend, seed, streams.BINARY)
        found.insert(0, Binarisation(network.backend, shape, network.dtype, draws))
    return found
