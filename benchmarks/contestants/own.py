"""tinyae's backends as contestants: their operations, and training as ``Autoencoder`` does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.cases import nets
from benchmarks.cases.net_cases import check_step
from benchmarks.contestants.contestants import CONTESTANTS
from benchmarks.contestants.loaded import Loaded, StepRun
from benchmarks.timing import Call
from tests.reference import operation
from tinyae import Autoencoder, assemble
from tinyae.data.rows import Rows
from tinyae.kernels.backend import Record, StepPlan
from tinyae.kernels.columns import get_backend
from tinyae.kernels.conventions import MOMENTS
from tinyae.net.network import Architecture, Network
from tinyae.train.optimizers import Hyper, Optimizer
from tinyae.train.training import Training


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
            from benchmarks.contestants.rival_blas import blas_threads

            return blas_threads()
        return None

    def capture(self) -> Callable[[Call], Call] | None:
        if self.name != "cupy":
            return None
        from benchmarks.gpu_timing import captured

        return captured(self.cuda)

    def op(self, name: str) -> Callable[..., Any]:
        if name in MOMENTS or hasattr(self.backend, name):
            return operation(self.backend, name)
        if self.name == "numba":  # a rung of the ladder
            from tinyae.kernels.cpu.ladder import RUNGS

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
        x, network, optimizer = self._made(net, batch, self.backend)
        totals = self.backend.to_device(np.zeros(2))
        whole = self._whole(network, optimizer, batch)
        records = network.workspace(batch, training=True).records(batch) if not whole else []

        def run() -> None:
            if whole is not None:
                whole(x, x, optimizer.next_numbers(nets.LEARNING_RATE), totals)
            else:
                network.loss_and_gradient(x, x, records, totals)
                optimizer.update(nets.LEARNING_RATE, guard=totals)

        def work() -> None:
            network.loss_and_gradient(x, x, records, totals)
            optimizer.apply(numbers, guard=totals)

        if self.backend.recorder is not None and whole is None:
            numbers = optimizer.next_numbers(nets.LEARNING_RATE)
            run = replayed(self.backend.recorder.record, work)
        return StepRun(run, lambda: self._results(network, optimizer, totals, batch))

    def _results(
        self, network: Network, optimizer: Optimizer, totals: Any, batch: int
    ) -> tuple[float, list[tuple[Any, Any]]]:
        loss = float(self.backend.to_host(totals)[0]) / batch
        m = network.parameters.split(self.backend.to_host(optimizer.moments["m"]))
        names = [layer.name for layer in network.layers]
        return loss, [(m[f"{name}.weight"], m[f"{name}.bias"]) for name in names]

    def _whole(self, network: Network, optimizer: Optimizer, batch: int) -> Any:
        """As ``Training`` makes it."""
        if self.backend.make_step is None:
            return None
        return self.backend.make_step(StepPlan(
            layers=tuple(layer[1:] for layer in network.architecture.layers()),
            loss="bce", optimizer="adam", clip_norm=None, values=network.parameters.values,
            moments=tuple(optimizer.moments.values()), n_weights=network.parameters.n_weights,
            capacity=batch,
        ))  # fmt: skip

    def _made(self, net: str, batch: int, backend: Any) -> tuple[Any, Network, Optimizer]:
        *hidden, code = nets.NETS[net]
        architecture = Architecture(
            n_features=nets.N_FEATURES, encoder=(*hidden, code), decoder=tuple(hidden[::-1]),
            activation="relu", code_activation="identity", output="sigmoid", loss="bce",
        )  # fmt: skip
        network = Network(backend, architecture, "float32")
        values = {}
        for layer, (w, b) in zip(network.layers, nets.weights(net), strict=True):
            values[f"{layer.name}.weight"], values[f"{layer.name}.bias"] = w, b
        network.parameters.set(values)
        hyper = Hyper(momentum=0.9, betas=nets.BETAS, eps=nets.EPS, weight_decay=0.0,
                      clip_norm=None)  # fmt: skip
        return (
            backend.to_device(nets.batch_of(batch)),
            network,
            Optimizer("adam", network.parameters, hyper),
        )

    def part(self, op: str, net: str, batch: int) -> tuple[Call, Call]:
        """The very calls of this operation in a step, on the step's own arrays."""
        calls: list[tuple[Any, ...]] = []
        op = "update" if op in MOMENTS else op
        original = getattr(self.backend, op)

        def recorded(*arguments: Any) -> None:
            calls.append(arguments)
            original(*arguments)

        watched = replace(self.backend, make_step=None, **{op: recorded})
        x, network, optimizer = self._made(net, batch, watched)
        totals = self.backend.to_device(np.zeros(2))
        records = network.workspace(batch, training=True).records(batch)
        network.loss_and_gradient(x, x, records, totals)
        optimizer.update(nets.LEARNING_RATE, guard=totals)

        def part() -> None:
            for arguments in calls:
                original(*arguments)

        results = self._results(network, optimizer, totals, batch)
        return part, lambda: check_step(net, batch, *results, self.matmul)

    # ---- an epoch

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        return own_epoch(self.name, op, net, nets.pixels(batch, quick), batch, matmul=self.matmul)


def _tuned(matmul: str) -> int:
    """Products for which `tinyae tune` has found how this GPU multiplies them best."""
    from tinyae.kernels.cuda import measured_plans
    from tinyae.kernels.cuda.device import DeviceRunner

    plans = measured_plans.load(DeviceRunner().device_name)
    return sum(problem.matmul == matmul for problem in plans)


def replayed(record: Record, work: Call) -> Call:
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
    *hidden, code = nets.NETS[net]
    X = pixels if op == "epoch" else (pixels / np.float32(255)).astype("float32")
    mse = {"loss": "mse", "output": "identity", "code_activation": "relu"}
    options = mse if op == "epoch_mse" else {}
    ae = Autoencoder(hidden=hidden, code=code, batch_size=batch, schedule="constant", warmup=0.0,
                     learning_rate=nets.LEARNING_RATE, betas=nets.BETAS, epochs=0, random_state=0,
                     dtype=dtype, backend=backend, matmul=matmul, **options).fit(X)  # fmt: skip
    names = [layer.name for layer in ae._network.layers]
    values = {}
    for name, (w, b) in zip(names, nets.weights(net), strict=True):
        values |= {f"{name}.weight": w, f"{name}.bias": b}
    ae.set_parameters(values)
    settings = assemble.settings({**ae.get_params(), "epochs": 1}, seed=0)
    training = Training(ae._network, ae._optimizer, settings, Rows(X), None)

    def epoch() -> float:
        training.settings = dataclasses.replace(settings, epochs=training.state.epoch + 1)
        training.run(lambda: None, lambda progress: None)
        return training.state.history["loss"][-1]

    return epoch
