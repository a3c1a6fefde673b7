"""scikit-learn's own checks of an estimator, and what importing tinyae does not import."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder

sklearn = pytest.importorskip("sklearn", reason="the estimator checks are scikit-learn's")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator  # noqa: E402

# It skips itself unless SCIPY_ARRAY_API was set before SciPy was imported; an array of another
# library is no input that tinyae claims to take.
NOT_ASKED = "check_array_api_input"

with warnings.catch_warnings():
    # it warns of estimators that do not inherit from its base class: importing that costs 0.7 s
    warnings.filterwarnings("ignore", "Estimator Autoencoder does not inherit")
    CHECKS = [
        (estimator, check)
        for estimator, check in estimator_checks_generator(
            Autoencoder(hidden=(8,), code=2, epochs=2)
        )
        if getattr(check, "func", check).__name__ != NOT_ASKED
    ]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[getattr(c, "func", c).__name__ for _, c in CHECKS]
)
def test_estimator_check(estimator: Autoencoder, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_there_are_as_many_checks_as_scikit_learn_has() -> None:
    assert len(CHECKS) >= 40


class Weighted(Autoencoder):
    """A subclass with an argument of its own."""

    def __init__(self, *, weight: float = 1.0, **rest: Any) -> None:
        super().__init__(**rest)
        self.weight = weight


class Narrow(Autoencoder):
    """A subclass that takes fewer arguments."""

    def __init__(self, *, code: int = 2) -> None:
        super().__init__(hidden=(4,), code=code, epochs=1, random_state=0)


def test_a_subclass_has_the_arguments_of_its_own_constructor(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((20, 5))
    ae = Weighted(weight=3.0, hidden=(4,), code=2, epochs=1, random_state=0)
    assert repr(ae) == "Weighted(hidden=(4,), code=2, epochs=1, random_state=0, weight=3.0)"
    assert clone(ae).weight == 3.0 and clone(ae).set_params(weight=5.0).weight == 5.0
    assert set(ae.get_params()) == {*Autoencoder().get_params(), "weight"}
    ae.fit(X).save(tmp_path / "model.npz")
    assert Weighted.load(tmp_path / "model.npz").get_params()["weight"] == 3.0
    narrow = Narrow(code=3)
    assert clone(narrow).get_params() == {"code": 3}
    assert narrow.fit(X).encode(X).shape == (20, 3)


def test_clone_pipeline_and_grid_search() -> None:
    X = np.random.default_rng(0).random((60, 5))
    ae = Autoencoder(hidden=(6,), code=2, epochs=2, random_state=0)
    assert clone(ae).get_params() == ae.get_params()
    codes = make_pipeline(StandardScaler(), ae).fit_transform(X)
    assert codes.shape == (60, 2) and codes.dtype == np.float32
    search = GridSearchCV(ae, {"code": [1, 4], "hidden": [(6,), ()]}, cv=2).fit(X)
    assert search.best_params_["code"] == 4  # a wider code reconstructs better
    assert "code=3" in repr(Autoencoder(code=3)) and "hidden" not in repr(Autoencoder(code=3))


def test_import_tinyae_imports_numpy_and_the_standard_library_alone() -> None:
    program = (
        "import sys, numpy; before = set(sys.modules); import tinyae; tinyae.Autoencoder\n"
        "tops = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(tops - set(sys.stdlib_module_names) - {'tinyae', 'numpy'}))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    others = {name for name in shown.stdout.split() if not name.startswith("__editable__")}
    assert others == set()
