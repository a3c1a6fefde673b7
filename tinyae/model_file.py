"""``model.npz`` (the arguments, what "auto" came to, the weights), and copies and pickles."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from . import arguments, assemble
from .checks import WIDEST, choice, integer
from .data.scaling import scaling_from
from .data.tables.schema import Schema
from .kernels.conventions import ACTIVATIONS, LOSSES
from .net.losses import resolve
from .storage.files import FileError, write_npz
from .storage.untrusted import errors_of, open_npz
from .train.checkpoint import MOST, history_from

if TYPE_CHECKING:
    from .estimator import Autoencoder

FORMAT, VERSION = "tinyae-model", 1

Model = TypeVar("Model", bound="Autoencoder")


def as_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON has them: tuples are lists, NumPy numbers plain.

    Raises TypeError for an argument (of a subclass) that JSON does not have.
    """
    values: dict[str, Any] = {}
    for name, value in params.items():
        try:
            values[name] = json.loads(json.dumps(value, default=arguments.plain))
        except (AttributeError, TypeError, ValueError):
            raise TypeError(
                f"a file cannot hold {name}={value!r}, which is no plain value"
            ) from None
    return values


def save_model(path: str | os.PathLike[str], model: Autoencoder) -> None:
    """Writes atomically; raises NotFittedError where there are no weights."""
    parameters = model.parameters()
    fitted = {
        "n_features": model.n_features_in_,
        "output": model.output_,
        "loss": model.loss_name_,
        "seed": model.seed_,
        "history": getattr(model, "history_", {}),
        "n_iter": getattr(model, "n_iter_", 0),
        "range": model.data_range_,
        "fill": None if model.fill_ is None else model.fill_.tolist(),
        "schema": model.schema_ and model.schema_.to_json(),
        "frame": model.frame_,
        "scaling": model.scaling_ and [column.tolist() for column in model.scaling_],
        "zero_units": model.zero_units_,
    }
    if hasattr(model, "feature_names_in_"):
        fitted["feature_names"] = model.feature_names_in_.tolist()
    settled = {"random_state": model.seed_, "matmul": model.matmul_}  # what "auto" came to
    params = as_json({**model._built_params, **settled})
    meta: dict[str, Any] = {"params": params, "fitted": fitted}
    if model.family:
        meta["family"] = model.family
    write_npz(path, FORMAT, VERSION, meta, parameters)


def load_model(
    path: str | os.PathLike[str], kind: type[Model], backend: str, matmul: str, any_family: bool
) -> Model:
    """The model of class ``kind``, or with ``any_family`` of the file's; raises FileNotFoundError
    or FileError."""
    with open_npz(path, FORMAT, VERSION) as (meta, read):
        with errors_of(path, "describes no autoencoder"):
            kind = _kind_of(path, meta.get("family", ""), kind, any_family)
            params, fitted = arguments.of_file(meta["params"], kind.own), dict(meta["fitted"])
            own = kind._defaults()
            if odd := sorted(set(params) ^ {*kind._arguments, *own}):
                raise ValueError(
                    f"its params do not fit {kind.__name__} of this version: {', '.join(odd)}"
                )
            model = kind(**kind._accepted({name: params[name] for name in own}))
            for name in kind._arguments:  # the file's, where the constructor takes others
                setattr(model, name, params[name])
            model._check(model._params())
            n_features, output, loss = fitted["n_features"], fitted["output"], fitted["loss"]
            integer("n_features", n_features, 1, WIDEST)
            choice("output", output, ACTIVATIONS)
            choice("loss", loss, LOSSES)
            resolve(output, loss, -math.inf, math.inf)
            arguments.SEED.check("seed", fitted["seed"])
            integer("n_iter", fitted["n_iter"], 0, MOST)
            history = history_from(fitted["history"])
            names = fitted.get("feature_names")
            if names is not None and [type(name) for name in names] != [str] * n_features:
                raise ValueError(f"feature_names must be {n_features} strings, got {names!r}")
            span = fitted.get("range")  # files of earlier versions say nothing of it
            if span is not None:
                low, high = map(float, span)
                if not low <= high:
                    raise ValueError(f"range must be two numbers, the smaller first, got {span!r}")
            found = fitted.get("scaling")
            scaling = None if found is None else scaling_from(found, n_features)
            fill = fitted.get("fill")
            if fill is not None:
                fill = scaling_from((fill, [1] * n_features), n_features).center
            found, frame = fitted.get("schema"), fitted.get("frame")
            schema = None if found is None else Schema.from_json(found)
            if schema is not None:
                integer("the width of its schema", schema.width, n_features, n_features)
            groups = schema.groups if schema else ()
            if frame is not None:
                choice("frame", frame, ("pandas", "polars"))
            plan = kind._architecture(params, n_features, output, loss, groups)
            zero_units, widths = fitted.get("zero_units"), {s.name: s.n_out for s in plan.dense}
            for name, count in ({} if zero_units is None else zero_units).items():
                integer(f"zero_units[{name!r}]", count, 0, widths.get(name, 0))
        arrays = read(assemble.expected_arrays(plan, params["dtype"]))
    model.backend, model.matmul, model.threads = backend, matmul, None
    model._check(model._params())
    built = model._params()
    if (backend, params["backend"]) == ("auto", "numpy") and matmul in ("auto", "fp32"):
        built["backend"] = "numpy"
    model._build(n_features, output, loss, fitted["seed"], built, schema)
    model.frame_ = frame
    model._name_features(names)
    model.history_, model.n_iter_ = history, fitted["n_iter"]
    model.scaling_ = scaling
    model._fill_in(fill)
    if span is not None:
        model.data_range_ = low, high
    if zero_units is not None:
        model.zero_units_ = zero_units
    model.set_parameters(arrays)
    return model


def _kind_of(
    path: str | os.PathLike[str], family: str, kind: type[Model], any_family: bool
) -> type[Model]:
    """The class to make of a file of ``family``; raises FileError where that is not ``kind``."""
    if family == kind.family:
        return kind
    if any_family:
        # by name: what stands above this file is not imported from here
        families = import_module(f"{__package__}.families").FAMILIES
        choice("family", family, (*families,))
        found: type[Model] = families[family]
        return found
    of = f"of the family {family!r}" if family else "of no family"
    raise FileError(f"{path}: is {of}, and {kind.__name__} loads others: use Autoencoder.load")


# ---- copies and pickles: plain values and NumPy arrays, nothing of the backend -----------

INSIDE = ("_network", "_optimizer", "_minibatch")


def plain_state(model: Autoencoder) -> dict[str, Any]:
    """All attributes, with weights and the optimiser's moments in place of what holds them."""
    state = {name: value for name, value in model.__dict__.items() if name not in INSIDE}
    if "_network" in model.__dict__:
        optimizer = model._optimizer
        state["_trained"] = (model.parameters(), optimizer.updates, optimizer.state())
    return state


def restore_state(model: Autoencoder, state: dict[str, Any]) -> None:
    """Makes ``model`` what ``plain_state`` was given."""
    trained = state.pop("_trained", None)
    model.__dict__.update(state)
    if trained is None:
        return
    parameters, updates, moments = trained
    model._build(
        model.n_features_in_, model.output_, model.loss_name_, model.seed_, model._built_params,
        state.get("schema_"),
    )  # fmt: skip
    model.__dict__.update(state)
    model._fill_in(model.fill_)
    model._network.parameters.set(parameters)
    model._optimizer.restore(updates, moments)
