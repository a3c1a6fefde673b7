"""Stations 1 to 3: a layer, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from .station import Station, Suspect, normals

SHAPES = (5, 4), (4, 3), (3,), (5, 3)  # x, w, b and z of 5 samples


FORWARD = Station(
    number=1,
    title="a linear layer, forward",
    theory="""
A layer has n_out units. Each adds up its n_in inputs, each times a weight of its own, and a bias:

    z[s, j] = sum over i of x[s, i] * w[i, j]  +  b[j]        for each sample s and unit j

x holds a sample in each row, w the weights of a unit in each column. So the sum is a product of
matrices, x @ w, and the bias is added to every row: NumPy does that by itself, as b has the
length of a row ("broadcasting").

    x (n, n_in)    w (n_in, n_out)    b (n_out,)    z (n, n_out)
""",
    function="forward",
    outputs=("z",),
    cases=lambda: [tuple(normals(*SHAPES[:3])), tuple(normals((2, 1), (1, 3), (3,), seed=1))],
    reference=lambda x, w, b: {"z": x @ w + b},
    home="kernels/reference/dense.py, dense_forward",
    suspects=(
        Suspect("bias", "the bias is missing", lambda x, w, b: {"z": x @ w}),
        Suspect("sign", "the bias is to be added", lambda x, w, b: {"z": x @ w - b}),
        Suspect("broadcasting", "b belongs to units, the columns of z, and one number was added to "
                "all of them", lambda x, w, b: {"z": x @ w + b.sum()}),
        Suspect("activation", "no activation yet: z is the sum alone",
                lambda x, w, b: {"z": np.maximum(x @ w + b, 0)}),
        Suspect("activation", "no activation yet: z is the sum alone",
                lambda x, w, b: {"z": np.tanh(x @ w + b)}),
    ),
)  # fmt: skip

BACKWARD = Station(
    number=2,
    title="a linear layer's three gradients",
    theory="""
Let L be the loss and dz = dL/dz, which comes from above. By the chain rule, from
z[s, j] = sum over i of x[s, i] w[i, j] + b[j]:

    dL/dw[i, j] = sum over s of x[s, i] dz[s, j]     w[i, j] is used by unit j in every sample
    dL/db[j]    = sum over s of dz[s, j]             b[j] likewise, times 1
    dL/dx[s, i] = sum over j of dz[s, j] w[i, j]     x[s, i] is used by every unit of its sample

Each sum is a product of matrices. Which one has to be transposed follows from the shapes: a
gradient has the shape of what it belongs to. No division by n: it is in dz already.

    dx (n, n_in)    dw (n_in, n_out)    db (n_out,)    return dx, dw, db in this order
""",
    function="backward",
    outputs=("dx", "dw", "db"),
    cases=lambda: [tuple(normals(*SHAPES[:2], SHAPES[3])),
                   tuple(normals((4, 4), (4, 4), (4, 4), seed=1))],
    reference=lambda x, w, dz: {"dx": dz @ w.T, "dw": x.T @ dz, "db": dz.sum(axis=0)},
    gradients={"dx": 0, "dw": 1},
    # linear in z, so that dz is its gradient
    loss=lambda x, w, dz: float(np.sum((x @ w) * dz)),
    home="kernels/reference/dense.py, dense_backward_input and dense_backward_weights",
    suspects=(
        Suspect("axis", "the bias belongs to a unit: sum over samples, axis 0, not over units",
                lambda x, w, dz: {"db": dz.sum(axis=1)}),
        Suspect("axis", "the bias belongs to a unit: sum over samples alone",
                lambda x, w, dz: {"db": dz.sum()}),
        Suspect("shape", "db must have shape (n_out,): sum without keepdims",
                lambda x, w, dz: {"db": dz.sum(axis=0, keepdims=True)}),
        Suspect("transposition", "dx needs w.T", lambda x, w, dz: {"dx": dz @ w}),
        Suspect("transposition", "dw needs x.T", lambda x, w, dz: {"dw": x @ dz}),
    ),
)  # fmt: skip


def _relu(z: Any, dy: Any) -> dict[str, Any]:
    return {"y": np.maximum(z, 0), "dz": np.where(z > 0, dy, 0)}


def _relu_cases() -> list[tuple[Any, ...]]:
    z, dy = normals((5, 3), (5, 3))
    return [(z, dy), (np.array([[0.0, -1e-9, 2.0]]), np.ones((1, 3)))]


RELU = Station(
    number=3,
    title="relu and its derivative",
    theory="""
Without something that is not linear between them, two layers could do no more than one. The
simplest such thing is relu: it lets what is positive pass, and makes 0 of the rest.

    y = max(z, 0), element by element          dy/dz = 1 where z > 0, else 0

By the chain rule dL/dz = dL/dy * dy/dz, element by element: where the unit was off, no gradient
comes through, however large dL/dy is. At z = 0 there is no derivative; here it is 0.
As y > 0 just where z > 0, the derivative can be had from y too: z need not be kept.

    z (n, units)    dy = dL/dy (n, units)    return y and dz = dL/dz, both (n, units)
""",
    function="relu",
    outputs=("y", "dz"),
    cases=_relu_cases,
    reference=_relu,
    home="kernels/reference/activation.py, activation_forward and activation_backward",
    suspects=(
        Suspect("derivative", "dy passes where z > 0 only: it has to be multiplied by 0 or 1",
                lambda z, dy: {"dz": dy}),
        Suspect("derivative", "the derivative is 0 or 1, not y",
                lambda z, dy: {"dz": dy * np.maximum(z, 0)}),
        Suspect("derivative", "dz is dy times the derivative, not the derivative alone",
                lambda z, dy: {"dz": np.where(z > 0, 1.0, 0.0)}),
        Suspect("derivative", "whether z is positive decides, not whether dy is",
                lambda z, dy: {"dz": np.maximum(dy, 0)}),
        Suspect("derivative", "the two sides are exchanged",
                lambda z, dy: {"dz": np.where(z > 0, 0, dy)}),
        Suspect("derivative", "at z = 0 the derivative is taken to be 0",
                lambda z, dy: {"dz": np.where(z >= 0, dy, 0)}),
        Suspect("sides", "what is positive passes", lambda z, dy: {"y": np.minimum(z, 0)}),
    ),
)  # fmt: skip
