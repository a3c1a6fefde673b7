"""When the loss is no longer a number: where it began and what usually helps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.backend import Array
from ..net.layers import Record
from ..net.network import Network
from ..net.parameters import Parameters

PIECE = 1 << 14  # weights that are looked at together


class DivergenceError(ArithmeticError):
    """The loss or a weight became NaN or infinite; the model keeps its last good weights.

    Attributes: loss, epoch (from 1), step (from 1, within the epoch), layer.
    """

    def __init__(
        self, loss: float, epoch: int, step: int, where: tuple[str, str], learning_rate: float,
        name: str = "loss", remedies: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.loss, self.epoch, self.step = loss, epoch, step
        self.layer, what = where
        helps = ", ".join([f"a smaller learning_rate (it is {learning_rate:g})", *remedies])
        super().__init__(
            f"the {name} became {loss} in epoch {epoch}, step {step}; it began in layer "
            f"{self.layer}: {what}. The last good weights are kept. What usually helps: {helps}, "
            "clip_norm=1, a longer warmup, features scaled to about unit range, dtype='float64'"
        )


def expect_finite(
    parameters: Parameters,
    epoch: int,
    step: int,
    learning_rate: float,
    remedies: Sequence[str] = (),
) -> None:
    """Raises DivergenceError where the last update has ruined a weight or bias."""
    backend = parameters.backend
    flat = parameters.values if backend.host else backend.to_host(parameters.values)
    if all(np.isfinite(flat[at : at + PIECE]).all() for at in range(0, len(flat), PIECE)):
        return
    finite = np.isfinite(flat)
    name = next(name for name, good in parameters.split(finite).items() if not good.all())
    layer, _, what = name.rpartition(".")
    where = layer, f"its {'biases' if what == 'bias' else 'weights'} are not finite"
    bad = float(flat[np.argmin(finite)])
    raise DivergenceError(bad, epoch, step, where, learning_rate, "updated weight", remedies)


def diagnose(network: Network, x: Array, records: Sequence[Record]) -> tuple[str, str]:
    """(layer, what was found there) for a batch x whose loss is not finite."""
    to_host, x = network.backend.to_host, network.filled(x)
    for record in records:
        layer = record.layer
        for what, array in layer.parameters.items():
            if not np.isfinite(to_host(array)).all():
                return layer.name, f"its {what} are not finite"
        x = layer.forward(network.backend, x, record)
        if not np.isfinite(to_host(x)).all():
            return layer.name, f"its output overflows {network.dtype}"
    return records[-1].layer.name, f"the loss of its output overflows {network.dtype}"
