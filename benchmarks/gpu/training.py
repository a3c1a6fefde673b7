"""A visit's measurements of training: is it right, and how long do a step and an epoch take?

Each part is a generator of rows, except ``check``, which tells whether a backend trains as NumPy
does and twice to the same bits.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.cases import nets
from benchmarks.cases.net_cases import check_step
from benchmarks.contestants import own
from benchmarks.gpu import mnist_race
from benchmarks.gpu.operations import BATCHES, Device, Row
from tests.train.test_backend_training import TOLERANCE, X, curve, make
from tinyae.cli.machine import timing
from tinyae.cli.machine.tune_steps import Step
from tinyae.data.datasets import load_dataset
from tinyae.kernels.cuda.step import KERNEL, StepKernels

STEPS, EPOCHS, BATCH = 40, 10, 128
ADAM = {"output": "sigmoid", "loss": "bce", "optimizer": "adam", "learning_rate": 0.01}


def check(backend: str, matmul: str = "fp32") -> dict[str, Any]:
    """Losses of 40 steps and of 10 epochs of ``fit`` against NumPy's, in units of eps, and two
    epochs of the deep net run twice. What is allowed is derived in the tests."""
    result: dict[str, Any] = {"matmul": matmul, "allowed_eps": TOLERANCE}
    for dtype in ("float32", "float64") if matmul == "fp32" else ("float32",):
        courses = []
        for name, how in (("numpy", "fp32"), (backend, matmul)):
            options = {**ADAM, "dtype": dtype, "matmul": how}
            fitted = make(name, epochs=EPOCHS, **options).fit(X)
            courses.append([*curve(make(name, **options), STEPS), *fitted.history_["loss"]])
        reference, ours = np.array(courses)
        off = np.abs(ours / reference - 1).max() / np.finfo(dtype).eps
        result[f"off_eps_{dtype}"] = round(float(off), 2)
    result["same_bits"] = _trained(backend, matmul) == _trained(backend, matmul)
    offs = [value for name, value in result.items() if name.startswith("off_eps")]
    result["clean"] = bool(result["same_bits"] and max(offs) <= TOLERANCE)
    return result


def _trained(backend: str, matmul: str) -> bytes:
    """The weights and the history after two epochs of the deep net; on cuda-host, where that
    takes minutes, of the small one on a few rows."""
    net, rows = ("small", 2 * BATCH + 1) if backend == "cuda-host" else ("deep", None)
    ae = own.autoencoder(net, batch_size=BATCH, epochs=2, backend=backend, matmul=matmul)
    ae.fit(nets.pixels(BATCH)[:rows])
    weights = b"".join(value.tobytes() for value in ae.parameters().values())
    return weights + np.array(ae.history_["loss"]).tobytes()


def loss_curve(given: argparse.Namespace) -> Iterator[Row]:
    """Losses beside NumPy's, and two runs bit by bit."""
    for matmul in ("fp32", "3xtf32"):
        yield check(given.backend, matmul)


def steps(given: argparse.Namespace) -> Iterator[Row]:
    """A training step as training replays it, with and without a branch for dw."""
    matmuls = ("fp32", "3xtf32")
    device = Device(given.backend)
    batches = BATCHES if given.backend == "cupy" else (3,)
    for net in nets.NETS:
        for batch in batches:
            row: Row = {"net": net, "batch": batch}
            for matmul in matmuls:
                contestant = own.Own(given.backend, matmul)
                runner = type(device.runner())
                for branching in (True, False):
                    runner.branching = branching
                    step = contestant.step(net, batch)
                    step.run()
                    if branching:
                        check_step(net, batch, *step.results(), matmul)
                    step.run()
                    name = matmul + ("" if branching else " without branch")
                    row[name] = device.seconds(step.run, graph=False)
                runner.branching = True
            yield row


def one_launch(given: argparse.Namespace) -> Iterator[Row]:
    """The small net's step as it is replayed, and as one cooperative launch, gathering its samples
    and its bookkeeping included. Both must leave the same bits."""
    device = Device(given.backend)
    runner, memory, timer = device.runner(), None, device.seconds
    if not device.tiny:
        from tinyae.kernels.cuda import memory

        timer = timing.gpu_timer(runner, graph=False)
    for batch in (3,) if device.tiny else (BATCH,):
        seconds, weights = [], []
        for one in (False, True):
            step = Step(runner, memory, own.autoencoder("small"), nets.N_FEATURES, batch)
            network = step.work.network
            if one:
                products = inspect.unwrap(network.backend.dense_forward).__self__
                kernels = StepKernels(runner, products, network.backend.to_device)
                network.backend = replace(network.backend, make_step=kernels.make_step)
            seconds.append(step.seconds({}, timer))
            weights.append(device.to_host(network.parameters.values).tobytes())
        yield {"net": "small", "batch": batch, "replayed": seconds[0], "one launch": seconds[1],
               "blocks": runner.cooperative(*KERNEL, "float32"),
               "clean": weights[0] == weights[1]}  # fmt: skip


# mode -> the contestant that steps so
TORCH = {
    "eager": "torch-eager-gpu", "whole step captured": "torch-eager-gpu",
    "reduce-overhead": "torch-cuda-graphs", "default": "torch-compile-gpu",
}  # fmt: skip


def torch_steps(given: argparse.Namespace) -> Iterator[Row]:
    """The same step in PyTorch: eager, a whole step captured by hand, torch.compile."""
    if not find_spec("torch"):
        yield {"absent": "PyTorch is not installed"}
        return
    from benchmarks.contestants.rival_torch import Torch

    device, rivals = Device("cupy"), []
    for mode, name in TORCH.items():
        # it makes a stream of its own the current one; kept, as PyTorch's memory belongs to streams
        rivals.append(rival := Torch(name))
        captured = mode == "whole step captured"
        for net, batch in itertools.product(nets.NETS, BATCHES):
            row: Row = {"mode": mode, "net": net, "batch": batch}
            try:
                run = rival.step(net, batch, capturable=captured).run
                for _ in range(4):
                    run()
                if captured:
                    run = rival.capture()(run)
                yield row | {"seconds": device.seconds(run, graph=False)}
            except Exception as error:
                yield row | {"error": str(error)[-300:]}


def epochs(given: argparse.Namespace) -> Iterator[Row]:
    """``Autoencoder.fit`` for one epoch of 60,000 uint8 rows, both nets, after a first one."""
    for net in nets.NETS:
        for batch in (128, 1024) if given.backend == "cupy" else (64,):
            shape = (60_000 if given.backend == "cupy" else 130, nets.N_FEATURES)
            X = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            ae = own.autoencoder(net, batch_size=batch, epochs=4, backend=given.backend).fit(X)
            yield {"net": net, "batch": batch, "rows": len(X), "seconds": ae.history_["seconds"],
                   "loss": ae.history_["loss"]}  # fmt: skip


def mnist(given: argparse.Namespace) -> Iterator[Row]:
    """The deep net on MNIST here and in PyTorch, the error on test after each epoch."""
    if not given.mnist.is_dir():
        yield {"absent": f"--mnist {given.mnist} is no folder"}
        return
    data = load_dataset(str(given.mnist))
    n = 12 if given.backend == "cupy" else 1
    for matmul in ("fp32", "3xtf32") if given.backend == "cupy" else ("fp32",):
        yield mnist_race.tinyae(data, given.backend, matmul, n)
    if given.backend == "cupy" and find_spec("torch"):
        yield mnist_race.pytorch(data, True, n)
