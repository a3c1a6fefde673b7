"""``VariationalAutoencoder``: a code that is a distribution, and a bound of the likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..arguments import ARGUMENTS, seed_from
from ..data.rows import Rows
from ..estimator import Autoencoder
from ..kernels.reference.random import random_normal
from ..net import streams
from ..net.network import Network
from ..storage.untrusted import available_memory
from ..train.objective import Term
from . import all_named, bound, likelihood, normal_code
from .bound import OWN
from .terms.latent import ACTIVE


@all_named
class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose codes are normal distributions, trained on a bound of the likelihood:

        -log p(x) <= E[-log p(x|z)] + KL(q(z|x) || N(0, 1)),   q(z|x) = N(m(x), diag(s(x)^2))

    with one draw z = m + s g for each sample and update (Kingma and Welling, "Auto-encoding
    variational Bayes", ICLR 2014), and the divergence weighted by ``beta`` (Higgins et al.,
    "beta-VAE", ICLR 2017); with ``samples=k`` on -log of the mean of p(x|z) p(z) / q(z|x) over k
    draws (Burda et al., "Importance weighted autoencoders", ICLR 2016). The last layer of the
    encoder gives m and log s^2.

    loss="bce": p(x|z) is Bernoulli, and the loss is the bound in nats. loss="mse": p(x|z) is normal
    with variance 1 on the scale of ``scaling_``; the loss, ||x - x'||^2 + 2 beta KL, is twice the
    bound less d log(2 pi), for d features. Beside it the cross-entropy of a table's categories
    counts half.

    ``encode`` gives m, and scores, files and exports are those of decode(m(x)). Where
    ``initializer`` makes the start of PCA, the means are its coordinates, scaled to variance 1.

    Attributes
    ----------
    Those of ``Autoencoder``. history_ has "reconstruction", "divergence" and "active_units".
    """

    family = "variational"
    own = OWN
    tied: ClassVar[Mapping[str, Any]] = {"kl_warmup": 0.0}
    in_training = "codes that are drawn, and their divergence in the loss"
    _arguments = ARGUMENTS | OWN
    _architecture = staticmethod(normal_code.architecture)

    def __init__(
        self, *, beta: float = 1.0, kl_warmup: float = 0.0, free_bits: float = 0.0,
        samples: int = 1, binarize: bool = False, **rest: Any,
    ) -> None:  # fmt: skip
        super().__init__(**rest)
        self.beta, self.kl_warmup, self.free_bits = beta, kl_warmup, free_bits
        self.samples, self.binarize = samples, binarize

    def posterior(self, X: ArrayLike | Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Means and standard deviations of the codes of X (n, n_features), each (n, code).

        Raises what ``encode`` does.
        """
        m, v = likelihood.means_and_log_variances(self, X)
        with np.errstate(over="ignore"):
            return m.copy(), np.exp(v / 2)

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

    def binarized(self, X: ArrayLike | Rows, *, seed: int = 0) -> NDArray[Any]:
        """X (n, n_features) in [0, 1] as 1 with the probability of a value, else 0, in the net's
        dtype; another draw for another ``seed``. Raises what ``encode`` does, and ValueError for
        other values and for missing ones."""
        checks.integer("seed", seed, 0, 2**64 - 1)
        dtype = self._fitted().dtype
        return np.asarray(likelihood.binarized(self._checked(X), dtype, seed))

    def active_units(self, X: ArrayLike | Rows) -> int:
        """How many units' means vary over X (n, n_features), by more than 0.01 (Burda et al.)."""
        return int((self.encode(X).var(axis=0, dtype=np.float64) > ACTIVE).sum())

    def divergence(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """KL(q(z|x) || N(0, 1)) of each sample X (n, n_features) in nats, float64 (n,)."""
        return likelihood.divergences(*likelihood.means_and_log_variances(self, X))

    def log_likelihood(
        self, X: ArrayLike | Rows, *, samples: int = 5000, random_state: Any = 0
    ) -> NDArray[np.float64]:
        """An estimate of log p(x) for each sample X (n, n_features), in nats, float64 (n,).

        log of the mean of p(x|z) p(z) / q(z|x) over ``samples`` draws z of q(z|x): below log p(x)
        on average, and the less so the more draws (Burda, Grosse, Salakhutdinov, "Importance
        weighted autoencoders", ICLR 2016, equation 8); with one draw it is the bound of training.
        With mse it is a density on the scale of ``scaling_``. Missing values are left out. With
        ``binarize`` X is drawn as 0 and 1 first.

        Raises what ``encode`` does, ValueError for data outside [0, 1] with bce, categories and
        codes that overflow in the decoder, ValueError or TypeError for wrong ``samples``.
        """
        checks.integer("samples", samples, 1)
        network, rows, seed = self._fitted(), self._checked(X), seed_from(random_state)
        likelihood.expect_density(self, rows)
        if self._built_params["binarize"]:
            rows = likelihood.binarized(rows, network.dtype, seed)
        with self._limited_threads(), np.errstate(all="ignore"):
            return likelihood.log_likelihoods(network, rows, samples, seed)

    def _rows_shown(self, X: NDArray[Any]) -> dict[str, Any]:
        return {**super()._rows_shown(X), "sample": self.sample(len(X), self.seed_)}

    def _steps_work(self, params: Mapping[str, Any]) -> int:
        samples: int = params["samples"]
        return samples

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        return likelihood.measures(self, X)

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
        bound.check(params)

    def _adjustable(self) -> list[str]:
        return bound.adjustable(self._built_params, self._network)

    def _initial(
        self, params: Mapping[str, Any], seed: int, rows: Rows | None
    ) -> dict[str, NDArray[Any]]:
        return normal_code.start(params, self._network, self.output_, self.loss_name_, seed, rows)

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        return bound.terms(params, network, seed, capacity)
