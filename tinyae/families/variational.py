"""``VariationalAutoencoder``: a code that is a distribution, and a bound of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import assemble, checks
from ..arguments import ARGUMENTS, Argument, Kind, seed_from
from ..data.rows import Rows, value_range
from ..estimator import Autoencoder
from ..kernels.backend import Array, Backend
from ..kernels.reference.random import random_normal
from ..net import losses, streams
from ..net.layers import NoiseSpec, Record
from ..net.network import Architecture, Network, forward
from ..net.sampling import Sample, SampleSpec
from ..passes import run
from ..storage.untrusted import available_memory
from ..train.draws import Draws
from ..train.objective import Term
from . import all_named

LOSSES = ("auto", "bce", "mse")
LOG_VARIANCE = -4.0  # at the start: a standard deviation of 0.14, where PCA's codes have 1
ACTIVE = 0.01  # the least variance of an active unit's mean (Burda et al. 2016)
FEW, DRAWS = 500, 100  # samples, and draws for each, that ``tinyae evaluate`` takes
AT_ONCE = 4096  # codes that are decoded at once


OWN = {argument.name: argument for argument in (
    Argument("beta", Kind(lambda name, value: checks.number(name, value, least=0), float, "X"), 1.0,
             "weight of the divergence of the codes from the standard normal; above 1, codes whose "
             "units are more independent and pictures that are less sharp"),
    Argument("kl_warmup", Kind(lambda name, value: checks.number(name, value, least=0, most=1),
             float, "F"), 0.0, "part of training in which beta rises from 0, epoch by epoch; 0: "
             "none of it, 1: all"),
)}  # fmt: skip


class Divergence(Term):
    """weight KL(q(z|x) || N(0, 1)), with -2 KL = sum of 1 + v - m^2 - exp(v) over the units.

    The weight rises from 0 in the first part ``warmup`` of training. Validation data are judged
    with the full weight, and with the same draws each time.
    """

    of_samples = True
    of_the_data = True

    def __init__(self, network: Network, seed: int, beta: float, warmup: float) -> None:
        backend = network.backend
        self.remedy = f"a smaller beta (it is {beta:g})"
        weight = beta * (2 if network.architecture.loss == "mse" else 1)
        self.draws: Draws = Draws(backend, seed, streams.LATENT)
        (layer,) = (layer for layer in network.layers if isinstance(layer, Sample))
        layer.state = self.draws.state
        self._full, self._warmup = weight, warmup
        self._weight, self._write = backend.to_device(np.full(1, float(weight))), backend.write

    def prepare(self, progress: float) -> None:
        part = min(1.0, progress / self._warmup) if self._warmup else 1.0
        self._write(np.full(1, part * self._full), self._weight)

    def judge(self) -> None:
        self.prepare(1.0)
        super().judge()

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        i = next(i for i, record in enumerate(records) if isinstance(record.layer, Sample))
        below = records[i - 1]
        ops.normal_divergence(below.y, self._weight, below.dz, totals)  # ``Sample`` adds to dz


@all_named
class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose codes are normal distributions, trained on a bound of the likelihood:

        -log p(x) <= E[-log p(x|z)] + KL(q(z|x) || N(0, 1)),   q(z|x) = N(m(x), diag(s(x)^2))

    with one draw z = m + s g for each sample and update (Kingma and Welling, "Auto-encoding
    variational Bayes", ICLR 2014), and the divergence weighted by ``beta`` (Higgins et al.,
    "beta-VAE", ICLR 2017). The last layer of the encoder gives m and log s^2.

    loss="bce": p(x|z) is Bernoulli, and the loss is the bound in nats. loss="mse": p(x|z) is normal
    with variance 1 on the scale of ``scaling_``; the loss, ||x - x'||^2 + 2 beta KL, is twice the
    bound less d log(2 pi), for d features. Beside it the cross-entropy of a table's categories
    counts half.

    ``encode`` gives m, and scores, files and exports are those of decode(m(x)). Where
    ``initializer`` makes the start of PCA, the means are its coordinates, scaled to variance 1.

    Attributes
    ----------
    Those of ``Autoencoder``.
    """

    family = "variational"
    own = OWN
    tied: ClassVar[Mapping[str, Any]] = {"kl_warmup": 0.0}
    in_training = "codes that are drawn, and their divergence in the loss"
    _arguments = ARGUMENTS | OWN

    def __init__(self, *, beta: float = 1.0, kl_warmup: float = 0.0, **rest: Any) -> None:
        super().__init__(**rest)
        self.beta, self.kl_warmup = beta, kl_warmup

    def posterior(self, X: ArrayLike | Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Means and standard deviations of the codes of X (n, n_features), each (n, code).

        Raises what ``encode`` does.
        """
        m, v = self._means_and_log_variances(X)
        with np.errstate(over="ignore"):
            return m.copy(), np.exp(v / 2)

    def _means_and_log_variances(self, X: ArrayLike | Rows) -> list[NDArray[Any]]:
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return np.split(run(network, _pairs, rows, 2 * self._code), 2, axis=1)

    def sample(self, n: int, random_state: Any = None) -> Any:
        """n new samples: draws of N(0, 1), decoded; (n, n_features), as ``decode`` gives them.

        Raises ValueError or TypeError for an ``n`` that is no integer >= 1, and ValueError for
        more samples than the memory has room for.
        """
        checks.integer("n", n, 1)
        self._fitted()
        most = available_memory() // (8 * (self._code + 2 * self.n_features_in_))
        if n > most:
            raise ValueError(f"n must be an integer <= {most}, as many samples of "
                             f"{self.n_features_in_} numbers as fit into the memory that is "
                             f"available, got {n}")  # fmt: skip
        return self.decode(self._prior(n, seed_from(random_state)))

    def _prior(self, n: int, seed: int) -> NDArray[Any]:
        z = np.empty((n, self._code), self._network.dtype)
        random_normal(streams.state(seed, streams.PRIOR), 0.0, 1.0, z)
        return z

    def active_units(self, X: ArrayLike | Rows) -> int:
        """How many units' means vary over X (n, n_features), by more than 0.01 (Burda et al.)."""
        return int((self.encode(X).var(axis=0, dtype=np.float64) > ACTIVE).sum())

    def divergence(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """KL(q(z|x) || N(0, 1)) of each sample X (n, n_features) in nats, float64 (n,)."""
        m, v = (a.astype(np.float64) for a in self._means_and_log_variances(X))
        with np.errstate(over="ignore"):  # of v, since s may be 0 or infinite in the net's dtype
            divergences: NDArray[np.float64] = (m**2 + np.exp(v) - 1 - v).sum(axis=1) / 2
        return divergences

    def log_likelihood(
        self, X: ArrayLike | Rows, *, samples: int = 5000, random_state: Any = 0
    ) -> NDArray[np.float64]:
        """An estimate of log p(x) for each sample X (n, n_features), in nats, float64 (n,).

        log of the mean of p(x|z) p(z) / q(z|x) over ``samples`` draws z of q(z|x): below log p(x)
        on average, and the less so the more draws (Burda, Grosse, Salakhutdinov, "Importance
        weighted autoencoders", ICLR 2016, equation 8); with one draw it is the bound of training.
        With mse it is a density on the scale of ``scaling_``. Missing values are left out.

        Raises what ``encode`` does, ValueError for data outside [0, 1] with bce and for tables with
        categories, ValueError or TypeError for ``samples`` that are no integer >= 1.
        """
        checks.integer("samples", samples, 1)
        network, rows = self._fitted(), self._expect_density(X)
        seed, out, drawn = seed_from(random_state), np.empty(len(rows)), 0
        with self._limited_threads(), np.errstate(over="ignore"):
            for part, chunk in rows.chunks(network.dtype):
                both = run(network, _pairs, Rows(chunk), 2 * self._code)
                per = max(1, AT_ONCE // samples)
                for i in range(0, len(chunk), per):
                    x, pair = chunk[i : i + per], both[i : i + per]
                    total = np.full(len(x), -np.inf)
                    for draws in _parts(samples):
                        state = streams.state(seed, streams.LIKELIHOOD, drawn)
                        weights = self._log_weights(x, pair, draws, state)
                        total = np.logaddexp(total, np.logaddexp.reduce(weights, axis=1))
                        drawn += 1
                    out[part.start + i : part.start + i + len(x)] = total - math.log(samples)
        return out

    def _expect_density(self, X: ArrayLike | Rows) -> Rows:
        """X as the net reads it; raises ValueError where p(x|z) is no density of such data."""
        rows = self._checked(X)
        if self._network.architecture.groups:
            raise ValueError("log_likelihood is for numbers, and the data have categories")
        span = value_range(rows, "X", missing=self.fill_ is not None)
        losses.expect_probabilities(self.loss_name_, *span, "X")
        return rows

    def _log_weights(
        self, x: NDArray[Any], pair: NDArray[Any], draws: int, state: NDArray[np.uint32]
    ) -> NDArray[np.float64]:
        """log p(x|z) p(z) / q(z|x) for so many draws of each x, float64 (len(x), draws)."""
        network, n, code = self._network, len(x), self._code
        g = np.empty((n, draws, code))
        random_normal(state, 0.0, 1.0, g)
        m, v = np.split(pair[:, None].astype(np.float64), 2, axis=2)
        z = m + np.exp(v / 2) * g
        weights: NDArray[np.float64] = (g**2 + v - z**2).sum(axis=2) / 2  # 2 pi cancels
        flat = Rows(z.reshape(n * draws, code).astype(network.dtype))
        output = run(network, _outputs, flat, x.shape[1]).reshape(n, draws, -1)
        known = ~np.isnan(x)[:, None]
        target = np.where(known, x[:, None], 0)
        if network.architecture.loss == "bce":
            logs = output * target - np.logaddexp(0, output)
        else:
            logs = -((output - target) ** 2 + math.log(2 * math.pi)) / 2
        weights += np.where(known, logs, 0).sum(axis=2, dtype=np.float64)
        return weights

    def _rows_shown(self, X: NDArray[Any]) -> dict[str, Any]:
        return {**super()._rows_shown(X), "sample": self.sample(len(X), self.seed_)}

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        few = X.select(np.arange(min(len(X), FEW)))
        found = {
            "divergence": ("divergence of the codes from the standard normal, nats per sample",
                           float(self.divergence(X).mean())),
            "active_units": ("active units, whose means vary", float(self.active_units(X))),
        }  # fmt: skip
        try:
            self._expect_density(X)
        except ValueError:  # categories, or numbers outside [0, 1] with bce
            return found
        for name, what, part, draws in (
            ("bound", "bound of the log-likelihood, one draw each", X, 1),
            ("log_likelihood", f"log-likelihood of the first {len(few)}, {DRAWS} draws each",
             few, DRAWS),
        ):  # fmt: skip
            nats = float(self.log_likelihood(part, samples=draws).mean())
            found[name] = (f"{what}, nats per sample", nats)
        return found

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
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

    @staticmethod
    def _architecture(
        params: Mapping[str, Any], n_features: int, output: str, loss: str,
        groups: Sequence[tuple[int, int]] = (),
    ) -> Architecture:  # fmt: skip
        plain = assemble.architecture(params, n_features, output, loss, groups)
        last = plain.dense[plain.code - 1]
        both = replace(last, n_out=2 * last.n_out)
        decoder = [spec for spec in plain.layers[plain.code :] if not isinstance(spec, NoiseSpec)]
        layers = (*plain.layers[: plain.code - 1], both, SampleSpec("sample"), *decoder)
        return replace(plain, layers=layers, code=plain.code + 1)

    def _initial(
        self, params: Mapping[str, Any], seed: int, rows: Rows | None
    ) -> dict[str, NDArray[Any]]:
        """That of a plain net for the means, with variances that are small and all the same."""
        network, groups = self._network, self._network.architecture.groups
        plain = assemble.architecture(
            params, self.n_features_in_, self.output_, self.loss_name_, groups
        )
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

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        return [Divergence(network, seed, params["beta"], params["kl_warmup"])]


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
