"""The deep net on MNIST, here and in PyTorch with the same recipe: how soon, and how well.

Both begin with the same weights, take Adam's steps along the same schedule over minibatches of the
same size, hold the data as uint8 where they train, and judge themselves on the test pictures after
each epoch, which is part of the time. Each shuffles by a generator of its own. What is compiled is
compiled before the clock starts.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.contestants.own import autoencoder
from tinyae import Autoencoder
from tinyae.data.datasets import Dataset
from tinyae.data.rows import Rows
from tinyae.train.schedules import learning_rate_factor

TARGET = 3.5  # squared error of a test picture
RECIPE: dict[str, Any] = {"learning_rate": 2e-3, "schedule": "cosine", "warmup": 0.05,
                          "batch_size": 256, "initializer": "random"}  # fmt: skip


def tinyae(
    data: Dataset,
    backend: str,
    matmul: str,
    epochs: int,
    recipe: dict[str, Any] = RECIPE,
    target: float = TARGET,
) -> dict[str, Any]:
    """Trains with ``fit``; see ``_course`` for what is returned."""
    options = {**recipe, "backend": backend, "matmul": matmul}
    batch = recipe["batch_size"]
    # a full minibatch and the last one of the real run, twice each: recorded, then replayed
    few = Rows(data.train.array[: 2 * batch + len(data.train) % batch])
    _made(epochs=2, **options).fit(few, validation=data.test)
    ae = _made(epochs=epochs, **options).fit(data.train, validation=data.test)
    history = ae.history_
    about = {"by": f"tinyae, {ae.backend_}", "matmul": matmul}
    return about | _course(history["val_squared_error"], history["seconds"], epochs, recipe, target)


def _made(**options: Any) -> Autoencoder:
    return autoencoder("deep", output="sigmoid", loss="bce", **options)


def _course(
    errors: list[float],
    seconds: list[float],
    epochs: int,
    recipe: dict[str, Any],
    target: float = TARGET,
) -> dict[str, Any]:
    """What is kept of a run: errors on test after each epoch, and when that was.

    ``seconds_to_target`` is None where ``target`` was not reached.
    """
    when = np.cumsum(seconds).tolist()
    reached = [at for at, error in zip(when, errors, strict=True) if error <= target]
    return {
        "epochs": epochs, "recipe": recipe, "target": target,
        "seconds_to_target": reached[0] if reached else None, "seconds": when[-1],
        "squared_error": errors[-1], "errors": errors, "when": when,
    }  # fmt: skip


def pytorch(
    data: Dataset, gpu: bool, epochs: int, recipe: dict[str, Any] = RECIPE, target: float = TARGET
) -> dict[str, Any]:
    """The same in PyTorch: compiled into CUDA graphs on a GPU, eager on a CPU."""
    import torch

    from benchmarks.contestants.rival_torch import Torch, set_weights

    rival = Torch("torch-cuda-graphs" if gpu else "torch-eager")
    # fit, not initialize: PCA's start is made from the training data
    start = list(_made(epochs=0, **recipe).fit(data.train).parameters().values())
    weights = list(zip(start[::2], start[1::2], strict=True))
    model, optimizer, loss_of = rival._model("deep", weights)
    if recipe.get("activation") == "silu":
        for at, module in enumerate(model):
            if isinstance(module, torch.nn.ReLU):
                model[at] = torch.nn.SiLU()
    if decay := recipe.get("weight_decay"):
        parts = (([w for w in model.parameters() if w.dim() == size]) for size in (2, 1))
        groups = [
            {"params": p, "weight_decay": d} for p, d in zip(parts, (decay, 0.0), strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, fused=True)
    train, test = (rival.to_device(part.array) for part in (data.train, data.test))
    batch = recipe["batch_size"]
    n, updates = len(train), epochs * -(-len(train) // batch)
    torch.manual_seed(0)

    def scaled(rows: Any) -> Any:
        return rows.float().div_(255)

    @torch.no_grad()
    def error() -> float:
        x = scaled(test)
        return float(torch.sigmoid(model(x)).sub_(x).square_().sum()) / len(x)

    for _ in range(3):  # both shapes: compiled, recorded, replayed
        for size in (batch, n % batch or batch):
            rival._update(optimizer, loss_of, scaled(train[:size]))
    error()
    set_weights(model, weights)
    optimizer.state.clear()

    errors, seconds, update = [], [], 0
    for _ in range(epochs):
        rival.synchronize()
        started = time.perf_counter()
        order = torch.randperm(n, device=train.device)
        for first in range(0, n, batch):
            schedule, warmup = recipe["schedule"], recipe["warmup"]
            factor = learning_rate_factor(schedule, update, updates, warmup, {})
            for group in optimizer.param_groups:
                group["lr"] = recipe["learning_rate"] * factor
            rival._update(optimizer, loss_of, scaled(train[order[first : first + batch]]))
            update += 1
        errors.append(error())
        seconds.append(time.perf_counter() - started)
    about = {"by": f"PyTorch {torch.__version__}, {rival.note}", "matmul": "fp32"}
    return about | _course(errors, seconds, epochs, recipe, target)
