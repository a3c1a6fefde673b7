"""``SparseAutoencoder``: a code of which few units are at work in each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import assemble
from ..arguments import ARGUMENTS
from ..data.missing import column_means
from ..data.rows import Rows, as_rows
from ..estimator import Autoencoder
from ..kernels.reference.update import unit_rows
from ..net.network import Architecture, Network
from ..net.top_k import TopKSpec
from ..train.objective import Term
from ..train.sizes import Plan
from . import all_named
from .revival import terms
from .sparsity import OWN, check, kept, readers, resolved, tie

AT_ONCE = 4096  # samples that are encoded at once
WIDE, MOST = 4, 1024  # of a run that was given no code: units for each feature, and in all


@all_named
class SparseAutoencoder(Autoencoder):
    """An autoencoder in whose code, which may be wider than a sample, few units are at work for a
    sample. Each then stands for one feature of the samples, its row of ``dictionary``.

    sparsity="top-k": z = the k greatest of a(x W + b), the others 0, of equal ones the first
    (Makhzani and Frey, "k-sparse autoencoders", ICLR 2014). Units that an epoch did not use have a
    loss of their own: ``revive`` ||e - z' W'||^2, with e what the net gets wrong and z' the
    greatest dead units (Gao et al., "Scaling and evaluating sparse autoencoders", 2024). It belongs
    to ``fit``, not to ``partial_fit``, and "loss" in the history is without it.
    sparsity="l1": L(x, x') + ``weight`` sum |z|; with code_activation="relu" units become 0.
    sparsity="kl": L(x, x') + ``weight`` sum of r log(r / m) + (1 - r) log((1 - r) / (1 - m)), r
    being ``rho`` and m the mean of a unit over the minibatch (Ng, "Sparse autoencoder", CS294A
    lecture notes, 2011).

    unit_norm=True divides each row of the decoder's first weights by its length after each update.
    hidden="auto" is no hidden layer. output="auto" of top-k is "identity" unless loss="bce": with a
    sigmoid most units of a wide code die. initializer="auto" is a random start, without hidden
    layers with units of length 1, and the decoder's weights are the encoder's transposed (all as
    Gao et al.).

    Attributes
    ----------
    Those of ``Autoencoder``. history_ of top-k has "dead_units": how many no sample of the epoch
    used.
    """

    family = "sparse"
    in_training = "a term of the loss that asks for sparse codes"
    own = OWN
    _arguments = ARGUMENTS | OWN

    def __init__(
        self, *, sparsity: str = "top-k", k: int | None = None, weight: float | None = None,
        rho: float = 0.05, revive: float = 1 / 32, unit_norm: bool = False, **rest: Any,
    ) -> None:  # fmt: skip
        super().__init__(**rest)
        self.sparsity, self.k, self.weight, self.rho = sparsity, k, weight, rho
        self.revive, self.unit_norm = revive, unit_norm

    def dictionary(self) -> NDArray[Any]:
        """What each unit adds to a reconstruction, before the sigmoid if the output has one: the
        decoder's weights (code, n_features), in the units of the data.

        Raises ValueError for a decoder with hidden layers, whose units have no such row.
        """
        values = self.parameters()
        if hidden := sum(name.startswith("decoder") for name in values) // 2 - 1:
            raise ValueError(
                f"dictionary is of a decoder without hidden layers, and this one has {hidden}: use "
                "decoder_hidden=()"
            )
        rows: NDArray[Any] = values["decoder.0.weight"]
        return rows if self.scaling_ is None else rows * self.scaling_.spread

    def usage(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """The part of the samples X (n, n_features) in which each unit is not 0, of kl each unit's
        mean: float64 (code,). Raises what ``encode`` does."""
        self._fitted()
        rows, kl = as_rows(X, schema=self.schema_), self._built_params["sparsity"] == "kl"
        used = np.zeros(self._code)
        for start in range(0, len(rows), AT_ONCE):
            z = self.encode(rows.select(np.arange(start, min(start + AT_ONCE, len(rows)))))
            used += (z if kl else z != 0).sum(axis=0, dtype=np.float64)
        return used / len(rows)

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        used = self.usage(X)
        if self._built_params["sparsity"] == "kl":
            return {"mean_activity": ("mean of the units", float(used.mean()))}
        return {
            "dead_units": ("units that are 0 for all samples", float((used == 0).sum())),
            "used_units": ("units that are not 0, per sample", float(used.sum())),
        }

    def _units_shown(self, X: Rows) -> NDArray[Any] | None:
        try:
            rows = self.dictionary()[np.argsort(-self.usage(X), kind="stable")]
        except ValueError:  # it has none
            return None
        largest = np.abs(rows).max(axis=1, keepdims=True)
        return rows / np.where(largest > 0, largest, 1)

    def _code_for(self, n_features: int) -> Plan:
        """Wide, with as many units at work as the code of the other families has."""
        plan = super()._code_for(n_features)
        if self.sparsity != "top-k":  # all numbers of a code count, and a wide one has them all
            return plan
        code, k = min(WIDE * n_features, MOST), plan.params["code"]
        why = f"code {code}: {WIDE} units for each of {n_features} features, {MOST:,} at most"
        if self.k is not None:
            return Plan({"code": code}, (f"{why}; --code sets another",))
        return Plan({"code": code, "k": k}, (f"{why}; k {k}, as many as other families' code has; "
                                             "--code and --k set others",))  # fmt: skip

    def _adjustable(self) -> list[str]:
        kind = self._built_params["sparsity"]
        return [name for name in self.own if readers(kind).get(name, kind) == kind]

    @property
    def _numbers(self) -> int:
        return kept(self._built_params) or self._code

    def _params(self) -> dict[str, Any]:
        return resolved(super()._params())

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
        check(params)

    @staticmethod
    def _architecture(
        params: Mapping[str, Any], n_features: int, output: str, loss: str,
        groups: Sequence[tuple[int, int]] = (),
    ) -> Architecture:  # fmt: skip
        plain = assemble.architecture(params, n_features, output, loss, groups)
        if (k := kept(params)) is None:
            return plain
        layers = (*plain.layers[: plain.code], TopKSpec("top_k", k), *plain.layers[plain.code :])
        return replace(plain, layers=layers, code=plain.code + 1)

    def _initial(
        self, params: Mapping[str, Any], seed: int, rows: Rows | None
    ) -> dict[str, NDArray[Any]]:
        how, plan = params["initializer"], self._network.architecture
        layers = tuple(spec for spec in plan.layers if not isinstance(spec, TopKSpec))
        plain = replace(plan, layers=layers, code=len(params["hidden"]) + 1)
        random = "random" if how == "auto" else how
        values, _ = assemble.start(plain, self._network.dtype, random, seed, rows)
        if how == "auto" and len(plain.dense) == 2:
            tie(values, plan, None if rows is None else column_means(rows))
        if params["unit_norm"]:
            unit_rows(values["decoder.0.weight"])
        return values

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        return terms(params, network, capacity)
