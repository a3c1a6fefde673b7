"""Every number of one training step, beside its finite difference.

The step is the library's own: the forward and backward pass of ``net.network`` and the update of
``train.optimizers``, in float64 on the NumPy backend. What the backward pass hands from layer to
layer is seen by a ``visit``, so that any activation, loss and optimiser can be traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..assemble import optimizer as make_optimizer
from ..checks import choice, integer
from ..estimator import Autoencoder
from ..gradient_check import LossFunction, float64_loss, with_weights
from ..kernels.backend import Array, Backend
from ..kernels.conventions import Hyper
from ..net.layers import Dense, Layer, Record
from ..train.optimizers import Optimizer
from .differences import Differences
from .formulas import ACTIVATIONS, LOSSES, compute, update_formulas
from .mistakes import MISTAKES
from .record import TOLERANCE, Floats, Part, Quantity
from .show import Trace


def trace(
    model: Autoencoder, X: ArrayLike, *, step: int = 1, mistake: str | None = None,
    layer: int | None = None,
) -> Trace:  # fmt: skip
    """What a training step of ``model`` on the minibatch ``X`` (samples, features) computes.

    ``model`` is left as it is; without weights yet, it is initialized for X. The optimiser begins
    with this step, at the constant ``learning_rate``; ``step`` 2, 3, ... traces a later one on the
    same X. Noise on the code, blurred targets and the terms of a family, such as the corruption of
    ``DenoisingAutoencoder``, which belong to training alone, are left out.

    ``mistake``, one of ``mistakes.MISTAKES``, is put into ``layer`` (1, 2, ...; None: the first of
    the decoder), so that ``first_wrong`` is where it shows. Each gradient has its finite
    difference: of large arrays that of 32 elements, and that along a random direction.

    Raises ValueError for X of another width or with NaN where the model has learnt none, an unknown
    mistake, a layer that is not there, a mistake that changes no number in this net, and a loss
    that is not finite.
    """
    integer("step", step, 1)
    model = with_weights(model, X)
    x = np.ascontiguousarray(X, np.float64)
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != model.n_features_in_:
        raise ValueError(f"X must have shape (samples, {model.n_features_in_}), got {x.shape}")
    if not (np.isfinite(x) | (np.isnan(x) & (model.fill_ is not None))).all():
        raise ValueError("X must be finite, got NaN or infinity")
    loss = float64_loss(model, x, "numpy", family=False)
    for record in loss.records:
        _dense(record)
    layers = len(loss.records)
    if mistake is not None:
        choice("mistake", mistake, tuple(MISTAKES))
    at = min(loss.network.architecture.code, layers - 1) if layer is None else layer - 1
    if not 0 <= at < layers:
        raise ValueError(f"layer must be one of 1 ... {layers}, got {layer}")
    optimizer = make_optimizer(model._built_params, loss.network)
    learning_rate = model._built_params["learning_rate"]
    for _ in range(step - 1):
        loss.gradient()
        numbers = optimizer.next_numbers(learning_rate)
        optimizer.apply(loss.network.backend, numbers, guard=loss.totals)
    tracer = _Tracer(loss, optimizer, learning_rate)
    with np.errstate(all="ignore"):
        tracer.run(None if mistake is None else (mistake, at))
    where = "" if mistake in (None, "mean", "bias-correction") else f", in layer {at + 1}"
    found = Trace(
        f"step {step} on {_count(len(x), 'sample')}: {model!r}",
        tuple(record.activation for record in loss.records), loss.network.architecture.loss,
        optimizer.name, tracer.hyper, tracer.parts,
        f"{mistake}{where}: {MISTAKES[mistake].about}" if mistake else "", tracer.arrays,
    )  # fmt: skip
    if mistake is not None and found.first_wrong is None:
        raise ValueError(
            f"the mistake {mistake!r} in layer {at + 1} changes no number in this net: "
            f"{MISTAKES[mistake].needs}"
        )
    return found


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


class _Tracer:
    """Makes the step, and notes its numbers in the order in which they come about."""

    def __init__(self, loss: LossFunction, optimizer: Optimizer, learning_rate: float) -> None:
        self.loss, self.optimizer, self.learning_rate = loss, optimizer, learning_rate
        self.right: Backend = loss.network.backend  # the operations without a mistake
        self.arrays: dict[str, Floats] = {}
        self.parts: list[Part] = []
        self.hyper: dict[str, float] = {}

    def run(self, mistake: tuple[str, int] | None) -> None:
        loss, records = self.loss, self.loss.records
        value, _ = loss.value(loss.x, records)
        if not np.isfinite(value):
            raise ValueError(f"the loss of this step is {value}: there is nothing to compare with")
        self._forward(value)
        self._differences = Differences(loss, value)
        ops = self.right
        if mistake is not None:
            name, at = mistake
            ops = MISTAKES[name].plant(ops, records[at], self.arrays[f"z{at + 1}"])
        # before the derivative of the last activation is applied to it in its place
        loss.objective.value(
            ops, loss.x, loss.target, records, loss.totals, loss.objective.terms
        )  # fmt: skip
        dy, dzs = _copy(records[-1].dz), dict[str, Floats]()

        def visit(layer: Layer, x: Array, dz: Array) -> None:
            dzs[layer.name] = _copy(dz)

        loss.objective.visits.append(visit)
        loss.objective.gradient(ops, loss.x, loss.target, records, loss.totals)
        self._backward(ops, dy, dzs)
        self._update(ops)

    def _part(self, title: str, quantities: Sequence[Quantity]) -> None:
        self.parts.append(Part(title, list(quantities)))
        self.arrays.update({q.name: q.array for q in quantities})

    def _forward(self, value: float) -> None:
        records, link = self.loss.records, self.loss.network.architecture.link
        for i, record in enumerate(records, start=1):
            layer, x = _dense(record), self._input(i)
            logits = i == len(records) and link != "identity"
            within = f" (its {link} is in the loss)" if logits else ""
            z, slope = np.empty_like(record.y), np.empty_like(record.y)
            self.right.dense_forward(x, layer.w, layer.b, "identity", z, None)
            ones = np.ones_like(z)
            self.right.activation_backward(ones, record.activation, record.saved, slope)
            self.arrays[f"slope{i}"] = slope
            formula = (
                ACTIVATIONS[record.activation].value if record.activation in ACTIVATIONS else ""
            )
            self._part(
                f"forward, layer {i} of {len(records)}: {layer.name}, {layer.w.shape[0]} -> "
                f"{layer.w.shape[1]}, {record.activation}{within}",
                [
                    Quantity(f"x{i}", "the samples" if i == 1 else f"y{i - 1}", _copy(x)),
                    Quantity(f"w{i}", "weights", _copy(layer.w)),
                    Quantity(f"b{i}", "biases", _copy(layer.b)),
                    Quantity(f"z{i}", "", z, f"x{i} @ w{i} + b{i}"),
                    Quantity(f"y{i}", "" if formula else f"{record.activation}(z)", _copy(record.y),
                             formula),
                ],
            )  # fmt: skip
        name = self.loss.network.architecture.loss
        formula = f"sum of ({LOSSES[name].value}) / n" if name in LOSSES else ""
        if self.loss.network.architecture.groups:
            formula += " + the cross-entropies of categories, whose t is not shown"
        self._part(f"loss: {name}", [
            Quantity("t", "the target", _copy(self.loss.target)),
            Quantity("loss", f"{name} of y{len(records)} and t", np.array(value), formula),
        ])  # fmt: skip

    def _input(self, i: int) -> Array:
        return self.loss.x if i == 1 else self.loss.records[i - 2].y

    def _backward(self, ops: Backend, dy: Floats, dzs: dict[str, Floats]) -> None:
        records, differences = self.loss.records, self._differences
        name = self.loss.network.architecture.loss
        formula = LOSSES[name].slope if name in LOSSES else ""
        if self.loss.network.architecture.groups:
            formula += ", of categories (softmax(y) - t) / n"
        gradients = self.loss.network.parameters.split(
            _copy(self.loss.network.parameters.gradients)
        )
        for i in reversed(range(1, len(records) + 1)):
            record, layer, x = records[i - 1], _dense(records[i - 1]), _copy(self._input(i))
            y, z, dz = _copy(record.y), self.arrays[f"z{i}"], dzs[layer.name]
            dy_here = dy
            slope = f"dy{i} * dy/dz"
            if record.activation in ACTIVATIONS:
                slope = f"dy{i} * ({ACTIVATIONS[record.activation].slope})"
            checked = [
                (f"dy{i}", f"dL/dy{i}", dy_here, formula, y, differences.given(i, y, "identity")),
                (f"dz{i}", f"dL/dz{i}", dz, slope, z, differences.given(i, z, record.activation)),
                (f"dw{i}", f"dL/dw{i}", gradients[f"{layer.name}.weight"], f"x{i}.T @ dz{i}",
                 layer.w, differences.layers_from(i, x)),
                (f"db{i}", f"dL/db{i}", gradients[f"{layer.name}.bias"],
                 f"sum of dz{i} over samples", layer.b, differences.layers_from(i, x)),
            ]  # fmt: skip
            if i > 1:  # nothing below the first layer wants it
                dx = np.empty_like(x)
                ops.dense_backward_input(dz, layer.w, "identity", records[i - 2].saved, dx)
                checked.append((f"dx{i}", f"dL/dx{i}", dx, f"dz{i} @ w{i}.T", x,
                                differences.layers_from(i, x)))  # fmt: skip
                dy, formula = dx, f"dx{i}"
            self._part(
                f"backward, layer {i}: {layer.name}", [differences.checked(*q) for q in checked]
            )

    def _update(self, ops: Backend) -> None:
        optimizer, parameters = self.optimizer, self.loss.network.parameters
        old = parameters.to_host()
        moments = {k: parameters.split(_copy(m)) for k, m in optimizer.moments.items()}
        numbers = optimizer.next_numbers(self.learning_rate)
        optimizer.apply(ops, numbers, guard=self.loss.totals)
        rates = Hyper(*optimizer.numbers(optimizer.updates, self.learning_rate))
        self.hyper = {**rates._asdict(), "t": optimizer.updates}
        gradients = parameters.split(_copy(parameters.gradients))  # clipped, where they are
        after = {k: parameters.split(_copy(m)) for k, m in optimizer.moments.items()}
        new = parameters.to_host()
        for i, record in enumerate(self.loss.records, start=1):
            layer = _dense(record)
            for letter, kind in (("w", "weight"), ("b", "bias")):
                name, short = f"{layer.name}.{kind}", f"{letter}{i}"
                decayed = letter == "w" and rates.weight_decay != 0
                known = {"dw": gradients[name], "w": old[name],
                         **{m: moments[m][name] for m in moments}}  # fmt: skip
                made = {**{m: after[m][name] for m in after}, "new": new[name]}
                self._part(f"update of {short}: {layer.name}",
                           self._updated(short, decayed, known, made))  # fmt: skip

    def _updated(
        self, short: str, decayed: bool, known: dict[str, Any], made: dict[str, Floats]
    ) -> list[Quantity]:
        """Moments and new values as the optimiser ``made`` them, beside what the formulas say."""
        formulas = update_formulas(self.optimizer.name, decayed)
        values, found = {**known, **self.hyper}, list[Quantity]()
        for what, moment in known.items():
            if what not in ("dw", "w"):
                self.arrays[f"{short}.{what}_before"] = moment
        for what, text in formulas.items():
            result = compute(text, values)
            values[what] = result
            shown = text.replace("dw", f"d{short}") if what == "g" else text
            array, expected = (made[what], result) if what in made else (result, None)
            scale = float(np.abs(values["step"] if what == "new" else array).max()) or 1.0
            if what == "new":  # w - step is rounded as w is
                scale = max(scale, np.finfo(np.float64).eps / TOLERANCE * np.abs(known["w"]).max())
            found.append(Quantity(f"{short}.{what}", "", array, shown, expected, scale))
        if not formulas:  # of an optimiser that the tables do not know
            found = [Quantity(f"{short}.{what}", "", array) for what, array in made.items()]
        return found


def _dense(record: Record) -> Dense:
    if not isinstance(record.layer, Dense):
        raise TypeError(
            "a trace is of nets of dense layers alone, and this one has a layer "
            f"{record.layer.name!r} of the type {type(record.layer).__name__}"
        )
    return record.layer


def _copy(array: Array) -> Floats:
    return np.array(array, np.float64)
