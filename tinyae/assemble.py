"""From the arguments of ``Autoencoder`` to the parts that train: layers, objective, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.missing import HINT, choose_missing
from .data.pca import fit_pca
from .data.reading import Progress as Report
from .data.rows import Rows, value_range
from .data.scaling import choose_scale
from .kernels.backend import Backend
from .kernels.columns import get_backend
from .net.initializers import initial_weights
from .net.layers import DenseSpec, NoiseSpec, Spec
from .net.losses import head, resolve
from .net.network import Architecture, Network
from .net.pca_start import holds_pca, start_as_pca
from .train.code_noise import CodeNoise
from .train.objective import Objective, Term
from .train.optimizers import Optimizer
from .train.sizes import (
    EPOCHS,
    FOLDS,
    Found,
    Plan,
    choose_sizes,
    cross_validate,
    cross_validates,
    is_quick,
)
from .train.terms.categories import Categories
from .train.terms.missing import Missing
from .train.terms.target_blur import TargetBlur
from .train.training import Settings

Groups = Sequence[tuple[int, int]]

# Trains with these settings on the samples at the first positions, see ``sizes.Curve``.
Fold = Callable[
    [Mapping[str, Any], NDArray[np.int64], NDArray[np.int64]], Sequence[tuple[float, float]]
]

# By the argument that asks for it where it is not 0; made of (params, network, capacity).
TERMS: dict[str, Callable[[Mapping[str, Any], Network, int], Term]] = {"target_blur": TargetBlur}


def architecture(
    params: Mapping[str, Any], n_features: int, output: str, loss: str, groups: Groups = ()
) -> Architecture:
    """All layers, with "auto" already resolved into ``output`` and ``loss``; ``groups`` are the
    columns of each category."""
    hidden, code, decoder = tuple(params["hidden"]), params["code"], params["decoder_hidden"]
    decoder = hidden[::-1] if decoder is None else tuple(decoder)
    act, (last, link) = params["activation"], head(output, loss)
    if groups and last != "identity":
        raise ValueError(
            f"output={output!r} with loss={loss!r} leaves the logits of categories no room: use "
            "output='identity', or output='sigmoid' with loss='bce'"
        )
    layers: list[Spec] = [
        *_dense("encoder", (n_features, *hidden, code), act, params["code_activation"]),
        NoiseSpec("code_noise"),
        *_dense("decoder", (code, *decoder, n_features), act, last),
    ]
    return Architecture(tuple(layers), len(hidden) + 1, loss, link, tuple(groups))


def _dense(part: str, widths: Sequence[int], activation: str, last: str) -> list[DenseSpec]:
    """Layers from each width to the next; ``last`` is the activation of the last one."""
    activations = [activation] * (len(widths) - 2) + [last]
    sizes = zip(widths, widths[1:], activations, strict=False)
    return [DenseSpec(f"{part}.{i}", *size) for i, size in enumerate(sizes)]


def start(
    plan: Architecture, dtype: str, initializer: str, seed: int, rows: Rows | None
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Initial weights of all layers by name, drawn (biases are zero) or, for "pca", made of the
    ``rows``; and the standard deviations of PCA's coordinates in the code, or none.

    "auto" is "pca" where there are rows, and the hidden layers can hold PCA's coordinates exactly.
    """
    shapes = [shape for spec in plan.layers for shape in spec.shapes().items()]
    values = {name: np.zeros(shape, dtype) for name, shape in shapes}
    drawn = "random" if initializer in ("auto", "pca") else initializer
    for i, spec in enumerate(plan.dense):
        initial_weights(drawn, spec.activation, values[f"{spec.name}.weight"], seed, i)
    deviations = np.empty(0)
    if initializer == "pca" or (initializer == "auto" and rows is not None and holds_pca(plan)):
        if rows is None:
            raise ValueError(
                "initializer='pca' needs data: use fit(X) in place of initialize(n_features), with "
                "epochs=0 to train nothing"
            )
        pca = fit_pca(rows, plan.dense[plan.code - 1].n_out, seed)
        with np.errstate(all="ignore"):
            deviations = np.sqrt(pca.variances)
            held = start_as_pca(plan, values, pca.mean, pca.components, deviations)
        deviations = deviations[:held]
        if not all(np.isfinite(array).all() for array in values.values()):
            raise ValueError(
                f"initializer={initializer!r} scales the data to PCA's layers, and X is too small "
                f"or too large for that in {dtype}: scale the data, or use "
                "initializer='random'"
            )
    return values, deviations


def backend_for(params: Mapping[str, Any]) -> Backend:
    """The backend of these arguments, where "auto" is the fastest; raises what it does."""
    matmul = params["matmul"] if params["dtype"] == "float32" else "fp32"
    return get_backend(params["backend"], matmul)


def output_for(params: Mapping[str, Any], rows: Rows) -> Any:
    """The argument ``output``, where a loss that needs no sigmoid goes beside logits of levels."""
    if rows.schema and params["output"] == "auto" and params["loss"] not in ("auto", "bce"):
        return "identity"
    return params["output"]


def resolve_auto(
    params: Mapping[str, Any], rows: Rows, seed: int, judged: bool, settled: bool | None,
    work: int, fold: Fold, report: Report,
) -> Plan:  # fmt: skip
    """What "auto" comes to for ``rows``, see ``Autoencoder.plan``.

    ``judged``: there are validation data. ``settled``: None for new weights, else whether the
    present ones have had data. ``work``: of a step, in those of the plain net.
    """
    chosen, reasons = dict[str, Any](), list[str]()
    if params["missing"] == "auto":
        chosen["missing"], why = choose_missing(rows, params)
        reasons += [why] if why else []
        params = {**params, **chosen}
    if params["scale"] == "auto" and not settled:
        chosen["scale"], why = choose_scale(rows, params)
        reasons.append(why)
    if params["epochs"] == "auto" and settled is not None:
        chosen["epochs"] = EPOCHS
    judged = judged or params["validation_fraction"] > 0
    sizes = choose_sizes({**params, **chosen}, rows.shape, judged)
    chosen, reasons = {**chosen, **sizes.params}, [*reasons, *sizes.reasons]
    validates = not judged and settled is None and cross_validates(params, rows.shape)
    backend = params["backend"]
    if backend == "auto" and settled is None:
        backend = backend_for(params).name
        trainings = FOLDS + 1 if validates else 1
        if (
            backend == "numba" and params["threads"] is None and params["matmul"] != "6xbf16"
            and is_quick({**params, **chosen}, rows.shape, trainings * work)
        ):  # fmt: skip
            chosen["backend"] = backend = "numpy"
            reasons.append("backend numpy: it is done before Numba would have begun")
    if not validates:
        return Plan(chosen, tuple(reasons))

    low, high = (
        (-np.inf, np.inf)
        if chosen.get("scale", params["scale"])
        else value_range(rows, "X", missing=params["missing"] == "allow", hint=HINT)
    )
    heads = [resolve(params["output"], params["loss"], low, high)]
    if heads[0][0] == "sigmoid" and params["output"] == params["loss"] == "auto":
        heads.append(("identity", "mse"))  # of which PCA's start is exact
    found: list[Found] = []

    def told(done: int, total: int) -> None:
        report(len(found) * total + done, len(heads) * total)

    for output, loss in heads:
        trial = {**chosen, "output": output, "loss": loss, "random_state": seed,
                 "backend": backend, "patience": max(chosen["epochs"] // 4, 1)}  # fmt: skip
        found.append(cross_validate(len(rows), chosen["epochs"], seed, partial(fold, trial), told))
    best = int(np.argmin([trial.squared_error for trial in found]))
    if len(heads) > 1:
        chosen["output"], chosen["loss"] = heads[best]
        reasons.append(
            f"output {heads[best][0]}, loss {heads[best][1]}: held-out squared error "
            f"{found[best].squared_error:.4g}, of {' '.join(heads[1 - best])} "
            f"{found[1 - best].squared_error:.4g}"
        )
    chosen["epochs"] = found[best].epochs
    return Plan(chosen, (*reasons, found[best].reason))


def optimizer(params: Mapping[str, Any], network: Network) -> Optimizer:
    names = ("momentum", "betas", "eps", "weight_decay", "clip_norm")
    given = {name: params[name] for name in names}
    return Optimizer(network.parameters, params["optimizer"], **given)


def settings(params: Mapping[str, Any], seed: int) -> Settings:
    names = [field.name for field in fields(Settings) if field.name != "seed"]
    return Settings(**{name: params[name] for name in names}, seed=seed)


def objective(
    params: Mapping[str, Any],
    network: Network,
    seed: int,
    capacity: int,
    first: Sequence[Term] = (),
) -> Objective:
    """The loss with its noise and terms, for batches of up to ``capacity`` samples; the terms
    ``first`` come before all others."""
    start, end = noise_range(params["code_noise"])
    noise = CodeNoise(network, seed, start, end) if start or end else None
    named = [make(params, network, capacity) for name, make in TERMS.items() if params[name]]
    terms = [*first, *named]
    if network.fill is not None:
        terms.append(Missing(network, capacity))
    if network.architecture.groups:
        terms.append(Categories(network, capacity))
    return Objective(network, noise, terms)


def noise_range(code_noise: float | Sequence[float]) -> tuple[float, float]:
    """(first, last) of a ``code_noise``: a single number is both."""
    if isinstance(code_noise, Sequence):
        first, last = code_noise
        return first, last
    return code_noise, code_noise


def tied_to_epochs(params: Mapping[str, Any], tied_too: Mapping[str, Any] | None = None) -> str:
    """Which arguments count in parts of all epochs, so that a run cannot be trained for more than
    were planned, and what they would have to be; "" where none does.

    ``tied_too``: what those of a family would have to be."""
    first, last = noise_range(params["code_noise"])
    untied: dict[str, Any] = {"schedule": "constant", "warmup": 0.0, **(tied_too or {})}
    if first != last:
        untied["code_noise"] = first
    for name, make in TERMS.items():
        if getattr(make, "prepare", None) is not Term.prepare:
            untied[name] = 0.0
    tied = [name for name, value in untied.items() if params[name] != value]
    if not tied:
        return ""
    given, needed = (
        ", ".join(f"{name}={values[name]!r}" for name in tied) for values in (params, untied)
    )
    return (
        f"{given} count in parts of all epochs; only a run that was started with {needed} can be "
        "trained longer"
    )


def expected_arrays(plan: Architecture, dtype: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every parameter by name, for a file that should hold them."""
    shapes = [shape for spec in plan.layers for shape in spec.shapes().items()]
    return {name: (shape, dtype) for name, shape in shapes}
