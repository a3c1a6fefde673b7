"""The net of a variational autoencoder: the code's layer gives two numbers for each unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import assemble
from ..data.rows import Rows
from ..net.layers import NoiseSpec
from ..net.network import Architecture, Network
from ..net.sampling import SampleSpec

LOG_VARIANCE = -4.0  # at the start: a standard deviation of 0.14, where PCA's codes have 1


def architecture(
    params: Mapping[str, Any], n_features: int, output: str, loss: str,
    groups: Sequence[tuple[int, int]] = (),
) -> Architecture:  # fmt: skip
    """That of a plain net, with means and log-variances in place of the code, and draws of it."""
    plain = assemble.architecture(params, n_features, output, loss, groups)
    last = plain.dense[plain.code - 1]
    both = replace(last, n_out=2 * last.n_out)
    decoder = [spec for spec in plain.layers[plain.code :] if not isinstance(spec, NoiseSpec)]
    sample = SampleSpec("sample", params["samples"])
    layers = (*plain.layers[: plain.code - 1], both, sample, *decoder)
    return replace(plain, layers=layers, code=plain.code + 1)


def start(
    params: Mapping[str, Any], network: Network, output: str, loss: str, seed: int,
    rows: Rows | None,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """That of a plain net for the means, with variances that are small and all the same."""
    groups = network.architecture.groups
    plain = assemble.architecture(params, network.n_features, output, loss, groups)
    values, spread = assemble.start(plain, network.dtype, params["initializer"], seed, rows)
    encoder, decoder = (plain.dense[plain.code + i].name for i in (-1, 0))
    weight, bias, onward = (values[name] for name in (
        f"{encoder}.weight", f"{encoder}.bias", f"{decoder}.weight"))  # fmt: skip
    spread = np.where(spread > 0, spread, 1)  # of PCA's coordinates, if it is their start
    weight[:, : len(spread)] /= spread
    bias[: len(spread)] /= spread
    onward[: len(spread)] *= spread[:, None]
    values[f"{encoder}.weight"] = np.hstack([weight, np.zeros_like(weight)])
    values[f"{encoder}.bias"] = np.append(bias, np.full_like(bias, LOG_VARIANCE))
    return values
