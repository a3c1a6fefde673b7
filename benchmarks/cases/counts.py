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


Layers = Sequence[tuple[int, int]]  # (n_in, n_out) of each


def matmul(m: int, k: int, n: int) -> Counts:
    """c (m, n) = a (m, k) @ b (k, n)"""
    return Counts(2 * m * k * n, REAL * (m * k + k * n + m * n))


def dense_forward(batch: int, n_in: int, n_out: int) -> Counts:
    return matmul(batch, n_in, n_out) + Counts(0, REAL * n_out)


def dense_backward_input(batch: int, n_in: int, n_out: int) -> Counts:
    """Reads dz, w and ``saved``, writes dx."""
    return matmul(batch, n_out, n_in) + Counts(0, REAL * batch * n_in)


def dense_backward_weights(batch: int, n_in: int, n_out: int) -> Counts:
    """Reads x and dz, writes dw and db."""
    return matmul(n_in, batch, n_out) + Counts(0, REAL * n_out)


# Flops of each number, as the formulas in kernels/reference/ have them, and how often an array of
# them is read or written.
ELEMENTWISE = {
    "identity": (0, 2), "relu": (1, 2), "leaky_relu": (2, 2), "elu": (2, 2), "sigmoid": (3, 2),
    "tanh": (1, 2), "softplus": (4, 2), "silu": (4, 2), "gelu": (9, 2),
    # the product with dy is one of them
    "identity backward": (0, 3), "relu backward": (2, 3), "leaky_relu backward": (2, 3),
    "elu backward": (3, 3), "sigmoid backward": (3, 3), "tanh backward": (3, 3),
    "softplus backward": (3, 3), "silu backward": (7, 3), "gelu backward": (17, 3),
    # value, squared error, gradient, sums; output and target are read, the gradient is written
    "mse": (5, 3), "bce": (14, 3), "l1": (6, 3), "huber": (9, 3),
    "fill": (1, 2),
    "softmax_loss": (8, 3),  # of its groups' columns: largest, exp, two sums, value, gradient
    "activation_curvature": (10, 3),  # of silu; the product with dy is one of them
    "inner_product": (2, 3),
    "add": (1, 3),
    "normal_divergence": (7, 2),  # of means and log-variances together: half of them have an exp
    # comparisons with a pivot, some three times, and with the least; x, y, dropped
    "top_k": (5, 3),
    "activity_penalty": (2, 2),  # a sum, or absolute values and signs
    # w twice, the gradient once, each moment twice
    "sgd": (2, 3), "momentum": (4, 5), "nesterov": (6, 5), "adam": (13, 7), "adamw": (15, 7),
    "unit_rows": (3, 3),  # w twice read, once written
    "clip_by_norm": (2, 1),  # where the norm is within bounds: one pass that reads
    # beyond the generator's integers (Box and Muller: 5 and a scale and a shift)
    "random_bits": (0, 1), "random_uniform": (2, 1), "random_normal": (7, 1),
    "sample_normal": (9, 3), "sample_normal_backward": (5, 7),  # of a sample: it has two in x
    "random_bernoulli": (1, 1), "add_normal": (7, 2), "random_permutation": (0, 2),  # of int64
}  # fmt: skip


def elementwise(n: int, op: str) -> Counts:
    flops, passes = ELEMENTWISE[op]
    return Counts(n * flops, REAL * n * passes)


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
