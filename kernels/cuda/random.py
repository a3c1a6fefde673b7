"""Launches random.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import feistel_bits
from ..grids import THREADS, Array, blocks, grid_for
from .runner import Runner


class RandomKernels:
    """The random_... operations and those of normals on a runner.

    A pass takes ``most`` blocks at most, else as many as the GPU holds.
    """

    def __init__(self, runner: Runner, most: int | None = None) -> None:
        self.runner, self.most = runner, most

    def random_bits(self, state: Array, out: Array) -> None:
        self._fill("random_bits", out, state, per_block=4)

    def random_uniform(self, state: Array, low: float, high: float, out: Array) -> None:
        real = out.dtype.type
        self._fill("random_uniform", out, state, real(low), real(high - low))

    def random_normal(self, state: Array, mean: float, std: float, out: Array) -> None:
        real = out.dtype.type
        self._fill("random_normal", out, state, real(mean), real(std))

    def add_normal(self, state: Array, std: Array, x: Array, out: Array) -> None:
        self._fill("add_normal", out, state, std, x)

    def sample_normal(self, state: Array | None, x: Array, y: Array) -> None:
        code = np.int32(y.shape[1])
        if state is None:
            self._each("take_means", y, x, code, y)
        else:
            self._fill("sample_normal", y, state, x, code)

    def sample_normal_backward(self, x: Array, y: Array, dy: Array, dx: Array) -> None:
        self._each("sample_normal_backward", y, x, np.int32(y.shape[1]), y, dy, dx)

    def random_bernoulli(self, state: Array, probability: float, out: Array) -> None:
        threshold = np.uint64(round(probability * 2**32))
        self._fill("random_bernoulli", out, state, threshold, per_block=4)

    def random_permutation(self, state: Array, n: int, start: int, out: Array) -> None:
        if out.size:
            args = (state, np.uint64(n), np.int64(start), np.int32(feistel_bits(n)), out,
                    np.int64(out.size))  # fmt: skip
            self._launch("random_permutation", "float32", out.size, args)

    def _each(self, kernel: str, y: Array, *args: object) -> None:
        """A pass over all elements of y."""
        if y.size:
            self._launch(kernel, y.dtype.name, y.size, (*args, np.int64(y.size)))

    def _fill(self, kernel: str, out: Array, *args: object, per_block: int = 0) -> None:
        """A thread per Philox block of 16 bytes, or of ``per_block`` numbers that take a word each;
        the kernel of words alone runs as float32."""
        if out.size:
            dtype = "float32" if out.dtype.name == "uint32" else out.dtype.name
            items = blocks(out.size, per_block or 16 // out.dtype.itemsize)
            self._launch(kernel, dtype, items, (*args, out, np.int64(out.size)))

    def _launch(self, kernel: str, dtype: str, items: int, args: tuple[object, ...]) -> None:
        launched = ("random.cu", kernel, dtype)
        grid = grid_for(items, self.most or self.runner.resident(*launched))
        self.runner.launch(*launched, grid, THREADS, args)
