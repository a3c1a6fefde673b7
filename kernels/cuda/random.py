"""Launches random.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import feistel_bits
from ..grids import THREADS, Array, blocks, grid_for
from .runner import Runner


class RandomKernels:
    """The random_... operations on a runner."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def random_bits(self, state: Array, out: Array) -> None:
        self._fill("random_bits", "float32", 4, state, out)

    def random_uniform(self, state: Array, low: float, high: float, out: Array) -> None:
        real = out.dtype.type
        per_block = _numbers_per_block(out)
        self._fill("random_uniform", out.dtype.name, per_block, state, out, real(low),
                   real(high - low))  # fmt: skip

    def random_normal(self, state: Array, mean: float, std: float, out: Array) -> None:
        real = out.dtype.type
        per_block = _numbers_per_block(out)
        self._fill("random_normal", out.dtype.name, per_block, state, out, real(mean), real(std))

    def add_normal(self, state: Array, std: Array, x: Array, out: Array) -> None:
        per_block = _numbers_per_block(out)
        self._fill("add_normal", out.dtype.name, per_block, state, out, std, x)

    def random_bernoulli(self, state: Array, probability: float, out: Array) -> None:
        threshold = np.uint64(round(probability * 2**32))
        self._fill("random_bernoulli", out.dtype.name, 4, state, out, threshold)

    def random_permutation(self, state: Array, n: int, start: int, out: Array) -> None:
        if out.size:
            args = (state, np.uint64(n), np.int64(start), np.int32(feistel_bits(n)), out,
                    np.int64(out.size))  # fmt: skip
            self.runner.launch("random.cu", "random_permutation", "float32", grid_for(out.size),
                               THREADS, args)  # fmt: skip

    def _fill(
        self, kernel: str, dtype: str, per_block: int, state: Array, out: Array, *numbers: object
    ) -> None:
        """A thread per Philox block; the kernels of words alone run as float32."""
        if out.size:
            grid = grid_for(blocks(out.size, per_block))
            args = (state, *numbers, out, np.int64(out.size))
            self.runner.launch("random.cu", kernel, dtype, grid, THREADS, args)


def _numbers_per_block(out: Array) -> int:
    return 4 if out.dtype.name == "float32" else 2
