"""The matrix products alone: NumPy's BLAS on the CPU, cuBLAS through CuPy on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.cases import nets
from benchmarks.cases.cases import data_rng
from benchmarks.cases.dense_cases import layer_cases
from benchmarks.contestants.contestants import CONTESTANTS
from benchmarks.contestants.loaded import Loaded
from benchmarks.timing import Call


def load(name: str) -> Blas:
    return CuBlas(CONTESTANTS[name].matmul) if name != "blas" else Blas()


def blas_pools() -> list[dict[str, Any]]:
    """Of NumPy's BLAS, and nothing else's."""
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def blas_threads() -> int | None:
    return max((pool["num_threads"] for pool in blas_pools()), default=None)


class Blas(Loaded):
    bare = True
    multiply: Callable[..., Any] = staticmethod(np.matmul)

    def __init__(self) -> None:
        names = {f"{p['internal_api']} {p['version'] or ''}".strip() for p in blas_pools()}
        self.note = f"np.matmul alone, {', '.join(sorted(names)) or 'unknown BLAS'}"

    def threads(self) -> int | None:
        return blas_threads() if self.device == "cpu" else None

    def op(self, name: str) -> Callable[..., Any]:
        matmul = self.multiply
        products: dict[str, Callable[..., Any]] = {
            "dense_forward": lambda x, w, y, **_: matmul(x, w, out=y),
            "dense_backward_input": lambda dz, w, dx, **_: matmul(dz, w.T, out=dx),
            "dense_backward_weights": lambda x, dz, dw, **_: matmul(x.T, dz, out=dw),
        }
        # on the ladder, where it stands under its own name
        return products.get(name, lambda a, b, c: matmul(a, b, out=c))

    def part(self, op: str, net: str, batch: int) -> tuple[Call, Call]:
        """One product for each layer, of the shapes of a step."""
        first = 1 if op == "dense_backward_input" else 0
        cases = [case for n_in, n_out in nets.layers(net)[first:]
                 for case in layer_cases(batch, n_in, n_out, "identity", "identity")
                 if case.op == op]  # fmt: skip
        prepared = [self.prepared(case, data_rng(), sets=1) for case in cases]

        def part() -> None:
            for (call,), _ in prepared:
                call()

        def check() -> None:
            for _, check_layer in prepared:
                check_layer()

        return part, check


class CuBlas(Blas):
    """Not through a graph: CuPy records no cuBLAS calls."""

    device = "gpu"

    def __init__(self, matmul: str = "fp32") -> None:
        import cupy

        self.cuda, self._cupy, self.multiply = cupy.cuda, cupy, cupy.matmul
        self.matmul = matmul
        tf32 = "TF32" if matmul == "tf32" else "TF32 off"
        self.note = f"cupy.matmul alone, {tf32}; no graph, so below 20 us launches are measured"
        if matmul == "tf32" and int(cupy.cuda.Device().compute_capability) < 80:
            raise RuntimeError("TF32 needs compute capability 8.0 or newer")
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.use()

    def op(self, name: str) -> Callable[..., Any]:
        """CuPy has one mode for all of a process, and takes it from CUPY_TF32 unless it is set."""
        from cupy._core import _routines_linalg as linalg

        tf32 = self.matmul == "tf32"
        mode = linalg.COMPUTE_TYPE_TF32 if tf32 else linalg.COMPUTE_TYPE_DEFAULT
        linalg.set_compute_type(np.float32, mode)
        return super().op(name)

    def to_device(self, host: Any) -> Any:
        return self._cupy.array(host, order="C")

    def to_host(self, array: Any) -> Any:
        return self._cupy.asnumpy(array)

    def synchronize(self) -> None:
        self.cuda.get_current_stream().synchronize()
