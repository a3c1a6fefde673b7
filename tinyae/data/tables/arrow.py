"""Tables of typed columns: .parquet, .feather and .arrow, read by pyarrow in batches of rows."""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...storage.files import FileError
from ...storage.untrusted import errors_of, expect_memory
from ..formats import Part
from ..reading import AS_IT_IS, Progress, Reading
from .coded import Array, Coder, Column, Numbers, Unusable, Words, coded
from .columns import find_column
from .parts import table_part
from .schema import Schema

log = logging.getLogger(__name__)

SUFFIXES = (".parquet", ".feather", ".arrow")
BATCH = 65536  # rows

_INDEX = re.compile(r"__index_level_\d+__")  # where pandas writes the index of a DataFrame


def is_arrow(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def read_arrow(
    path: Path, reading: Reading = AS_IT_IS, progress: Progress | None = None,
    schema: Schema | None = None,
) -> Part:  # fmt: skip
    """Samples float64 (n, columns) as ``read_table`` returns them.

    The index of a DataFrame that pandas wrote is left out, and said. Raises FileError for a
    damaged or foreign file, ImportError without pyarrow, ValueError for columns that are not
    there or do not fit, and for labels that are missing.
    """
    contents = _contents(path)
    names, types, n_rows = next(contents)
    label = None if reading.label is None else find_column(path, reading.label, names, "label")
    taken = {find_column(path, column, names, "drop") for column in reading.drop}
    taken |= _index(path, names, reading) | (set() if label is None else {label})
    left = () if schema is None else schema.left
    features = [i for i in range(len(names)) if i not in taken and names[i] not in left]
    kinds = [_kind(types[i]) for i in features]
    coders = {j: Coder() for j, kind in enumerate(kinds) if isinstance(kind, Words)}
    values, labels, n = array("d"), list[Array](), 0
    for batch in contents:
        # few bytes of a file may be many rows
        expect_memory(path, 8 * (len(values) + batch.num_rows * len(features)))
        block = np.zeros((batch.num_rows, len(features)))
        with errors_of(path, _broken(path)):
            for j, i in enumerate(features):
                found = coded(batch.column(i))
                if isinstance(found, Numbers):
                    block[:, j] = found.values
                elif isinstance(found, Words):
                    new = [*(coders[j][level] for level in found.levels), -1.0]
                    block[:, j] = np.array(new)[found.codes]
            if label is not None:
                labels.append(_labels(path, names[label], batch.column(label), n))
        values.frombytes(block.tobytes())
        n += batch.num_rows
        if progress is not None:
            progress(n, n_rows or n)
    raw = np.frombuffer(values, np.float64) if values else np.empty(0)
    raw = raw.reshape(n, len(features))
    columns: list[tuple[str, Column]] = []
    for j, (i, kind) in enumerate(zip(features, kinds, strict=True)):
        if isinstance(kind, Words):
            codes = raw[:, j].astype(np.int64)
            columns.append((names[i], Words(codes, tuple(coders[j].levels), kind.declared)))
        elif isinstance(kind, Unusable):
            columns.append((names[i], Unusable(kind.reason, n)))
        else:
            columns.append((names[i], Numbers(raw[:, j])))
    found_labels = np.concatenate(labels) if labels else None
    return table_part(path, raw, columns, found_labels, tuple(names[i] for i in features), schema)


def _broken(path: Path) -> str:
    return f"cannot be read as {path.suffix.lower()} file"


def _contents(path: Path) -> Iterator[Any]:
    """The columns' names and types, and the number of rows if the file says it; then batches."""
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise ImportError(
            f'{path.suffix} files need pyarrow: pip install "tinyae[tables]"'
        ) from None

    with errors_of(path, _broken(path)):
        if path.suffix.lower() == ".parquet":
            with parquet.ParquetFile(path, memory_map=True) as file:
                yield file.schema_arrow.names, file.schema_arrow.types, file.metadata.num_rows
                yield from file.iter_batches(BATCH)
            return
        with pyarrow.memory_map(str(path)) as source:
            try:
                file = ipc.open_file(source)
                batches = (file.get_batch(i) for i in range(file.num_record_batches))
            except pyarrow.ArrowInvalid:  # a stream has no footer
                source.seek(0)
                file = batches = ipc.open_stream(source)
            yield file.schema.names, file.schema.types, 0
            for batch in batches:
                batch.validate(full=True)  # offsets and codes of a damaged file point anywhere
                yield batch


def _index(path: Path, names: list[str], reading: Reading) -> set[int]:
    if reading.index is not None:
        return {0} if reading.index else set()
    found = {i for i, name in enumerate(names) if _INDEX.fullmatch(name)}
    if found:
        log.warning(
            "%s: column %s is the index of a DataFrame: left out; --no-index (in Python: "
            "index=False) keeps it", path, ", ".join(map(str, sorted(found)))
        )  # fmt: skip
    return found


def _kind(kind: Any) -> Column:
    """What a column of this type is."""
    import pyarrow

    return coded(pyarrow.nulls(0, kind))


def _labels(path: Path, name: str, column: Any, before: int) -> Array:
    """Numbers, or words (n,)."""
    found = coded(column)
    if isinstance(found, Unusable):
        raise FileError(f"{path}: the label {name!r} must be numbers or words: {found.reason}")
    values = (
        found.values if isinstance(found, Numbers) else np.array([*found.levels, ""])[found.codes]
    )
    missing = np.isnan(values) if isinstance(found, Numbers) else found.codes < 0
    if missing.any():
        row = before + int(np.argmax(missing))
        raise FileError(f"{path}: the label {name!r} is missing in row {row} (counted from 0)")
    return values
