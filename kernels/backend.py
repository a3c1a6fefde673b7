"""The contract: every operation of training, and the columns that implement it.

A ``Backend`` is one column of the grid: a frozen record with one callable per operation. An
operation writes into the arrays that it is given (the last arguments) and allocates nothing;
arrays are C-contiguous and lie in the backend's own memory; dtypes are float32 or float64
throughout one call. What a column lacks it refuses with an error: no silent fallback.

A new operation is a Protocol and a field here and one line per loader; a new column is one
loader and an entry in ``_LOADERS``. mypy and the constructor both report a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

import numpy as np

from . import checks

Array = Any  # numpy.ndarray, or the backend's own device array
HostArray = np.ndarray[Any, Any]


class Empty(Protocol):
    def __call__(self, shape: tuple[int, ...], dtype: str) -> Array: ...


class ToDevice(Protocol):
    """A new backend array with the host array's values."""

    def __call__(self, host: HostArray) -> Array: ...


class ToHost(Protocol):
    """A new NumPy array with the backend array's values; waits for pending work."""

    def __call__(self, array: Array) -> HostArray: ...


class Write(Protocol):
    """Copies host values into an existing backend array of the same shape and dtype."""

    def __call__(self, host: HostArray, out: Array) -> None: ...


class Gather(Protocol):
    """out[i] = data[indices[i]] * scale"""

    def __call__(self, data: Array, indices: Array, scale: float, out: Array) -> None: ...


class DenseForward(Protocol):
    """y = act(x @ w + b); ``pre`` receives x @ w + b where the activation needs its input."""

    def __call__(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None: ...


class DenseBackwardInput(Protocol):
    """dx = (dz @ w.T) * act'(saved), activation and saved being those of the layer below"""

    def __call__(self, dz: Array, w: Array, activation: str, saved: Array, dx: Array) -> None: ...


class DenseBackwardWeights(Protocol):
    """dw = x.T @ dz and db = sum of dz over the batch, both overwritten"""

    def __call__(self, x: Array, dz: Array, dw: Array, db: Array) -> None: ...


class ActivationForward(Protocol):
    """y = act(x); y may be x"""

    def __call__(self, x: Array, activation: str, y: Array) -> None: ...


class ActivationBackward(Protocol):
    """dx = dy * act'(saved); saved is the output, for silu and gelu the input; dx may be dy"""

    def __call__(self, dy: Array, activation: str, saved: Array, dx: Array) -> None: ...


class Loss(Protocol):
    """gradient of the batch mean; totals = [sum of losses, sum of squared errors], float64"""

    def __call__(
        self, name: str, output: Array, target: Array, gradient: Array, totals: Array
    ) -> None: ...


class UpdateSgd(Protocol):
    def __call__(
        self, w: Array, grad: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None: ...


class UpdateWithVelocity(Protocol):
    def __call__(
        self, w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None: ...


class UpdateWithMoments(Protocol):
    def __call__(
        self, w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None: ...


class ClipByNorm(Protocol):
    """grad scaled to a Euclidean norm of at most max_norm; norm[0] = what it was"""

    def __call__(self, grad: Array, max_norm: float, norm: Array) -> None: ...


class RandomBits(Protocol):
    def __call__(self, state: Array, out: Array) -> None: ...


class RandomUniform(Protocol):
    def __call__(self, state: Array, low: float, high: float, out: Array) -> None: ...


class RandomNormal(Protocol):
    def __call__(self, state: Array, mean: float, std: float, out: Array) -> None: ...


class RandomBernoulli(Protocol):
    def __call__(self, state: Array, probability: float, out: Array) -> None: ...


class RandomPermutation(Protocol):
    """out[i] = p(start + i) for the permutation p of 0 .. n - 1 keyed by state"""

    def __call__(self, state: Array, n: int, start: int, out: Array) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One column of the grid. Shapes and dtypes of every argument stand in ``checks.py``."""

    name: str
    host: bool  # its arrays are NumPy arrays: data need not be copied to be gathered

    # memory
    empty: Empty
    to_device: ToDevice
    to_host: ToHost
    write: Write
    synchronize: Callable[[], None]
    # a training step
    gather: Gather
    dense_forward: DenseForward
    dense_backward_input: DenseBackwardInput
    dense_backward_weights: DenseBackwardWeights
    activation_forward: ActivationForward
    activation_backward: ActivationBackward
    loss: Loss
    sgd: UpdateSgd
    momentum: UpdateWithVelocity
    nesterov: UpdateWithVelocity
    adam: UpdateWithMoments
    adamw: UpdateWithMoments
    clip_by_norm: ClipByNorm
    # random numbers
    random_bits: RandomBits
    random_uniform: RandomUniform
    random_normal: RandomNormal
    random_bernoulli: RandomBernoulli
    random_permutation: RandomPermutation


P = ParamSpec("P")


def checked(
    kind: type, check: Callable[Concatenate[type, P], None], op: Callable[P, None]
) -> Callable[P, None]:
    """``op`` behind its argument check; ``kind`` is the backend's array type."""

    @wraps(op)
    def op_checked(*args: P.args, **kwargs: P.kwargs) -> None:
        check(kind, *args, **kwargs)
        op(*args, **kwargs)

    return op_checked


def _numpy() -> Backend:
    from . import (
        activation_numpy,
        dense_numpy,
        gather_numpy,
        loss_numpy,
        memory_numpy,
        random_numpy,
        update_numpy,
    )

    kind = np.ndarray
    return Backend(
        name="numpy",
        host=True,
        empty=memory_numpy.empty,
        to_device=memory_numpy.to_device,
        to_host=memory_numpy.to_host,
        write=checked(kind, checks.write, memory_numpy.write),
        synchronize=memory_numpy.synchronize,
        gather=checked(kind, checks.gather, gather_numpy.gather),
        dense_forward=checked(kind, checks.dense_forward, dense_numpy.dense_forward),
        dense_backward_input=checked(
            kind, checks.dense_backward_input, dense_numpy.dense_backward_input
        ),
        dense_backward_weights=checked(
            kind, checks.dense_backward_weights, dense_numpy.dense_backward_weights
        ),
        activation_forward=checked(
            kind, checks.activation_forward, activation_numpy.activation_forward
        ),
        activation_backward=checked(
            kind, checks.activation_backward, activation_numpy.activation_backward
        ),
        loss=checked(kind, checks.loss, loss_numpy.loss),
        sgd=checked(kind, checks.update_sgd, update_numpy.sgd),
        momentum=checked(kind, checks.update_with_velocity, update_numpy.momentum),
        nesterov=checked(kind, checks.update_with_velocity, update_numpy.nesterov),
        adam=checked(kind, checks.update_with_moments, update_numpy.adam),
        adamw=checked(kind, checks.update_with_moments, update_numpy.adamw),
        clip_by_norm=checked(kind, checks.clip_by_norm, update_numpy.clip_by_norm),
        random_bits=checked(kind, checks.random_bits, random_numpy.random_bits),
        random_uniform=checked(kind, checks.random_uniform, random_numpy.random_uniform),
        random_normal=checked(kind, checks.random_normal, random_numpy.random_normal),
        random_bernoulli=checked(kind, checks.random_bernoulli, random_numpy.random_bernoulli),
        random_permutation=checked(
            kind, checks.random_permutation, random_numpy.random_permutation
        ),
    )


# Name -> loader, the fastest first: "auto" takes the first that loads. A loader raises
# BackendUnavailable, with the remedy, where its column cannot run on this machine.
_LOADERS: dict[str, Callable[[], Backend]] = {"numpy": _numpy}
_loaded: dict[str, Backend] = {}


class BackendUnavailable(RuntimeError):
    """The backend exists but cannot run here; the message says what is missing."""


def get_backend(name: str = "auto") -> Backend:
    """The backend of this name, loaded once; ``"auto"`` is the fastest that works here.

    Raises ValueError for an unknown name, BackendUnavailable for one that cannot run here.
    """
    if name == "auto":
        return get_backend(available_backends()[0])
    if name not in _LOADERS:
        raise ValueError(
            f"backend must be 'auto' or one of {', '.join(map(repr, _LOADERS))}, got {name!r}"
        )
    if name not in _loaded:
        _loaded[name] = _LOADERS[name]()
    return _loaded[name]


def backend_report() -> dict[str, str]:
    """Every backend, the fastest first: "" where it works, else what is missing and the remedy."""
    report = {}
    for name in _LOADERS:
        try:
            get_backend(name)
            report[name] = ""
        except BackendUnavailable as error:
            report[name] = str(error)
    return report


def available_backends() -> list[str]:
    """The names of the backends that work here, the fastest first."""
    return [name for name, missing in backend_report().items() if not missing]
