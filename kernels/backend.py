"""The contract: every operation of training, and the columns that implement it.

A ``Backend`` is one column of the grid: a frozen record with one callable per operation. An
operation writes into the arrays that it is given (the last arguments) and allocates nothing;
arrays are C-contiguous and lie in the backend's own memory; dtypes are float32 or float64
throughout one call. What a column lacks it refuses with an error: no silent fallback.

A new operation is a Protocol and a field here, a check of the same name in ``checks.py`` and a
function of the same name in a module of each column, where ``assembled`` finds it; the constructor
reports a hole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from functools import cached_property, wraps
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
    """out[i] = data[indices[i]] * scale

    An index outside the data is an IndexError where arrays lie on the host; on a device, where
    looking would stall it, the row becomes NaN.
    """

    def __call__(self, data: Array, indices: Array, scale: float, out: Array) -> None: ...


class Fill(Protocol):
    """out[i, j] = x[i, j], or values[j] where x[i, j] is NaN, a missing value; out may be x"""

    def __call__(self, x: Array, values: Array, out: Array) -> None: ...


class DenseForward(Protocol):
    """y = act(x @ w + b); ``pre`` receives x @ w + b where the activation needs its input."""

    def __call__(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None: ...


class DenseBackwardInput(Protocol):
    """dx = (dz @ w.T) * act'(saved), activation and saved being those of the layer below"""

    def __call__(self, dz: Array, w: Array, activation: str, saved: Array, dx: Array) -> None: ...


class DenseBackwardWeights(Protocol):
    """dw = x.T @ dz and db = sum of dz over the batch; with ``add``, dw += and db +="""

    def __call__(self, x: Array, dz: Array, dw: Array, db: Array, add: bool = False) -> None: ...


class ActivationForward(Protocol):
    """y = act(x); y may be x"""

    def __call__(self, x: Array, activation: str, y: Array) -> None: ...


class ActivationBackward(Protocol):
    """dx = dy * act'(saved); saved is the output, for silu and gelu the input; dx may be dy"""

    def __call__(self, dy: Array, activation: str, saved: Array, dx: Array) -> None: ...


class Add(Protocol):
    """out = x + y, elementwise; y has x's shape (batch, n), or is one row (n,) for all. out may be
    x, and y where it has x's shape."""

    def __call__(self, x: Array, y: Array, out: Array) -> None: ...


class TopK(Protocol):
    """y = x where it is among the k greatest of its row, else 0; dropped = 0 there, else 1.

    Of equal numbers those in lower columns come first; NaN counts as infinity. k >= 0 may be more
    than a row has.
    """

    def __call__(self, x: Array, k: int, y: Array, dropped: Array) -> None: ...


class ActivationCurvature(Protocol):
    """dx = dy * act''(saved), ``saved`` as of ``ActivationBackward``; dx may be dy. 0 at kinks."""

    def __call__(self, dy: Array, activation: str, saved: Array, dx: Array) -> None: ...


class InnerProduct(Protocol):
    """out = x * y, elementwise; out may be x or y. Adds weight times its sum to totals[0]."""

    def __call__(self, x: Array, y: Array, weight: float, out: Array, totals: Array) -> None: ...


class Loss(Protocol):
    """gradient of the batch mean; totals = [sum of losses, sum of squared errors], float64

    A NaN in ``target`` is a missing value: it adds nothing to totals, and its gradient is 0.
    """

    def __call__(
        self, name: str, output: Array, target: Array, gradient: Array, totals: Array
    ) -> None: ...


class SoftmaxLoss(Protocol):
    """Cross-entropy of groups of columns, each of one-hot targets; the outputs are logits.

    Group g is the columns bounds[g] .. bounds[g + 1] - 1; ``bounds`` (n_groups + 1,) rise. In these
    columns gradient = (softmax(output) - target) / batch; others stay as they are. Adds the
    cross-entropies to totals[0]. A group of which a target is NaN is missing: it adds nothing, and
    its gradient is 0. Targets may be any weights >= 0: the softmax is then times their sum.
    """

    def __call__(
        self, output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
    ) -> None: ...


class NormalDivergence(Protocol):
    """weight[0] times the Kullback-Leibler divergence of normals from the standard one.

    x (batch, 2 n) holds means, then logarithms of variances; weight float64 (1,). gradient = that
    of the batch mean. Adds weight[0] times the sum of the divergences to totals[0].
    """

    def __call__(self, x: Array, weight: Array, gradient: Array, totals: Array) -> None: ...


class ActivityPenalty(Protocol):
    """A penalty of ``conventions.PENALTIES`` on activities y (batch, n), times ``weight``.

    l1: the sum of |y|. kl: batch times the Kullback-Leibler divergence of a Bernoulli variable with
    the mean of a column from one with mean ``rate``, summed over columns; means count as at least
    ``RATE_MARGIN`` from 0 and 1. gradient = that of the batch mean. Adds the value to totals[0].
    """

    def __call__(
        self, name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
    ) -> None: ...


class Update(Protocol):
    """One step of the optimiser ``name``; ``moments`` are those of ``conventions.MOMENTS``"""

    def __call__(
        self, name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array,
        n_decayed: int, guard: Array,
    ) -> None: ...  # fmt: skip


class ClipByNorm(Protocol):
    """grad scaled to a Euclidean norm of at most max_norm; norm[0] = what it was"""

    def __call__(self, grad: Array, max_norm: float, norm: Array) -> None: ...


class UnitRows(Protocol):
    """Divides each row of w (n, columns) by its Euclidean norm; one whose norm is 0 or not finite
    stays."""

    def __call__(self, w: Array) -> None: ...


class RandomBits(Protocol):
    def __call__(self, state: Array, out: Array) -> None: ...


class RandomUniform(Protocol):
    def __call__(self, state: Array, low: float, high: float, out: Array) -> None: ...


class RandomNormal(Protocol):
    def __call__(self, state: Array, mean: float, std: float, out: Array) -> None: ...


class AddNormal(Protocol):
    """out = x + std[0] g, g the stream's normals; out may be x"""

    def __call__(self, state: Array, std: Array, x: Array, out: Array) -> None: ...


class SampleNormal(Protocol):
    """y = mean + exp(log_variance / 2) g, g the stream's normals; y = mean where state is None.

    x (batch, 2 n) holds means, then logarithms of variances; y (batch, n).
    """

    def __call__(self, state: Array | None, x: Array, y: Array) -> None: ...


class SampleNormalBackward(Protocol):
    """dx += [dy, dy (y - mean) / 2] for x and y of ``SampleNormal`` with a state"""

    def __call__(self, x: Array, y: Array, dy: Array, dx: Array) -> None: ...


class RandomBernoulli(Protocol):
    def __call__(self, state: Array, probability: float, out: Array) -> None: ...


class RandomPermutation(Protocol):
    """out[i] = p(start + i) for the permutation p of 0 .. n - 1 keyed by state"""

    def __call__(self, state: Array, n: int, start: int, out: Array) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Where a replayed step finds its samples and its numbers, and leaves its losses: arguments of
    ``BeginStep`` and ``EndStep``, the same at every step."""

    cursor: Array
    order: Array
    batch_size: int
    numbers: Array
    data: Array
    scale: float
    history: Array


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What one training step works on: a net's layers and the flat arrays of its parameters."""

    layers: tuple[tuple[int, int, str], ...]  # (n_in, n_out, activation) of each
    loss: str
    optimizer: str
    clip_norm: float | None
    values: Array  # all weights, layer by layer, then all biases
    moments: tuple[Array, ...]  # as in ``update``
    n_weights: int
    capacity: int  # the largest batch
    plain: bool = True  # nothing is done between layers or to gradients but clipping
    # (i, j): layer i has none of its own, but those of layer j below, transposed; each j once
    tied: tuple[tuple[int, int], ...] = ()
    gradients: Array | None = None  # where they are left, and nothing is updated
    # then the step gathers its samples into x, has the numbers from there, and ends as EndStep does
    epoch: Epoch | None = None


class Step(Protocol):
    """Forward, loss, backward and update; x and target (batch, n_features), totals as of ``loss``.

    The same as one operation after the other, rounding apart, but that gradients are kept nowhere,
    unless the plan says where: then there is no update, and nothing is clipped.
    """

    def __call__(self, x: Array, target: Array, hyper: Array, totals: Array) -> None: ...


class MakeStep(Protocol):
    """None where the column's step lacks something of the plan."""

    def __call__(self, plan: StepPlan) -> Step | None: ...


class RecordLaunches(Protocol):
    """Notes the launches that ``work`` makes, without running them. Calling the result runs them in
    their order, on what then lies in the same arrays. ``work`` must have been run before."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]: ...


class BeginStep(Protocol):
    """At step s = cursor[0] of an epoch: ``gather`` by indices = order[s batch_size + first ...],
    and row s of numbers (float64: ``HYPER``, a standard deviation, an update's number) into hyper,
    std and state[3]"""

    def __call__(
        self, cursor: Array, order: Array, batch_size: int, numbers: Array, hyper: Array,
        std: Array, state: Array, data: Array, first: int, scale: float, out: Array,
    ) -> None: ...  # fmt: skip


class EndStep(Protocol):
    """``update``, history[cursor[0]] = guard, then cursor[0] += 1"""

    def __call__(
        self, cursor: Array, history: Array, name: str, w: Array, grad: Array,
        moments: tuple[Array, ...], hyper: Array, n_decayed: int, guard: Array,
    ) -> None: ...  # fmt: skip


class Call(Protocol):
    """Does what is not one of the column's launches; while recording, it becomes part of the
    record."""

    def __call__(self, do: Callable[[], None]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """How a device replays a training step: recorded once, and its place in the epoch is kept in
    device memory, so that the host sends nothing but the word to go on."""

    record: RecordLaunches
    # in a recording dw and db are there after the next join, not before: they are made beside dx
    join: Callable[[], None]
    begin_step: BeginStep
    end_step: EndStep
    call: Call


class LimitThreads(Protocol):
    """At most so many CPU threads in a ``with`` block; None leaves their number to the backend.

    The block is given the number.
    """

    def __call__(self, threads: int | None) -> AbstractContextManager[int]: ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One column of the grid. Shapes and dtypes of every argument stand in ``checks.py``.

    Operations check their arguments. Where a step runs again and again on the same arrays, its
    first run does, and the others may call the operations of ``unchecked``.
    """

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
    fill: Fill
    dense_forward: DenseForward
    dense_backward_input: DenseBackwardInput
    dense_backward_weights: DenseBackwardWeights
    activation_forward: ActivationForward
    activation_backward: ActivationBackward
    activation_curvature: ActivationCurvature
    add: Add
    top_k: TopK
    loss: Loss
    softmax_loss: SoftmaxLoss
    normal_divergence: NormalDivergence
    inner_product: InnerProduct
    activity_penalty: ActivityPenalty
    update: Update
    clip_by_norm: ClipByNorm
    unit_rows: UnitRows
    # random numbers
    random_bits: RandomBits
    random_uniform: RandomUniform
    random_normal: RandomNormal
    add_normal: AddNormal
    sample_normal: SampleNormal
    sample_normal_backward: SampleNormalBackward
    random_bernoulli: RandomBernoulli
    random_permutation: RandomPermutation
    # how large products are made: one of conventions.MATMUL_CHOICES, but "auto"
    matmul: str = "fp32"
    # what a column may have beyond its operations: a whole training step as one piece that is
    # faster than they are, or a way of replaying one; and threads that can be counted
    make_step: MakeStep | None = None
    recorder: Recorder | None = None
    limit_threads: LimitThreads | None = None

    @cached_property
    def unchecked(self) -> Backend:
        """The same column, its operations without the checks that ``checked`` put before them."""
        names = [field.name for field in fields(self) if field.name not in UNCHECKED]
        ops: dict[str, Any] = {name: inspect.unwrap(getattr(self, name)) for name in names}
        return replace(self, **ops)


P = ParamSpec("P")

# What takes no backend arrays, or any: all other operations are checked.
UNCHECKED = (
    "name", "host", "empty", "to_device", "to_host", "synchronize", "matmul", "make_step",
    "recorder", "limit_threads",
)  # fmt: skip


def assembled(name: str, host: bool, *places: object, **own: Any) -> Backend:
    """The column whose operations are found by their names in ``places``, modules or launchers.

    ``own``: fields that stand nowhere under their own name. Raises TypeError, with their names,
    for operations that stand in no place.
    """
    found = {
        field.name: getattr(place, field.name)
        for field in fields(Backend)
        for place in places
        if hasattr(place, field.name)
    }
    return Backend(**{**found, **own, "name": name, "host": host})


def checked(column: Backend, kind: type) -> Backend:
    """The column with each operation behind its namesake in ``checks``; kind is its array type."""
    ops: dict[str, Any] = {
        field.name: _behind(getattr(checks, field.name), kind, getattr(column, field.name))
        for field in fields(column)
        if field.name not in UNCHECKED
    }
    return replace(column, **ops)


def _behind(
    check: Callable[Concatenate[type, P], None], kind: type, op: Callable[P, None]
) -> Callable[P, None]:
    @wraps(op)
    def op_checked(*args: P.args, **kwargs: P.kwargs) -> None:
        check(kind, *args, **kwargs)
        op(*args, **kwargs)

    return op_checked
