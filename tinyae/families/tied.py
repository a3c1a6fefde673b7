"""``TiedAutoencoder``: a decoder that is the encoder transposed, over one array of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from numpy.typing import NDArray

from .. import assemble
from ..arguments import ARGUMENTS
from ..data.rows import Rows
from ..estimator import Autoencoder
from ..kernels.conventions import ACTIVATION_FACTS
from ..model_file import plain_state
from ..net.layers import DenseSpec, Spec
from ..net.network import Architecture
from ..net.pca_start import LOGITS, holds_pca
from ..net.tying import SharedSpec, TiedSpec
from . import all_named


@all_named
class TiedAutoencoder(Autoencoder):
    """An autoencoder whose decoder has the encoder's weights, transposed, and biases of its own:

        h_i = act(h_{i-1} W_i + b_i),   h'_{i-1} = act(h'_i W_i^T + c_i)

    (Vincent et al. 2010, "Stacked denoising autoencoders", JMLR 11, section 2.2). There is one
    array of weights, in memory and in files, and its gradient is the sum of both uses'. A net
    without hidden layers whose code is linear finds PCA's subspace, as without the tie; its weights
    become orthonormal (Baldi and Hornik 1989).

    ``decoder_hidden`` can only be ``hidden`` backwards. PCA is the start where the layers can hold
    it without bounds (not tanh, not sigmoid); a table with categories also starts at random where
    they are elu. It has no arguments of its own.

    Attributes
    ----------
    Those of ``Autoencoder``; ``parameters()`` has no weights of the decoder.
    """

    family = "tied"
    _arguments = ARGUMENTS

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)

    def untied(self) -> Autoencoder:
        """An ``Autoencoder`` that computes the same, with weights of its own for each layer, to be
        trained on without the tie. Its optimiser begins anew."""
        values = self.parameters()
        state = {k: v for k, v in plain_state(self).items() if k != "_trained"}
        plain = Autoencoder(**self.get_params())
        plain._build(self.n_features_in_, self.output_, self.loss_name_, self.seed_,
                     self._built_params, self.schema_)  # fmt: skip
        plain.__dict__.update(state)
        plain._fill_in(self.fill_)
        arrays = {spec.name: spec.arrays(values) for spec in self._network.architecture.dense}
        return plain.set_parameters({
            f"{name}.{what}": array
            for name, both in arrays.items()
            for what, array in zip(("weight", "bias"), both, strict=True)
        })  # fmt: skip

    def _with_own_weights(self) -> Autoencoder:
        return self.untied()

    def _check(self, params: Mapping[str, Any]) -> None:
        super()._check(params)
        hidden, decoder = params["hidden"], params["decoder_hidden"]
        if decoder is None or (hidden != "auto" and tuple(decoder) == tuple(hidden)[::-1]):
            return
        raise ValueError(
            "decoder_hidden of a tied autoencoder must be None or hidden backwards, got "
            f"{decoder!r} with hidden={hidden!r}"
        )

    @staticmethod
    def _architecture(
        params: Mapping[str, Any], n_features: int, output: str, loss: str,
        groups: Sequence[tuple[int, int]] = (),
    ) -> Architecture:  # fmt: skip
        plain = assemble.architecture(params, n_features, output, loss, groups)
        encoder = [spec.name for spec in plain.dense[: plain.code]]

        def tied(spec: Spec) -> Spec:
            if not isinstance(spec, DenseSpec):
                return spec
            if spec.name in encoder:
                return SharedSpec(**asdict(spec))
            return TiedSpec(**asdict(spec) | {"of": encoder.pop()})

        return replace(plain, layers=tuple(map(tied, plain.layers)))

    def _initial(
        self, params: Mapping[str, Any], seed: int, rows: Rows | None
    ) -> dict[str, NDArray[Any]]:
        """That of a plain net's encoder; of PCA with what the transpose asks for besides."""
        network, initializer = self._network, params["initializer"]
        groups = network.architecture.groups
        plain = assemble.architecture(
            params, self.n_features_in_, self.output_, self.loss_name_, groups
        )
        held = holds_pca(plain) and not (groups and "elu" in {s.activation for s in plain.dense})
        if initializer == "pca" and not held:
            raise ValueError(
                "initializer='pca' of a tied autoencoder needs layers that hold PCA both ways, "
                f"and activation={params['activation']!r}, code_activation="
                f"{params['code_activation']!r} do not: use initializer='random'"
            )
        initializer = "random" if initializer == "auto" and not held else initializer
        values, spread = assemble.start(plain, network.dtype, initializer, seed, rows)
        if len(spread):
            drawn = assemble.start(plain, network.dtype, "random", seed, None)[0]
            _tie(plain, values, drawn, len(spread))
        return {name: values[name] for name in network.parameters.shapes}


def _tie(
    plan: Architecture, values: dict[str, NDArray[Any]], drawn: Mapping[str, NDArray[Any]], m: int
) -> None:
    """Makes ``values``, those of a net that is PCA with m coordinates, those of such a tied net.

    Units that do not hold a coordinate must not reach those that do on the way back either: they
    have random weights between themselves and towards the coordinates above, in the encoder get 0,
    and come to life in the decoder. Where an output's logits are steep, both ways take the root.
    """
    last = plan.link if plan.link != "identity" else plan.dense[-1].activation
    steep, below = math.sqrt(LOGITS.get(last, (1.0, 0.0))[0]), plan.dense[0].n_in
    for spec in plan.dense[:-1]:
        values[f"{spec.name}.bias"] *= steep
    for i, spec in enumerate(plan.dense[: plan.code]):
        odd, w = ACTIVATION_FACTS[spec.activation].odd, drawn[f"{spec.name}.weight"]
        holding = 2 * m if odd else m
        # a pair of units passes on ``odd`` times its number: once below the code, twice elsewhere
        root = math.sqrt(odd or 1) if i == plan.code - 1 else 1
        w[:below, holding:] = 0
        w[:below, :holding] = values[f"{spec.name}.weight"][:below, :holding]
        w[:below, :holding] *= (steep if i == 0 else 1) / root
        bias = values[f"{spec.name}.bias"]
        bias /= root
        if i and plan.dense[i - 1].activation == "softplus":  # of 0 it is log 2
            bias -= math.log(2) * w[below:].sum(axis=0)
        values[f"{spec.name}.weight"], below = w, holding
    for spec in plan.dense[plan.code : -1]:
        values[f"{spec.name}.bias"] /= ACTIVATION_FACTS[spec.activation].odd or 1
