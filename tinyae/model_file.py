"""``model.npz``: the constructor's arguments, what "auto" came to, and the weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from .files import FileError, read_npz, write_npz

FORMAT, VERSION = "tinyae-model", 1


def save_model(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    fitted: Mapping[str, Any],
    parameters: Mapping[str, NDArray[Any]],
) -> None:
    """Writes atomically; ``params`` and ``fitted`` must be plain JSON values."""
    write_npz(path, FORMAT, VERSION, {"params": dict(params), "fitted": dict(fitted)}, parameters)


def load_model(
    path: str | os.PathLike[str], argument_names: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, NDArray[Any]]]:
    """(params, fitted, parameters); the arrays' names and shapes are the caller's to check.

    Raises FileNotFoundError, or FileError for a broken or foreign file.
    """
    meta, arrays = read_npz(path, FORMAT, VERSION)
    params, fitted = meta.get("params"), meta.get("fitted")
    if not isinstance(params, dict) or not isinstance(fitted, dict):
        raise FileError(f"{path} is no complete {FORMAT} file: it lacks params or fitted")
    if set(params) != set(argument_names):
        odd = sorted(set(params) ^ set(argument_names))
        raise FileError(f"{path}: its params do not fit this version: {', '.join(odd)}")
    return params, fitted, arrays
