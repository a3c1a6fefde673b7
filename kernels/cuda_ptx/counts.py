"""What a launch would cost on a GPU, counted while it is executed: instructions and memory traffic.

Everything is counted by warp, as the hardware does it. The instructions are PTX's: the assembler
merges some of them and adds others.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .parse import Instruction

if TYPE_CHECKING:
    from .machine import Machine

Array = Any

WARP, BANKS, SECTOR = 32, 32, 32  # threads; 4-byte banks of shared memory; bytes

_KINDS = {
    "ld": "memory", "st": "memory", "atom": "memory", "red": "memory", "cp": "memory",
    "bar": "barrier", "barrier": "barrier", "shfl": "shuffle", "vote": "shuffle", "mma": "mma",
    "bra": "branch", "ret": "branch", "exit": "branch", "setp": "compare", "selp": "compare",
    "mov": "move", "cvt": "move", "cvta": "move",
}  # fmt: skip


def kind_of(i: Instruction) -> str:
    """Its class: fma.f32, float, integer, move, compare, memory, branch, ..."""
    last = i.types[-1] if i.types else ""
    if i.opcode == "fma":
        return f"fma.{last}"
    return _KINDS.get(i.opcode, "float" if last in ("f32", "f64") else "integer")


class Counts:
    """Of one launch, or of several.

    instructions: class -> how often a warp executes one, whether or not its guard holds.
    traffic: such as "global read" -> requests (a warp's instruction), the different bytes that each
    asks for, and of global memory the 32-byte sectors, of shared memory the wavefronts: the turns
    that the banks need. An asynchronous copy is a "global read" and a "shared copy".
    """

    def __init__(self) -> None:
        self.instructions: Counter[str] = Counter()
        self.traffic: dict[str, Counter[str]] = {}

    def executed(self, machine: Machine, i: Instruction, lanes: Array) -> None:
        warps = machine.warps[lanes]  # in ascending order
        self.instructions[kind_of(i)] += 1 + int(np.count_nonzero(warps[1:] != warps[:-1]))

    def accessed(
        self, machine: Machine, what: str, size: int, addresses: Array, threads: Array
    ) -> None:
        """By each of these threads ``size`` bytes from its address on."""
        at = np.full((int(machine.warps[-1]) + 1, WARP), -1, np.int64)
        at[machine.warps[threads], machine.special["%laneid"][threads]] = addresses
        at = at[(at >= 0).any(axis=1)]
        counts = self.traffic.setdefault(what, Counter())
        counts["requests"] += len(at)
        counts["bytes"] += size * len(_distinct(at)[0])
        if what.startswith("global"):
            counts["sectors"] += int(sectors(at).sum())
        elif what.startswith("shared"):
            counts["wavefronts"] += int(wavefronts(at, size, what.endswith("read")).sum())

    def share(self, kind: str = "fma.f32") -> float:
        """Of all executed instructions."""
        return self.instructions[kind] / max(1, self.instructions.total())


def sectors(at: Array) -> Array:
    """For each warp the number of different 32-byte sectors; at: (warps, 32) addresses, -1 where a
    lane has none. Accesses are aligned, so one lies in a single sector."""
    return np.bincount(_distinct(np.where(at < 0, -1, at // SECTOR))[0], minlength=len(at))


def wavefronts(at: Array, size: int, read: bool) -> Array:
    """For each warp the turns that the banks of shared memory need.

    In one turn a bank gives one of its 4-byte words to everyone who wants it. Accesses of 8 bytes
    take at least one turn for each half of the warp, those of 16 bytes one for each quarter. Two
    halves, or two quarters of one half, read in the same turns where every lane n wants what n ^ 1
    wants, or every lane what n ^ 2 wants. NVIDIA's manuals do not say so; for reads of 16 bytes the
    counters of an H200 agree, the rest is an assumption.
    """
    parts = max(1, size // 4)
    words = np.where(at < 0, -1, at // 4)[:, :, None] + np.where(at < 0, 0, 1)[:, :, None] * (
        np.arange(parts)
    )
    group = WARP // parts
    turns = [_turns(words[:, k : k + group]) for k in range(0, WARP, group)]
    if parts == 1 or not read:
        return sum(turns)
    total, pair = np.zeros(len(at), np.int64), np.arange(2 * group)
    for k in range(0, parts, 2):
        asked = at[:, k * group + pair]
        others = [asked[:, pair ^ by] for by in (1, 2)]
        alike = [((asked == o) | (asked < 0) | (o < 0)).all(axis=1) for o in others]
        together = _turns(words[:, k * group + pair])
        total += np.where(alike[0] | alike[1], together, turns[k] + turns[k + 1])
    return total


def _turns(words: Array) -> Array:
    """The most different words in a bank; words: (warps, lanes, words of each), -1 for none."""
    rows, different = _distinct(words.reshape(len(words), -1))
    counts = np.zeros((len(words), BANKS), np.int64)
    np.add.at(counts, (rows, different % BANKS), 1)
    return counts.max(axis=1)


def _distinct(values: Array) -> tuple[Array, Array]:
    """The different values of each row, without those below 0, after their rows' numbers."""
    ordered = np.sort(values, axis=1)
    first = ordered >= 0
    first[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    rows, columns = np.nonzero(first)
    return rows, ordered[rows, columns]
