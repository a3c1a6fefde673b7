"""Stations 7 to 10: what is done with gradients, how weights begin, and noise on the code."""

from __future__ import annotations

from typing import Any

import numpy as np

from .station import Station, Suspect, normals


def _momentum(w: Any, g: Any, v: Any, rate: float, mu: float) -> dict[str, Any]:
    v = mu * v + g
    return {"w": w - rate * v, "v": v}


MOMENTUM = Station(
    number=7,
    title="a step downhill, and momentum",
    theory="""
The gradient g points to where the loss grows fastest, so a step against it makes it less:
w - learning_rate * g. That is gradient descent; with the gradient of a minibatch, which is a
sample of the whole, it is stochastic: SGD.

In a narrow valley such steps go from side to side. A velocity v that gathers the gradients
averages that out, and grows where they agree (Polyak 1964):

    v <- momentum * v + g         w <- w - learning_rate * v         with the new v

With momentum = 0 it is SGD. The learning rate stands outside of v, as PyTorch has it.

    w, g, v of one shape    learning_rate, momentum: numbers    return w, v
""",
    function="momentum_step",
    outputs=("w", "v"),
    cases=lambda: [(*normals((4, 3), (4, 3), (4, 3)), 0.1, 0.9),
                   (*normals((5,), (5,), (5,), seed=1), 0.02, 0.0)],
    reference=_momentum,
    home="kernels/reference/update.py, _sgd and _momentum",
    suspects=(
        Suspect("sign", "downhill is against the gradient: w - learning_rate * v",
                lambda w, g, v, rate, mu: {"w": w + rate * (mu * v + g)}),
        Suspect("momentum", "this is SGD: the velocity takes no part in the step",
                lambda w, g, v, rate, mu: {"w": w - rate * g}),
        Suspect("old moment", "w moves by the new v, not by the one before",
                lambda w, g, v, rate, mu: {"w": w - rate * v}),
        Suspect("mean", "g is added as it is, not times 1 - momentum: that is the moving mean of "
                "exercise 8", lambda w, g, v, rate, mu: {
                    "w": w - rate * (mu * v + (1 - mu) * g), "v": mu * v + (1 - mu) * g}),
        Suspect("learning rate", "the learning rate stands outside of v",
                lambda w, g, v, rate, mu: {"v": mu * v + rate * g, "w": w - mu * v - rate * g}),
        Suspect("learning rate", "the learning rate is missing",
                lambda w, g, v, rate, mu: {"w": w - mu * v - g}),
    ),
)  # fmt: skip


def _adam(
    w: Any, g: Any, m: Any, v: Any, t: int, rate: float, beta1: float, beta2: float, eps: float,
    *, ones: tuple[bool, bool] = (True, True), root: Any = lambda v, eps: np.sqrt(v) + eps,
    square: Any = np.square, sign: int = 1, late: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The update, with one of its parts in another's place where a mistake is suspected."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * square(g)
    m_hat = m / (1 - beta1 ** (t + late)) if ones[0] else m
    v_hat = v / (1 - beta2 ** (t + late)) if ones[1] else v
    return {"w": w - sign * rate * m_hat / root(v_hat, eps), "m": m, "v": v}


def _adam_cases() -> list[tuple[Any, ...]]:
    w, g, m, v = normals((4, 3), (4, 3), (4, 3), (4, 3))
    zero, numbers = np.zeros((4, 3)), (0.01, 0.9, 0.99, 0.01)
    return [(w, g, 0.1 * m, 0.1 * v**2, 3, *numbers), (w, g, zero, zero, 1, *numbers)]


ADAM = Station(
    number=8,
    title="Adam, with its bias correction",
    theory="""
Adam (Kingma and Ba 2015) gives each weight a step of its own size: the mean of its gradients over
the root of the mean of their squares, which is 1 where they always agree.

    m <- beta1 m + (1 - beta1) g            moving mean of the gradients
    v <- beta2 v + (1 - beta2) g^2          moving mean of their squares
    w <- w - learning_rate m^ / (sqrt(v^) + eps)    m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t)

m and v begin at 0, so that at first they are too small: after one step m = (1 - beta1) g. Divided
by 1 - beta1^t (a power) it is g. This is the bias correction; m and v are kept without it.

    w, g, m, v of one shape    t = 1 at the first update    return w, m, v
""",
    function="adam_step",
    outputs=("w", "m", "v"),
    cases=_adam_cases,
    reference=_adam,
    home="kernels/reference/update.py, _adam; the numbers of t: tinyae/train/optimizers.py",
    suspects=(
        Suspect("bias correction", "m and v are used as they are: divide them by 1 - beta^t",
                lambda *args: {"w": _adam(*args, ones=(False, False))["w"]}),
        Suspect("bias correction", "v is used as it is: divide it by 1 - beta2^t",
                lambda *args: {"w": _adam(*args, ones=(True, False))["w"]}),
        Suspect("bias correction", "m is used as it is: divide it by 1 - beta1^t",
                lambda *args: {"w": _adam(*args, ones=(False, True))["w"]}),
        Suspect("bias correction", "t is 1 at the first update, and was counted on once more",
                lambda *args: {"w": _adam(*args, late=1)["w"]}),
        Suspect("eps", "eps is added to the root, not under it",
                lambda *args: {"w": _adam(*args, root=lambda v, eps: np.sqrt(v + eps))["w"]}),
        Suspect("root", "the root of v^ is missing",
                lambda *args: {"w": _adam(*args, root=lambda v, eps: v + eps)["w"]}),
        Suspect("square", "v is the mean of squares, g^2",
                lambda *args: _adam(*args, square=lambda g: g)),
        Suspect("square", "v is the mean of squares, g^2",
                lambda *args: _adam(*args, square=np.abs)),
        Suspect("sign", "downhill is against the gradient: w minus the step",
                lambda *args: {"w": _adam(*args, sign=-1)["w"]}),
        Suspect("kept", "m and v are kept without their correction, which is for this step alone",
                lambda w, g, m, v, t, rate, b1, b2, eps: {
                    "m": (b1 * m + (1 - b1) * g) / (1 - b1**t),
                    "v": (b2 * v + (1 - b2) * g**2) / (1 - b2**t)}),
    ),
)  # fmt: skip

HE = Station(
    number=9,
    title="how weights begin, and what goes wrong without",
    theory="""
If all weights of a layer begin alike, its units get the same gradient and stay alike: weights
begin at random. How large? A unit's z is a sum of n_in terms, so its variance is n_in times that
of a weight (times that of the inputs). Too small, and the signal fades from layer to layer, and
the gradient on its way back; too large, and both explode. Of weights with variance 1 / n_in the
size is kept (LeCun). A relu makes 0 of half of it, so it takes 2 / n_in (He et al. 2015).

To multiply normal numbers by c makes their variance c^2 times as large.
What happens otherwise: tinyae trace --norms, the two nets of 16 layers.

    normal (n_in, n_out): numbers of variance 1    w (n_in, n_out): of variance 2 / n_in
""",
    function="he",
    outputs=("w",),
    cases=lambda: [tuple(normals((40, 10))), tuple(normals((3, 8), seed=1))],
    reference=lambda normal: {"w": normal * np.sqrt(2 / len(normal))},
    home="tinyae/net/initializers.py, he",
    suspects=(
        Suspect("variance", "2 / n_in is the variance, and its root what to multiply by",
                lambda normal: {"w": normal * 2 / len(normal)}),
        Suspect("relu", "this is LeCun's, variance 1 / n_in: a relu halves what passes",
                lambda normal: {"w": normal / np.sqrt(len(normal))}),
        Suspect("n_out", "a unit adds up n_in terms: the number of units, n_out, is of no account",
                lambda normal: {"w": normal * np.sqrt(2 / normal.shape[1])}),
        Suspect("n_out", "this is Glorot's, variance 2 / (n_in + n_out), which fits tanh",
                lambda normal: {"w": normal * np.sqrt(2 / sum(normal.shape))}),
        Suspect("alike", "all weights are 0: units that begin alike stay alike",
                lambda normal: {"w": np.zeros(normal.shape)}),
        Suspect("size", "numbers of variance 1 as they are: the signal explodes",
                lambda normal: {"w": normal}),
    ),
)  # fmt: skip

NOISE = Station(
    number=10,
    title="noise on the code, and the ball",
    theory="""
Two frames of a film show a ball at two places. The mean of their pixels shows two pale balls; the
mean of their codes, decoded, can show one ball between them, if nearby codes stand for similar
pictures. Nothing in the loss asks for that. Noise does: if the decoder gets the code plus noise,
codes that noise confuses had better stand for pictures that are alike.

    y = z + std * normal          in training only; std is a standard deviation

What is the gradient? z stands in y with the factor 1, and the noise does not depend on z.
The experiment: tinyae demo ball.

    z, normal (variance 1), dy = dL/dy (n, code)    return y and dz = dL/dz, both (n, code)
""",
    function="noisy_code",
    outputs=("y", "dz"),
    cases=lambda: [(*normals((5, 2), (5, 2)), 0.3, *normals((5, 2), seed=2)),
                   (*normals((1, 3), (1, 3), seed=1), 0.0, *normals((1, 3), seed=3))],
    reference=lambda z, normal, std, dy: {"y": z + std * normal, "dz": dy},
    home="tinyae/net/layers.py, Noise; tinyae/train/code_noise.py",
    suspects=(
        Suspect("variance", "std is a standard deviation, and its square the variance",
                lambda z, normal, std, dy: {"y": z + std**2 * normal}),
        Suspect("variance", "std is a standard deviation: no root of it",
                lambda z, normal, std, dy: {"y": z + np.sqrt(std) * normal}),
        Suspect("product", "the noise is added, not multiplied in",
                lambda z, normal, std, dy: {"y": z * (1 + std * normal)}),
        Suspect("noise", "there is no noise in it", lambda z, normal, std, dy: {"y": z}),
        Suspect("derivative", "z stands in y with the factor 1, so dz is dy",
                lambda z, normal, std, dy: {"dz": dy * std}),
        Suspect("derivative", "z stands in y with the factor 1, so dz is dy",
                lambda z, normal, std, dy: {"dz": dy + std * normal}),
        Suspect("derivative", "the gradient goes through: only the noise does not depend on z",
                lambda z, normal, std, dy: {"dz": np.zeros(dy.shape)}),
        Suspect("sign", "the noise is added: the formula is z + std * normal",
                lambda z, normal, std, dy: {"y": z - std * normal}),
    ),
)  # fmt: skip
