"""tinyae's backends as contestants: their operations, and training as ``Autoencoder`` does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import nets
from benchmarks.cases.net_cases import check_step
from benchmarks.contestants.contestants import CONTESTANTS
from benchmarks.contestants.loaded import Loaded, StepRun
from benchmarks.contestants.rival_blas import blas_threads
from benchmarks.gpu_timing import captured
from benchmarks.timing import Call
from tests.reference import operation
from tinyae import Autoencoder, assemble
from tinyae.data.rows import Rows
from tinyae.kernels.backend import RecordLaunches
from tinyae.kernels.columns import get_backend
from tinyae.kernels.conventions import MOMENTS
from tinyae.net.network import Network
from tinyae.train.objective import Objective
from tinyae.train.training import Training
from tinyae.train.work import Work


def load(name: str) -> Own:
    contestant = CONTESTANTS[name]
    return Own(contestant.column, contestant.matmul)


class Own(Loaded):
    def __init__(self, name: str, matmul: str = "fp32") -> None:
        self.name, self.matmul = name, matmul
        self.backend = backend = get_backend(name, matmul)
        self.to_device, self.to_host = backend.to_device, backend.to_host
        self.synchronize = backend.synchronize
        if not backend.host:
            import cupy

            self.device, self.cuda = "gpu", cupy.cuda
            if name == "cupy":  # a graph cannot record the default stream, which Numba works on
                self._stream = cupy.cuda.Stream(non_blocking=True)
                self._stream.use()
                self.note = f"products tuned: {_tuned(matmul)}"

    def threads(self) -> int | None:
        if self.name == "numba":
            from tinyae.kernels.cpu.threads import available

            return available()
        if self.name == "numpy":
            return blas_threads()
        return None

    def capture(self) -> Callable[[Call], Call] | None:
        return captured(self.cuda) if self.name == "cupy" else None

    def op(self, name: str) -> Callable[..., Any]:
        if name in MOMENTS or hasattr(self.backend, name):
            return operation(self.backend, name)
        if self.name == "numba":  # a rung of the ladder
            from tinyae.kernels.cpu.product.ladder import RUNGS

            return RUNGS[name]
        if self.name == "numba-cuda":
            from tinyae.kernels.cuda_python.ladder import matmul

            return lambda a, b, c: matmul(name, a, b, c)
        from tinyae.kernels.cuda.device import DeviceRunner
        from tinyae.kernels.cuda.ladder import LadderKernels

        kernels = LadderKernels(DeviceRunner())
        return lambda a, b, c: kernels.matmul(name, a, b, c)

    # ---- a step

    def step(self, net: str, batch: int) -> StepRun:
        work = self._work(net, batch, self.backend)
        numbers = work.optimizer.next_numbers

        def run() -> None:
            work.step(batch, numbers(nets.LEARNING_RATE), work.totals)

        if self.backend.recorder is not None:
            first = numbers(nets.LEARNING_RATE)
            record = self.backend.recorder.record
            run = replayed(record, lambda: work.step(batch, first, work.totals))
        return StepRun(run, lambda: self._results(work, batch))

    def _results(self, work: Work, batch: int) -> tuple[float, list[tuple[Any, Any]]]:
        loss = float(self.backend.to_host(work.totals)[0]) / batch
        m = work.network.parameters.split(self.backend.to_host(work.optimizer.moments["m"]))
        names = [spec.name for spec in work.network.architecture.dense]
        return loss, [(m[f"{name}.weight"], m[f"{name}.bias"]) for name in names]

    def _work(self, net: str, batch: int, backend: Any) -> Work:
        """As ``Training`` has it, with the batch to train on in place."""
        params = autoencoder(net, betas=nets.BETAS, eps=nets.EPS).get_params()
        plan = assemble.architecture(params, nets.N_FEATURES, "sigmoid", "bce")
        network = Network(backend, plan, "float32")
        network.parameters.set(_first_weights(net, network))
        work = Work(Objective(network), assemble.optimizer(params, network), batch, fused=True)
        backend.write(nets.batch_of(batch), work.workspace.input)
        return work

    def part(self, op: str, net: str, batch: int) -> tuple[Call, Call]:
        """The very calls of this operation in a step, on the step's own arrays."""
        calls: list[tuple[Any, ...]] = []
        op = "update" if op in MOMENTS else op
        original = getattr(self.backend, op)

        def recorded(*arguments: Any) -> None:
            calls.append(arguments)
            original(*arguments)

        watched = replace(self.backend, make_step=None, **{op: recorded})
        work = self._work(net, batch, watched)
        work.step(batch, work.optimizer.next_numbers(nets.LEARNING_RATE), work.totals)

        def part() -> None:
            for arguments in calls:
                original(*arguments)

        results = self._results(work, batch)
        return part, lambda: check_step(net, batch, *results, self.matmul)

    # ---- a trained net

    def chain(self, op: str, net: str, x: Any) -> Callable[[], Any]:
        return partial(getattr(trained(net, self.name), op), x)

    # ---- an epoch

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        return own_epoch(self.name, op, net, nets.pixels(batch, quick), batch, matmul=self.matmul)


def trained(net: str, backend: str = "numpy") -> Autoencoder:
    """With the weights that all contestants have."""
    ae = autoencoder(net, loss="bce", output="sigmoid", backend=backend, epochs=0)
    ae.fit(nets.batch_of(1))
    return ae.set_parameters(_first_weights(net, ae._network))


def autoencoder(net: str, **options: Any) -> Autoencoder:
    *hidden, code = nets.NETS[net]
    options = {"initializer": "random", **options}  # as the rivals start
    return Autoencoder(hidden=hidden, code=code, random_state=0, **options)


def _first_weights(net: str, network: Network) -> dict[str, Any]:
    values = [array for layer in nets.weights(net) for array in layer]
    return dict(zip(network.parameters.shapes, values, strict=True))


def _tuned(matmul: str) -> int:
    """Products for which `tinyae tune` has found how this GPU multiplies them best."""
    from tinyae.kernels.cuda import measured_plans
    from tinyae.kernels.cuda.device import DeviceRunner

    plans = measured_plans.load(DeviceRunner().device_name)
    return sum(problem.matmul == matmul for problem in plans)


def replayed(record: RecordLaunches, work: Call) -> Call:
    """As ``Training`` does it: once as it is, and from then on as it was recorded."""
    replay: list[Call] = []

    def run() -> None:
        if replay:
            replay[0]()
        else:
            work()
            replay.append(record(work))

    return run


def own_epoch(
    backend: str, op: str, net: str, pixels: Any, batch: int, dtype: str = "float32",
    matmul: str = "fp32",
) -> Callable[[], float]:  # fmt: skip
    """An epoch of ``fit``'s own loop; the estimator is made, and compiled, before."""
    X, options = pixels, {}
    if op == "epoch_mse":
        X = (pixels / np.float32(255)).astype("float32")
        options = {"loss": "mse", "output": "identity", "code_activation": "relu"}
    ae = autoencoder(net, batch_size=batch, schedule="constant", warmup=0.0, epochs=0,
                     learning_rate=nets.LEARNING_RATE, betas=nets.BETAS, dtype=dtype,
                     backend=backend, matmul=matmul, **options).fit(X)  # fmt: skip
    ae.set_parameters(_first_weights(net, ae._network))
    params = {**ae.get_params(), "epochs": 1}
    settings = assemble.settings(params, seed=0)
    training = Training(ae._work(params, 0, batch, fused=True), settings, Rows(X), None)

    def epoch() -> float:
        training.settings = dataclasses.replace(settings, epochs=training.state.epoch + 1)
        training.run(lambda: None, lambda progress: None)
        return training.state.history["loss"][-1]

    return epoch
