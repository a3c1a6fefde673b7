"""A visit's measurements of training: is it right, and how long do a step and an epoch take?

Each part is a generator of rows, except ``check``, which tells whether a backend trains as NumPy
does and twice to the same bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cases import nets
from benchmarks.cases.net_cases import check_step
from benchmarks.contestants import own
from benchmarks.gpu import mnist_race
from benchmarks.gpu.operations import BATCHES, Device, Row
from tests.train.test_backend_training import TOLERANCE, X, curve, make
from tinyae import Autoencoder
from tinyae.data.datasets import load_dataset

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
    """The weights and the history after two epochs of the deep net."""
    *hidden, code = nets.NETS["deep"]
    ae = Autoencoder(hidden=hidden, code=code, batch_size=BATCH, epochs=2, random_state=0,
                     backend=backend, matmul=matmul).fit(nets.pixels(BATCH))  # fmt: skip
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


def torch_steps(given: argparse.Namespace) -> Iterator[Row]:
    """The same step in PyTorch: eager, a whole step captured by hand, torch.compile."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    device = Device("cupy")
    stream = torch.cuda.ExternalStream(device.stream.ptr)
    torch.cuda.set_stream(stream)

    def made(net: str, batch: int, **adam: Any) -> tuple[Any, Any, Any]:
        layers: list[Any] = []
        for (w, b), name in zip(nets.weights(net), nets.activations(net), strict=True):
            linear = torch.nn.Linear(*w.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w.T.copy()))
                linear.bias.copy_(torch.from_numpy(b))
            layers += [linear, torch.nn.ReLU()] if name == "relu" else [linear]
        model = torch.nn.Sequential(*layers).cuda()
        optimizer = torch.optim.Adam(model.parameters(), lr=nets.LEARNING_RATE, fused=True, **adam)
        return model, optimizer, torch.from_numpy(nets.batch_of(batch)).cuda()

    def loss_of(model: Any, x: Any) -> Any:
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        return bce(model(x), x, reduction="sum") / len(x)

    for mode in ("eager", "whole step captured", "reduce-overhead", "default"):
        for net in nets.NETS:
            for batch in BATCHES:
                model, optimizer, x = made(net, batch, capturable="captured" in mode)
                loss = loss_of
                if mode in ("reduce-overhead", "default"):
                    torch._dynamo.reset()
                    loss = torch.compile(loss_of, dynamic=False, mode=mode)

                def step() -> None:
                    if mode == "reduce-overhead":  # noqa: B023
                        torch.compiler.cudagraph_mark_step_begin()
                    optimizer.zero_grad(set_to_none=True)  # noqa: B023
                    loss(model, x).backward()  # noqa: B023
                    optimizer.step()  # noqa: B023

                try:
                    for _ in range(4):
                        step()
                    run = step
                    if "captured" in mode:
                        graph = torch.cuda.CUDAGraph()
                        optimizer.zero_grad(set_to_none=True)
                        with torch.cuda.graph(graph, stream=stream):
                            step()
                        run = graph.replay
                    yield {"mode": mode, "net": net, "batch": batch,
                           "seconds": device.seconds(run, graph=False)}  # fmt: skip
                except Exception as error:
                    yield {"mode": mode, "net": net, "batch": batch, "error": str(error)[-300:]}


def epochs(given: argparse.Namespace) -> Iterator[Row]:
    """``Autoencoder.fit`` for one epoch of 60,000 uint8 rows, both nets, after a first one."""
    for net in nets.NETS:
        for batch in (128, 1024) if given.backend == "cupy" else (64,):
            *hidden, code = nets.NETS[net]
            X = np.random.default_rng(0).integers(
                0, 256, (60_000 if given.backend == "cupy" else 130, 784), dtype=np.uint8
            )
            ae = Autoencoder(hidden=hidden, code=code, batch_size=batch, epochs=4, random_state=0,
                             backend=given.backend).fit(X)  # fmt: skip
            yield {"net": net, "batch": batch, "rows": len(X), "seconds": ae.history_["seconds"],
                   "loss": ae.history_["loss"]}  # fmt: skip


def mnist(given: argparse.Namespace) -> Iterator[Row]:
    """The deep net on MNIST here and in PyTorch, the error on test after each epoch."""
    data = load_dataset(str(given.mnist))
    n = 12 if given.backend == "cupy" else 1
    for matmul in ("fp32", "3xtf32") if given.backend == "cupy" else ("fp32",):
        yield mnist_race.tinyae(data, given.backend, matmul, n, lambda text: None)
    if given.backend == "cupy":
        yield mnist_race.pytorch(data, True, n, lambda text: None)
