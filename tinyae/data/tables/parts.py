"""From the columns of a table to its matrix, whatever file they came from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...storage.untrusted import errors_of, expect_memory
from ..formats import Array, Part
from .coded import Column, Numbers
from .schema import Schema, learn_schema

log = logging.getLogger(__name__)


def table_part(
    path: Path, raw: Array, columns: Sequence[tuple[str, Column]], labels: Array | None,
    names: tuple[str, ...] | None, schema: Schema | None,
) -> Part:  # fmt: skip
    """The part of a table: its matrix by ``schema``, or by that which is learnt from it.

    ``raw`` (n, columns) itself where all columns are numbers and each has some. What is left out
    is logged. Raises FileError for columns that cannot be learnt from, or that do not fit.
    """
    known = schema is not None
    if schema is None:
        plain = all(isinstance(column, Numbers) for _, column in columns)
        if plain and not (len(raw) and np.isnan(raw).all(axis=0).any()):
            return Part(raw, labels, names)
        with errors_of(path, "cannot be learnt from"):
            schema, notes = learn_schema(columns)
        for note in notes:
            log.warning("%s: %s", path, note)
    expect_memory(path, 8 * len(raw) * schema.width)
    with errors_of(path, "does not fit what was learnt"):
        return Part(schema.matrix(columns, say=known), labels, schema.names, schema)
