"""A step of an epoch as one call: its arguments, the kernel's way, that of NumPy's operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.kernels.backend import Epoch, StepPlan
from tinyae.kernels.columns import get_backend
from tinyae.kernels.conventions import HYPER, MOMENTS, NEEDS_INPUT
from tinyae.kernels.cuda.step import StepKernels

Call = dict[str, Any]

LAYERS = ((37, 33, "relu"), (33, 3, "silu"), (3, 37, "sigmoid"))
N_WEIGHTS = sum(n_in * n_out for n_in, n_out, _ in LAYERS)
SCALE = 0.5


def arguments(dtype: str, step: int, batch_size: int, n: int) -> Call:
    """Of an epoch's step of n samples; those before it have batch_size."""
    rng, rows = np.random.default_rng(1), step * batch_size + n
    size = N_WEIGHTS + sum(n_out for _, n_out, _ in LAYERS)
    some = lambda *shape: rng.uniform(0.1, 0.9, shape).astype(dtype)  # noqa: E731
    return {
        "optimizer": "adamw", "loss": "mse", "cursor": np.array([step]),
        "order": rng.permutation(rows), "batch_size": batch_size,
        "numbers": rng.uniform(0.1, 0.9, (step + 1, len(HYPER) + 2)), "data": some(rows, 37),
        "history": np.zeros((step + 1, 2)), "x": np.full((n, 37), np.nan, dtype),
        "values": some(size), "m": some(size), "v": some(size), "totals": np.zeros(2),
    }  # fmt: skip


def one_launch(
    kernels: StepKernels, optimizer: str, loss: str, cursor: Any, order: Any, batch_size: int,
    numbers: Any, data: Any, history: Any, x: Any, values: Any, m: Any, v: Any, totals: Any,
) -> None:  # fmt: skip
    epoch = Epoch(cursor=cursor, order=order, batch_size=batch_size, numbers=numbers, data=data,
                  scale=SCALE, history=history)  # fmt: skip
    step = kernels.make_step(
        StepPlan(
            layers=LAYERS, loss=loss, optimizer=optimizer, clip_norm=None, values=values,
            moments=(m, v)[2 - len(MOMENTS[optimizer]) :], n_weights=N_WEIGHTS,
            capacity=batch_size, epoch=epoch,
        )
    )  # fmt: skip
    assert step is not None
    step(x, x, numbers, totals)


def by_operations(
    optimizer: str, loss: str, cursor: Any, order: Any, batch_size: int, numbers: Any, data: Any,
    history: Any, x: Any, values: Any, m: Any, v: Any, totals: Any,
) -> None:  # fmt: skip
    ops, at, step = get_backend("numpy"), 0, int(cursor[0])
    ops.gather(data, order[step * batch_size :][: len(x)], SCALE, x)
    gradients, biases = np.empty_like(values), N_WEIGHTS
    ys, saved, arrays = [x], [x], []
    for n_in, n_out, activation in LAYERS:
        arrays.append([
            (flat[at : at + n_in * n_out].reshape(n_in, n_out), flat[biases : biases + n_out])
            for flat in (values, gradients)
        ])  # fmt: skip
        at, biases = at + n_in * n_out, biases + n_out
        y, pre = (np.empty((len(x), n_out), x.dtype) for _ in range(2))
        ops.dense_forward(ys[-1], *arrays[-1][0], activation, y,
                          pre if activation in NEEDS_INPUT else None)  # fmt: skip
        ys.append(y)
        saved.append(pre if activation in NEEDS_INPUT else y)
    dz = np.empty_like(ys[-1])
    ops.loss(loss, ys[-1], x, dz, totals)
    ops.activation_backward(dz, LAYERS[-1][2], saved[-1], dz)
    for i in reversed(range(len(LAYERS))):
        (w, _), (dw, db) = arrays[i]
        ops.dense_backward_weights(ys[i], dz, dw, db)
        if i > 0:
            dx = np.empty_like(ys[i])
            ops.dense_backward_input(dz, w, LAYERS[i - 1][2], saved[i], dx)
            dz = dx
    moments = (m, v)[2 - len(MOMENTS[optimizer]) :]
    hyper = numbers[step, : len(HYPER)].copy()
    ops.update(optimizer, values, gradients, moments, hyper, N_WEIGHTS, totals)
    history[step] = totals
    cursor[0] += 1
