"""Stations 4 to 6: losses, and the chain through two layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .station import Station, Suspect, normals


def _mse(y: Any, t: Any) -> float:
    return float(np.sum((y - t) ** 2) / len(y))


MSE = Station(
    number=4,
    title="squared error, and its gradient",
    theory="""
How wrong is an output y for a target t? Take the square of each error, add up the squares of a
sample, and take the mean over the n samples of the minibatch:

    loss = 1/n * sum over samples s and features j of (y[s, j] - t[s, j])^2

The derivative of u^2 is 2 u. Each y[s, j] stands in one of the terms only, and the factor 1/n
stays. So the gradient says how far y is above t, and a step against it goes towards t.
tinyae sums over features and takes the mean over samples; others take the mean of all.

    y, t (n, features)    loss is a number    dy = dL/dy (n, features)    return loss, dy
""",
    function="mse",
    outputs=("loss", "dy"),
    cases=lambda: [tuple(normals((5, 3), (5, 3))), tuple(normals((1, 4), (1, 4), seed=1))],
    reference=lambda y, t: {"loss": _mse(y, t)},
    gradients={"dy": 0},
    loss=_mse,
    home="kernels/reference/loss.py, loss",
    suspects=(
        Suspect("mean", "this is the mean of all: the mean is over samples, features are summed",
                lambda y, t: {"loss": np.mean((y - t) ** 2), "dy": 2 * (y - t) / y.size}),
        Suspect("factor 2", "the derivative of u^2 is 2 u, and this is u",
                lambda y, t: {"dy": (y - t) / len(y)}),
        Suspect("square", "the error is to be squared",
                lambda y, t: {"loss": np.sum(np.abs(y - t)) / len(y)}),
        Suspect("root", "no root is taken",
                lambda y, t: {"loss": np.sqrt(_mse(y, t))}),
        Suspect("sign", "the gradient is y - t and not t - y: it points to where the loss grows",
                lambda y, t: {"dy": 2 * (t - y) / len(y)}),
    ),
)  # fmt: skip


def _sigmoid(z: Any) -> Any:
    tail = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, tail) / (1 + tail)


def _slope(z: Any) -> Any:
    return _sigmoid(z) * (1 - _sigmoid(z))


def _bce(z: Any, t: Any) -> float:
    return float(np.sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))) / len(z))


def _bce_cases() -> list[tuple[Any, ...]]:
    (z,) = normals((5, 3))
    t = np.random.default_rng(1).uniform(0, 1, (5, 3))
    return [(z, t), (np.array([[800.0, -800.0], [3.0, -3.0]]), np.array([[1.0, 0.0], [0.3, 1.0]]))]


BCE = Station(
    number=5,
    title="cross-entropy on logits, and why its gradient is p - t",
    theory="""
A pixel t in [0, 1] is read as a probability, and the net gives one too: p = sigmoid(z) =
1 / (1 + exp(-z)), of any number z, the logit. The loss is the cross-entropy of the two,

    loss = 1/n * sum of  -t log p - (1 - t) log(1 - p)

By the chain rule dL/dz = dL/dp * dp/dz with dp/dz = p (1 - p), and dL/dp = (p - t) / (p (1 - p)):
the factors cancel, and p - t is left, over n. So a unit that is very wrong, with p near 0 or 1,
still learns. For large |z| a computer rounds p to 0 or 1, and log(0) is -infinity. Put p into the
loss and it becomes  max(z, 0) - z t + log(1 + exp(-|z|)),  in which nothing overflows.
The loss is least at p = t, and 0 there only for t = 0 or 1: of a grey t = 0.5 log 2 is left.

    z, t (n, features)    loss is a number    dz = dL/dz (n, features)    return loss, dz
""",
    function="bce",
    outputs=("loss", "dz"),
    cases=_bce_cases,
    reference=lambda z, t: {"loss": _bce(z, t)},
    gradients={"dz": 0},
    loss=_bce,
    home="kernels/reference/loss.py, loss",
    suspects=(
        Suspect("chain rule", "p (1 - p) has cancelled, and here it is multiplied in once more",
                lambda z, t: {"dz": (_sigmoid(z) - t) * _slope(z) / len(z)}),
        Suspect("chain rule", "this is dL/dp: times dp/dz = p (1 - p) it is dL/dz",
                lambda z, t: {"dz": (_sigmoid(z) - t) / (_slope(z) * len(z))}),
        Suspect("logits", "z is the logit, and was taken for the probability: p is sigmoid(z)",
                lambda z, t: {"dz": (z - t) / len(z)}),
        Suspect("half", "the other half, -(1 - t) log(1 - p), is missing",
                lambda z, t: {"loss": -np.sum(t * np.log(_sigmoid(z))) / len(z)}),
        Suspect("mean", "this is the mean of all: the mean is over samples, features are summed",
                lambda z, t: {"loss": _bce(z, t) / z.shape[1], "dz": (_sigmoid(z) - t) / z.size}),
        Suspect("sign", "it is p - t, not t - p: the gradient points to where the loss grows",
                lambda z, t: {"dz": (t - _sigmoid(z)) / len(z)}),
    ),
)  # fmt: skip

NAMES = ("loss", "dw1", "db1", "dw2", "db2")


def _chain_loss(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> float:
    return _mse(np.tanh(x @ w1 + b1) @ w2 + b2, x)


def _chain(
    x: Any, w1: Any, b1: Any, w2: Any, b2: Any, *, slope: Any = lambda z, h: 1 - h**2,
    back: Any = lambda w: w.T, n: Any = len, sums: Any = lambda dz: dz.sum(axis=0),
    below: Any = lambda x, h: x, above: Any = lambda x, h: h,
) -> dict[str, Any]:  # fmt: skip
    """The gradients, with one of their parts in another's place where a mistake is suspected."""
    z = x @ w1 + b1
    h = np.tanh(z)
    dz2 = 2 * (h @ w2 + b2 - x) / n(x)
    dz1 = (dz2 @ back(w2)) * slope(z, h)
    return {"dw2": above(x, h).T @ dz2, "db2": sums(dz2),
            "dw1": below(x, h).T @ dz1, "db1": sums(dz1)}  # fmt: skip


def _chain_cases() -> list[tuple[Any, ...]]:
    shapes = ((5, 4), (4, 3), (3,), (3, 4), (4,))
    square = ((6, 4), (4, 4), (4,), (4, 4), (4,))  # here nothing but the numbers tells
    return [tuple(normals(*square)), tuple(normals(*shapes, seed=1))]


CHAIN = Station(
    number=6,
    title="the chain through two layers",
    theory="""
Now a whole autoencoder: a hidden layer h = tanh(x @ w1 + b1), an output y = h @ w2 + b2, and the
squared error of y against x itself, loss = sum of (y - x)^2 / n, as in exercise 4.

Backward from the loss, each time with what came from above:
    dz2 = 2 (y - x) / n                          of the loss
    dw2 = h.T @ dz2,  db2 = sum of dz2           exercise 2, with h as the layer's input
    dh  = dz2 @ w2.T                             exercise 2: what the layer below gets
    dz1 = dh * (1 - h^2)                         tanh' = 1 - tanh^2: h is tanh(z) already
    dw1 = x.T @ dz1,  db1 = sum of dz1           exercise 2 again

    x (n, features)    w1 (features, hidden)    w2 (hidden, features)    return loss, dw1, ..., db2
""",
    function="chain",
    outputs=NAMES,
    cases=_chain_cases,
    reference=lambda *args: {"loss": _chain_loss(*args)},
    gradients={name: place for place, name in enumerate(NAMES) if place},
    loss=_chain_loss,
    home="tinyae/net/network.py, forward and backward; tinyae/one_page.py",
    suspects=(
        Suspect("derivative", "the derivative of tanh is missing: dz1 = dh * (1 - h^2)",
                lambda *args: _chain(*args, slope=lambda z, h: 1)),
        Suspect("derivative", "h is tanh(z) already, and tanh was taken of it again: 1 - h^2",
                lambda *args: _chain(*args, slope=lambda z, h: 1 - np.tanh(h) ** 2)),
        Suspect("derivative", "the derivative is 1 - h^2 with h = tanh(z), and z was taken for h",
                lambda *args: _chain(*args, slope=lambda z, h: 1 - z**2)),
        Suspect("transposition", "what comes back goes through w2.T",
                lambda *args: _chain(*args, back=lambda w: w)),
        Suspect("axis", "the bias belongs to a unit: sum over samples, axis 0",
                lambda *args: _chain(*args, sums=lambda dz: dz.sum(axis=1))),
        Suspect("factor 1/n", "the mean of the samples divides by n, in dz2",
                lambda *args: _chain(*args, n=lambda x: 1)),
        Suspect("input", "dw1 is made of x, the first layer's input, not of h",
                lambda *args: _chain(*args, below=lambda x, h: h)),
        Suspect("input", "dw2 is made of h, the second layer's input, not of x",
                lambda *args: _chain(*args, above=lambda x, h: x)),
        Suspect("sign", "the error is y - x, not x - y",
                lambda *args: {k: -v for k, v in _chain(*args).items()}),
    ),
)  # fmt: skip
