"""Small autoencoders of one shape, each with rows of its own, trained all at once.

Arrays have the members in front: (members, rows, units). A net starts as PCA of its rows, exactly:
the code's directions V pass through hidden layers as pairs, silu(p) - silu(-p) = p.

    h = silu(x [V, -V]),  code = h [I; -I],  h' = silu(code [I, -I]),  output = h' [V'; -V']
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.pca import with_fixed_signs
from ..kernels.conventions import Hyper
from ..kernels.reference.activation import activation_backward, activation_forward
from ..kernels.reference.update import update

Floats = NDArray[np.float64]
Layer = tuple[Floats, Floats]  # weight (members, n_in, n_out), bias (members, 1, n_out)

ACTIVATION = "silu"
ACTIVE = (0, 2)  # the layers that have it; the code and the output are linear


def directions(x: Floats, code: int) -> Floats:
    """The leading principal directions (members, features, code) of x, centred, by members."""
    vt = np.linalg.svd(x, full_matrices=False)[2][:, :code]
    vt = with_fixed_signs(vt.reshape(-1, x.shape[2])).reshape(vt.shape)
    return np.ascontiguousarray(vt.transpose(0, 2, 1))


def shapes(features: int, code: int) -> list[tuple[int, int]]:
    """(n_in, n_out) of the four layers."""
    return [(features, 2 * code), (2 * code, code), (code, 2 * code), (2 * code, features)]


def trained(x: Floats, v: Floats, updates: int, learning_rate: float) -> list[Layer]:
    """The layers after so many updates by Adam, each from all rows of x (members, rows, features).

    The loss is the squared error of a row. The members have nothing to do with each other: each
    ends as it would alone.
    """
    members, _, code = v.shape
    vt, one = v.transpose(0, 2, 1), np.broadcast_to(np.eye(code), (members, code, code))
    start = [np.concatenate([v, -v], 2), np.concatenate([one, -one], 1),
             np.concatenate([one, -one], 2), np.concatenate([vt, -vt], 1)]  # fmt: skip
    flat = np.concatenate(
        [part.ravel() for w in start for part in (w, np.zeros((members, 1, w.shape[2])))]
    )
    gradient, moments = np.empty_like(flat), (np.zeros_like(flat), np.zeros_like(flat))
    layers, slopes = (_views(values, members, x.shape[2], code) for values in (flat, gradient))
    guard = np.zeros(2)
    for t in range(1, updates + 1):
        guard[0] = _backward(x, layers, slopes)
        hyper = Hyper(learning_rate, 0.0, 0.0, 0.9, 0.999, 1e-8, 1 - 0.9**t, 1 - 0.999**t)
        update("adam", flat, gradient, moments, np.array(hyper), 0, guard)
    return layers


def _views(flat: Floats, members: int, features: int, code: int) -> list[Layer]:
    found, at = [], 0
    for n_in, n_out in shapes(features, code):
        middle = at + members * n_in * n_out
        weight = flat[at:middle].reshape(members, n_in, n_out)
        at = middle + members * n_out
        found.append((weight, flat[middle:at].reshape(members, 1, n_out)))
    return found


def _backward(x: Floats, layers: list[Layer], slopes: list[Layer]) -> float:
    """The summed loss of all members; slopes = its derivatives."""
    inputs, sums = [x], []
    for number, layer in enumerate(layers):
        sums.append(affine(inputs[-1], layer))
        inputs.append(active(number, sums[-1]))
    output = inputs.pop()
    delta = output - x
    loss: float = np.vdot(delta, delta).item() / x.shape[1]
    delta *= 2 / x.shape[1]
    for number in reversed(range(len(layers))):
        if number in ACTIVE:
            activation_backward(delta, ACTIVATION, sums[number], delta)
        weight, bias = slopes[number]
        np.matmul(inputs[number].transpose(0, 2, 1), delta, out=weight)
        np.sum(delta, axis=1, keepdims=True, out=bias)
        if number:
            delta = delta @ layers[number][0].transpose(0, 2, 1)
    return loss


def affine(x: Floats, layer: Layer) -> Floats:
    y: Floats = np.matmul(x, layer[0])
    y += layer[1]
    return y


def active(number: int, x: Floats) -> Floats:
    """What layer ``number`` makes of its sums."""
    if number not in ACTIVE:
        return x
    y = np.empty_like(x)
    activation_forward(x, ACTIVATION, y)
    return y
