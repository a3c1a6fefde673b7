"""``ContractiveAutoencoder``: codes that change little where the sample does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..arguments import ARGUMENTS
from ..data.rows import Rows
from ..estimator import Autoencoder
from ..kernels.columns import get_backend
from ..kernels.conventions import NEEDS_INPUT
from ..net.layers import DenseSpec
from ..net.network import Network
from ..train.objective import Term
from . import all_named
from .terms.contraction import OWN, Contraction

FEW = 500  # samples that ``tinyae evaluate`` takes
AT_ONCE = 64  # samples whose Jacobians are in memory together
SHOWN = 3  # directions in a picture


@all_named
class ContractiveAutoencoder(Autoencoder):
    """An autoencoder whose code is made to change little with the sample:

        L(x, decode(z(x))) + contraction ||dz/dx||_F^2

    (Rifai, Vincent, Muller, Glorot, Bengio, "Contractive auto-encoders: explicit invariance during
    feature extraction", ICML 2011), with the Jacobian of the whole encoder. What keeps it from
    being 0 is the reconstruction, so the directions that are left are those in which the data vary.

    The norm is exact: in closed form for an encoder of one layer, and where a linear code lies
    above one hidden layer; else the Jacobian is propagated, which takes as many passes through the
    encoder as the code has units. ``estimate=k`` takes k random rows of 1 and -1 per sample in
    their place (Hutchinson 1990): with A = J J^T the mean is the same, and the variance
    2 (||A||_F^2 - sum of A_ii^2) / k.

    A linear code, the default, can also shrink while the decoder grows, which lowers the norm and
    means nothing; with code_activation="sigmoid" or "tanh" it is bounded. Validation data have the
    penalty too; files and exports are those of a plain net. With contraction=0 it is
    ``Autoencoder``, to the last bit.

    Attributes
    ----------
    Those of ``Autoencoder``.
    """

    family = "contractive"
    in_training = "the norm of the code's derivative in the loss"
    own = OWN
    _arguments = ARGUMENTS | OWN

    def __init__(self, *, contraction: float = 0.1, estimate: int = 0, **rest: Any) -> None:
        super().__init__(**rest)
        self.contraction, self.estimate = contraction, estimate

    def _steps_work(self, params: Mapping[str, Any]) -> int:
        return 1 + (params["estimate"] or params["code"] if params["contraction"] else 0)

    def jacobian(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """dz/dx at each sample X (n, n_features), float64 (n, code, n_features), by the features in
        their own units (of uint8 those of [0, 1]). Raises what ``encode`` does."""
        self._fitted()
        rows = self._checked(X)
        out = np.empty((len(rows), self._code, self.n_features_in_))
        for part, jacobian in self._jacobians(rows):
            out[part] = jacobian
        if self.scaling_ is not None:
            out /= np.asarray(self.scaling_.spread)
        return out

    def jacobian_norms(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """||dz/dx||_F at each sample X (n, n_features), float64 (n,), on the scale of ``scaling_``,
        as the loss has it."""
        self._fitted()
        parts = self._jacobians(self._checked(X))
        norms = [np.sqrt(np.square(jacobian).sum(axis=(1, 2))) for _, jacobian in parts]
        return np.concatenate(norms)

    def directions(self, X: ArrayLike | Rows, n_directions: int = SHOWN) -> NDArray[np.float64]:
        """The directions in which the code changes most at each sample X (n, n_features): the
        leading right singular vectors of dz/dx, (n, n_directions, n_features), of length 1, the
        largest number of each positive. ``n_directions`` at most ``code`` and ``n_features``.
        """
        self._fitted()
        checks.integer("n_directions", n_directions, 1, min(self._code, self.n_features_in_))
        found = np.linalg.svd(self.jacobian(X), full_matrices=False)[2][:, :n_directions]
        place = np.abs(found).argmax(axis=2)[:, :, None]
        found *= np.where(np.take_along_axis(found, place, axis=2) < 0, -1, 1)
        return found

    def _jacobians(self, rows: Rows) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """(where, dz/dx) as the net reads the samples, some of them at a time."""
        ops, values = get_backend("numpy"), self.parameters()
        layers = self._network.architecture.layers[: self._network.architecture.code]
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, min(start + AT_ONCE, len(rows)))
            x = np.asarray(rows.select(np.arange(part.start, part.stop)), np.float64)
            if self.fill_ is not None:
                x = np.where(np.isnan(x), self.fill_, x)
            weights, slopes = list[NDArray[Any]](), list[NDArray[Any]]()
            for spec in layers:
                assert isinstance(spec, DenseSpec)
                w, b = (a.astype(np.float64) for a in spec.arrays(values))
                y, pre, slope = (np.empty((len(x), spec.n_out)) for _ in range(3))
                ops.dense_forward(x, w, b, spec.activation, y, pre)
                needs = spec.activation in NEEDS_INPUT
                ops.activation_backward(
                    np.ones_like(y), spec.activation, pre if needs else y, slope
                )
                weights.append(w)
                slopes.append(slope)
                x = y
            jacobian = np.eye(self._code) * slopes.pop()[:, :, None]
            for w, slope in zip(weights[:0:-1], slopes[::-1], strict=True):
                jacobian = jacobian @ w.T * slope[:, None]
            yield part, jacobian @ weights[0].T

    def _rows_shown(self, X: NDArray[Any]) -> dict[str, Any]:
        """Directions about the middle of the range of the data, as far as it reaches."""
        found = self.directions(X, min(SHOWN, self._code, self.n_features_in_))
        low, high = self.data_range_ or (0.0, 1.0)
        scale = np.abs(found).max(axis=2, keepdims=True)
        found = (low + high) / 2 + found / np.where(scale > 0, scale, 1) * (high - low) / 2
        names = {f"direction {i + 1}": found[:, i] for i in range(found.shape[1])}
        return {**super()._rows_shown(X), **names}

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        few = X.select(np.arange(min(len(X), FEW)))
        norm = float(np.sqrt(np.square(self.jacobian_norms(few)).mean()))
        what = f"norm of the code's derivative, of the first {len(few)} (root of the mean square)"
        return {"jacobian_norm": (what, norm)}

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
        if params["estimate"] > params["code"]:
            raise ValueError(
                f"estimate must be at most code={params['code']}, of which 0 takes all rows, got "
                f"{params['estimate']}"
            )

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        if params["contraction"] == 0:
            return ()
        return [Contraction(network, seed, capacity, params["contraction"], params["estimate"])]
