"""A minibatch: rows of the data by index, scaled into the net's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scratch import borrow

Array = NDArray[Any]


def gather(data: Array, indices: Array, scale: float, out: Array) -> None:
    """out[i] = data[indices[i]] * scale.

    data (n, features) of any real dtype, uint8 pictures and memory maps included;
    indices (batch,) int64 in [0, n); out (batch, features) float32 or float64.
    """
    if data.dtype == out.dtype:
        rows = out
    else:
        rows = borrow(out.shape, data.dtype)
    if len(data):
        # mode="clip" lets take write straight into rows; checks.rows_exist has seen the bounds
        np.take(data, indices, axis=0, out=rows, mode="clip")
    if scale != 1 or rows is not out:
        np.multiply(rows, out.dtype.type(scale), out=out, dtype=out.dtype, casting="unsafe")
