"""A dense layer, forward and backward, on any backend.

One layer computes, for a batch x (batch, n_in),

    z = x @ w + b          (batch, n_out)
    y = act(z)             (batch, n_out)

and given dz = d(loss)/dz the chain rule yields

    dw = x.T @ dz          (n_in, n_out)
    db = sum of dz rows    (n_out,)
    dx = dz @ w.T          (batch, n_in)

As x is itself the output of the layer below, dx times that layer's act' is *its* dz: the two
are one fused operation, and the gradient walks from layer to layer as dz.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernels.backend import Array, Backend
from ..kernels.conventions import ACTIVATION_FACTS


@dataclass(frozen=True)
class Record:
    """What a layer leaves behind on its way forward, and the gradient it gets coming back."""

    activation: str
    y: Array  # (batch, n_out), the layer's output
    pre: Array | None  # (batch, n_out), its input z, where act' needs that
    dz: Array | None  # (batch, n_out), d(loss)/dz; None where nothing is trained
    noisy: Array | None = None  # (batch, n_out), y with noise, where training adds some

    @property
    def passed_on(self) -> Array:
        """What the next layer gets."""
        return self.y if self.noisy is None else self.noisy

    @property
    def saved(self) -> Array:
        """What ``activation_backward`` wants: the output, or for silu and gelu the input."""
        return self.y if self.pre is None else self.pre


class Dense:
    """y = act(x @ w + b), with w (n_in, n_out) and b (n_out,) views into the flat parameters."""

    def __init__(
        self, ops: Backend, name: str, activation: str, w: Array, b: Array, dw: Array, db: Array
    ) -> None:
        self.ops = ops
        self.name = name
        self.activation = activation
        self.w, self.b = w, b
        self.dw, self.db = dw, db

    def forward(self, x: Array, record: Record) -> Array:
        """x (batch, n_in) -> y (batch, n_out), kept in ``record``."""
        self.ops.dense_forward(x, self.w, self.b, self.activation, record.y, record.pre)
        return record.y

    def backward(self, x: Array, dz: Array, below: Record | None) -> None:
        """Fills dw and db, and ``below.dz`` unless this is the first layer."""
        self.ops.dense_backward_weights(x, dz, self.dw, self.db)
        if below is not None:
            self.ops.dense_backward_input(dz, self.w, below.activation, below.saved, below.dz)

    @property
    def needs_input(self) -> bool:
        return ACTIVATION_FACTS[self.activation].needs_input
