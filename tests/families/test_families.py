"""What holds for every family: files, scikit-learn's checks, the table, and their arguments."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyae
from tinyae import Autoencoder, ContractiveAutoencoder, FileError, VariationalAutoencoder
from tinyae.arguments import ARGUMENTS
from tinyae.building import Built
from tinyae.families import FAMILIES, PLAIN, made
from tinyae.storage.files import META

sklearn = pytest.importorskip("sklearn", reason="the estimator checks are scikit-learn's")

from sklearn.base import clone  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator  # noqa: E402

X = np.random.default_rng(0).random((20, 5))
SMALL: dict[str, Any] = {"hidden": (4,), "code": 2, "epochs": 2, "backend": "numpy"}

with warnings.catch_warnings():  # as in tests/test_sklearn.py
    warnings.filterwarnings("ignore", "Estimator .* does not inherit")
    CHECKS = [
        pytest.param(ae, check, id=f"{type(ae).__name__}-{getattr(check, 'func', check).__name__}")
        for kind in FAMILIES.values()
        for ae, check in estimator_checks_generator(kind(hidden=(8,), code=2, epochs=2))
        if getattr(check, "func", check).__name__ != "check_array_api_input"
    ]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_estimator_check(estimator: Autoencoder, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.fixture(params=FAMILIES)
def kind(request: pytest.FixtureRequest) -> type[Autoencoder]:
    return FAMILIES[request.param]


def test_the_table(kind: type[Autoencoder]) -> None:
    assert FAMILIES[kind.family] is kind and getattr(tinyae, kind.__name__) is kind
    assert not set(kind.own) & set(ARGUMENTS)
    assert {*kind().get_params()} == {*ARGUMENTS, *kind.own}
    for name, argument in kind.own.items():
        assert kind().get_params()[name] == argument.default
        assert f"{name} : default {argument.default!r}" in (kind.__doc__ or "")
    ae = clone(kind(**SMALL)).set_params(code=3)
    assert type(ae) is kind and ae.code == 3


def test_importing_tinyae_imports_no_family() -> None:
    code = "import sys, tinyae; tinyae.Autoencoder; print('tinyae.families' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def with_family(source: Path, target: Path, family: object) -> Path:
    """A copy of the model file that says another family; None: none."""
    with np.load(source) as archive:
        arrays = dict(archive)
    meta = json.loads(
        arrays[META].tobytes() if arrays[META].dtype == np.uint8 else str(arrays[META])
    )
    if family is None:
        meta.pop("family", None)
    else:
        meta["family"] = family
    text = json.dumps(meta)
    raw = arrays[META].dtype == np.uint8
    arrays[META] = np.frombuffer(text.encode(), np.uint8) if raw else np.array(text)
    np.savez(target, **arrays)
    return target


def test_files(kind: type[Autoencoder], tmp_path: Path) -> None:
    file, plain = tmp_path / "family.npz", tmp_path / "plain.npz"
    model = kind(**SMALL, random_state=1).fit(X)
    model.save(file)
    Autoencoder(**SMALL, random_state=1).fit(X).save(plain)
    for loaded in (Autoencoder.load(file), kind.load(file)):
        assert type(loaded) is kind
        assert {name: getattr(loaded, name) for name in kind.own} == {
            name: getattr(model, name) for name in kind.own
        }
        np.testing.assert_allclose(loaded.encode(X), model.encode(X), rtol=1e-5, atol=1e-6)
    assert type(Autoencoder.load(plain)) is Autoencoder
    with pytest.raises(FileError, match=f"of no family, and {kind.__name__} loads others"):
        kind.load(plain)

    class Own(Autoencoder):
        """Somebody's subclass."""

    with pytest.raises(FileError, match=f"of the family '{kind.family}', and Own loads others"):
        Own.load(file)
    for family in ("unheard-of", 3, ["x"]):
        with pytest.raises(FileError, match="family must be one of"):
            Autoencoder.load(with_family(file, tmp_path / "other.npz", family))
    said = "its params do not fit Autoencoder" if kind.own else "does not hold the arrays"
    with pytest.raises(FileError, match=said):
        Autoencoder.load(with_family(file, tmp_path / "other.npz", None))


def test_subclasses_of_a_family_have_its_files(kind: type[Autoencoder], tmp_path: Path) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        """Somebody's subclass."""

    Own(**SMALL).fit(X).save(tmp_path / "own.npz")
    assert type(Own.load(tmp_path / "own.npz")) is Own
    assert type(Autoencoder.load(tmp_path / "own.npz")) is kind


def test_made_of_a_configuration(kind: type[Autoencoder]) -> None:
    assert type(made({"code": 3})) is type(made({"family": PLAIN})) is Autoencoder
    ae = made({"family": kind.family, "code": 3})
    assert type(ae) is kind and ae.code == 3
    for name, argument in kind.own.items():
        said = f"{name} is for the family '{kind.family}', and this is"
        with pytest.raises(ValueError, match=said):
            made({name: argument.default})
    with pytest.raises(ValueError, match="family must be one of 'plain', .*, got 'x'"):
        made({"family": "x"})


def test_the_plain_one_has_nothing_of_a_family() -> None:
    assert Built.family == "" and not Built.own and not Autoencoder()._measures(X)


@pytest.mark.parametrize(
    ("made", "quick"),
    (
        (Autoencoder(), True),
        (ContractiveAutoencoder(), False),
        (ContractiveAutoencoder(contraction=0.0), True),
        (ContractiveAutoencoder(estimate=1), True),
        (VariationalAutoencoder(), True),
        (VariationalAutoencoder(samples=50), False),
    ),
)
def test_auto_takes_numpy_for_little_work(made: Autoencoder, quick: bool) -> None:
    """Work of the family's steps, not of the plain net's."""
    pytest.importorskip("numba", reason="needs numba")
    made.set_params(hidden=(64,), code=32, epochs=10, batch_size=64)
    plan = made.plan(np.random.default_rng(0).random((1000, 64)))
    assert (plan.params.get("backend") == "numpy") == quick
