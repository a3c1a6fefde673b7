"""The contract itself: every field has its tests, every wrong argument is named, and all columns
have the Protocols' signatures."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from tests.conftest import SIMULATED
from tests.kernels.calls import (
    FIELDS,
    OPS,
    arguments,
    array_names,
    every_array,
    every_op,
    on_device,
)
from tests.kernels.conftest import python
from tests.reference import call, operation, poisoned
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend, Recorder
from tinyae.kernels.columns import available_backends, backend_report, get_backend
from tinyae.kernels.conventions import NEEDS_INPUT, OPTIMIZERS

TESTS = Path(__file__).parent

# Field of Backend -> the module that tests what it computes.
TESTED_IN = {
    "name": "contract", "host": "contract", "empty": "memory", "to_device": "memory",
    "to_host": "memory", "write": "memory", "synchronize": "memory",
    "gather": "gather", "fill": "fill",
    "dense_forward": "dense", "dense_backward_input": "dense", "dense_backward_weights": "dense",
    "activation_forward": "activation", "activation_backward": "activation",
    "add": "activation", "top_k": "sparsity", "activity_penalty": "sparsity",
    "activation_curvature": "activation", "inner_product": "loss",
    "loss": "loss", "softmax_loss": "softmax_loss",
    "update": "update", "clip_by_norm": "update", "unit_rows": "update",
    "random_bits": "random", "random_uniform": "random", "random_normal": "random",
    "add_normal": "random", "sample_normal": "normals", "sample_normal_backward": "normals",
    "normal_divergence": "normals",
    "random_bernoulli": "random", "random_permutation": "random",
    "matmul": "contract", "make_step": "step", "recorder": "recording", "limit_threads": "step",
}  # fmt: skip


def test_every_field_has_a_test() -> None:
    """A new field fails here until the module that tests it uses its name."""
    assert set(TESTED_IN) == set(FIELDS)
    for name, module in TESTED_IN.items():
        text = (TESTS / f"test_{module}.py").read_text(encoding="utf-8")
        assert f"backend.{name}" in text or f'"{name}"' in text, name


@every_op
def test_the_calls_of_this_module_are_valid(backend: Backend, op: str, dtype: str) -> None:
    """Otherwise what follows would reject them for another reason."""
    operation(backend, op)(**on_device(backend, op, arguments(op, dtype)))


# ---- what is refused


def refuses(
    backend: Backend,
    op: str,
    host: dict[str, Any],
    error: Any,
    match: str,
    replaced: dict[str, Any] | None = None,
) -> None:
    """The op raises and leaves every array as it was; ``replaced`` stay where they are."""
    replaced = replaced or {}
    moved = {**on_device(backend, op, host), **replaced}
    with pytest.raises(error, match=match):
        operation(backend, op)(**moved)
    for name, value in host.items():
        if isinstance(value, np.ndarray) and name not in replaced and moved[name] is not value:
            assert backend.to_host(moved[name]).tobytes() == value.tobytes(), name


@every_array
def test_float16_is_refused(backend: Backend, op: str, name: str, dtype: str) -> None:
    if (op, name) == ("gather", "data"):
        return  # data have any real type
    host = arguments(op, dtype)
    host[name] = host[name].astype(np.float16)
    first = "host" if op == "write" else name  # write compares the two
    refuses(backend, op, host, (TypeError, ValueError), f"^{first} must")


@every_array
def test_the_other_precision_is_refused(backend: Backend, op: str, name: str) -> None:
    """Named is the first argument that differs, if there are two that could."""
    host = arguments(op, "float32")
    floats = [x for x in host.values() if isinstance(x, np.ndarray) and x.dtype == np.float32]
    if len(floats) < 2 or host[name].dtype != np.float32:
        return
    host[name] = host[name].astype(np.float64)
    refuses(backend, op, host, (TypeError, ValueError), f"^({'|'.join(array_names(op))}) must")


@every_array
def test_a_byte_order_that_is_not_the_machines_is_refused(
    backend: Backend, op: str, name: str
) -> None:
    host = arguments(op, "float32")
    if backend.host and host[name].dtype.itemsize > 1:
        host[name] = host[name].astype(host[name].dtype.newbyteorder())
        refuses(backend, op, host, (TypeError, ValueError), f"^(host|{name}) must")


def viewable(backend: Backend, host: np.ndarray) -> Any:
    """An array of which views can be made: Numba's own on a GPU copy, or have none; but the column
    takes CuPy's."""
    if backend.name == "numba-cuda" and not SIMULATED:
        return pytest.importorskip("cupy").asarray(host)
    return backend.to_device(host)


@pytest.mark.parametrize("kind", ("strided", "transposed"))
@every_array
def test_a_view_is_refused(backend: Backend, op: str, name: str, dtype: str, kind: str) -> None:
    host = arguments(op, dtype)
    array = host[name]
    if (op, name) == ("write", "host") or array.size == 1:
        return  # on the host every layout will do; a single number is contiguous with any strides
    if kind == "strided":
        view = viewable(backend, np.repeat(array, 2, axis=-1))[..., ::2]
    elif array.ndim == 2:
        view = viewable(backend, np.ascontiguousarray(array.T)).T
    else:
        return
    refuses(backend, op, host, ValueError, f"^{name} must be C-contig", {name: view})


@every_array
def test_a_list_is_refused(backend: Backend, op: str, name: str, dtype: str) -> None:
    host = arguments(op, dtype)
    listed = {name: host[name].tolist()}
    refuses(backend, op, host, (TypeError, ValueError), f"^{name} must", listed)


@every_array
def test_a_wrong_number_of_dimensions_is_refused(
    backend: Backend, op: str, name: str, dtype: str
) -> None:
    if name == "out" and op.startswith("random_") and op != "random_permutation":
        return  # filled in any shape
    host = arguments(op, dtype)
    first = "host" if op == "write" else name
    for wrong in (host[name].reshape(-1)[None, None], host[name].reshape(-1)[0].reshape(())):
        refuses(
            backend, op, {**host, name: np.ascontiguousarray(wrong).reshape(wrong.shape)},
            ValueError, f"^{first} must",
        )  # fmt: skip


@every_array
def test_a_wrong_length_is_refused(backend: Backend, op: str, name: str, dtype: str) -> None:
    """Also where NumPy would broadcast it. Named is the first argument that does not fit."""
    if (name == "out" and op.startswith("random_")) or (op, name) in (
        ("gather", "data"),
        ("softmax_loss", "bounds"),
        ("clip_by_norm", "grad"),
        ("unit_rows", "w"),
    ):
        return  # any length will do
    host = arguments(op, dtype)
    for wrong in (host[name][:1], np.concatenate([host[name]] * 2)):
        if wrong.shape != host[name].shape:
            names = "|".join(array_names(op))
            refuses(backend, op, {**host, name: wrong}, ValueError, f"^({names}|n_decayed) must")


def test_data_of_another_width_are_refused(backend: Backend, dtype: str) -> None:
    host = arguments("gather", dtype)
    host["data"] = np.zeros((6, 4), np.uint8)
    refuses(backend, "gather", host, ValueError, r"^data must have shape \(n, 3\), got \(6, 4\)")


@pytest.mark.parametrize(
    ("op", "wrong", "match"),
    [
        ("dense_forward", {"activation": "cube"}, "activation must be one of identity, relu.*cube"),
        ("dense_backward_input", {"activation": "cube"}, "activation must be one of .*cube"),
        ("activation_forward", {"activation": "cube"}, "activation must be one of .*cube"),
        ("activation_backward", {"activation": "cube"}, "activation must be one of .*cube"),
        ("top_k", {"k": -1}, "k must be an integer >= 0, got -1"),
        ("top_k", {"k": 2.0}, r"k must be an integer >= 0, got 2\.0"),
        ("activity_penalty", {"name": "l2"}, "penalty must be one of l1, kl, got 'l2'"),
        *(("activity_penalty", {"rate": r}, r"rate must lie in \(0, 1\)") for r in (0, 1, np.nan)),
        ("loss", {"name": "hinge"}, "loss must be one of mse.*hinge"),
        ("update", {"name": "rprop"}, "optimizer must be one of sgd, momentum.*rprop"),
        (
            "update",
            {"name": "momentum"},
            r"moments must be the arrays \(v\) of .*'momentum', got 2",
        ),
        *(
            ("dense_forward", {"activation": name, "pre": None}, f"pre must .*{name}")
            for name in NEEDS_INPUT
        ),
        *(
            (op, {"n_decayed": n}, rf"n_decayed must lie in \[0, 15\], got {n}")
            for op in OPTIMIZERS
            for n in (-1, 16)
        ),
        *(("clip_by_norm", {"max_norm": m}, "max_norm must be > 0") for m in (0, -1, np.nan)),
        *(
            ("random_bernoulli", {"probability": p}, r"probability must lie in \[0, 1\]")
            for p in (-0.1, 1.1, np.nan)
        ),
        *(
            ("random_permutation", wrong, r"start \+ out.size must lie in \[0, n = ")
            for wrong in ({"start": -1}, {"start": 16}, {"n": 17}, {"n": 0}, {"n": -1})
        ),
    ],
)
def test_a_wrong_value_is_refused(
    backend: Backend, op: str, wrong: dict[str, Any], match: str
) -> None:
    refuses(backend, op, {**arguments(op, "float32"), **wrong}, ValueError, f"^{match}")


@pytest.mark.parametrize("bounds", ([-1, 2], [0, 4], [2, 1], [0, 1, 1, 3], [3, 0]), ids=repr)
def test_groups_outside_the_columns_are_refused(backend: Backend, bounds: list[int]) -> None:
    """Where looking would stall a device they are not looked into: the value is NaN."""
    host = {**arguments("softmax_loss", "float32"), "bounds": np.array(bounds)}
    if backend.host:
        refuses(
            backend, "softmax_loss", host, ValueError, r"^bounds must rise within \[0, 3\], got"
        )
    else:
        (totals,) = call(backend, "softmax_loss", ("totals", "gradient"), **host)[:1]
        assert np.isnan(totals[0])


@pytest.mark.parametrize("add", (0, 1, None, np.ones(1)), ids=repr)
def test_whether_to_add_is_true_or_false(backend: Backend, add: Any) -> None:
    host = {**arguments("dense_backward_weights", "float32"), "add": add}
    refuses(backend, "dense_backward_weights", host, TypeError, "^add must be True or False, got")


# ---- the record itself


def test_signatures_are_the_protocols(backend: Backend) -> None:
    hints, owner = get_type_hints(Backend), dict.fromkeys(FIELDS, backend)
    if backend.recorder is not None:
        hints |= get_type_hints(Recorder)
        owner |= dict.fromkeys(vars(backend.recorder), backend.recorder)
    for name in owner:
        if name in ("name", "host", "matmul", "recorder") or getattr(owner[name], name) is None:
            continue
        actual = inspect.signature(getattr(owner[name], name)).parameters.values()
        if name in ("synchronize", "join"):
            assert not actual
            continue
        kind = next(iter(get_args(hints[name])), hints[name])  # X, of X | None
        _, *expected = inspect.signature(kind.__call__).parameters.values()
        assert [(p.name, p.kind, p.default) for p in actual] == [
            (p.name, p.kind, p.default) for p in expected
        ], name


def test_checks_have_the_ops_signatures(backend: Backend) -> None:
    """``checked`` passes arguments on by name as well: check and op must agree on the names."""
    for op in (*(set(OPS) - set(OPTIMIZERS)), "update"):
        host = arguments(op, "float32")
        parameters = inspect.signature(getattr(backend, op)).parameters
        assert list(host) == list(parameters), op
        by_name = on_device(backend, op, host)
        getattr(backend, op)(**by_name)
        getattr(backend, op)(*on_device(backend, op, host).values())


def test_a_backend_is_complete_and_frozen(backend: Backend) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        backend.name = "other"  # type: ignore[misc]
    fields = {name: getattr(backend, name) for name in FIELDS if name != "update"}
    with pytest.raises(TypeError, match="update"):
        Backend(**fields)


def test_backends_by_name(backend: Backend) -> None:
    assert isinstance(backend.host, bool)
    assert backend.matmul == "fp32"
    assert backend is get_backend(backend.name)
    assert backend.name in available_backends()
    assert backend_report()[backend.name] == ""


def test_auto_is_the_first_that_works() -> None:
    assert get_backend() is get_backend("auto") is get_backend(available_backends()[0])
    assert "numpy" in available_backends()


@pytest.mark.parametrize("name", ("torch", "", "NumPy"))
def test_an_unknown_backend_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="backend must be 'auto' or one of ") as caught:
        get_backend(name)
    for known in backend_report():
        assert repr(known) in str(caught.value)
    assert repr(name) in str(caught.value)


def test_a_backend_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def loader() -> Backend:
        raise columns.BackendUnavailable("abacus", "no such machine: buy one")

    monkeypatch.setitem(columns._LOADERS, "abacus", loader)
    assert backend_report()["abacus"] == "no such machine: buy one"
    assert "abacus" not in available_backends()
    with pytest.raises(
        columns.BackendUnavailable,
        match="backend 'abacus' cannot run here: no such machine: buy one",
    ):
        get_backend("abacus")


def test_inputs_are_told_from_outputs(backend: Backend, dtype: str) -> None:
    """``call`` notices an op that writes into its input: here y is x, undeclared."""
    x = np.full((2, 2), -1, dtype)
    y = poisoned((2, 2), dtype)
    (y,) = call(backend, "activation_forward", ("y",), x=x, activation="relu", y=y)
    assert not y.any()
    with pytest.raises(AssertionError, match="changed its input y"):
        call(backend, "activation_forward", (), x=x, activation="relu", y=y - 1)


def test_kernels_is_no_top_level_package() -> None:
    run = python("-c", "import kernels")
    assert run.returncode != 0
    assert "ImportError: the kernels are the package tinyae.kernels" in run.stderr
