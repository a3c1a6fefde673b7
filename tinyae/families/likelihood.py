"""How likely samples are to a variational autoencoder: an estimate by draws of the codes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.rows import Rows, value_range
from ..kernels.backend import Array
from ..kernels.reference.random import random_uniform
from ..net import losses, streams
from ..net.layers import Record
from ..net.network import Network, Workspace, forward
from ..passes import on_host, run

if TYPE_CHECKING:
    from .variational import VariationalAutoencoder

Samples = ArrayLike | Rows
Pair = tuple[NDArray[Any], NDArray[Any]]

FEW, DRAWS = 500, 100  # samples, and draws for each, that ``tinyae evaluate`` takes
AT_ONCE = 1024  # codes that are decoded at once


def means_and_log_variances(model: VariationalAutoencoder, X: Samples) -> Pair:
    """m and v of q(z|x) = N(m, exp(v)) for each sample X (n, n_features), (n, code) each."""
    network, rows = model._fitted(), model._checked(X)
    with model._limited_threads():
        return _pair(network, rows)


def divergences(m: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float64]:
    """KL(N(m, exp(v)) || N(0, 1)) of each row, in float64."""
    m, v = (a.astype(np.float64) for a in (m, v))
    with np.errstate(over="ignore"):  # of v, since s may be 0 or infinite in the net's dtype
        found: NDArray[np.float64] = (m**2 + np.exp(v) - 1 - v).sum(axis=1) / 2
    return found


def binarized(rows: Rows, dtype: str, seed: int) -> Rows:
    """The rows, grey levels in [0, 1], as training draws them: 1 with that probability, else 0.

    Raises ValueError for others, and for missing values.
    """
    low, high = value_range(rows, "X")
    if low < -losses.ROUNDING or high > 1 + losses.ROUNDING:
        raise ValueError(
            "X must lie in [0, 1] to be drawn as 0 and 1 with these probabilities, but ranges over "
            f"[{low:g}, {high:g}]: scale it"
        )
    out = np.empty(rows.shape, dtype)
    for number, (part, x) in enumerate(rows.chunks(dtype)):
        words = np.empty_like(x)
        random_uniform(streams.state(seed, streams.BINARIZE, number), 0.0, 1.0, words)
        out[part] = words < x
    return Rows(out)


def log_likelihoods(network: Network, rows: Rows, samples: int, seed: int) -> NDArray[np.float64]:
    """log of the mean of p(x|z) p(z) / q(z|x) over so many draws z for each row, float64 (n,).

    Codes and outputs are in the net's dtype, and so is what each feature adds to log p(x|z): its
    sum over features, and all of p(z) and q(z|x), is in float64.
    """
    out, drawn = np.empty(len(rows)), 0
    workspace = Workspace(network, min(AT_ONCE, samples * len(rows)))
    for part, chunk in rows.chunks(network.dtype):
        means, log_variances = (a.astype(np.float64) for a in _pair(network, Rows(chunk)))
        per = max(1, AT_ONCE // samples)
        for i in range(0, len(chunk), per):
            few = slice(i, i + per)
            x, m, v = chunk[few], means[few, None], log_variances[few, None]
            total = np.full(len(x), -np.inf)
            for draws in _parts(samples):
                state = streams.state(seed, streams.LIKELIHOOD, drawn)
                weights = _log_weights(network, workspace, part.start + i, x, m, v, draws, state)
                total = np.logaddexp(total, np.logaddexp.reduce(weights, axis=1))
                drawn += 1
            out[part.start + i : part.start + i + len(x)] = total - math.log(samples)
    return out


def _log_weights(
    network: Network, workspace: Workspace, first: int, x: NDArray[Any], m: NDArray[np.float64],
    v: NDArray[np.float64], draws: int, state: NDArray[np.uint32],
) -> NDArray[np.float64]:  # fmt: skip
    """log p(x|z) p(z) / q(z|x) for so many draws of each x, float64 (len(x), draws); ``first`` is
    the number of x[0]."""
    (n, d), code, ops = x.shape, m.shape[2], network.backend
    records, missing = workspace.records(n * draws), np.isnan(x)
    codes, work = records[network.architecture.code - 1].y, workspace.input[: n * draws]
    ops.random_normal(ops.to_device(state), 0.0, 1.0, codes)
    g = ops.to_host(codes).reshape(n, draws, code).astype(np.float64)
    z = m + np.exp(v / 2) * g
    weights: NDArray[np.float64] = (g**2 + v - z**2).sum(axis=2) / 2  # 2 pi cancels
    ops.write(z.reshape(n * draws, code).astype(network.dtype), codes)
    output = _outputs(network, codes, records)
    logs = on_host(ops, output).reshape(n, draws, d)
    if not np.isfinite(logs).all():
        row = first + int(np.argmin(np.isfinite(logs).all(axis=(1, 2))))
        raise ValueError(f"a code drawn for sample {row} overflows {network.dtype} in the decoder")
    if network.architecture.loss == "bce":  # of a logit o: x o - log(1 + exp(o))
        ops.activation_forward(output, "softplus", work)
        logs *= x[:, None]
        logs -= on_host(ops, work).reshape(n, draws, d)
    else:  # of a normal, less log(2 pi) / 2: -(o - x)^2 / 2
        logs -= x[:, None]
        logs *= logs
        logs *= -0.5
        weights -= math.log(2 * math.pi) / 2 * (~missing).sum(axis=1, keepdims=True)
    if missing.any():
        np.copyto(logs, 0, where=missing[:, None])
    weights += logs.sum(axis=2, dtype=np.float64)
    return weights


def _parts(samples: int) -> Iterator[int]:
    """As many draws, so many at once."""
    for start in range(0, samples, AT_ONCE):
        yield min(AT_ONCE, samples - start)


def _pair(network: Network, rows: Rows) -> Pair:
    code = network.architecture.dense[network.architecture.code - 2].n_out // 2
    m, v = np.split(run(network, _pairs, rows, 2 * code), 2, axis=1)
    return m, v


def _pairs(network: Network, x: Array, records: Sequence[Record]) -> Array:
    """x (batch, n_features) -> means and log-variances (batch, 2 code)"""
    below = records[: network.architecture.code - 1]
    return forward(network.backend, network.filled(x), below)


def _outputs(network: Network, z: Array, records: Sequence[Record]) -> Array:
    """z (batch, code) -> the last layer's output (batch, n_features), of bce logits"""
    return forward(network.backend, z, records[network.architecture.code :])


def expect_density(model: VariationalAutoencoder, rows: Rows) -> None:
    """Raises ValueError where p(x|z) is no density of rows as the net reads them."""
    if model._network.architecture.groups:
        raise ValueError("log_likelihood is for numbers, and the data have categories")
    span = value_range(rows, "X", missing=model.fill_ is not None)
    losses.expect_probabilities(model.loss_name_, *span, "X")


def measures(model: VariationalAutoencoder, X: Rows) -> dict[str, tuple[str, float]]:
    """What ``tinyae evaluate`` says of X, by name; likelihoods where there are any."""
    found = {
        "divergence": ("divergence of the codes from the standard normal, nats per sample",
                       float(model.divergence(X).mean())),
        "active_units": ("active units, whose means vary", float(model.active_units(X))),
    }  # fmt: skip
    try:
        expect_density(model, model._checked(X))
    except ValueError:  # categories, or numbers outside [0, 1] with bce
        return found
    few = X.select(np.arange(min(len(X), FEW)))
    for name, what, part, draws in (
        ("bound", "bound of the log-likelihood, one draw each", X, 1),
        ("log_likelihood", f"log-likelihood of the first {len(few)}, {DRAWS} draws each",
         few, DRAWS),
    ):  # fmt: skip
        nats = float(model.log_likelihood(part, samples=draws).mean())
        found[name] = (f"{what}, nats per sample", nats)
    return found
