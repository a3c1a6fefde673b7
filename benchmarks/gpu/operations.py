"""A visit's measurements of single operations: products, every tile of them, and memory traffic.

Each part is a generator of rows. Times are medians of CUDA events around queued launches.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

from benchmarks import gpu_timing
from benchmarks.cases import counts, nets
from benchmarks.cases.cases import GROUPS
from benchmarks.contestants import own
from tinyae.cli.machine import timing
from tinyae.cli.machine import tune as tuning
from tinyae.cli.machine.tune_steps import Step
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda.plan import TILES, Plan, Problem, choose

Row = dict[str, Any]
BATCHES = (128, 1024, 8192)
KERNELS = GROUPS["dense"]
LAUNCHES, REPLAYS = 20, 9


class Device(own.Own):
    """A backend, what runs its kernels, and how launches on it are timed."""

    @property
    def tiny(self) -> bool:
        """A rehearsal on the CPU."""
        return bool(self.backend.host)

    def runner(self) -> Any:
        if self.tiny:
            from tinyae.kernels.cuda_host.host import HostRunner

            return HostRunner()
        from tinyae.kernels.cuda.device import DeviceRunner

        return DeviceRunner()

    def seconds(self, call: Callable[[], None], graph: bool = True, calls: int = LAUNCHES) -> float:
        """Of one call among many that are queued, the median; with ``graph`` they are replayed."""
        if self.tiny:
            started = time.perf_counter()
            call()
            return time.perf_counter() - started
        for _ in range(2):
            call()

        def many() -> None:
            for _ in range(calls):
                call()

        work = gpu_timing.captured(self.cuda)(many) if graph else many
        times = []
        for _ in range(REPLAYS + 1):
            start, stop = self.cuda.Event(), self.cuda.Event()
            start.record()
            work()
            stop.record()
            stop.synchronize()
            times.append(self.cuda.get_elapsed_time(start, stop) * 1e-3 / calls)
        return median(times[1:])


def products(given: argparse.Namespace) -> Iterator[Row]:
    """The three products of the dense layer at 4096^3, every tile, beside cuBLAS."""
    n = 70 if given.backend != "cupy" else 4096
    for matmul in ("fp32", "3xtf32", "tf32"):
        yield from _products(given, matmul, [(k, n, n, n) for k in KERNELS], True)


def shapes(given: argparse.Namespace) -> Iterator[Row]:
    """The products of the nets' own layers: every tile and several splits, beside cuBLAS."""
    for batch in BATCHES if given.backend == "cupy" else (3,):
        wanted = [p[2:] for net in nets.NETS for p in tuning.problems(nets.layers(net), [batch])]
        for matmul in ("fp32", "3xtf32"):
            chosen = list(dict.fromkeys(wanted))[: None if given.backend == "cupy" else 2]
            yield from _products(given, matmul, chosen, False)


def tune(given: argparse.Namespace) -> Iterator[Row]:
    """A training step with the plans that `tinyae tune` keeps for it, beside one without."""
    device = Device(given.backend)
    runner, memory = device.runner(), None
    alone = in_steps = device.seconds
    if not device.tiny:
        from tinyae.kernels.cuda import memory

        alone, in_steps = timing.gpu_timer(runner), timing.gpu_timer(runner, graph=False)
    for net in ("small",) if device.tiny else nets.NETS:
        for batch in (3,) if device.tiny else BATCHES:
            problems = tuning.problems(nets.layers(net), [batch])
            found = [tuning.tune(runner, device.backend, p, alone) for p in problems]
            step = Step(runner, memory, own.autoencoder(net), nets.N_FEATURES, batch)
            chosen = tuning.in_step(step, found, in_steps, lambda i, n: None)
            other = {"/".join(map(str, one.problem[2:])): list(chosen.plans[one.problem])
                     for one in found if chosen.plans[one.problem] != one.usual}  # fmt: skip
            yield {"net": net, "batch": batch, "usual": chosen.usual_seconds,
                   "tuned": chosen.seconds, "plans": other}  # fmt: skip


def _products(
    given: argparse.Namespace, matmul: str, wanted: list[tuple[str, int, int, int]], square: bool
) -> Iterator[Row]:
    device = Device(given.backend, matmul)
    runner = device.runner()
    for kernel, m, n, k in wanted:
        problem = Problem(matmul, "float32", kernel, m, n, k)
        arguments, check = tuning._call(problem, np.random.default_rng(0))
        there = device._moved(arguments)
        usual = choose(m, n, k)
        plans = [Plan(*tile, 1) for tile in TILES] if square else tuning.candidates(problem)
        plans = list(dict.fromkeys([usual, *plans]))[: 2 if device.tiny else None]
        row = {"matmul": matmul, "kernel": kernel, "m": m, "n": n, "k": k, "usual": list(usual)}
        times = {}
        for plan in plans:
            op = getattr(DenseKernels(runner, matmul=matmul, plans={problem: plan}), kernel)
            op(**there)
            try:
                check({name: device.to_host(there[name]) for name in ("y", "dx", "dw")
                       if name in there})  # fmt: skip
            except tuning.WrongResult as error:
                yield row | {"plan": list(plan), "wrong": str(error)}
                continue
            calls = 3 if m * n * k > 1e9 else LAUNCHES
            times["x".join(map(str, plan))] = device.seconds(lambda: op(**there), calls=calls)  # noqa: B023
        if not device.tiny and matmul != "3xtf32" and m * n * k > 1e9:  # or CuPy's launch is timed
            row["cublas"] = _cublas(device, kernel, there, matmul, 3)
        best = min(times, key=times.__getitem__) if times else None
        flops = 2.0 * m * n * k
        yield row | {"times": times, "best": best,
                     "tflops": flops / times[best] / 1e12 if best else None}  # fmt: skip


def _cublas(device: Device, kernel: str, there: Row, matmul: str, calls: int) -> float:
    """The bare product by cuBLAS, as CuPy calls it; in TF32 where ``matmul`` says so."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    a, b, out = {
        "dense_forward": lambda: (there["x"], there["w"], there["y"]),
        "dense_backward_input": lambda: (there["dz"], there["w"].T, there["dx"]),
        "dense_backward_weights": lambda: (there["x"].T, there["dz"], there["dw"]),
    }[kernel]()
    handle = cupy.cuda.device.get_cublas_handle()
    before = cublas.getMathMode(handle)
    cublas.setMathMode(handle, 3 if matmul == "tf32" else 0)  # CUBLAS_TF32_TENSOR_OP_MATH
    try:
        return device.seconds(lambda: cupy.matmul(a, b, out=out), graph=False, calls=calls)
    finally:
        cublas.setMathMode(handle, before)


def kernels(given: argparse.Namespace) -> Iterator[Row]:
    """Each operation of a step by itself, in bytes a second, beside the largest copy."""
    device = Device(given.backend)
    if not device.tiny:
        yield _copy(device)
    for n in (1 << 12,) if device.tiny else (counts.parameters(nets.layers("deep")), 1 << 27):
        yield from _updates(device, n)
    for batch in (3,) if device.tiny else (*BATCHES, 131072):
        yield from _of_batch(device, batch)


def _traffic(op: str, seconds: float, moved: float, **about: Any) -> Row:
    return {"op": op, **about, "seconds": seconds, "tb_per_second": moved / seconds / 1e12}


def _copy(device: Device) -> Row:
    import cupy

    big, other = cupy.zeros(1 << 29, np.float32), cupy.empty(1 << 29, np.float32)
    seconds = device.seconds(lambda: cupy.copyto(other, big), graph=False, calls=3)
    return _traffic("copy", seconds, 2 * big.nbytes, bytes=2 * big.nbytes)


def _updates(device: Device, n: int) -> Iterator[Row]:
    rng, adam = np.random.default_rng(0), device.op("adam")
    hyper = device.to_device(np.array([1e-3, 0, 0.9, 0.9, 0.999, 1e-8, 0.1, 0.001]))
    guard, norm = device.to_device(np.zeros(2)), device.to_device(np.zeros(1))
    w, g, m, v = (device.to_device(rng.random(n, np.float32)) for _ in range(4))
    arrays = {"w": w, "grad": g, "m": m, "v": v, "hyper": hyper, "n_decayed": n, "guard": guard}
    for op, call in (
        ("adam", lambda: adam(**arrays)),
        ("clip_by_norm", lambda: device.backend.clip_by_norm(g, 1e9, norm)),
    ):
        yield _traffic(op, device.seconds(call), counts.elementwise(n, op).bytes, n=n)


def _of_batch(device: Device, batch: int) -> Iterator[Row]:
    rng, ops, there = np.random.default_rng(0), device.backend, device.to_device
    shape = (batch, nets.N_FEATURES)
    n = math.prod(shape)
    data = there(rng.integers(0, 256, shape, dtype=np.uint8))
    order = there(rng.permutation(batch))
    x, y, dz = (there(rng.random(shape, np.float32)) for _ in range(3))
    totals, std = there(np.zeros(2)), there(np.full(1, 0.1))
    state, words = there(np.array([1, 2, 3, 4], np.uint32)), there(np.zeros(shape, np.uint32))
    for op, moved, call in (
        ("gather", 5 * n, lambda: ops.gather(data, order, 1 / 255, x)),
        ("loss bce", 12 * n, lambda: ops.loss("bce", y, x, dz, totals)),
        ("loss mse", 12 * n, lambda: ops.loss("mse", y, x, dz, totals)),
        ("relu", 8 * n, lambda: ops.activation_forward(y, "relu", dz)),
        ("gelu", 8 * n, lambda: ops.activation_forward(y, "gelu", dz)),
        ("relu backward", 12 * n, lambda: ops.activation_backward(y, "relu", x, dz)),
        ("add_normal", 8 * n, lambda: ops.add_normal(state, std, x, dz)),
        ("random_bits", 4 * n, lambda: ops.random_bits(state, words)),
    ):
        try:
            yield _traffic(op, device.seconds(call), moved, batch=batch)
        except Exception as error:
            yield {"op": op, "batch": batch, "error": str(error)[-300:]}
