"""PyTorch as a rival: eager with the fused Adam, compiled, and compiled into CUDA graphs.

float32 throughout, TF32 off. Operations write into arrays that are there, as tinyae's do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cases import nets
from benchmarks.cases.kernel_cases import UPDATES_DONE
from benchmarks.contestants.loaded import Loaded, StepRun
from benchmarks.timing import Call

aten = torch.ops.aten

ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "identity": lambda x, y: y.copy_(x),
    "relu": lambda x, y: aten.relu.out(x, out=y),
    "leaky_relu": lambda x, y: aten.leaky_relu.out(x, 0.01, out=y),
    "elu": lambda x, y: aten.elu.out(x, out=y),
    "sigmoid": lambda x, y: torch.sigmoid(x, out=y),
    "tanh": lambda x, y: torch.tanh(x, out=y),
    "softplus": lambda x, y: aten.softplus.out(x, out=y),
    "silu": lambda x, y: aten.silu.out(x, out=y),
    "gelu": lambda x, y: aten.gelu.out(x, approximate="tanh", out=y),
}


@torch.no_grad()
def set_weights(model: Any, weights: list[tuple[Any, Any]]) -> None:
    linears = [module for module in model if isinstance(module, torch.nn.Linear)]
    for linear, (w, b) in zip(linears, weights, strict=True):
        linear.weight.copy_(torch.from_numpy(w.T.copy()))
        linear.bias.copy_(torch.from_numpy(b))


def load(name: str) -> Torch:
    return Torch(name)


class Torch(Loaded):
    exact = False

    def __init__(self, name: str) -> None:
        self.device = "gpu" if name.endswith("-gpu") or name == "torch-cuda-graphs" else "cpu"
        self._place = "cuda" if self.device == "gpu" else "cpu"
        self._mode = {"torch-compile": "default", "torch-compile-gpu": "default",
                      "torch-cuda-graphs": "reduce-overhead"}.get(name)  # fmt: skip
        torch.set_float32_matmul_precision("highest")
        self.note = "fused Adam"
        if self._mode:
            self.note += f', torch.compile(mode="{self._mode}")'
        if self.device == "gpu":
            self.note += ", TF32 off"
            self._share_stream()
        elif torch.backends.mkl.is_available():
            self.note += ", MKL"

    def _share_stream(self) -> None:
        """PyTorch works on the stream that CuPy's events are recorded on."""
        import cupy

        torch.backends.cuda.matmul.allow_tf32 = False
        self.cuda = cupy.cuda
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.use()
        torch.cuda.set_stream(torch.cuda.ExternalStream(self._stream.ptr))

    def threads(self) -> int | None:
        return torch.get_num_threads() if self.device == "cpu" else None

    def to_device(self, host: Any) -> Any:
        return torch.from_numpy(host.copy()).to(self._place)

    def to_host(self, array: Any) -> Any:
        return array.detach().cpu().numpy().copy()

    def synchronize(self) -> None:
        if self.device == "gpu":
            torch.cuda.synchronize()

    def capture(self) -> Callable[[Call], Call]:
        def record(call: Call) -> Call:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                call()
            return graph.replay

        return record

    # ---- operations

    def op(self, name: str) -> Callable[..., Any]:
        return getattr(self, f"_{name}")

    def _dense_forward(self, x: Any, w: Any, b: Any, activation: str, y: Any, pre: None) -> None:
        torch.addmm(b, x, w, out=y)
        if activation == "relu":
            y.relu_()

    def _dense_backward_input(self, dz: Any, w: Any, activation: str, saved: Any, dx: Any) -> None:
        torch.mm(dz, w.T, out=dx)
        if activation == "relu":
            aten.threshold_backward.grad_input(dx, saved, 0, grad_input=dx)

    def _dense_backward_weights(self, x: Any, dz: Any, dw: Any, db: Any) -> None:
        torch.mm(x.T, dz, out=dw)
        torch.sum(dz, 0, out=db)

    def _activation_forward(self, x: Any, activation: str, y: Any) -> None:
        ACTIVATIONS[activation](x, y)

    def _adam(self, w: Any, grad: Any, m: Any, v: Any, **_: Any) -> None:
        """The kernel of torch.optim.Adam(fused=True), at the case's update."""
        if not hasattr(self, "_step"):
            self._step = torch.tensor(float(UPDATES_DONE), device=self._place)
        torch._fused_adam_([w], [grad], [m], [v], [], [self._step], lr=1e-3, beta1=0.9,
                           beta2=0.999, weight_decay=0.01, eps=1e-8, amsgrad=False,
                           maximize=False)  # fmt: skip

    def _gather(self, data: Any, indices: Any, scale: float, out: Any) -> None:
        torch.mul(data[indices], scale, out=out)

    def _random_uniform(self, state: Any, low: float, high: float, out: Any) -> None:
        out.uniform_(low, high)

    def _random_normal(self, state: Any, mean: float, std: float, out: Any) -> None:
        out.normal_(mean, std)

    # ---- training

    def _model(
        self, net: str, weights: list[tuple[Any, Any]] | None = None, capturable: bool = False
    ) -> tuple[Any, Any, Callable[[Any], Any]]:
        """(model, optimizer, x -> mean loss), from these weights or the common ones."""
        modules: list[Any] = []
        for shape, name in zip(nets.layers(net), nets.activations(net), strict=True):
            linear = torch.nn.Linear(*shape)
            modules += [linear, torch.nn.ReLU()] if name == "relu" else [linear]
        model = torch.nn.Sequential(*modules).to(self._place)
        set_weights(model, nets.weights(net) if weights is None else weights)
        optimizer = torch.optim.Adam(
            model.parameters(), lr=nets.LEARNING_RATE, betas=nets.BETAS, eps=nets.EPS, fused=True,
            capturable=capturable,
        )  # fmt: skip

        def loss_of(x: Any) -> Any:
            cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
            return cross_entropy(model(x), x, reduction="sum") / len(x)

        if self._mode is None:
            return model, optimizer, loss_of
        torch._dynamo.reset()  # or the second batch size would get code for any size
        compiled = torch.compile(loss_of, dynamic=False, mode=self._mode)
        return model, optimizer, compiled

    def _update(self, optimizer: Any, loss_of: Callable[[Any], Any], x: Any) -> Any:
        if self._mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def step(self, net: str, batch: int, capturable: bool = False) -> StepRun:
        model, optimizer, loss_of = self._model(net, capturable=capturable)
        x = self.to_device(nets.batch_of(batch))
        last: list[Any] = [None]

        def run() -> None:
            last[0] = self._update(optimizer, loss_of, x)

        def results() -> tuple[float, list[tuple[Any, Any]]]:
            m = [self.to_host(optimizer.state[p]["exp_avg"]) for p in model.parameters()]
            return float(last[0]), [(w.T, b) for w, b in zip(m[::2], m[1::2], strict=True)]

        return StepRun(run, results)

    def chain(self, op: str, net: str, x: Any) -> Callable[[], Any]:
        model, samples = self._model(net)[0], torch.from_numpy(x)
        if op == "encode":
            model = model[: 2 * len(nets.NETS[net]) - 1]  # the code has no activation
        else:
            model.append(torch.nn.Sigmoid())

        def call() -> Any:
            with torch.inference_mode():
                return model(samples).numpy()

        return call

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        torch.manual_seed(0)
        _, optimizer, loss_of = self._model(net)
        data = self.to_device(nets.pixels(batch, quick))

        def epoch() -> float:
            order = torch.randperm(len(data), device=self._place)
            total = torch.zeros((), device=self._place)
            for start in range(0, len(data), batch):
                x = data[order[start : start + batch]].float().div_(255)
                total += self._update(optimizer, loss_of, x) * len(x)
            return float(total) / len(data)

        return epoch
