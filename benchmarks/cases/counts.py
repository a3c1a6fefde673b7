"""Flops and bytes of each operation, from its shapes alone.

Flops: products count 2 m n k, whatever is done to their result on the way; elsewhere one for each
addition, multiplication, division, comparison, sqrt, exp, log, tanh, sin and cos of the formula.
Bytes: the least that must move, each input read once and each output written once. A kernel that
goes over its data twice is not credited with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REAL = 4  # bytes of a float32


class Counts(NamedTuple):
    flops: float
    bytes: float

    def __add__(self, other: object) -> Counts:
        assert isinstance(other, Counts)
        return Counts(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, factor: float) -> Counts:
        return Counts(self.flops * factor, self.bytes * factor)


Layers = Sequence[tuple[int, int]]  # (n_in, n_out) of each


def matmul(m: int, k: int, n: int, real: int = REAL) -> Counts:
    """c (m, n) = a (m, k) @ b (k, n)"""
    return Counts(2 * m * k * n, real * (m * k + k * n + m * n))


def dense_forward(batch: int, n_in: int, n_out: int) -> Counts:
    return matmul(batch, n_in, n_out) + Counts(0, REAL * n_out)


def dense_backward_input(batch: int, n_in: int, n_out: int) -> Counts:
    """Reads dz, w and ``saved``, writes dx."""
    return matmul(batch, n_out, n_in) + Counts(0, REAL * batch * n_in)


def dense_backward_weights(batch: int, n_in: int, n_out: int) -> Counts:
    """Reads x and dz, writes dw and db."""
    return matmul(n_in, batch, n_out) + Counts(0, REAL * n_out)


# per element, as the formulas in kernels/reference/activation.py have it
ACTIVATION_FLOPS = {
    "identity": 0, "relu": 1, "leaky_relu": 2, "elu": 2, "sigmoid": 3, "tanh": 1, "softplus": 4,
    "silu": 4, "gelu": 9,
}  # fmt: skip
DERIVATIVE_FLOPS = {  # the product with dy is one of them
    "identity": 0, "relu": 2, "leaky_relu": 2, "elu": 3, "sigmoid": 3, "tanh": 3, "softplus": 3,
    "silu": 7, "gelu": 17,
}  # fmt: skip


def activation_forward(n: int, activation: str) -> Counts:
    return Counts(n * ACTIVATION_FLOPS[activation], 2 * REAL * n)


def activation_backward(n: int, activation: str) -> Counts:
    return Counts(n * DERIVATIVE_FLOPS[activation], 3 * REAL * n)


LOSS_FLOPS = {"mse": 5, "bce": 14, "l1": 6, "huber": 9}  # value, squared error, gradient, sums


def loss(n: int, name: str) -> Counts:
    """Reads output and target, writes the gradient."""
    return Counts(n * LOSS_FLOPS[name], 3 * REAL * n)


# flops per parameter, and arrays read or written: w twice, the gradient once, each moment twice
UPDATES = {"sgd": (2, 3), "momentum": (4, 5), "nesterov": (6, 5), "adam": (13, 7), "adamw": (15, 7)}


def update(n: int, optimizer: str) -> Counts:
    flops, passes = UPDATES[optimizer]
    return Counts(n * flops, REAL * n * passes)


def clip_by_norm(n: int) -> Counts:
    """Where the norm is within bounds: one pass that reads."""
    return Counts(2 * n, REAL * n)


# flops per number beyond the generator's integers (Box and Muller: 5 and a scale and a shift)
RANDOM = {
    "random_bits": (0, REAL), "random_uniform": (2, REAL), "random_normal": (7, REAL),
    "random_bernoulli": (1, REAL), "add_normal": (7, 2 * REAL), "random_permutation": (0, 8),
}  # fmt: skip


def random(n: int, op: str) -> Counts:
    flops, size = RANDOM[op]
    return Counts(n * flops, n * size)


def gather(batch: int, n_features: int, item: int) -> Counts:
    """Reads the rows, of ``item`` bytes a number, and their positions; writes float32."""
    return Counts(batch * n_features, batch * (n_features * (item + REAL) + 8))


def parameters(layers: Layers) -> int:
    return sum(n_in * n_out + n_out for n_in, n_out in layers)


def step(layers: Layers, batch: int) -> Counts:
    """Forward, dw of all layers, dx of all but the first; parameters and both moments once."""
    work = [batch * n_in * n_out for n_in, n_out in layers]
    flops = 2 * (3 * sum(work) - work[0])
    return Counts(flops, REAL * (6 * parameters(layers) + batch * layers[0][0]))


def epoch(layers: Layers, batch: int, samples: int, item: int) -> Counts:
    """Its steps, the samples read once, ``item`` bytes a number."""
    steps = -(-samples // batch)
    flops = step(layers, 1).flops * samples
    moved = steps * REAL * 6 * parameters(layers) + samples * layers[0][0] * item
    return Counts(flops, moved)
