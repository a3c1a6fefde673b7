"""Training pictures, moved a little at random: a net that sees them so learns of more than them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.reference.random import random_bits
from ..net import streams
from .rows import Array, Rows
from .scaling import Scaling

MOST_SHIFTED = 100  # pixels


class ShiftedRows(Rows):
    """``raw`` as pictures of this shape, each moved by up to ``reach`` pixels down and across.

    Of the (2 reach + 1)^2 moves each picture gets one in every epoch, by chance and anew. What was
    outside of the picture is like its edge.
    """

    still = False

    def __init__(self, raw: Rows, image_shape: Sequence[int], reach: int) -> None:
        super().__init__(raw.array, raw.indices, raw.names)
        self.raw, self.dtype, self.direct = raw, raw.dtype, False
        self.image_shape = tuple(image_shape)
        moves = np.arange(-reach, reach + 1)[:, None]
        # (2 reach + 1, height) and (..., width): which line stands where, after each move
        self.down, self.across = (np.clip(np.arange(n) + moves, 0, n - 1) for n in image_shape[:2])
        self.moves = np.zeros(len(raw), np.uint32)

    def __len__(self) -> int:
        return len(self.raw)

    def held(self, positions: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return self.raw.held(positions)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        random_bits(streams.state(seed, streams.SHIFT, epoch), self.moves)
        self.moves %= np.uint32(len(self.down) * len(self.across))

    def take(self, positions: NDArray[np.int64], out: Array) -> None:
        pictures = np.empty_like(out)
        self.raw.take(positions, pictures)
        moves = self.moves[positions]
        for move in np.unique(moves):
            these = np.flatnonzero(moves == move)
            down, across = self.down[move // len(self.across)], self.across[move % len(self.across)]
            lines = pictures[these].reshape(-1, *self.image_shape)[:, down]
            out[these] = lines[:, :, across].reshape(len(these), -1)


def shifted(rows: Rows, scaling: Scaling | None, params: Mapping[str, Any]) -> Rows | None:
    """``rows`` as training sees them, None where it sees them as they are.

    Raises ValueError where pixels are not on one scale, or some columns are categories.
    """
    if not params["shift"]:
        return None
    if rows.schema is not None and rows.schema.groups:
        raise ValueError(f"shift={params['shift']} moves pictures, and X has columns of categories")
    if scaling is not None:
        raise ValueError(
            f"shift={params['shift']} moves pictures, whose pixels are on one scale: use scale=None"
        )
    return ShiftedRows(rows, params["image_shape"], params["shift"])
