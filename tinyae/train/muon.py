"""Muon: each weight matrix moves by the orthogonal matrix nearest to its momentum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.backend import Array, Backend
from ..kernels.conventions import Hyper
from ..net.parameters import Parameters
from .optimizers import Optimizer

# Of p(x) = a x + b x^3 + c x^5, which the iteration applies to all singular values (Jordan et al.
# 2024): steep at 0, and [0.7, 1.2] stays near itself.
COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
LARGE = 2.0**63  # norms above its inverse become 1; smaller ones are those of a dead matrix
RMS = 0.2  # of the numbers of an orthogonal matrix after scaling: about that of Adam's step


class Muon(Optimizer):
    """Weight matrices by muon (Jordan et al. 2024), biases by adam.

    With the momentum m = mu m + g and d = g + mu m, w (n_in, n_out) goes down by
    lr (0.2 sqrt(max(n_in, n_out)) o + decay w), where o is d with singular values near 1: five
    Newton-Schulz iterations x = a x + b (x x^T) x + c (x x^T)^2 x from x = d / |d|. The factor
    makes the step about as long as Adam's, so that learning rates are alike (Liu et al. 2025).

    All by operations that every backend has; one update of w costs 15 products of matrices.
    """

    def __init__(self, parameters: Parameters, name: str = "muon", **numbers: Any) -> None:
        super().__init__(parameters, name, **numbers)
        ops, dtype = parameters.backend, parameters.dtype
        shapes = [shape for shape in parameters.shapes.values() if len(shape) == 2]
        most, least = max(map(math.prod, shapes)), max(map(min, shapes)) ** 2
        self._x, self._y = ops.empty((most,), dtype), ops.empty((most,), dtype)
        self._square, self._polynomial = ops.empty((least,), dtype), ops.empty((least,), dtype)
        self._unread = ops.empty((max(map(max, shapes)),), dtype)
        self._zeros = ops.to_device(np.zeros(self._unread.shape, dtype))
        self._add_momentum = self._sum(self.momentum, momentum=self.momentum)
        self._add_large = self._sum(LARGE)
        # of each shape and iteration; the last one scales
        self._sums = {
            shape: [
                self._polynomials(RMS * math.sqrt(max(shape)) if i == ITERATIONS - 1 else 1.0)
                for i in range(ITERATIONS)
            ]
            for shape in set(shapes)
        }

    def _polynomials(self, scale: float) -> tuple[Array, Array]:
        """For x^2 -> scale (c x^2 + b x) and x^3 -> x^3 + scale a x."""
        a, b, c = (scale * coefficient for coefficient in COEFFICIENTS)
        return self._sum(b, keep=c), self._sum(a)

    def _sum(self, factor: float, keep: float = 1.0, momentum: float = 0.0) -> Array:
        """``HYPER`` with which sgd makes w = keep w + factor grad of weights that decay."""
        decay = 0.0 if keep == 1 else (keep - 1) / factor
        numbers = Hyper(-factor, decay, momentum, 0.0, 0.0, 1.0, 1.0, 1.0)
        return self.parameters.backend.to_device(np.array(numbers))

    def _step(self, ops: Backend, hyper: Array, guard: Array) -> None:
        p = self.parameters
        m, v = self.moments["m"], self.moments["v"]
        first = 0
        for shape in p.shapes.values():
            if len(shape) == 2:
                part = slice(first, first + math.prod(shape))
                first = part.stop
                d = self._direction(ops, p.gradients[part], m[part], shape, guard)
                ops.update("sgd", p.values[part], d, (), hyper, d.size, guard)
        biases = slice(p.n_weights, None)
        ops.update(
            "adam", p.values[biases], p.gradients[biases], (m[biases], v[biases]), hyper, 0, guard
        )

    def _direction(
        self, ops: Backend, gradient: Array, m: Array, shape: tuple[int, ...], guard: Array
    ) -> Array:
        """(n_in n_out,), the scaled orthogonal matrix; m is advanced."""
        n, side = gradient.size, min(shape)
        tall = shape[0] > shape[1]
        flat, other = self._x[:n], self._y[:n]
        row = (1, n)
        ops.activation_forward(gradient.reshape(row), "identity", flat.reshape(row))  # a copy
        ops.update("momentum", flat, gradient, (m,), self._add_momentum, 0, guard)
        ops.activation_forward(flat.reshape(row), "identity", other.reshape(row))
        ops.update("sgd", other, flat, (), self._add_large, 0, guard)
        ops.clip_by_norm(other, 1.0, self._norm)
        flat, other = other, flat
        square, polynomial = self._square[: side * side], self._polynomial[: side * side]
        s, q = square.reshape((side, side)), polynomial.reshape((side, side))
        zeros, unread = self._zeros[:side], self._unread[: shape[1]]
        for quadratic, linear in self._sums[shape]:
            x, y = flat.reshape(shape), other.reshape(shape)
            if tall:
                ops.dense_backward_weights(x, x, s, unread)
                if ops.recorder is not None:
                    ops.recorder.join()
            else:
                ops.dense_backward_input(x, x, "identity", s, s)
            ops.dense_forward(s, s, zeros, "identity", q, None)
            ops.update("sgd", polynomial, square, (), quadratic, side * side, guard)
            if tall:
                ops.dense_forward(x, q, zeros, "identity", y, None)
            else:
                ops.dense_forward(q, x, self._zeros[: shape[1]], "identity", y, None)
            ops.update("sgd", other, flat, (), linear, 0, guard)
            flat, other = other, flat
        return flat
