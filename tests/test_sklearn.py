"""scikit-learn's own checks of an estimator, and what importing tinyae does not import."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.train.stopping import Stop, stop_at
from tinyae import Autoencoder, FileError, NotFittedError
from tinyae.data.rows import Rows, as_rows

sklearn = pytest.importorskip("sklearn", reason="the estimator checks are scikit-learn's")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402
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


@pytest.mark.parametrize("check", [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:X .*feature names:UserWarning")  # they mix both as well
def test_check_of_dataframes(check: Callable[[str, Any], None]) -> None:
    for library in ("pandas", "polars"):
        pytest.importorskip(library, reason=f"the check uses {library}")
    check("Autoencoder", Autoencoder(hidden=(8,), code=2, epochs=2, backend="numpy"))


X = np.random.default_rng(0).random((20, 5))
SMALL: dict[str, Any] = {"code": 2, "epochs": 2, "random_state": 0, "backend": "numpy"}


def small(**options: Any) -> Autoencoder:
    return Autoencoder(**{"hidden": (4,), **SMALL, **options})


@pytest.fixture(params=["pandas", "polars"])
def frame(request: pytest.FixtureRequest) -> Any:
    """X with the names "a" to "e"."""
    library = pytest.importorskip(request.param, reason=f"a DataFrame of {request.param}")
    return library.DataFrame(dict(zip("abcde", X.T)))


def test_names_are_kept_and_checked_wherever_a_model_goes(tmp_path: Path, frame: Any) -> None:
    plain, named = small().fit(X), small().fit(frame)
    named.save(tmp_path / "model.npz")
    loaded = Autoencoder.load(tmp_path / "model.npz", backend="numpy")
    assert loaded.set_output(transform=type(frame).__module__.split(".")[0]) is loaded
    begun, initialized = small().partial_fit(frame), small().initialize(5).partial_fit(frame)
    warm = small(warm_start=True).fit(frame).fit(frame)
    swapped, other = frame[[*"bacde"]], frame.rename(**{
        "columns" if hasattr(frame, "iloc") else "mapping": {"c": "z"}
    })  # fmt: skip
    copies = (loaded, pickle.loads(pickle.dumps(named)), copy.deepcopy(named))
    for ae in (named, *copies, begun, initialized, warm):
        assert ae.feature_names_in_.tolist() == [*"abcde"]
        methods = [ae.encode, ae.transform, ae.reconstruct, ae.score, ae.score_samples]
        methods += [ae.partial_fit, warm.fit, lambda X: small().fit(frame, validation=X)]
        for method in methods:
            with pytest.raises(ValueError, match="should match.*\n.*must be in the same order"):
                method(swapped)
            with pytest.raises(ValueError, match="unseen at fit time:\n- z\n.*now missing:\n- c"):
                method(other)
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            ae.encode(X)
    np.testing.assert_array_equal(named.encode(frame), plain.encode(X))
    codes = loaded.transform(frame)
    assert [*codes.columns] == ["autoencoder0", "autoencoder1"] and type(codes) is type(frame)
    for back in (loaded.inverse_transform(codes), loaded.reconstruct(frame)):
        np.testing.assert_array_equal(back, plain.reconstruct(X))
        assert type(back) is np.ndarray  # as of scikit-learn's transformers
    with pytest.warns(UserWarning, match="X has feature names, but Autoencoder was fitted without"):
        plain.encode(frame)
    assert not hasattr(named.fit(X), "feature_names_in_")
    with np.load(tmp_path / "model.npz") as archive:
        arrays = dict(archive)
    arrays["meta"] = np.char.replace(
        arrays["meta"], '"feature_names": ["a", ', '"feature_names": ['
    )
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(FileError, match="feature_names must be 5 strings, got"):
        Autoencoder.load(tmp_path / "model.npz")


def test_a_table_that_the_schema_reads_needs_no_other_names() -> None:
    """As a net that the command line has trained on a file: the schema knows the columns."""
    table = pytest.importorskip("pandas").DataFrame({"size": [1.0, 2, 3, 5], "kind": list("abab")})
    rows = as_rows(table, learn=True)
    ae = Autoencoder(code=1, epochs=1, backend="numpy").fit(Rows(rows.array, schema=rows.schema))
    assert not hasattr(ae, "feature_names_in_")
    np.testing.assert_array_equal(ae.encode(table), ae.encode(rows))  # without a warning
    with pytest.raises(ValueError, match="kind"):
        ae.encode(table[["size"]])


def test_splitters_take_rows() -> None:
    from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split

    x = np.random.default_rng(0).random((30, 4))
    ae = small()
    expected = cross_val_score(ae, x, cv=3)
    np.testing.assert_array_equal(cross_val_score(ae, as_rows(x), cv=3), expected)
    GridSearchCV(ae, {"code": [1, 2]}, cv=2).fit(as_rows(x))
    for part, same in zip(train_test_split(as_rows(x), random_state=0),
                          train_test_split(x, random_state=0), strict=True):  # fmt: skip
        np.testing.assert_array_equal(np.asarray(part), same)


def test_wrong_outputs_and_names_before_there_are_weights() -> None:
    with pytest.raises(ValueError, match="transform must be one of 'default', 'pandas', 'polars'"):
        small().set_output(transform="arrow")
    with pytest.raises(NotFittedError):
        small().get_feature_names_out()
    assert [*small().initialize(5).get_feature_names_out()] == ["autoencoder0", "autoencoder1"]


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


class Unstored(Autoencoder):
    """Its own argument is not stored, and others follow from it."""

    def __init__(self, *, width: int = 8) -> None:
        super().__init__(hidden=(width,), **SMALL)


class Stored(Autoencoder):
    """Its own argument is stored, and may be given by position."""

    def __init__(self, width: int = 8) -> None:
        self.width = width
        super().__init__(hidden=(width,), **SMALL)


class Passing(Autoencoder):
    """Its own argument is not stored; all others are passed on."""

    def __init__(self, *, width: int = 8, **rest: Any) -> None:
        super().__init__(**{"hidden": (width,), **SMALL, **rest})


class Setting(Autoencoder):
    """It sets some arguments itself, so that the rest must not hold them."""

    def __init__(self, width: int = 8, **rest: Any) -> None:
        super().__init__(hidden=(width,), **SMALL, **rest)


class Doubling(Setting):
    """The same, of a subclass of that one."""

    def __init__(self, *, half: int = 4, **rest: Any) -> None:
        super().__init__(2 * half, code_activation="tanh", **rest)


class Renamed(Unstored):
    """A subclass of a subclass."""

    def __init__(self, *, half: int = 4) -> None:
        super().__init__(width=2 * half)


class Doubled(Autoencoder):
    """One of the table's arguments is not passed on as it is."""

    def __init__(self, *, code: int = 2) -> None:
        super().__init__(hidden=(4,), code=2 * code)


@pytest.mark.parametrize("kind", [Unstored, Stored, Passing, Renamed, Setting, Doubling])
def test_a_subclass_whose_arguments_follow_from_its_own(tmp_path: Path, kind: Any) -> None:
    name, factor = ("half", 2) if kind in (Renamed, Doubling) else ("width", 1)

    def widths(ae: Autoencoder) -> tuple[Any, int]:
        return ae.get_params()[name], ae.parameters()["encoder.0.weight"].shape[1]

    def same(ae: Autoencoder) -> bool:
        return widths(ae) == (5, 5 * factor) and np.array_equal(ae.encode(X), fitted.encode(X))

    fitted = kind(**{name: 5}).fit(X)
    assert widths(fitted) == (5, 5 * factor) and f"{name}=5" in repr(fitted)
    assert kind().get_params()[name] == 8 / factor
    assert same(clone(fitted).fit(X)) and same(pickle.loads(pickle.dumps(fitted)))
    changed = kind().fit(X).set_params(**{name: 5})
    assert widths(changed) == (5, 8) and same(changed.fit(X))  # for the next fit
    fitted.save(tmp_path / "model.npz")
    loaded = kind.load(tmp_path / "model.npz", backend="numpy")
    assert same(loaded) and same(loaded.fit(X))
    with pytest.raises(Stop):
        kind(**{name: 5}).fit(X, checkpoint=tmp_path / "run.npz", callback=stop_at(2, 1))
    assert same(kind(**{name: 5}).fit(X, checkpoint=tmp_path / "run.npz", resume=True))
    with pytest.raises(ValueError, match=f"{name}=5 there, 6 here"):
        kind(**{name: 6}).fit(X, checkpoint=tmp_path / "run.npz", resume=True)
    assert ("hidden" in fitted.get_params()) == (kind is Passing)
    search = GridSearchCV(kind(), {name: [1, 5]}, cv=2, refit=True).fit(X)
    best = search.best_params_[name]
    assert widths(search.best_estimator_) == (best, best * factor)
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_a_constructor_that_changes_its_arguments_is_refused() -> None:
    message = "constructor of Doubled must pass its argument code on as it is: .* 3 and made 6"
    with pytest.raises(ValueError, match=message):
        Doubled().set_params(code=3)
    with pytest.raises(RuntimeError, match="Cannot clone"):
        clone(Doubled())
    with pytest.raises(TypeError, match="a file cannot hold weight=<.*>, which is no plain value"):
        Weighted(weight=cast(float, object()), hidden=(4,), **SMALL).fit(X).save("nowhere.npz")


def test_metadata_routing() -> None:
    pipe = make_pipeline(StandardScaler(), small())
    plain = pipe.fit(X).score(X)
    searched = GridSearchCV(pipe, {"autoencoder__code": [1, 2]}, cv=2).fit(X).cv_results_
    with sklearn.config_context(enable_metadata_routing=True):
        assert pipe.fit(X).score(X) == plain
        again = GridSearchCV(pipe, {"autoencoder__code": [1, 2]}, cv=2).fit(X).cv_results_
    np.testing.assert_array_equal(again["mean_test_score"], searched["mean_test_score"])


NOT_FITTED = """
import pickle, sys, tinyae
ae = tinyae.Autoencoder()
try:
    ae.encode([[1.0]])
except tinyae.NotFittedError as before:
    assert "sklearn" not in sys.modules and isinstance(before, ValueError)
from sklearn.exceptions import NotFittedError
calls = (lambda: ae.encode([[1.0]]), lambda: ae.save("x"), ae.parameters, ae.get_feature_names_out)
for call in calls:
    for kind in (NotFittedError, tinyae.NotFittedError, ValueError, AttributeError):
        try:
            call()
        except kind as error:
            caught = pickle.loads(pickle.dumps(error))
            assert type(caught) is tinyae.NotFittedError and caught.args == error.args
"""


def test_not_fitted_is_scikit_learns_as_well() -> None:
    """In a process of its own: this one has scikit-learn loaded."""
    subprocess.run([sys.executable, "-c", NOT_FITTED], check=True)


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
