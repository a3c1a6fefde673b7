"""How likely samples are to a variational autoencoder: an estimate by draws of the codes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Rows
from ..kernels.backend import Array
from ..kernels.reference.random import random_normal, random_uniform
from ..net import streams
from ..net.layers import Record
from ..net.network import Network, forward
from ..passes import run

AT_ONCE = 4096  # codes that are decoded at once


def means_and_log_variances(network: Network, rows: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    """m and v of q(z|x) = N(m, exp(v)) for each of the rows, (n, code) each."""
    code = network.architecture.dense[network.architecture.code - 2].n_out // 2
    m, v = np.split(run(network, _pairs, rows, 2 * code), 2, axis=1)
    return m, v


def binarized(rows: Rows, dtype: str, seed: int) -> Rows:
    """The rows, grey levels in [0, 1], as training draws them: 1 with that probability, else 0."""
    out = np.empty(rows.shape, dtype)
    for number, (part, x) in enumerate(rows.chunks(dtype)):
        words = np.empty_like(x)
        random_uniform(streams.state(seed, streams.BINARIZE, number), 0.0, 1.0, words)
        out[part] = words < x
    return Rows(out)


def log_likelihoods(network: Network, rows: Rows, samples: int, seed: int) -> NDArray[np.float64]:
    """log of the mean of p(x|z) p(z) / q(z|x) over so many draws z for each row, float64 (n,)."""
    out, drawn = np.empty(len(rows)), 0
    for part, chunk in rows.chunks(network.dtype):
        means, log_variances = means_and_log_variances(network, Rows(chunk))
        per = max(1, AT_ONCE // samples)
        for i in range(0, len(chunk), per):
            few = slice(i, i + per)
            x = chunk[few]
            total = np.full(len(x), -np.inf)
            for draws in _parts(samples):
                state = streams.state(seed, streams.LIKELIHOOD, drawn)
                pair = means[few, None].astype(np.float64), log_variances[few, None]
                weights = _log_weights(network, x, *pair, draws, state)
                total = np.logaddexp(total, np.logaddexp.reduce(weights, axis=1))
                drawn += 1
            out[part.start + i : part.start + i + len(x)] = total - math.log(samples)
    return out


def _log_weights(
    network: Network, x: NDArray[Any], m: NDArray[Any], v: NDArray[Any], draws: int,
    state: NDArray[np.uint32],
) -> NDArray[np.float64]:  # fmt: skip
    """log p(x|z) p(z) / q(z|x) for so many draws of each x, float64 (len(x), draws)."""
    (n, d), code = x.shape, m.shape[2]
    g = np.empty((n, draws, code))
    random_normal(state, 0.0, 1.0, g)
    v = v.astype(np.float64)
    z = m + np.exp(v / 2) * g
    weights: NDArray[np.float64] = (g**2 + v - z**2).sum(axis=2) / 2  # 2 pi cancels
    flat = Rows(z.reshape(n * draws, code).astype(network.dtype))
    output = run(network, _outputs, flat, d).reshape(n, draws, d)
    known = ~np.isnan(x)[:, None]
    target = np.where(known, x[:, None], 0)
    if network.architecture.loss == "bce":
        logs = output * target - np.logaddexp(0, output)
    else:
        logs = -((output - target) ** 2 + math.log(2 * math.pi)) / 2
    weights += np.where(known, logs, 0).sum(axis=2, dtype=np.float64)
    return weights


def _parts(samples: int) -> Iterator[int]:
    """As many draws, so many at once."""
    for start in range(0, samples, AT_ONCE):
        yield min(AT_ONCE, samples - start)


def _pairs(network: Network, x: Array, records: Sequence[Record]) -> Array:
    """x (batch, n_features) -> means and log-variances (batch, 2 code)"""
    below = records[: network.architecture.code - 1]
    return forward(network.backend, network.filled(x), below)


def _outputs(network: Network, z: Array, records: Sequence[Record]) -> Array:
    """z (batch, code) -> the last layer's output (batch, n_features), of bce logits"""
    return forward(network.backend, z, records[network.architecture.code :])
