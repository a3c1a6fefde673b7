"""Executes a kernel: all threads at once, in lock step, or warp after warp between barriers.

Threads that have parted run in the order of their instructions: those farthest back go first, so
that they meet again behind the branch. A barrier holds a thread until all of its block are there
that have not ended. One that waits for another block says nanosleep: then the others have a turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import RULES
from .counts import WARP, Counts
from .effects import EFFECTS
from .memory import Fault, Space
from .parse import BITS, Instruction, Kernel, PtxError, Variable, number

Array = Any
Dim = tuple[int, int, int]

MOST_THREADS = 1024
GLOBAL_BASE = 1 << 33  # beyond 32 bits: an address that loses its upper half is found
ALL = slice(None)

RUNNING, WAITING, ENDED, ASLEEP = 0, 1, 2, 3
PATIENCE = 100  # turns of all threads in which nobody but those that slept goes on


class Machine:
    """One launch of a kernel.

    order: None runs all warps in lock step; "forward", "reverse" or a seed runs them one after the
    other from barrier to barrier, which shows what lock step hides. limit: instructions issued
    before a launch counts as endless. counts: where to note what is executed.
    """

    def __init__(
        self, kernel: Kernel, grid: Dim, block: Dim, memory: Space, arguments: list[bytes],
        order: str | int | None = None, shared: int = 0, limit: int = 10_000_000,
        counts: Counts | None = None,
    ) -> None:  # fmt: skip
        self.kernel, self.grid, self.block = kernel, grid, block
        self.order, self.limit, self.issued, self.counts = order, limit, 0, counts
        self._idle = 0  # turns
        self.threads = int(np.prod(block))
        if self.threads > MOST_THREADS:
            raise PtxError(f"a block has at most {MOST_THREADS} threads, got {self.threads}")
        blocks = int(np.prod(grid))
        self.n = blocks * self.threads
        self.blocks = np.arange(self.n) // self.threads
        own = np.arange(self.n) % self.threads
        self.warps = self.blocks * -(-self.threads // WARP) + own // WARP
        self.special = self._special_registers()
        self.registers = {name: np.zeros(self.n, bits) for name, bits in kernel.registers.items()}
        self.symbols: dict[str, tuple[str, int]] = {}
        self.spaces = {"global": memory, "const": memory}
        self._rows: dict[str, Array] = {
            "global": np.zeros(self.n, np.int64), "const": np.zeros(self.n, np.int64),
            "param": np.zeros(self.n, np.int64), "shared": self.blocks, "local": np.arange(self.n),
        }  # fmt: skip
        for space, rows in (("shared", blocks), ("local", self.n), ("param", 1)):
            self._place(space, rows, kernel.variables | kernel.parameters, shared)
        for name, variable in kernel.variables.items():
            if variable.space in ("global", "const") and variable.size:
                self.symbols[name] = (variable.space, memory.allocate(variable.size, 16))
                memory.fill(self.symbols[name][1], np.frombuffer(variable.initial, np.uint8))
        self._pass(arguments)
        self.copies: list[list[Array]] = []  # asynchronous ones that nobody has waited for
        self.groups = np.zeros(self.n, np.int64)  # how many each thread has closed
        self.pc = np.zeros(self.n, np.int64)
        self.state = np.zeros(self.n, np.uint8)
        self._decoded: dict[int, Any] = {}

    # ---- what instructions read and write

    def read(self, operand: str, dtype: Any, lanes: Any) -> Array:
        """An operand's value in each of these threads; constants have one element."""
        held = self.registers.get(operand)
        if held is None:
            held = self.special.get(operand)
        if held is None:
            if operand in self.symbols:
                return np.array([self.symbols[operand][1]], np.uint64).astype(dtype)
            return number(operand, dtype)
        value = held[lanes]
        if value.dtype in (np.bool_, dtype):
            return value
        width = np.dtype(dtype).itemsize
        return (value if value.dtype.itemsize == width else value.astype(BITS[width])).view(dtype)

    def write(self, register: str, value: Array, lanes: Any) -> None:
        """Into the register's bits; a narrower number keeps its value, a sign is repeated."""
        if register == "_":
            return
        target = self.registers[register]
        if target.dtype not in (np.bool_, value.dtype):
            if value.dtype.itemsize != target.dtype.itemsize:
                value = value.astype(f"{value.dtype.kind}{target.dtype.itemsize}")
            value = np.ascontiguousarray(value).view(target.dtype)
        target[lanes] = value

    def rows(self, space: str, lanes: Any) -> Array:
        return self._rows[space][lanes]

    def lanes(self, lanes: Any) -> Array:
        """The numbers of the threads."""
        return np.arange(self.n)[lanes]

    def accessed(self, what: str, size: int, addresses: Array, threads: Array) -> None:
        if self.counts is not None:
            self.counts.accessed(self, what, size, addresses, threads)

    # ---- the launch

    def run(self) -> None:
        """To the end of all threads; raises PtxError for the first fault."""
        with np.errstate(all="ignore"):
            while True:
                for group in self._groups():
                    self._until_barrier(group)
                if (self.state == ENDED).all():
                    return
                self._release()

    def _groups(self) -> list[Array]:
        everyone = np.arange(self.n)
        if self.order is None:
            return [everyone]
        warp = everyone % self.threads // WARP
        count = -(-self.threads // WARP)
        numbers = list(range(count))
        if self.order == "reverse":
            numbers.reverse()
        elif isinstance(self.order, int):
            self._random = getattr(self, "_random", None) or np.random.default_rng(self.order)
            numbers = list(self._random.permutation(count))
        return [np.flatnonzero(warp == number) for number in numbers]

    def _until_barrier(self, group: Array) -> None:
        while True:
            alive = group[self.state[group] == RUNNING]
            if not len(alive):
                return
            pcs = self.pc[alive]
            at = int(pcs.min())
            here = pcs == at
            others = pcs[~here]
            self._straight(alive[here], at, int(others.min()) if len(others) else -1)

    def _straight(self, lanes: Array, at: int, meeting: int) -> None:
        """Runs these threads up to a branch that parts them, or to where others wait."""
        instructions = self.kernel.instructions
        which: Any = ALL if len(lanes) == self.n else lanes
        while at < len(instructions):
            if meeting >= 0 and at >= meeting:
                break
            self.issued += 1
            if self.issued > self.limit:
                raise PtxError(f"{self.kernel.name} does not end: {self.limit:,} instructions")
            i = instructions[at]
            if self.counts is not None:
                self.counts.executed(self, i, which)
            active = which
            if i.guard:
                holds = self.registers[i.guard][which] ^ i.negated
                if not holds.all():
                    active = np.flatnonzero(holds) if which is ALL else which[holds]
                    if not len(active):
                        at += 1
                        continue
            if i.opcode in ("bra", "ret", "exit"):
                target = self._target(i)
                if active is which:
                    at = target
                    if at >= len(instructions):
                        break
                    if meeting >= 0 and at >= meeting:
                        break
                    continue
                self.pc[lanes] = at + 1
                self.pc[active] = target
                self.state[active] = ENDED if target >= len(instructions) else RUNNING
                return
            waits = i.opcode in ("bar", "barrier") and not i.has("warp")
            if waits or i.opcode == "nanosleep":
                if waits:
                    self._check_barrier(i)
                self.pc[lanes] = at + 1
                self.state[active] = WAITING if waits else ASLEEP
                return
            self._execute(i, at, active)
            at += 1
        self.pc[lanes] = at
        if at >= len(instructions):
            self.state[lanes] = ENDED

    def _target(self, i: Instruction) -> int:
        if i.opcode != "bra":
            return len(self.kernel.instructions)
        if i.operands[0] not in self.kernel.labels:
            raise self._error(i, "there is no such label")
        return self.kernel.labels[i.operands[0]]

    def _check_barrier(self, i: Instruction) -> None:
        if not i.has("sync") or i.operands != ("0",):
            raise self._error(i, "only bar.sync 0 of all threads is supported")

    def _release(self) -> None:
        """Wakes the threads that sleep. In the other blocks all that have not ended wait, and do
        so at one barrier: they go on."""
        state, pc = self.state.reshape(-1, self.threads), self.pc.reshape(-1, self.threads)
        sleeps = state == ASLEEP
        waits = (state == WAITING) & ~sleeps.any(axis=1, keepdims=True)
        self._idle = 0 if waits.any() else self._idle + 1
        if self._idle > PATIENCE:
            thread = int(np.argmax(sleeps))
            i = self.kernel.instructions[int(self.pc[thread]) - 1]
            raise self._error(i, "it waits for another block, and that does not come", thread)
        first = np.where(waits, pc, np.iinfo(np.int64).max).min(axis=1)
        wrong = waits & (pc != first[:, None])
        if wrong.any():
            block = int(np.argmax(wrong.any(axis=1)))
            i = self.kernel.instructions[int(first[block]) - 1]
            thread = block * self.threads + int(np.argmax(wrong[block]))
            raise self._error(i, "the barrier is not reached by all threads of the block", thread)
        state[waits | sleeps] = RUNNING

    def _execute(self, i: Instruction, at: int, lanes: Any) -> None:
        try:
            if (effect := EFFECTS.get(i.opcode)) is not None and effect.wants(i):
                effect.run(self, i, lanes)
            elif i.opcode in RULES:
                if at not in self._decoded:
                    self._decoded[at] = (RULES[i.opcode], *RULES[i.opcode].dtypes(i))
                rule, takes, gives = self._decoded[at]
                values = [
                    self.read(operand, dtype, lanes)
                    for operand, dtype in zip(i.operands[1:], takes, strict=True)
                ]
                result = rule(i, *values)
                self.write(i.operands[0], result.astype(gives, copy=False), lanes)
            else:
                raise PtxError("this instruction is not supported")
        except Fault as fault:
            raise self._error(i, fault.what, int(self.lanes(lanes)[fault.which])) from None
        except KeyError as error:
            raise self._error(i, f"{error} is not known here, as is no call") from None
        except (PtxError, ValueError) as error:
            raise self._error(i, str(error)) from error

    def _error(self, i: Instruction, what: str, thread: int | None = None) -> PtxError:
        where = "" if thread is None else f", {self.place(thread)}"
        return PtxError(f"{self.kernel.name}, PTX line {i.line} ({i.text}){where}: {what}")

    def place(self, thread: int) -> str:
        block, own = divmod(thread, self.threads)
        texts = []
        for number_, dim in ((block, self.grid), (own, self.block)):
            x, rest = number_ % dim[0], number_ // dim[0]
            texts.append(f"({x}, {rest % dim[1]}, {rest // dim[1]})")
        return f"block {texts[0]}, thread {texts[1]}"

    # ---- setting up

    def _special_registers(self) -> dict[str, Array]:
        own = np.arange(self.n) % self.threads
        special = {"%laneid": own % WARP, "%warpid": own // WARP, "WARP_SZ": np.full(self.n, WARP)}
        for number_, dim, name, count in (
            (own, self.block, "%tid", "%ntid"), (self.blocks, self.grid, "%ctaid", "%nctaid"),
        ):  # fmt: skip
            rest = number_
            for axis, size in zip("xyz", dim, strict=True):
                special[f"{name}.{axis}"] = rest % size
                special[f"{count}.{axis}"] = np.full(self.n, size)
                rest = rest // size
        return {name: value.astype(np.uint32) for name, value in special.items()}

    def _place(
        self, space: str, rows: int, variables: dict[str, Variable], dynamic: int
    ) -> None:  # fmt: skip
        own = {name: v for name, v in variables.items() if v.space == space}
        room = sum(v.size + v.align for v in own.values()) + dynamic + 16
        self.spaces[space] = place = Space(space, rows, room)
        for name, variable in own.items():
            size = variable.size or (dynamic if space == "shared" else 0)
            self.symbols[name] = (space, place.allocate(size, variable.align))

    def _pass(self, arguments: list[bytes]) -> None:
        parameters = self.kernel.parameters
        sizes = [v.size for v in parameters.values()]
        if [len(a) for a in arguments] != sizes:
            raise PtxError(
                f"{self.kernel.name} takes arguments of {sizes} bytes, got "
                f"{[len(a) for a in arguments]}"
            )
        for name, raw in zip(parameters, arguments, strict=True):
            self.spaces["param"].fill(self.symbols[name][1], np.frombuffer(raw, np.uint8))
