"""How a GPU cuts up a product of matrices: the tile of a block, and the parts of a sum.

A product c (m, n) = A (m, k) @ B (k, n) is cut into tiles, one for each block. Where that makes too
few blocks to keep the GPU busy, each sum along k is split as well: a block computes a part of it,
and a second kernel adds the parts up.
"""

from __future__ import annotations

from typing import NamedTuple

from ..grids import blocks

# (rows, columns): large ones do more arithmetic for each byte, small ones make more blocks.
TILES = ((128, 128), (64, 64), (32, 64), (32, 32))

# Blocks that keep a large GPU busy (an H100 or H200 has 132 multiprocessors).
ENOUGH_BLOCKS = 132

# A part shorter than this costs more to be added up than it gains.
SHORTEST_PART = 64
MOST_SPLITS = 32

# Parts begin at multiples of it, so that 16 bytes of a row can be read at once.
ALIGNED = 4


class Plan(NamedTuple):
    """How a product is cut up."""

    rows: int  # of a tile
    columns: int
    splits: int  # parts of each sum, at most

    def per_part(self, k: int) -> int:
        """Terms of a sum over k that are a part of it, the last one perhaps less."""
        return max(1, blocks(blocks(k, self.splits), ALIGNED) * ALIGNED)


class Problem(NamedTuple):
    """What a plan is for; ``kernel`` without its tile: "dense_forward", ..."""

    matmul: str
    dtype: str
    kernel: str
    m: int
    n: int
    k: int


def choose(
    m: int, n: int, k: int, tile: tuple[int, int] | None = None, splits: int | None = None
) -> Plan:
    """A plan without measuring; ``tile`` and ``splits`` overrule what is chosen here.

    The largest tile that still gives every multiprocessor a block, else the smallest, and splits
    as far as they bring the blocks to that number.
    """
    if tile is None:
        busy = (t for t in TILES if blocks(m, t[0]) * blocks(n, t[1]) >= ENOUGH_BLOCKS)
        tile = next(busy, TILES[-1])
    if splits is None:
        tiles = max(1, blocks(m, tile[0]) * blocks(n, tile[1]))
        splits = max(1, min(ENOUGH_BLOCKS // tiles, k // SHORTEST_PART, MOST_SPLITS))
    return Plan(*tile, splits)
