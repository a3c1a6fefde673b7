"""Two plain classifiers, to see what codes are good for: k nearest neighbours, softmax regression.

Both compute in float64 and give the same answer every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import integer, number
from ..data.reading import Progress, silent
from ..data.rows import Rows, as_rows, value_range

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_BYTES = 32 << 20  # of distances in memory at a time


def knn_predict(
    train: ArrayLike | Rows, labels: ArrayLike, queries: ArrayLike | Rows, k: int = 5,
    report: Progress = silent,
) -> NDArray[Any]:  # fmt: skip
    """The label of each query (m, features) by its k nearest of train (n, features): (m,).

    The nearest are those of the least Euclidean distance, at equal distance those that come
    first in ``train``; with fewer than k samples all of them vote. Each has one vote; where
    labels draw, the one of the nearest voter among them wins (Cover and Hart, "Nearest neighbor
    pattern classification", 1967). ``report(done, m)`` is called after each block of queries.

    Raises ValueError or TypeError for shapes that do not fit, values that are not finite and a k
    that is no integer >= 1.
    """
    integer("k", k, 1)
    x, kinds, which = labelled_points("train", train, labels)
    rows = as_rows(queries, "queries")
    if rows.shape[1] != x.shape[1]:
        raise ValueError(f"queries must have shape (m, {x.shape[1]}), got {rows.shape}")
    value_range(rows, "queries")
    winners = np.empty(len(rows), np.int64)
    for where, neighbours in nearest(x, rows, min(k, len(x))):
        classes = which[neighbours]
        votes = (classes[:, :, None] == classes[:, None, :]).sum(axis=2)
        # argmax takes the first of equals, and the nearest stand first
        winners[where] = np.take_along_axis(classes, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
        report(where.stop, len(rows))
    predicted: NDArray[Any] = kinds[winners]
    return predicted


def nearest(x: Floats, queries: Rows, k: int) -> Iterator[tuple[slice, Integers]]:
    """(which queries, the positions in x (n, features) of their k nearest, the nearest first).

    Blocks of queries, so that no more than BLOCK_BYTES of distances exist at a time. 1 <= k <= n.
    """
    # |q - x|^2 = |q|^2 - 2 q.x + |x|^2: centred, so that little cancels; |q|^2 orders nothing
    mean = x.mean(axis=0)
    centred = x - mean
    squares = np.einsum("ij,ij->i", centred, centred)
    size = max(1, BLOCK_BYTES // (8 * len(x)))
    for chunk, samples in queries.chunks():
        for start in range(0, len(samples), size):
            block = samples[start : start + size] - mean
            distances = squares - 2 * (block @ centred.T)
            first = chunk.start + start
            yield slice(first, first + len(block)), _smallest(distances, k)


def _smallest(values: Floats, k: int) -> Integers:
    """The columns of each row's k smallest values, in order of (value, column): (rows, k)."""
    bound = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
    rows, columns = np.nonzero(values <= bound)  # k of each row, or more where values are equal
    order = np.lexsort((columns, values[rows, columns], rows))
    first = np.searchsorted(rows, np.arange(len(values)))
    smallest: Integers = columns[order][first[:, None] + np.arange(k)]
    return smallest


@dataclass(frozen=True)
class SoftmaxRegression:
    """p(class | x) = softmax((x - mean) @ weight + bias).

    kinds (classes,), sorted; mean (features,); weight (features, classes); bias (classes,);
    iterations that training took; gradient_norm that it ended with.
    """

    kinds: NDArray[Any]
    mean: Floats
    weight: Floats
    bias: Floats
    iterations: int
    gradient_norm: float

    def predict(self, x: ArrayLike | Rows) -> NDArray[Any]:
        """The most probable label of each sample x (n, features): (n,)."""
        rows = as_rows(x, "x")
        if rows.shape[1] != self.mean.size:
            raise ValueError(f"x must have shape (n, {self.mean.size}), got {rows.shape}")
        predicted = np.empty(len(rows), self.kinds.dtype)
        for where, part in rows.chunks():
            part -= self.mean
            predicted[where] = self.kinds[(part @ self.weight + self.bias).argmax(axis=1)]
        return predicted


def fit_softmax(
    train: ArrayLike | Rows,
    labels: ArrayLike,
    penalty: float = 1e-2,
    tolerance: float = 1e-4,
    max_iterations: int = 10_000,
) -> SoftmaxRegression:
    """Softmax regression on train (n, features), labels (n,): the minimum of ``softmax_loss``.

    Full-batch gradient descent with Nesterov's momentum, begun anew whenever it points uphill
    (O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes", 2015), from
    zero, until the Euclidean norm of the gradient is at most ``tolerance``. The step is 1 / L:
    the Hessian is at most 1/2 (X'X / n) in each class, X with a column of ones (Boehning,
    "Multinomial logistic regression algorithm", 1992). The loss is strictly convex in the
    weights, so a penalty > 0 leaves one answer.

    Raises ValueError or TypeError for shapes that do not fit, values that are not finite and
    numbers out of range, ArithmeticError where ``max_iterations`` do not suffice.
    """
    number("penalty", penalty, above=0)
    number("tolerance", tolerance, above=0)
    integer("max_iterations", max_iterations, 1)
    x, kinds, which = labelled_points("train", train, labels)
    mean = x.mean(axis=0)
    x = x - mean  # the ones are then orthogonal to it: a smaller L
    step = 1 / (0.5 * max(_largest_eigenvalue(x) / len(x), 1.0) + penalty)
    theta = np.zeros((x.shape[1] + 1, len(kinds)))  # weights, and the biases as last row
    ahead, momentum = theta, 1.0
    for iteration in range(max_iterations + 1):
        _, gradient = softmax_loss(ahead, x, which, penalty)
        norm = float(np.linalg.norm(gradient))
        if norm <= tolerance:
            return SoftmaxRegression(kinds, mean, ahead[:-1], ahead[-1], iteration, norm)
        before, theta = theta, ahead - step * gradient
        if np.vdot(gradient, theta - before) > 0:
            momentum = 1.0
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = theta + (momentum - 1) / faster * (theta - before)
        momentum = faster
    raise ArithmeticError(
        f"softmax regression has a gradient of norm {norm:.3g} after {max_iterations} iterations, "
        f"not {tolerance:g}: scale the features, or raise penalty, tolerance or max_iterations"
    )


def softmax_loss(theta: Floats, x: Floats, which: Integers, penalty: float) -> tuple[float, Floats]:
    """Mean of -log p(class) plus penalty / 2 times the squared weights, and its gradient.

    theta (features + 1, classes): weights, the last row biases, which are not penalised;
    x (n, features); which (n,) in 0 .. classes - 1.
    """
    weight, bias = theta[:-1], theta[-1]
    n = np.arange(len(x))
    scores = x @ weight + bias
    scores -= scores.max(axis=1, keepdims=True)  # the same p, and exp cannot overflow
    p = np.exp(scores)
    total = p.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) - scores[n, which]).mean())
    loss += penalty / 2 * float(np.vdot(weight, weight))
    p /= total
    p[n, which] -= 1
    p /= len(x)
    gradient = np.empty_like(theta)
    np.matmul(x.T, p, out=gradient[:-1])
    gradient[:-1] += penalty * weight
    p.sum(axis=0, out=gradient[-1])
    return loss, gradient


def _largest_eigenvalue(x: Floats) -> float:
    """Of x'x, or of the smaller xx', which has the same."""
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return float(np.linalg.eigvalsh(gram)[-1])


def labelled_points(
    name: str, points: ArrayLike | Rows, labels: ArrayLike
) -> tuple[Floats, NDArray[Any], Integers]:
    """Points (n, features), the different labels in order, and each point's place in those."""
    rows = as_rows(points, name)
    value_range(rows, name)
    values = np.asarray(labels)
    if values.shape != (len(rows),):
        raise ValueError(f"labels must have shape ({len(rows)},), got {values.shape}")
    kinds, which = np.unique(values, return_inverse=True)
    return np.asarray(rows, np.float64), kinds, which
