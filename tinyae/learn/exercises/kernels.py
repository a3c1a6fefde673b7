"""Stations 11 and 12: a product of matrices as a kernel, in Numba and in CUDA C."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.cuda.source import kernel_names
from ...kernels.cuda_host.host import CompilerMissing, HostRunner
from .judge import Mistake
from .station import Station, Suspect, normals

Array = NDArray[Any]

BEFORE = -777.0  # what c holds at first
TIMEOUT = 60.0  # seconds
FLAGS = ("-w",)  # no warnings: an argument that is not used yet is none
SUSPECTS = (
    Suspect("unwritten", "c was not written: the kernel fills the array that it is given",
            lambda a, b: {"c": np.full((len(a), b.shape[1]), BEFORE)}),
    Suspect("start", "the sum begins with what was in c: it has to begin at 0",
            lambda a, b: {"c": a @ b + BEFORE}),
    Suspect("last term", "the last term of the sum is missing",
            lambda a, b: {"c": a[:, :-1] @ b[:-1]}),
    Suspect("transposition", "b is read as if its columns were its rows: b[p, j] is at p * n + j",
            lambda a, b: {"c": a @ b.reshape(b.shape[::-1]).T}),
    Suspect("product", "the elements are multiplied one by one: each of c is a sum of k products",
            lambda a, b: {"c": a * b}),
    Suspect("sum", "one product is kept where all are to be summed",
            lambda a, b: {"c": a[:, -1:] @ b[-1:]}),
)  # fmt: skip


def _compiled(path: Path, function: Any) -> Callable[[Array, Array], Array]:
    """Raises Mistake for a function that Numba does not compile."""
    if not hasattr(function, "py_func"):
        raise Mistake("compiled", "this is a Python function still: put @njit above it")

    def product(a: Array, b: Array) -> Array:
        c = np.full((len(a), b.shape[1]), BEFORE)
        function.py_func(a, b, c.copy())  # in Python an index out of bounds is an error
        function(a, b, c)
        return c

    return product


NUMBA = Station(
    number=11,
    title="a product of matrices in Numba",
    theory="""
x @ w is done for you by a library. What does it do? Three loops:

    c[i, j] = sum over p of a[i, p] * b[p, j]          for all i and j

In Python each step of a loop takes much longer than the multiplication in it. Numba compiles the
function to machine code at its first call: that is what @njit asks for. A kernel of tinyae is
written like that: it fills an array that it is given, and allocates none.

How to make it fast from here (a cache, vector registers, threads): kernels/cpu/product/ladder.py.

    a (m, k)    b (k, n)    c (m, n): filled, whatever was in it; nothing is returned
""",
    function="product",
    outputs=("c",),
    cases=lambda: [tuple(normals((4, 4), (4, 4))), tuple(normals((5, 3), (3, 2), seed=1)),
                   tuple(normals((2, 6), (6, 7), seed=2))],
    reference=lambda a, b: {"c": a @ b},
    home="kernels/cpu/product/ladder.py, naive to with_threads; kernels/cpu/product/matmul.py",
    suspects=SUSPECTS,
    source="numba_product.py",
    adapt=_compiled,
)  # fmt: skip


def _on_host(path: Path, source: Any) -> Callable[[Array, Array], Array]:
    """The kernel ``product`` of a .cu file, compiled for the CPU.

    Raises Mistake where it is not there or does not compile, CompilerMissing without a compiler.
    """
    names = kernel_names(path.read_text(encoding="utf-8"))
    if names != ["product"]:
        raise Mistake("kernel", 'the file must have one kernel, extern "C" __global__ void '
                      f"product(...), got {', '.join(names) or 'none'}")  # fmt: skip
    try:
        HostRunner(FLAGS).library(str(path.resolve()), "float64")
    except CompilerMissing as error:
        raise CompilerMissing(f"exercise 12 runs CUDA C on the CPU: {error}") from None
    except RuntimeError as error:
        said = str(error).replace(str(path.resolve()), path.name)
        lines = [line for line in said.splitlines() if "error:" in line]
        raise Mistake("compile", "; ".join(lines[:3]) or said) from None

    def product(a: Array, b: Array) -> Array:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder) / "given.npz", Path(folder) / "c.npy"
            np.savez(given, a=a, b=b)
            # in a process of its own, which a wrong index may end
            command = [sys.executable, "-m", "tinyae.learn.exercises.on_host", str(path.resolve()),
                       str(given), str(made)]  # fmt: skip
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False,
                                      timeout=TIMEOUT)  # fmt: skip
            except subprocess.TimeoutExpired:
                raise Mistake("endless", f"the kernel has not ended in {TIMEOUT:g} s") from None
            if done.returncode < 0:
                raise Mistake("bounds", "the kernel ended its process: an index lies outside of an "
                              "array")  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            c: Array = np.load(made)
        if c.shape != (len(a), b.shape[1]):
            raise Mistake("bounds", "the kernel wrote outside of c: threads whose row >= m or "
                          "column >= n have nothing to do")  # fmt: skip
        if np.isnan(c).any():
            raise Mistake(
                "bounds", "the kernel read outside of a or b: what lies there is NaN here"
            )
        return c

    return product


CUDA = Station(
    number=12,
    title="a product of matrices in CUDA C",
    theory="""
On a GPU the two outer loops are gone: thousands of threads run the same function, and each works
out which element of c is its own. They come in blocks, here of 16 x 16 threads:

    column = blockIdx.x * blockDim.x + threadIdx.x
    row    = blockIdx.y * blockDim.y + threadIdx.y

The grid has as many blocks as it takes to cover c, so at the edges there are threads to spare:
those with row >= m or column >= n must do nothing. Arrays are flat: element (i, j) of a matrix
with n columns is at i * n + j. Neighbouring threads take neighbouring columns, whose elements of
b lie side by side in memory. REAL is float or double. It runs on the CPU (cuda-host): no GPU.

    a (m, k)    b (k, n)    c (m, n): filled    and on: kernels/cuda/c/dense/matmul_ladder.cu
""",
    function="product",
    outputs=("c",),
    cases=lambda: [tuple(normals((16, 16), (16, 16))), tuple(normals((5, 3), (3, 18), seed=1)),
                   tuple(normals((19, 7), (7, 2), seed=2))],
    reference=lambda a, b: {"c": a @ b},
    home="kernels/cuda/c/dense/matmul_ladder.cu, all rungs; kernels/cuda/c/dense/dense_product.cuh",
    suspects=SUSPECTS,
    source="product.cu",
    adapt=_on_host,
)  # fmt: skip
