"""All weights and biases in one flat array, and all their gradients in another.

One kernel launch updates everything, one sum clips it, one copy saves it. The weights of all
layers come first and the biases after them, so that weight decay is a matter of "the first
``n_weights`` elements".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import unmasked
from ..kernels.backend import Array, Backend


class Parameters:
    """The flat arrays and their named views.

    ``shapes`` maps names ("encoder.0.weight", "encoder.0.bias", ...) to shapes, in the order in
    which users see them.
    """

    def __init__(self, backend: Backend, shapes: Mapping[str, tuple[int, ...]], dtype: str) -> None:
        self.backend = backend
        self.shapes = dict(shapes)
        self.dtype = dtype
        weights_first = sorted(self.shapes, key=lambda name: len(self.shapes[name]) == 1)
        self._slices: dict[str, slice] = {}
        end = 0
        for name in weights_first:
            start, end = end, end + math.prod(self.shapes[name])
            self._slices[name] = slice(start, end)
        self.size = end
        self.n_weights = sum(math.prod(s) for s in self.shapes.values() if len(s) == 2)
        self.values = backend.empty((end,), dtype)
        self.gradients = backend.empty((end,), dtype)

    def value(self, name: str) -> Array:
        return self.values[self._slices[name]].reshape(self.shapes[name])

    def gradient(self, name: str) -> Array:
        return self.gradients[self._slices[name]].reshape(self.shapes[name])

    def to_host(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters by name."""
        return self.split(self.backend.to_host(self.values))

    def split(self, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {name: flat[self._slices[name]].reshape(s) for name, s in self.shapes.items()}

    def set(self, values: Mapping[str, Any]) -> None:
        """Sets all parameters; nothing is changed unless every name and shape fits.

        Raises ValueError that names the missing, unknown or misshapen parameter, TypeError for one
        with a mask.
        """
        missing = [name for name in self.shapes if name not in values]
        unknown = [name for name in values if name not in self.shapes]
        if missing or unknown:
            raise ValueError(
                f"parameters must be {', '.join(self.shapes)}; "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
            )
        flat = np.empty(self.size, self.dtype)
        for name, view in self.split(flat).items():
            unmasked(name, values[name])
            array = np.asarray(values[name])
            if array.shape != view.shape:
                raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}")
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
            view[...] = array
            if not np.isfinite(view).all():
                raise ValueError(f"{name} must be finite in {self.dtype}, got NaN or infinity")
        self.backend.write(flat, self.values)
