"""The data that a run is trained on or used on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import checks
from ...data.datasets import Dataset, is_table, load_dataset
from ...data.reading import Reading
from ...data.tables.schema import Schema
from ...train.progress import Waiting
from ..options import READING, UsageError
from . import together

DATA_DEFAULTS: dict[str, Any] = {
    "source": "ball",
    "test_fraction": 0.1,
    **dict.fromkeys(READING),
}


def check_data(data: Mapping[str, Any]) -> None:
    """Raises ValueError or TypeError for what ``open_data`` cannot have been given."""
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("source", "separator", "decimal", "encoding"), (str,)),
        **dict.fromkeys(("header", "index", "skip_bad"), (bool,)),
        **{"label": (str, int), "drop": (list,), "size": (list,), "test_fraction": (int, float)},
    }
    for name, value in data.items():
        if name not in kinds:
            raise ValueError(f"data has no option {name!r}")
        if not isinstance(value, kinds[name]) and value is not None:
            raise TypeError(f"{name} must not be {value!r}")
    checks.number("test_fraction", data["test_fraction"], above=0, below=1)
    if data["size"] is not None:
        width, height = data["size"]
        checks.integer("size", min(width, height), 1)
    Reading(**{name: data[name] for name in READING if data[name] is not None})


def _read_by(schema: Schema, trained: Mapping[str, Any], data: Mapping[str, Any]) -> Schema:
    """``schema``, for a table that is read after training: the columns that ``trained`` names as
    label or to drop may be there or not, but for a label that ``data`` names."""
    named = {trained["label"], *(trained["drop"] or ())} - {data.get("label")}
    left = {name for name in named if isinstance(name, str)} - {*schema.source, *schema.left}
    return replace(schema, left=(*schema.left, *sorted(left)))


def open_data(data: Mapping[str, Any], schema: Schema | None = None) -> Dataset:
    """Loads {"source", "test_fraction", ...}; what is missing has its default. A table is read by
    ``schema``.

    Raises UsageError where there is no such data.
    """
    options = {k: v for k, v in data.items() if k != "source" and v is not None}
    source = together.own_source(data["source"])
    if schema is not None and is_table(Path(source)):
        options["schema"] = schema
    if "size" in options:
        options["size"] = tuple(options["size"])
    try:
        with Waiting(f"reading {Path(source).name}") as report:
            return load_dataset(source, progress=report, **options)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error


def open_new(
    data: Mapping[str, Any], schema: Schema | None, names: Sequence[str] | None,
    trained: Mapping[str, Any],
) -> Dataset:  # fmt: skip
    """``open_data`` of what is used, not learnt from: of numbers alone with these ``names`` an
    empty column is one too. ``trained`` describes the data that were learnt from."""
    if schema is not None:
        return open_data(data, _read_by(schema, trained, data))
    if names and len({*names}) == len(names):
        with suppress(ValueError):  # other columns: as they are
            return open_data(data, _read_by(Schema(tuple(names)), trained, data))
    return open_data(data)
