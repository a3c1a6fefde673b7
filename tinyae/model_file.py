"""``model.npz`` (the arguments, what "auto" came to, the weights), and copies and pickles."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import arguments, assemble
from .checks import integer
from .files import FileError, expect_arrays, read_npz, write_npz

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
        "zero_units": model.zero_units_,
    }
    if hasattr(model, "feature_names_in_"):
        fitted["feature_names"] = model.feature_names_in_.tolist()
    params = as_json({**model._built_params, "random_state": model.seed_})
    write_npz(path, FORMAT, VERSION, {"params": params, "fitted": fitted}, parameters)


def load_model(path: str | os.PathLike[str], kind: type[Model], backend: str, matmul: str) -> Model:
    """The model of class ``kind``; raises FileNotFoundError or FileError."""
    meta, arrays = read_npz(path, FORMAT, VERSION)
    params, fitted = meta.get("params"), meta.get("fitted")
    if not isinstance(params, dict) or not isinstance(fitted, dict):
        raise FileError(f"{path} is no complete {FORMAT} file: it lacks params or fitted")
    own = kind._defaults()
    if odd := sorted(set(params) ^ {*kind._arguments, *own}):
        raise FileError(
            f"{path}: its params do not fit {kind.__name__} of this version: {', '.join(odd)}"
        )
    try:
        params |= {"backend": backend, "matmul": matmul}
        model = kind(**{name: params[name] for name in own})
        for name in kind._arguments:  # the file's, where the constructor takes others
            setattr(model, name, params[name])
        arguments.check(model._params())
        n_features, output, loss = fitted["n_features"], fitted["output"], fitted["loss"]
        integer("n_features", n_features, 1)
        plan = assemble.architecture(params, n_features, output, loss)
        expect_arrays(path, arrays, assemble.expected_arrays(plan, model.dtype))
        model._build(n_features, output, loss, fitted["seed"], model._params())
        names = fitted.get("feature_names")
        if names is not None and [type(name) for name in names] != [str] * n_features:
            raise ValueError(f"feature_names must be {n_features} strings, got {names!r}")
        model._name_features(names)
        model.history_ = {k: [float(v) for v in vs] for k, vs in fitted["history"].items()}
        model.n_iter_ = int(fitted["n_iter"])
        if fitted.get("range") is not None:  # files of earlier versions say nothing of it
            low, high = map(float, fitted["range"])
            model.data_range_ = low, high
        if fitted.get("zero_units") is not None:
            model.zero_units_ = {k: int(v) for k, v in fitted["zero_units"].items()}
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{path} describes no autoencoder: {error}") from error
    model.set_parameters(arrays)
    return model


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
        model.n_features_in_, model.output_, model.loss_name_, model.seed_, model._built_params
    )
    model.__dict__.update(state)
    model._network.parameters.set(parameters)
    model._optimizer.restore(updates, moments)
