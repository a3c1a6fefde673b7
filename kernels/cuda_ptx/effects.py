"""The instructions that reach beyond a thread's registers: memory, copies, the other lanes.

Opcode -> a function of the machine, the instruction and the threads that run it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .memory import IN_FLIGHT, WRITTEN, Fault
from .parse import BITS, TYPES, Instruction, PtxError, address, register_names

if TYPE_CHECKING:
    from .machine import Machine

Array = Any


@dataclass(frozen=True)
class Effect:
    run: Callable[[Machine, Instruction, Any], None]
    wants: Callable[[Instruction], bool]  # the others of this opcode compute


EFFECTS: dict[str, Effect] = {}


def effect(
    opcodes: str, wants: Callable[[Instruction], bool] = lambda i: True
) -> Callable[[Any], Any]:
    def add(run: Any) -> Any:
        for opcode in opcodes.split():
            EFFECTS[opcode] = Effect(run, wants)
        return run

    return add


def _addresses(machine: Machine, operand: str, lanes: Any, count: int) -> Array:
    base, offset = address(operand)
    if base in machine.registers:
        width = machine.registers[base].dtype.itemsize
        value = machine.read(base, BITS[width], lanes).astype(np.int64) + offset
        if width == 4:  # the sum has 32 bits too: compilers write registers that are below 0
            value &= 0xFFFF_FFFF
    else:
        value = np.array([(machine.symbols[base][1] if base else 0) + offset], np.int64)
    return np.broadcast_to(value, (count,))


def _space(i: Instruction) -> str:
    found = [m for m in i.modifiers if m.partition("::")[0] in
             ("global", "shared", "local", "param", "const")]  # fmt: skip
    if not found:
        raise PtxError("generic addresses are not supported")
    return found[0].partition("::")[0]


# ---- loads and stores

_PLAIN = re.compile(
    r"v[248]|global|local|param|const|shared(::cta)?|nc|L\d::.*|c[agsv]|lu|w[bt]|volatile|relaxed"
    r"|acquire|release|weak|cta|gpu|sys"
)


def _known(i: Instruction) -> None:
    for modifier in i.modifiers:
        if not _PLAIN.fullmatch(modifier):
            raise PtxError(f".{modifier} of {i.opcode} is not supported")


@effect("ld")
def load(machine: Machine, i: Instruction, lanes: Any) -> None:
    """``ld.global.v2.f32 {%f1, %f2}, [%rd1+8];``"""
    _known(i)
    space, dtype = _space(i), np.dtype(TYPES[i.types[-1]])
    rows = machine.rows(space, lanes)
    registers = register_names(i.operands[0])
    where = _addresses(machine, i.operands[1], lanes, len(rows))
    values = machine.spaces[space].load(rows, where, dtype.itemsize, len(registers))
    machine.accessed(f"{space} read", dtype.itemsize * len(registers), where, machine.lanes(lanes))
    for register, value in zip(registers, values, strict=True):
        machine.write(register, value.view(dtype), lanes)


@effect("st")
def store(machine: Machine, i: Instruction, lanes: Any) -> None:
    _known(i)
    space, width = _space(i), np.dtype(TYPES[i.types[-1]]).itemsize
    rows = machine.rows(space, lanes)
    where = _addresses(machine, i.operands[0], lanes, len(rows))
    values = [machine.read(r, BITS[width], lanes) for r in register_names(i.operands[1])]
    machine.spaces[space].store(rows, where, values, width)
    machine.accessed(f"{space} write", width * len(values), where, machine.lanes(lanes))


@effect("cvta")
def convert_address(machine: Machine, i: Instruction, lanes: Any) -> None:
    """Global addresses are generic ones; those of other spaces would need windows of their own."""
    if _space(i) not in ("global", "const"):
        raise PtxError("only global addresses can be generic here")
    machine.write(i.operands[0], machine.read(i.operands[1], np.uint64, lanes), lanes)


@effect("mov", wants=lambda i: "{" in i.operands[0] or "{" in i.operands[1])
def pack(machine: Machine, i: Instruction, lanes: Any) -> None:
    """``mov.b64 %rd1, {%r1, %r2};``, the lower half first, and the other way round."""
    width = np.dtype(TYPES[i.types[0]]).itemsize
    to, source = i.operands
    parts = register_names(to if "{" in to else source)
    each = width // len(parts)
    if "{" in to:
        whole = machine.read(source, BITS[width], lanes)
        for k, part in enumerate(parts):
            machine.write(part, (whole >> BITS[width](8 * each * k)).astype(BITS[each]), lanes)
    else:
        result = np.zeros(1, BITS[width])
        for k, part in enumerate(parts):
            value = machine.read(part, BITS[each], lanes).astype(BITS[width])
            result = result | value << BITS[width](8 * each * k)
        machine.write(to, result, lanes)


# ---- asynchronous copies


@effect("cp")
def copy(machine: Machine, i: Instruction, lanes: Any) -> None:
    """cp.async: the copied bytes are there for a thread once it has waited for their group."""
    if not i.has("async"):
        raise PtxError("of cp only cp.async is supported")
    if i.has("commit_group"):
        machine.groups[lanes] += 1
    elif i.has("wait_group") or i.has("wait_all"):
        _arrive(machine, lanes, None if i.has("wait_all") else int(i.operands[0]))
    else:
        _send(machine, i, lanes)


def _send(machine: Machine, i: Instruction, lanes: Any) -> None:
    """Of ``size`` bytes the first ``given`` are read, zeros take the place of the others."""
    size = int(i.operands[2])
    if size not in ((16,) if i.has("cg") else (4, 8, 16)):
        raise PtxError("cp.async copies 4, 8 or 16 bytes, and with .cg 16")
    threads = machine.lanes(lanes)
    to = _addresses(machine, i.operands[0], lanes, len(threads))
    source = _addresses(machine, i.operands[1], lanes, len(threads))
    given = np.full(len(threads), size, np.int64)
    if len(i.operands) > 3:
        given[:] = machine.read(i.operands[3], np.uint32, lanes)
    if (given > size).any():
        raise Fault(f"a copy of {size} bytes reads more", int(np.argmax(given > size)))
    askew = (source % size != 0) & (given > 0)
    if askew.any():
        raise Fault(f"{size}-byte copy from global memory misaligned", int(np.argmax(askew)))
    data = np.zeros((len(threads), size), np.uint8)
    memory, shared = machine.spaces["global"], machine.spaces["shared"]
    for n in np.unique(given[given > 0]):
        some = np.flatnonzero(given == n)
        try:
            at = memory.span(np.zeros(len(some), np.int64), source[some], int(n), "read")
        except Fault as fault:
            raise Fault(fault.what, int(some[fault.which])) from None
        data[some, :n] = memory.data[at]
    place = shared.span(machine.rows("shared", lanes), to, size, "write")
    shared.data[place] = 0xFF  # NaN to whoever would look
    shared.state[place] = IN_FLIGHT
    read = given > 0
    machine.accessed("global read", size, source[read], threads[read])
    machine.accessed("shared copy", size, to, threads)
    machine.copies.append([threads, machine.groups[lanes].copy(), place, data])


def _arrive(machine: Machine, lanes: Any, pending: int | None) -> None:
    """All but the last ``pending`` groups of these threads are there; None: everything is."""
    waits = np.zeros(machine.n, bool)
    waits[lanes] = True
    shared, left = machine.spaces["shared"], []
    for threads, group, place, data in machine.copies:
        done = waits[threads]
        if pending is not None:
            done = done & (group < machine.groups[threads] - pending)
        shared.data[place[done]] = data[done]
        shared.state[place[done]] = WRITTEN
        if not done.all():
            left.append([part[~done] for part in (threads, group, place, data)])
    machine.copies = left


# ---- the other lanes of a warp


def _whole_warps(machine: Machine, lanes: Any) -> Array:
    """The threads, (warps, 32); raises PtxError where a warp has parted."""
    threads = machine.lanes(lanes)
    warps = threads.reshape(-1, 32) if len(threads) % 32 == 0 else None
    if warps is None or machine.threads % 32 or (warps != warps[:, :1] + np.arange(32)).any():
        raise PtxError("a part of the warp has gone another way")
    return warps


@effect("bar barrier")
def warp_barrier(machine: Machine, i: Instruction, lanes: Any) -> None:
    """bar.warp.sync: lanes run in lock step here, so it is enough that all are there."""
    _whole_warps(machine, lanes)


@effect("membar fence")
def fence(machine: Machine, i: Instruction, lanes: Any) -> None:
    """Writes are seen at once here."""


@effect("shfl")
def shuffle(machine: Machine, i: Instruction, lanes: Any) -> None:
    """``shfl.sync.down.b32 %r1|%p1, %r2, 16, 31, -1;``: each lane gets another one's number."""
    warps = _whole_warps(machine, lanes)
    to, _, flag = i.operands[0].partition("|")
    value, by, bounds = (
        np.broadcast_to(machine.read(o, np.uint32, lanes), warps.size).reshape(warps.shape)
        for o in i.operands[1:4]
    )
    if (machine.read(i.operands[4], np.uint32, lanes) != 0xFFFFFFFF).any():
        raise PtxError("shuffles of a part of the warp are not supported")
    lane, by, bounds = np.arange(32), by.astype(np.int64) & 31, bounds.astype(np.int64)
    segment, clamp = bounds >> 8 & 31, bounds & 31
    low = lane & segment
    high = low | (clamp & ~segment)
    how = next(m for m in i.modifiers if m != "sync")
    source = {"up": lane - by, "down": lane + by, "bfly": lane ^ by, "idx": low | (by & ~segment)}[
        how
    ]
    inside = source >= high if how == "up" else source <= high
    result = np.take_along_axis(value, np.where(inside, source, lane), axis=1)
    machine.write(to, result.reshape(-1), lanes)
    if flag:
        machine.write(flag, inside.reshape(-1), lanes)


@effect("vote")
def vote(machine: Machine, i: Instruction, lanes: Any) -> None:
    """``vote.sync.ballot.b32 %r1, %p1, -1;``: a bit of each lane; .any and .all: a predicate."""
    shape = _whole_warps(machine, lanes).shape
    holds = np.broadcast_to(machine.read(i.operands[1], np.bool_, lanes), shape[0] * 32)
    bits = holds.reshape(shape).astype(np.uint32) << np.arange(32, dtype=np.uint32)
    bits = np.bitwise_or.reduce(bits, axis=1)
    full = {"any": bits != 0, "all": bits == 0xFFFFFFFF}
    how = next((m for m in i.modifiers if m in full), "")
    if not how and not i.has("ballot"):
        raise PtxError("of vote only .any, .all and .ballot are supported")
    machine.write(i.operands[0], np.repeat(full[how] if how else bits, 32), lanes)


@effect("mma")
def multiply_tiles(machine: Machine, i: Instruction, lanes: Any) -> None:
    """D = A B + C of a warp: A is 16x8, B 8x8, C and D 16x8. Lane 4 g + t holds a0 = A[g, t],
    a1 = A[g + 8, t], a2 = A[g, t + 4], a3 = A[g + 8, t + 4]; b0 = B[t, g], b1 = B[t + 4, g];
    c0, c1 = C[g, 2 t], C[g, 2 t + 1]; c2, c3 the same of row g + 8. The 13 lowest bits of a and b
    are not read."""
    if i.modifiers != ("sync", "aligned", "m16n8k8", "row", "col") or i.types[1:3] != 2 * ("tf32",):
        raise PtxError("of mma only m16n8k8.row.col.f32.tf32.tf32.f32 is supported")
    shape = _whole_warps(machine, lanes).shape

    def fragments(operand: str, dtype: Any) -> list[Array]:
        return [
            np.broadcast_to(machine.read(r, dtype, lanes), shape[0] * 32).reshape(shape)
            for r in register_names(operand)
        ]

    def cut(bits: Array) -> Array:
        return (bits & np.uint32(0xFFFFE000)).view(np.float32)

    g, t = np.divmod(np.arange(32), 4)
    a, b = np.empty((shape[0], 16, 8)), np.empty((shape[0], 8, 8))
    for k, bits in enumerate(fragments(i.operands[1], np.uint32)):
        a[:, g + 8 * (k % 2), t + 4 * (k // 2)] = cut(bits)
    for k, bits in enumerate(fragments(i.operands[2], np.uint32)):
        b[:, t + 4 * k, g] = cut(bits)
    d = a @ b
    for k, (register, c) in enumerate(
        zip(register_names(i.operands[0]), fragments(i.operands[3], np.float32), strict=True)
    ):
        part = (d[:, g + 8 * (k // 2), 2 * t + k % 2] + c).astype(np.float32)
        machine.write(register, part.reshape(-1), lanes)


# ---- atomics

COMBINE: dict[str, Callable[..., Any]] = {
    "add": lambda old, new: old + new, "inc": lambda old, most: 0 if old >= most else old + 1,
    "exch": lambda old, new: new, "min": min, "max": max,
    "and": lambda old, new: old & new, "or": lambda old, new: old | new,
    "xor": lambda old, new: old ^ new,
    "cas": lambda old, expected, new: new if old == expected else old,
}  # fmt: skip


@effect("atom red")
def atomic(machine: Machine, i: Instruction, lanes: Any) -> None:
    """One thread after the other, in the order of their numbers."""
    how = next((m for m in i.modifiers if m in COMBINE), "")
    if not how:
        raise PtxError("this atomic operation is not supported")
    space, dtype = _space(i), np.dtype(TYPES[i.types[-1]])
    rows = machine.rows(space, lanes)
    place, *given = i.operands[1:] if i.opcode == "atom" else i.operands
    where = _addresses(machine, place, lanes, len(rows))
    values = [np.broadcast_to(machine.read(o, dtype, lanes), len(rows)) for o in given]
    result = np.empty(len(rows), dtype)
    at = machine.spaces[space]
    machine.accessed(f"{space} atomic", dtype.itemsize, where, machine.lanes(lanes))
    for k in range(len(rows)):
        one, row = where[k : k + 1], rows[k : k + 1]
        try:
            result[k] = at.load(row, one, dtype.itemsize)[0].view(dtype)[0]
            new = COMBINE[how](result[k], *(value[k] for value in values))
            bits = np.array([new], dtype).view(BITS[dtype.itemsize])
            at.store(row, one, [bits], dtype.itemsize)
        except Fault as fault:
            raise Fault(fault.what, k) from None
    if i.opcode == "atom":
        machine.write(i.operands[0], result, lanes)
