"""How a GPU cuts up a product of matrices: the tile of a block, and the parts of a sum.

A product c (m, n) = A (m, k) @ B (k, n) is cut into tiles, one for each block. Where that makes too
few blocks to keep the GPU busy, each sum along k is split as well: a block computes a part of it,
and the last block of a tile, or a second kernel, adds the parts up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..grids import blocks

# (rows, columns): large ones do more arithmetic for each byte, small ones make more blocks.
TILES = ((128, 128), (64, 64), (32, 64), (32, 32))
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# A part shorter than this costs more to be added up than it gains.
SHORTEST_PART = 32
MOST_SPLITS = SPLITS[-1]

# Elements of a tile's parts that the last of its blocks adds up at most, at the product's end. That
# spares a launch and makes one block read them all: at 64 bytes a clock, a guess, float32's 128 KB
# take as long as the second launch. Of more parts that launch, all of the GPU, makes shorter work.
SUMMED_INSIDE = 1 << 15

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


class Cost(NamedTuple):
    """What a block of one size of tile takes, in microseconds."""

    alone: float  # a term of its sums, where it has a multiprocessor to itself
    shared: float  # n blocks on a multiprocessor take n times this for a term
    block: float  # to begin and to end


# A model of an H200's times, fitted to the rows "shapes" of benchmarks/results/gpu-h200.jsonl: the
# products of two nets' layers, 128 to 8,192 rows, each with every tile and many splits. A test
# holds what it chooses against the fastest of them. `tinyae tune` measures instead.
COSTS = {
    (128, 128): Cost(0.130, 0.106, 3.56),
    (64, 64): Cost(0.0406, 0.0343, 0.892),
    (32, 64): Cost(0.0260, 0.0260, 0.480),
    (32, 32): Cost(0.0229, 0.0170, 0.348),
}
MULTIPROCESSORS = 132
LAUNCH = 1.65  # microseconds
SECOND_LAUNCH = 1.46  # of the kernel that adds up parts
ADDED = 1.19e6  # elements of parts that it adds in a microsecond


class Problem(NamedTuple):
    """What a plan is for; ``kernel`` without its tile: "dense_forward", ..."""

    matmul: str
    dtype: str
    kernel: str
    m: int
    n: int
    k: int


@lru_cache(maxsize=1024)
def choose(
    m: int, n: int, k: int, tile: tuple[int, int] | None = None, splits: int | None = None
) -> Plan:
    """The plan that takes the least time by the model; ``tile`` and ``splits`` overrule it."""
    tiles = TILES if tile is None else (tile,)
    worth = [s for s in SPLITS if s == 1 or k // s >= SHORTEST_PART] if splits is None else [splits]
    return min((Plan(*t, s) for t in tiles for s in worth), key=lambda plan: time(plan, m, n, k))


def time(plan: Plan, m: int, n: int, k: int) -> float:
    """Microseconds of a product, by the model."""
    cost = COSTS[plan.rows, plan.columns]
    parts = max(1, blocks(k, plan.per_part(k)))
    each = blocks(blocks(m, plan.rows) * blocks(n, plan.columns) * parts, MULTIPROCESSORS)
    total = LAUNCH + plan.per_part(k) * max(cost.alone, each * cost.shared) + each * cost.block
    return total + (SECOND_LAUNCH + parts * m * n / ADDED if parts > 1 else 0)
