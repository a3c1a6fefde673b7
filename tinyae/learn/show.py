"""A trace as text for a terminal, and as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import numpy as np

from .element import explain
from .record import TOLERANCE, Floats, Quantity, StepRecord

ROWS, COLUMNS = 6, 5  # of an array that are shown
SHOWN = 8  # names of arrays that are right
RED, BOLD, FAINT, PLAIN = "\033[31m", "\033[1m", "\033[2m", "\033[0m"


def as_text(trace: StepRecord, colour: bool = False) -> str:
    """All parts, gradients beside their finite differences; with ``colour`` wrong rows are red."""
    lines = [trace.title]
    if trace.mistake:
        lines.append(f"with a mistake put in: {trace.mistake}")
    for part in trace.parts:
        lines += ["", _in(BOLD, part.title, colour)]
        for quantity in part.quantities:
            lines.append(_in(RED if quantity.wrong else "", _heading(quantity), colour))
            lines += _rows(quantity, colour)
    return "\n".join([*lines, "", _in(RED if trace.first_wrong else "", verdict(trace), colour)])


def verdict(trace: StepRecord) -> str:
    """What the comparison came to, in a sentence."""
    compared = [q for q in trace.quantities if q.expected is not None]
    wrong, before = trace.first_wrong, ""
    if wrong is None:
        return (
            f"{len(compared)} arrays compared with finite differences and formulas: largest "
            f"relative error {trace.max_error:.1e} (at most {TOLERANCE:g} is right)"
        )
    place = next(p for p in trace.parts if wrong in p.quantities).title
    text = f"the first wrong number is in {wrong.name} ({place})"
    if wrong.expected is not None and np.nanmax(wrong.errors) > TOLERANCE:
        at = np.unravel_index(np.nanargmax(wrong.errors), wrong.array.shape)
        which = ",".join(str(int(k)) for k in at)
        text += (f": {wrong.name}[{which}] is {wrong.array[at]:.6g}, and "
                 f"{wrong.expected[at]:.6g} is right")  # fmt: skip
    rest = compared[: compared.index(wrong)]
    if rest:
        last = f", the last {SHOWN}" if len(rest) > SHOWN else ""
        names = ", ".join(q.name for q in rest[-SHOWN:])
        before = f"; the {len(rest)} arrays before it are right{last}: {names}"
    return text + before


def _heading(q: Quantity) -> str:
    formula = f" = {q.formula}" if q.formula else ""
    about = f"  {q.about}" if q.about else ""
    text = f"  {q.name} {q.array.shape or ''}{about}{formula}".replace(" )", ")")
    if q.array.size > ROWS * COLUMNS:
        text += f"  norm {np.linalg.norm(q.array):.4g}"
    if q.expected is None:
        return text
    of = "the formula" if "." in q.name else "finite differences"
    checked = int((~np.isnan(q.expected)).sum())
    some = "" if checked == q.array.size else f" of {checked} of {q.array.size:,} elements"
    direction = f", along a random direction {q.along:.1e}" if q.along else ""
    return (
        text
        + f"  | {of}{some}, relative error {q.error:.1e}{direction}"
        + ("  WRONG" if q.wrong else "")
    )


def _rows(q: Quantity, colour: bool) -> Iterator[str]:
    """Lines of numbers: those of the array, and to the right of them those expected."""
    array = np.atleast_2d(q.array)
    # an update that is right is not shown twice
    beside = q.wrong or "." not in q.name
    expected = np.atleast_2d(q.expected) if beside and q.expected is not None else None
    errors = np.atleast_2d(q.errors)
    for row in shown(len(array), ROWS):
        if row is None:
            yield "    ..."
            continue
        text = "   " + _numbers(array[row])
        bad = False
        if expected is not None:
            error = float(np.nanmax(errors[row], initial=0))
            bad = not error <= TOLERANCE
            text += "  |" + _numbers(expected[row]) + f"  {error:8.1e}" + (" <" if bad else "")
        yield _in(RED if bad else "", text, colour)


def shown(n: int, most: int) -> list[int | None]:
    """Which of n rows or columns: all, or the first ones, None for those left out, and the last."""
    return list(range(n)) if n <= most else [*range(most - 2), None, n - 1]


def _numbers(row: Floats) -> str:
    return "".join(
        "   ..." if k is None else number(float(row[k])) for k in shown(len(row), COLUMNS)
    )


def number(value: float) -> str:
    """Ten characters; "-" for what was not computed."""
    return f"{'-' if np.isnan(value) else f'{value:.4g}':>11}"


def _in(style: str, text: str, colour: bool) -> str:
    return f"{style}{text}{PLAIN}" if colour and style else text


def as_html(trace: StepRecord) -> str:
    """A table for each part; wrong rows stand on red."""
    parts = [f"<p><b>{html.escape(trace.title)}</b></p>"]
    if trace.mistake:
        parts.append(f"<p>with a mistake put in: {html.escape(trace.mistake)}</p>")
    for part in trace.parts:
        rows = "".join(_html_row(q) for q in part.quantities)
        wrong = any(q.wrong for q in part.quantities)
        parts.append(
            f"<details{' open' if wrong else ''}><summary>{html.escape(part.title)}"
            f"{': wrong' if wrong else ''}</summary><table>"
            "<tr><th>name</th><th>formula</th><th>numbers</th><th>expected</th><th>error</th></tr>"
            f"{rows}</table></details>"
        )
    return "\n".join([*parts, f"<p>{html.escape(verdict(trace))}</p>"])


def _html_row(q: Quantity) -> str:
    style = ' style="background:#fdd;color:#700"' if q.wrong else ""
    cells = [f"{q.name} {q.array.shape or ''}", " = ".join(filter(None, (q.about, q.formula)))]
    numbers = [q.array] if q.expected is None else [q.array, q.expected]
    blocks = [
        "\n".join(
            "..." if row is None else _numbers(a[row]) for row in shown(len(a), ROWS)
        )
        for a in map(np.atleast_2d, numbers)
    ]  # fmt: skip
    pre = [f"<td><pre>{html.escape(text)}</pre></td>" for text in (*blocks, "")[:2]]
    error = "" if q.expected is None else f"{q.error:.1e}"
    text = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr{style}>{text}{''.join(pre)}<td>{error}</td></tr>"


def as_json(trace: StepRecord) -> dict[str, Any]:
    """Everything, as plain lists; null for what is no number."""
    compared = [q for q in trace.quantities if q.expected is not None]
    wrong = trace.first_wrong
    return {
        "title": trace.title, "mistake": trace.mistake or None, "optimizer": trace.hyper,
        "arrays": {name: _plain(array) for name, array in trace.arrays.items()},
        "expected": {q.name: _plain(q.expected) for q in compared if q.expected is not None},
        "relative_errors": {q.name: _plain(np.array(q.error)) for q in compared},
        "max_relative_error": _plain(np.array(trace.max_error)), "tolerance": TOLERANCE,
        "first_wrong": wrong.name if wrong else None,
    }  # fmt: skip


def _plain(array: Floats) -> Any:
    flat = [v if np.isfinite(v) else None for v in array.reshape(-1).tolist()]
    if array.ndim < 2:
        return flat if array.ndim else flat[0]
    width = array.shape[1]
    return [flat[k : k + width] for k in range(0, len(flat), width)]


class Trace(StepRecord):
    """The record of a step, and how it is shown: ``print(trace)``, or by itself in a notebook."""

    def element(self, name: str) -> str:
        """One gradient, such as that of "w2[1,0]", with its numbers put in.

        Raises ValueError for what is no element of a weight or bias of this net.
        """
        return explain(self, name)

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)
