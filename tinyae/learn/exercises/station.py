"""What a station is, and the file that it begins with."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent
Values = Mapping[str, Any]  # of a station's outputs by name


class Suspect(NamedTuple):
    """A usual mistake: what it is called, what to say, and what comes out with it."""

    word: str
    text: str
    made: Callable[..., Values]  # (the arguments) -> the outputs that the mistake changes


@dataclass(frozen=True)
class Station:
    """An exercise: a function to be written, and all that judges it.

    Outputs named in ``gradients`` are compared with finite differences of ``loss`` with respect to
    the argument of that place, the others with ``reference``, which takes the same arguments.
    """

    number: int
    title: str
    theory: str
    function: str  # the name of what is to be written
    outputs: tuple[str, ...]
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    reference: Callable[..., Values]
    home: str  # where the real thing is
    suspects: tuple[Suspect, ...] = ()
    gradients: Mapping[str, int] | None = None
    loss: Callable[..., float] | None = None
    source: str = "solutions.py"  # of the package's own solution
    # (path, what the user's file defines) -> a function of the arguments that gives the outputs
    adapt: Callable[[Path, Any], Callable[..., Any]] = lambda path, function: function

    @property
    def file(self) -> str:
        return f"exercise_{self.number:02}{Path(self.source).suffix}"

    @property
    def own_file(self) -> Path:
        return FOLDER / self.source

    def solution(self) -> str:
        """The source of the package's own solution."""
        text = self.own_file.read_text(encoding="utf-8")
        if self.own_file.suffix == ".cu":
            return text
        return "\n".join(text.splitlines()[slice(*_lines(text, self.function))])

    def beginning(self, total: int) -> str:
        """The file to be filled in: the theory, and the function without its body."""
        about = (
            f"Exercise {self.number} of {total}: {self.title}\n\n{self.theory.strip()}\n\n"
            f"Write {self.function}, then: tinyae exercise {self.number} --check\n"
        )  # fmt: skip
        text = self.own_file.read_text(encoding="utf-8")
        if self.own_file.suffix == ".cu":
            head = text[: text.index("{") + 1]
            comment = "".join(f"// {line}".rstrip() + "\n" for line in about.splitlines())
            return f"{comment}\n{head}\n    // write it\n}}\n"
        first, _ = _lines(text, self.function)
        body = next(n for n in ast.parse(text).body if getattr(n, "name", "") == self.function)
        assert isinstance(body, ast.FunctionDef)
        head = "\n".join(text.splitlines()[first : body.body[0].end_lineno])
        imports = next(line for line in text.splitlines() if line.startswith(("import", "from")))
        about = f'r"""{about}"""' if "\\" in about else f'"""{about}"""'
        return f"{about}\n\n{imports}\n\n\n{head}\n    raise NotImplementedError\n"


def _lines(text: str, function: str) -> tuple[int, int]:
    """The lines of a function with its decorators, as a slice."""
    found = next(n for n in ast.parse(text).body if getattr(n, "name", "") == function)
    assert isinstance(found, ast.FunctionDef)
    first = min([found.lineno, *(d.lineno for d in found.decorator_list)])
    return first - 1, found.end_lineno or first


def normals(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    """Arrays of normal numbers, the same ones each time."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]
