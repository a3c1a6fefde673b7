"""Argument checks that every column shares: a wrong array is named, never read as something else.

A kernel that ignores strides would read ``m.T`` as ``m``, and NumPy would broadcast a bias of
length 1: both end here, with the argument, what was expected and what came.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .conventions import (
    ACTIVATIONS,
    HYPER,
    LOSSES,
    MOMENTS,
    NEEDS_INPUT,
    OPTIMIZERS,
    PENALTIES,
)

Array = Any


def array(
    kind: type[Any], name: str, value: Array, shape: tuple[int, ...] | None, *dtypes: str
) -> None:
    """``value`` is a C-contiguous array of the backend's ``kind``, of this shape and dtype.

    Where the shape is None every shape will do.
    """
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a {kind.__module__}.{kind.__qualname__}, got "
            f"{type(value).__module__}.{type(value).__qualname__}: "
            "move it to the backend with backend.to_device(...)"
        )
    if _dtype_name(value.dtype) not in dtypes or not value.dtype.isnative:
        raise TypeError(
            f"{name} must have dtype {' or '.join(dtypes)}, got {value.dtype}: "
            "convert it with .astype(...)"
        )
    if shape is not None and value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    if not value.flags["C_CONTIGUOUS"]:  # what NumPy's, CuPy's and Numba's arrays all have
        raise ValueError(
            f"{name} must be C-contiguous, got strides {value.strides} for shape {value.shape}: "
            "pass a contiguous copy"
        )


@cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    """NumPy composes the name anew each time, which takes longer than the rest of a check."""
    return dtype.name


def _floating(name: str, value: Array, n_dims: int) -> str:
    """The dtype that the op works in, told by its first array."""
    dtype = getattr(getattr(value, "dtype", None), "name", type(value).__name__)
    if dtype not in ("float32", "float64"):
        raise TypeError(
            f"{name} must have dtype float32 or float64, got {dtype}: convert it with .astype(...)"
        )
    if value.ndim != n_dims:
        raise ValueError(f"{name} must have {n_dims} dimensions, got shape {value.shape}")
    return str(dtype)


def _alike(kind: type, n_dims: int, **arrays: Array) -> str:
    """All have the shape and the dtype of the first, which is the result."""
    first, value = next(iter(arrays.items()))
    dtype = _floating(first, value, n_dims)
    for name, other in arrays.items():
        array(kind, name, other, value.shape, dtype)
    return dtype


def _name(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}")


def write(kind: type, host: Array, out: Array) -> None:
    array(kind, "out", out, None, str(getattr(out, "dtype", "")))
    came = [getattr(host, what, None) for what in ("shape", "dtype")]
    if came != [out.shape, out.dtype]:
        raise ValueError(
            f"host must be an array of out's shape {out.shape} and dtype {out.dtype}, got "
            f"{type(host).__qualname__} of shape {came[0]} and dtype {came[1]}"
        )


def dense_forward(
    kind: type, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
) -> None:
    dtype = _floating("x", x, 2)
    _floating("w", w, 2)
    batch, n_in = x.shape
    n_out = w.shape[1]
    array(kind, "x", x, (batch, n_in), dtype)
    array(kind, "w", w, (n_in, n_out), dtype)
    array(kind, "b", b, (n_out,), dtype)
    array(kind, "y", y, (batch, n_out), dtype)
    _name("activation", activation, ACTIVATIONS)
    if pre is not None:
        array(kind, "pre", pre, (batch, n_out), dtype)
    elif activation in NEEDS_INPUT:
        raise ValueError(f"pre must be an array for activation {activation!r}, got None")


def dense_backward_input(
    kind: type, dz: Array, w: Array, activation: str, saved: Array, dx: Array
) -> None:
    dtype = _floating("dz", dz, 2)
    _floating("w", w, 2)
    batch, n_out = dz.shape
    n_in = w.shape[0]
    array(kind, "dz", dz, (batch, n_out), dtype)
    array(kind, "w", w, (n_in, n_out), dtype)
    array(kind, "saved", saved, (batch, n_in), dtype)
    array(kind, "dx", dx, (batch, n_in), dtype)
    _name("activation", activation, ACTIVATIONS)


def dense_backward_weights(
    kind: type, x: Array, dz: Array, dw: Array, db: Array, add: bool = False
) -> None:
    dtype = _floating("x", x, 2)
    _floating("dz", dz, 2)
    batch, n_in = x.shape
    n_out = dz.shape[1]
    array(kind, "x", x, (batch, n_in), dtype)
    array(kind, "dz", dz, (batch, n_out), dtype)
    array(kind, "dw", dw, (n_in, n_out), dtype)
    array(kind, "db", db, (n_out,), dtype)
    if not isinstance(add, bool):
        raise TypeError(f"add must be True or False, got {add!r}")


def activation_forward(kind: type, x: Array, activation: str, y: Array) -> None:
    _alike(kind, 2, x=x, y=y)
    _name("activation", activation, ACTIVATIONS)


def activation_backward(kind: type, dy: Array, activation: str, saved: Array, dx: Array) -> None:
    _alike(kind, 2, dy=dy, saved=saved, dx=dx)
    _name("activation", activation, ACTIVATIONS)


def add(kind: type, x: Array, y: Array, out: Array) -> None:
    dtype = _alike(kind, 2, x=x, out=out)
    array(kind, "y", y, x.shape[1:] if getattr(y, "ndim", 2) == 1 else x.shape, dtype)


def top_k(kind: type, x: Array, k: int, y: Array, dropped: Array) -> None:
    _alike(kind, 2, x=x, y=y, dropped=dropped)
    if not (isinstance(k, (int, np.integer)) and k >= 0):
        raise ValueError(f"k must be an integer >= 0, got {k!r}")


def activation_curvature(kind: type, dy: Array, activation: str, saved: Array, dx: Array) -> None:
    _alike(kind, 2, dy=dy, saved=saved, dx=dx)
    _name("activation", activation, ACTIVATIONS)


def loss(
    kind: type, name: str, output: Array, target: Array, gradient: Array, totals: Array
) -> None:
    _alike(kind, 2, output=output, target=target, gradient=gradient)
    array(kind, "totals", totals, (2,), "float64")
    _name("loss", name, LOSSES)


def softmax_loss(
    kind: type, output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
) -> None:
    _alike(kind, 2, output=output, target=target, gradient=gradient)
    array(kind, "bounds", bounds, None, "int64")
    if bounds.ndim != 1:
        raise ValueError(f"bounds must have 1 dimension, got shape {bounds.shape}")
    array(kind, "totals", totals, (2,), "float64")
    if kind is np.ndarray and bounds.size:  # on a device looking would stall it
        n, inner = output.shape[1], np.diff(bounds)
        if bounds[0] < 0 or bounds[-1] > n or (inner.size and inner.min() < 1):
            raise ValueError(f"bounds must rise within [0, {n}], got {bounds.tolist()}")


def normal_divergence(kind: type, x: Array, weight: Array, gradient: Array, totals: Array) -> None:
    _alike(kind, 2, x=x, gradient=gradient)
    _pairs(x)
    array(kind, "weight", weight, (1,), "float64")
    array(kind, "totals", totals, (2,), "float64")


def activity_penalty(
    kind: type, name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
) -> None:
    _alike(kind, 2, y=y, gradient=gradient)
    array(kind, "totals", totals, (2,), "float64")
    _name("penalty", name, PENALTIES)
    if not 0 < rate < 1:
        raise ValueError(f"rate must lie in (0, 1), got {rate}")


def inner_product(kind: type, x: Array, y: Array, weight: float, out: Array, totals: Array) -> None:
    _alike(kind, 2, x=x, y=y, out=out)
    array(kind, "totals", totals, (2,), "float64")


def update(
    kind: type, name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array,
    n_decayed: int, guard: Array,
) -> None:  # fmt: skip
    _name("optimizer", name, OPTIMIZERS)
    dtype = _alike(kind, 1, w=w, grad=grad)
    if len(moments) != len(MOMENTS[name]):
        raise ValueError(
            f"moments must be the arrays ({', '.join(MOMENTS[name])}) of optimizer {name!r}, "
            f"got {len(moments)} arrays"
        )
    for moment, value in zip(MOMENTS[name], moments, strict=True):
        array(kind, moment, value, w.shape, dtype)
    array(kind, "hyper", hyper, (len(HYPER),), "float64")
    array(kind, "guard", guard, (2,), "float64")
    if not 0 <= n_decayed <= w.size:
        raise ValueError(f"n_decayed must lie in [0, {w.size}], got {n_decayed}")


def clip_by_norm(kind: type, grad: Array, max_norm: float, norm: Array) -> None:
    _alike(kind, 1, grad=grad)
    array(kind, "norm", norm, (1,), "float64")
    if not max_norm > 0:
        raise ValueError(f"max_norm must be > 0, got {max_norm}")


def unit_rows(kind: type, w: Array) -> None:
    _alike(kind, 2, w=w)


def random_bits(kind: type, state: Array, out: Array) -> None:
    array(kind, "state", state, (4,), "uint32")
    array(kind, "out", out, None, "uint32")


def random_uniform(kind: type, state: Array, low: float, high: float, out: Array) -> None:
    _random_real(kind, state, out)


def random_normal(kind: type, state: Array, mean: float, std: float, out: Array) -> None:
    _random_real(kind, state, out)


def add_normal(kind: type, state: Array, std: Array, x: Array, out: Array) -> None:
    _alike(kind, 2, x=x, out=out)
    array(kind, "state", state, (4,), "uint32")
    array(kind, "std", std, (1,), "float64")


def sample_normal(kind: type, state: Array | None, x: Array, y: Array) -> None:
    _alike(kind, 2, x=x)
    array(kind, "y", y, (len(x), _pairs(x)), _dtype_name(x.dtype))
    if state is not None:
        array(kind, "state", state, (4,), "uint32")


def sample_normal_backward(kind: type, x: Array, y: Array, dy: Array, dx: Array) -> None:
    dtype = _alike(kind, 2, x=x, dx=dx)
    for name, value in (("y", y), ("dy", dy)):
        array(kind, name, value, (len(x), _pairs(x)), dtype)


def _pairs(x: Array) -> int:
    """How many means, each with its variance, a row of x has."""
    if x.shape[1] % 2:
        raise ValueError(f"x must have an even number of columns, got shape {x.shape}")
    return int(x.shape[1] // 2)


def random_bernoulli(kind: type, state: Array, probability: float, out: Array) -> None:
    _random_real(kind, state, out)
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")


def _random_real(kind: type, state: Array, out: Array) -> None:
    array(kind, "state", state, (4,), "uint32")
    array(kind, "out", out, None, "float32", "float64")


def random_permutation(kind: type, state: Array, n: int, start: int, out: Array) -> None:
    array(kind, "state", state, (4,), "uint32")
    array(kind, "out", out, None, "int64")
    if out.ndim != 1:
        raise ValueError(f"out must have 1 dimension, got shape {out.shape}")
    if not 0 <= start <= start + out.size <= n:
        raise ValueError(f"start + out.size must lie in [0, n = {n}], got {start} + {out.size}")


def gather(kind: type, data: Array, indices: Array, scale: float, out: Array) -> None:
    _alike(kind, 2, out=out)
    array(kind, "indices", indices, (out.shape[0],), "int64")
    if getattr(data, "ndim", 0) != 2 or data.shape[1] != out.shape[1]:
        raise ValueError(
            f"data must have shape (n, {out.shape[1]}), got {getattr(data, 'shape', type(data))}"
        )
    array(kind, "data", data, data.shape, _dtype_name(data.dtype))
    if kind is np.ndarray:
        rows_exist(indices, len(data))


def fill(kind: type, x: Array, values: Array, out: Array) -> None:
    dtype = _alike(kind, 2, x=x, out=out)
    array(kind, "values", values, (x.shape[1],), dtype)


def rows_exist(indices: Array, n: int) -> None:
    # read as unsigned, negative numbers are the largest: one pass, at every step of training
    if indices.size and indices.view("uint64").max() >= n:
        raise IndexError(f"indices must lie in [0, {n}), got {indices.min()}..{indices.max()}")
