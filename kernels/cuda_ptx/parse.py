"""PTX text -> kernels: registers, variables and instructions, each with its line.

The language is NVIDIA's "PTX ISA"; this is the part of it that NVRTC writes for one kernel without
calls of functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# A register of b32 holds bits: an instruction says whether it takes them as u32, s32 or f32.
TYPES: dict[str, Any] = {
    "pred": np.bool_,
    "b8": np.uint8, "b16": np.uint16, "b32": np.uint32, "b64": np.uint64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "s8": np.int8, "s16": np.int16, "s32": np.int32, "s64": np.int64,
    "f32": np.float32, "f64": np.float64, "tf32": np.uint32,
}  # fmt: skip

BITS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class PtxError(RuntimeError):
    """PTX that cannot be executed here, or that does what it must not."""


@dataclass(frozen=True)
class Instruction:
    """``@!%p1 add.ftz.f32 %f1, %f2, %f3;`` in its parts."""

    line: int
    text: str
    guard: str  # the predicate register, "" where the instruction always runs
    negated: bool
    opcode: str  # add
    modifiers: tuple[str, ...]  # ftz
    types: tuple[str, ...]  # f32
    operands: tuple[str, ...]

    def has(self, modifier: str) -> bool:
        return modifier in self.modifiers


@dataclass(frozen=True)
class Variable:
    """What has an address: of a parameter, or of shared, local, global or constant memory."""

    space: str
    align: int
    size: int  # bytes; 0 for shared memory whose size the launch gives
    initial: bytes = b""


@dataclass
class Kernel:
    name: str
    parameters: dict[str, Variable] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    registers: dict[str, Any] = field(default_factory=dict)  # name -> dtype of its bits
    labels: dict[str, int] = field(default_factory=dict)  # name -> index of an instruction
    instructions: list[Instruction] = field(default_factory=list)


_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*(?:\((.*?)\))?([^{;]*)\{", re.DOTALL)
_VARIABLE = re.compile(
    r"^(?:\.(?:visible|extern|weak)\s+)*\.(param|shared|local|global|const)\s+(?:\.align\s+(\d+)\s+)?"
    r"\.(\w+)\s+(?:\.ptr\s+(?:\.\w+\s+)*?(?:\.align\s+\d+\s+)?)?([%\w$]+)\s*(?:\[(\d*)\])?"
    r"\s*(?:=\s*(.*))?$",
    re.DOTALL,
)
_LABEL = re.compile(r"^([$\w%]+)\s*:(?!:)\s*")
_GUARD = re.compile(r"^@(!?)(%?[\w$]+)\s+")
_MODULE_SPACE = re.compile(r"(\.(visible|extern|weak)\s+)*\.(shared|global|const)\s")
_BRACE = re.compile(r"[{}]")
_NO_STATEMENT = re.compile(r"^\s*\.(loc|file)\b")


def parse(text: str) -> dict[str, Kernel]:
    """The kernels of a PTX text by name; raises PtxError for what it does not understand."""
    text = _without_comments(text)
    kernels: dict[str, Kernel] = {}
    outside: list[tuple[int, str]] = []  # the text between the kernels
    at = 0
    for match in _ENTRY.finditer(text):
        outside.append((at, text[at : match.start()]))
        end = _closing(text, match.end())
        kernel = kernels[match[1]] = Kernel(match[1])
        for part in (match[2] or "").split(","):
            if part.strip():
                name, variable = _variable(part, _line(text, match.start()))
                kernel.parameters[name] = variable
        _read_body(kernel, text[match.end() : end], _line(text, match.end()))
        at = end + 1
    outside.append((at, text[at:]))
    variables = dict(_module_variables(text, outside))
    for kernel in kernels.values():
        kernel.variables = {**variables, **kernel.variables}
    return kernels


def split(text: str) -> tuple[str, ...]:
    """At the commas that stand in no brackets: ``{%r1, %r2}, [%rd1+4]`` has two parts."""
    parts = re.split(r",\s*(?![^{}\[\]]*[}\]])", text)
    return tuple(part.strip() for part in parts if part.strip())


def register_names(operand: str) -> tuple[str, ...]:
    """``{%f1, %f2}`` or ``%f1``"""
    return split(operand.strip("{} "))


def address(operand: str) -> tuple[str, int]:
    """``[%rd1+16]`` -> ``%rd1``, 16; the base is a register, a variable or ``""``."""
    match = re.fullmatch(
        r"\[\s*([%$A-Za-z_][\w$]*)?\s*(?:\+?\s*(-?(?:0x[0-9a-fA-F]+|\d+)))?\s*\]", operand
    )
    if match is None:
        raise PtxError(f"{operand!r} is no address that is understood here")
    return match[1] or "", int(match[2] or "0", 0)


def number(text: str, dtype: Any) -> Any:
    """An immediate operand as an array of one element; hexadecimal floats are their bits."""
    width = np.dtype(dtype).itemsize
    if re.fullmatch(r"0[fFdD][0-9a-fA-F]+", text):
        bits, own = int(text[2:], 16), 4 if text[1] in "fF" else 8
        value = np.array([bits], BITS[own])
        if own != width:
            raise PtxError(f"{text} has not the width of its instruction's type")
        return value.view(dtype)
    if not re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", text):
        raise PtxError(f"{text} is not known here")
    value_of = int(text.rstrip("U"), 0)
    if np.dtype(dtype) == np.bool_:
        return np.array([value_of != 0])
    return np.array([value_of & ((1 << 8 * width) - 1)], BITS[width]).view(dtype)


def _without_comments(text: str) -> str:
    """With blanks in their place, and in that of directives for debuggers, so that lines stay."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    return "\n".join("" if _NO_STATEMENT.match(line) else line for line in text.split("\n"))


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _closing(text: str, at: int) -> int:
    """Where the brace closes that was opened before ``at``."""
    depth = 1
    for match in _BRACE.finditer(text, at):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise PtxError(f"line {_line(text, at)}: a brace is not closed")


def _module_variables(
    text: str, outside: list[tuple[int, str]]
) -> Iterator[tuple[str, Variable]]:  # fmt: skip
    for at, part in outside:
        for statement in part.partition(".section")[0].split(";"):
            found = _MODULE_SPACE.search(statement)
            if found:
                yield _variable(statement[found.start() :], _line(text, at + found.start()))
            at += len(statement) + 1


def _variable(text: str, line: int) -> tuple[str, Variable]:
    match = _VARIABLE.match(text.strip())
    if match is None or match[3] not in TYPES:
        raise PtxError(f"line {line}: {' '.join(text.split())!r} is no variable understood here")
    space, align, kind, name, count, initial = match.groups()
    dtype = np.dtype(TYPES[kind])
    size = dtype.itemsize * (1 if count is None else int(count or 0))
    values = b""
    if initial is not None:
        numbers = [number(part, dtype) for part in split(initial.strip("{} \n"))]
        values = b"".join(each.tobytes() for each in numbers)
    return name, Variable(space, int(align or dtype.itemsize), size, values.ljust(size, b"\0"))


def _read_body(kernel: Kernel, body: str, line: int) -> None:
    """Statements end with a semicolon; labels and the braces of a scope stand before them."""
    for piece in re.split(r"(;)", body):
        statement, skipped = _leading(kernel, piece)
        start = line + piece[:skipped].count("\n")
        line += piece.count("\n")
        if statement and statement != ";":
            _read_statement(kernel, " ".join(statement.split()), start)


def _leading(kernel: Kernel, piece: str) -> tuple[str, int]:
    """The statement in ``piece`` without labels and braces, and how many characters these take."""
    at = 0
    while True:
        rest = piece[at:]
        blank = len(rest) - len(rest.lstrip(" \t\r\n"))
        at, rest = at + blank, rest[blank:]
        if rest[:1] in ("{", "}"):
            at += 1
        elif match := _LABEL.match(rest):
            kernel.labels[match[1]] = len(kernel.instructions)
            at += match.end()
        else:
            return rest.strip(), at


def _read_statement(kernel: Kernel, text: str, line: int) -> None:
    if text.startswith(".reg"):
        _read_registers(kernel, text, line)
    elif re.match(r"\.(shared|local|global|const)\b", text):
        name, variable = _variable(text, line)
        kernel.variables[name] = variable
    elif not text.startswith("."):  # .pragma and the like say nothing of the results
        kernel.instructions.append(_instruction(text, line))


def _read_registers(kernel: Kernel, text: str, line: int) -> None:
    _, kind, names = text.split(maxsplit=2)
    if kind[1:] not in TYPES:
        raise PtxError(f"line {line}: registers of type {kind} are not supported")
    dtype = np.dtype(TYPES[kind[1:]])
    bits = dtype if dtype == np.bool_ else np.dtype(BITS[dtype.itemsize])
    for name in split(names):
        numbered = re.fullmatch(r"(%?[\w$]+)<(\d+)>", name)
        each = [f"{numbered[1]}{i}" for i in range(int(numbered[2]))] if numbered else [name]
        for register in each:
            if kernel.registers.setdefault(register, bits) != bits:
                raise PtxError(f"line {line}: {register} is declared with two widths")


def _instruction(text: str, line: int) -> Instruction:
    guard = _GUARD.match(text)
    rest = text[guard.end() :] if guard else text
    name, _, operands = rest.partition(" ")
    opcode, *parts = name.split(".")
    return Instruction(
        line=line, text=text, guard=guard[2] if guard else "", negated=bool(guard and guard[1]),
        opcode=opcode, modifiers=tuple(part for part in parts if part not in TYPES),
        types=tuple(part for part in parts if part in TYPES), operands=split(operands),
    )  # fmt: skip
