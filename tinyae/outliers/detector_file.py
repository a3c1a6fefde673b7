"""A detector's file: its arguments, its members, and what scores are compared with."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import checks
from ..arguments import SEED
from ..model_file import as_json
from ..storage.files import write_npz
from ..storage.untrusted import errors_of, open_npz
from .explain import MOST_PRECISE
from .members import expected_arrays, restored
from .options import MOST
from .stream import KEPT, Columns

if TYPE_CHECKING:
    from .detector import OutlierDetector

FORMAT, VERSION = "tinyae-outliers", 1
PER_COLUMN = tuple(field.name for field in fields(Columns) if field.name != "n")

Detector = TypeVar("Detector", bound="OutlierDetector")


def save_detector(path: str | os.PathLike[str], detector: OutlierDetector) -> None:
    """Writes atomically."""
    members, columns = detector._members, detector.columns_
    fitted: dict[str, Any] = {
        "n_features": detector.n_features_in_, "seed": detector.seed_, "offset": detector.offset_,
        "n": columns.n, "held_out": detector._held_out.size, "members": len(members),
        "rows": members.codes.shape[1], "code": members.codes.shape[2],
        "neighbours": members.neighbours, "trained": len(members.layers) > 1,
    }  # fmt: skip
    if hasattr(detector, "feature_names_in_"):
        fitted["feature_names"] = detector.feature_names_in_.tolist()
    params = as_json({**detector.get_params(), "random_state": detector.seed_})
    arrays = {f"columns.{name}": getattr(columns, name) for name in PER_COLUMN}
    arrays |= {"held_out": detector._held_out, "precision": detector._precision}
    arrays |= members.arrays()
    write_npz(path, FORMAT, VERSION, {"params": params, "fitted": fitted}, arrays)


def load_detector(path: str | os.PathLike[str], kind: type[Detector]) -> Detector:
    """The detector of class ``kind``; raises FileNotFoundError or FileError."""
    with open_npz(path, FORMAT, VERSION) as (meta, read):
        with errors_of(path, "describes no outlier detector"):
            params, fitted = dict(meta["params"]), dict(meta["fitted"])
            if odd := sorted(set(params) ^ set(kind._defaults())):
                raise ValueError(
                    f"its params do not fit {kind.__name__} of this version: {', '.join(odd)}"
                )
            detector = kind(**kind._accepted(params))
            detector._check()
            features, offset, trained = fitted["n_features"], fitted["offset"], fitted["trained"]
            checks.integer("n_features", features, 1, checks.WIDEST)
            checks.number("offset", offset, below=0)
            checks.integer("n", fitted["n"], 2, 1 << 62)
            checks.integer("held_out", fitted["held_out"], 2, KEPT)
            checks.integer("members", fitted["members"], 1, MOST)
            checks.integer("rows", fitted["rows"], 2, MOST)
            checks.integer("code", fitted["code"], 1, features)
            checks.integer("neighbours", fitted["neighbours"], 1, fitted["rows"] - 1)
            SEED.check("seed", fitted["seed"])
            if not isinstance(trained, bool):
                raise TypeError(f"trained must be true or false, got {trained!r}")
            names = fitted.get("feature_names")
            if names is not None and [type(name) for name in names] != [str] * features:
                raise ValueError(f"feature_names must be {features} strings, got {names!r}")
            own: dict[str, tuple[tuple[int, ...], str]] = {
                **{f"columns.{name}": ((features,), "float64") for name in PER_COLUMN},
                "held_out": ((fitted["held_out"],), "float64"),
                "precision": ((features, features), "float64"),
            }
            sizes = (fitted["members"], fitted["rows"], features, fitted["code"], trained)
            described = expected_arrays(*sizes)
        arrays = read({**own, **described})
        with errors_of(path, "describes no outlier detector"):
            columns = Columns(fitted["n"], *(arrays[f"columns.{name}"] for name in PER_COLUMN))
            if not (arrays["spread"] > 0).all():
                raise ValueError("spread must be positive")
            if (columns.squares < 0).any() or (columns.low > columns.high).any():
                raise ValueError("its columns have ranges or deviations below 0")
            inverse = arrays["precision"]
            if not (np.diag(inverse) > 0).all() or np.abs(inverse).max() > MOST_PRECISE:
                raise ValueError(
                    f"precision must have a positive diagonal and at most {MOST_PRECISE:g} anywhere"
                )
            if (np.diff(arrays["held_out"]) < 0).any():
                raise ValueError("held_out must be in order")
    detector._stream = None
    detector._members = restored({name: arrays[name] for name in described}, fitted["neighbours"])
    detector._held_out, detector._precision = arrays["held_out"], inverse
    detector.columns_ = columns
    detector.n_features_in_, detector.seed_ = features, fitted["seed"]
    detector.offset_ = float(offset)
    detector._name_features(names)
    return detector
