"""scikit-learn's own checks of an outlier detector."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyae import OutlierDetector

pytest.importorskip("sklearn", reason="the estimator checks are scikit-learn's")

from sklearn.base import clone, is_outlier_detector
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

SMALL = OutlierDetector(members=20)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Estimator OutlierDetector does not inherit")
    CHECKS = [
        (estimator, check)
        for estimator, check in estimator_checks_generator(SMALL)
        # it skips itself: arrays of other libraries are no input that tinyae claims to take
        if getattr(check, "func", check).__name__ != "check_array_api_input"
    ]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[getattr(c, "func", c).__name__ for _, c in CHECKS]
)
def test_estimator_check(estimator: OutlierDetector, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_those_of_outlier_detectors_are_among_them() -> None:
    names = {getattr(check, "func", check).__name__ for _, check in CHECKS}
    assert len(CHECKS) >= 45 and is_outlier_detector(SMALL)
    assert {"check_outliers_train", "check_outliers_fit_predict"} <= names


@pytest.mark.filterwarnings("ignore:X .*feature names:UserWarning")
def test_check_of_dataframes() -> None:
    pytest.importorskip("pandas", reason="the check uses pandas")
    estimator_checks.check_dataframe_column_names_consistency("OutlierDetector", clone(SMALL))


def test_pipeline_and_parameters() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = OutlierDetector(members=20, random_state=0, contamination=0.1)
    pipe = make_pipeline(StandardScaler(), clone(detector)).fit(X)
    assert (pipe.predict(X) == -1).sum() == 6
    assert repr(detector) == "OutlierDetector(members=20, contamination=0.1, random_state=0)"
    assert clone(detector).set_params(contamination=0.5).fit_predict(X).sum() == 0
    with pytest.raises(ValueError, match="Invalid parameter 'hidden'"):
        detector.set_params(hidden=3)
    assert "neighbours : default 5" in (OutlierDetector.__doc__ or "")
