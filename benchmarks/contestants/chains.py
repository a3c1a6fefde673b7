"""A trained net in other hands than tinyae's: by hand with NumPy, exported, in ONNX Runtime."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import nets
from benchmarks.cases.latency_cases import layers_of
from benchmarks.contestants.loaded import Loaded
from benchmarks.contestants.own import trained
from benchmarks.contestants.rival_blas import blas_threads
from tinyae.export.chain import rounded

Array = NDArray[Any]

FLAGS = ("-std=c99", "-O3", "-march=native")
PROGRAM = """
#include "net.h"

#define ROWS(op, n_in, n_out) \\
void op(const float *x, float *y, float *scratch, long n) { \\
    for (long i = 0; i < n; i++) net_##op(x + i * (n_in), y + i * (n_out), scratch); \\
}
ROWS(encode, NET_FEATURES, NET_CODE)
ROWS(reconstruct, NET_FEATURES, NET_FEATURES)
const long scratch_bytes = NET_SCRATCH;
"""


def load(name: str) -> Loaded:
    quantize = "int8" if name.endswith("int8") else None
    threads = 1 if name.endswith("one-thread") else None
    return {
        "by-hand": ByHand, "export-numpy": ExportNumPy,
        "export-c": partial(ExportC, quantize), "onnxruntime": partial(OnnxRuntime, threads),
    }[name.removesuffix("-int8").removesuffix("-one-thread")]()  # fmt: skip


class ByHand(Loaded):
    """As one would write it."""

    def threads(self) -> int | None:
        return blas_threads()

    def chain(self, op: str, net: str, x: Array) -> Callable[[], Array]:
        count = layers_of(op, net)
        layers, names = self.weights(net)[:count], nets.activations(net)[:count]

        def call() -> Array:
            y = x
            for (w, b), name in zip(layers, names, strict=True):
                y = y @ w + b
                if name == "relu":
                    y = np.maximum(y, 0)
            return y if op == "encode" else 1 / (1 + np.exp(-y))

        return call


class ExportNumPy(ByHand):
    def chain(self, op: str, net: str, x: Array) -> Callable[[], Array]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.py")
            trained(net).export(path)
            spec = importlib.util.spec_from_file_location("net", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return partial(getattr(module, op), x)


class ExportC(Loaded):
    """One sample after the other, called through ctypes, which takes a third of a microsecond."""

    note = " ".join(FLAGS)

    def __init__(self, quantize: str | None) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("no C compiler (cc): install gcc or clang")
        self._compiler, self._quantize = compiler, quantize
        self._libraries: dict[str, ctypes.CDLL] = {}

    def threads(self) -> int | None:
        return 1

    def weights(self, net: str) -> list[tuple[Any, Any]]:
        if self._quantize is None:
            return super().weights(net)
        values = list(rounded(trained(net), self._quantize).parameters().values())
        return list(zip(values[::2], values[1::2], strict=True))

    def _library(self, net: str) -> ctypes.CDLL:
        """Compiled once: the deep net's header takes a minute."""
        if net not in self._libraries:
            with tempfile.TemporaryDirectory() as folder:
                trained(net).export(Path(folder, "net.h"), quantize=self._quantize)
                Path(folder, "net.c").write_text(PROGRAM, encoding="utf-8")
                shared = ("-shared", "-fPIC", "-o", "net.so", "net.c", "-lm")
                subprocess.run([self._compiler, *FLAGS, *shared], cwd=folder, check=True)
                self._libraries[net] = ctypes.CDLL(str(Path(folder, "net.so")))
        return self._libraries[net]

    def chain(self, op: str, net: str, x: Array) -> Callable[[], Array]:
        library = self._library(net)
        run, n_bytes = library[op], ctypes.c_long.in_dll(library, "scratch_bytes").value
        y = np.empty((len(x), nets.layers(net)[layers_of(op, net) - 1][1]), np.float32)
        scratch = np.empty(n_bytes, np.uint8)
        arguments = (*(ctypes.c_void_p(a.ctypes.data) for a in (x, y, scratch)),
                     ctypes.c_long(len(x)))  # fmt: skip

        def call(_: Array = scratch) -> Array:  # which it keeps alive
            run(*arguments)
            return y

        return call


class OnnxRuntime(Loaded):
    """``threads``: None is as many as it takes."""

    note = "the net that tinyae exports"

    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def threads(self) -> int | None:
        return self._threads or len(os.sched_getaffinity(0))

    def chain(self, op: str, net: str, x: Array) -> Callable[[], Array]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.onnx")
            # it would compute the reconstruction too, whichever output is asked for
            trained(net).export(path, part="encoder" if op == "encode" else "all")
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        name = "code" if op == "encode" else "reconstruction"

        def call() -> Array:
            (result,) = session.run([name], {"x": x})
            return np.asarray(result)

        return call
