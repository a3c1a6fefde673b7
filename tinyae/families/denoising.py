"""``DenoisingAutoencoder``: it reads corrupted samples and learns to give back the clean ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..arguments import ARGUMENTS, Argument, Kind
from ..data.rows import Rows
from ..estimator import Autoencoder
from ..kernels.backend import Array, Backend
from ..kernels.columns import get_backend
from ..net import streams
from ..net.network import Network
from ..passes import run, sums_of_squares
from ..train.draws import Draws
from ..train.objective import Term
from . import all_named
from .terms.corruption import KINDS, Corruption

OUTSIDE = 2.0  # spreads: where salt and pepper lie for features that are scaled by their spread


MOST = 1e6  # far beyond any data, and its square does not overflow

TABLE = (
    Argument("corruption", Kind(lambda name, value: checks.choice(name, value, KINDS), str, "NAME",
             KINDS), "gaussian", "of what the net reads in training: gaussian, noise is added; "
             "masking, features become 0; salt-pepper, they become the least or the greatest "
             "value: 0 and 1, for features that are scaled by their spread 2 spreads from their "
             "center"),
    Argument("level", Kind(lambda name, value: checks.number(name, value, least=0, below=MOST),
             float, "X"), 0.3, "of the corruption: gaussian, the "
             "standard deviation of the noise, in the units that the net reads (spreads, where "
             "features are scaled); masking and salt-pepper, the fraction of the features, "
             "below 1"),
)  # fmt: skip
OWN = {argument.name: argument for argument in TABLE}


@all_named
class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that is trained to take noise away: L(x, decode(encode(corrupt(x)))).

    The net reads a corrupted sample, another draw at every update, and its target is the clean
    one (Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust features with
    denoising autoencoders", ICML 2008). Validation data are corrupted
    too, the same way each time; scores are of the samples as they are, files and exports those of a
    plain net. With ``level=0`` it is ``Autoencoder``, to the last bit.

    Attributes
    ----------
    Those of ``Autoencoder``.
    """

    family = "denoising"
    in_training = "corrupted samples"
    own = OWN
    _arguments = ARGUMENTS | OWN

    def __init__(self, *, corruption: str = "gaussian", level: float = 0.3, **rest: Any) -> None:
        super().__init__(**rest)
        self.corruption, self.level = corruption, level

    def denoise(self, X: ArrayLike | Rows) -> Any:
        """X (n, n_features), which is noisy already, without its noise: ``reconstruct``, but that
        noise beyond the range of the training data is none to warn of.

        float32 or float64 as ``dtype``; raises what ``reconstruct`` does.
        """
        self._fitted()
        warned, self._warned = self._warned, True
        try:
            return self.reconstruct(X)
        finally:
            self._warned = warned

    def corrupt(self, X: ArrayLike | Rows, *, seed: int = 0) -> NDArray[Any]:
        """X (n, n_features) corrupted as in training, (n, n_features), in the units of the data.

        Of a table with categories the numbers that the net reads. Another ``seed``, in [0, 2^64),
        gives another draw. Raises what ``reconstruct`` does.
        """
        self._fitted()
        rows = self._checked(X)
        out = np.empty(rows.shape, self._network.dtype)
        for part, _, noisy in self._noisy(rows, seed):
            out[part] = noisy
        return self._unscaled(out)

    def corrupted_error(self, X: ArrayLike | Rows, *, seed: int = 0) -> float:
        """Squared error per sample of ``denoise(corrupt(X, seed=seed))`` against the clean X, on
        the scale of ``scaling_`` and without missing values, as of ``score``."""
        network, total = self._fitted(), 0.0
        rows = self._checked(X)
        with self._limited_threads():
            for _, clean, noisy in self._noisy(rows, seed):
                error = run(network, Network.reconstruct, Rows(noisy), self.n_features_in_)
                error -= clean
                total += float(sums_of_squares(np.where(np.isnan(clean), 0, error)).sum())
        return total / len(rows)

    def _rows_shown(self, X: NDArray[Any]) -> dict[str, Any]:
        noisy = self.corrupt(X)
        return {"clean": X, "corrupted": noisy, "denoised": self.denoise(noisy)}

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        params = self._built_params
        what = f"squared error per sample of rows with {params['corruption']} corruption"
        error = self.corrupted_error(X)
        return {"corrupted_squared_error": (f"{what} at level {params['level']:g}", error)}

    def _noisy(self, rows: Rows, seed: int) -> Iterator[tuple[slice, Array, Array]]:
        """(where, clean, corrupted) of a few thousand samples at a time, as the net reads them."""
        checks.integer("seed", seed, 0, 2**64 - 1)
        ops, params = get_backend("numpy"), self._built_params
        draws = Draws(ops, seed, streams.CORRUPT)
        for number, (part, x) in enumerate(rows.chunks(self._network.dtype)):
            draws.prepare(number)
            term = self._corruption(ops, x.shape, x.dtype.name, params, draws)
            with np.errstate(all="ignore"):
                clean = term.target(ops, x, x)
            yield part, clean, x

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
        if params["corruption"] != "gaussian" and params["level"] >= 1:
            raise ValueError(
                f"level of {params['corruption']!r} is a fraction of the features and must be a "
                f"number >= 0 and < 1, got {params['level']!r}"
            )

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        draws = Draws(network.backend, seed, streams.CORRUPTION)
        shape = capacity, network.n_features
        return [self._corruption(network.backend, shape, network.dtype, params, draws)]

    def _corruption(
        self, ops: Backend, shape: tuple[int, int], dtype: str, params: Mapping[str, Any],
        draws: Draws,
    ) -> Corruption:  # fmt: skip
        spreads = self.scaling_ is not None and params["scale"] != "minmax"
        extremes = (-OUTSIDE, OUTSIDE) if spreads else (0.0, 1.0)
        return Corruption(ops, shape, dtype, params["corruption"], params["level"], extremes, draws)
