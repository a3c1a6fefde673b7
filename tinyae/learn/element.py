"""One gradient with its numbers put in, and the chain rule that leads to it from the loss."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .formulas import ACTIVATIONS, LOSSES, compute, short, update_formulas, with_numbers
from .record import TOLERANCE, Floats, StepRecord

TERMS = 6  # of a sum that are shown, the largest


def explain(trace: StepRecord, name: str) -> str:
    """The gradient of ``name``, such as "w2[1,0]" or "b2[0]", as a sum, the path from the loss down
    to it along the largest terms, and its update.

    Raises ValueError for what is no element of a weight or bias of this net.
    """
    found = re.fullmatch(r"([wb])(\d+)\[(\d+)(?:, *(\d+))?\]", name.strip())
    layers = len(trace.activations)
    if found is None or not 1 <= int(found[2]) <= layers:
        raise ValueError(
            f"element must be like w2[1,0] or b2[0], of w1 ... w{layers} and b1 ... b{layers}, "
            f"got {name!r}"
        )
    array, i = f"{found[1]}{found[2]}", int(found[2])
    place = tuple(int(part) for part in found.groups()[2:] if part is not None)
    shape = trace[array].shape
    if len(place) != len(shape) or any(p >= n for p, n in zip(place, shape, strict=True)):
        raise ValueError(f"element {name!r} is not there: {array} has shape {shape}")
    unit = place[-1]
    dz = trace[f"dz{i}"][:, unit]
    samples = range(len(dz))
    factors, texts = [dz], [[f"dz{i}[{n},{unit}]" for n in samples]]
    if array[0] == "w":
        factors.insert(0, trace[f"x{i}"][:, place[0]])
        texts.insert(0, [f"x{i}[{n},{place[0]}]" for n in samples])
    lines = _sum(f"dL/d{array}[{','.join(map(str, place))}]", "samples n", texts, factors)
    lines += _compared(trace, array, place)
    n = int(np.abs(np.prod(factors, axis=0)).argmax())
    lines += ["", f"dz{i}[{n},{unit}], of sample {n}, by the chain rule along the largest terms:"]
    lines += ["  " + line for line in _path(trace, i, n, unit)]
    return "\n".join([*lines, "", *_update(trace, array, place)])


def _path(trace: StepRecord, i: int, n: int, unit: int) -> list[str]:
    """From dz of layer i, sample n, up to the loss."""
    lines: list[str] = []
    for k in range(i, len(trace.activations) + 1):
        dz, dy, slope = (float(trace[f"{what}{k}"][n, unit]) for what in ("dz", "dy", "slope"))
        at, act = f"{k}[{n},{unit}]", trace.activations[k - 1]
        formula, with_them = "dy/dz", f"{short(slope)}"
        if act in ACTIVATIONS:
            formula = ACTIVATIONS[act].slope
            numbers = {v: float(trace[f"{v}{k}"][n, unit]) for v in "yz"}
            with_them = f"({with_numbers(formula, numbers)})"
        lines.append(f"dz{at} = dy{at} * ({formula}) = {short(dy)} * {with_them} = {short(dz)}")
        if k == len(trace.activations):
            lines += _of_the_loss(trace, at, n, unit)
            break
        above, w = trace[f"dz{k + 1}"][n], trace[f"w{k + 1}"][unit]
        units = range(len(w))
        texts = [[f"dz{k + 1}[{n},{j}]" for j in units], [f"w{k + 1}[{unit},{j}]" for j in units]]
        lines += _sum(f"dy{at}", f"units j of layer {k + 1}", texts, [above, w])
        unit = int(np.abs(above * w).argmax())
    return lines


def _of_the_loss(trace: StepRecord, at: str, n: int, unit: int) -> list[str]:
    last, name = len(trace.activations), trace.loss_name
    dy, t = float(trace[f"dy{last}"][n, unit]), float(trace["t"][n, unit])
    if name not in LOSSES or np.isnan(t):  # a missing value, or a level of a category
        return [f"dy{at} = {short(dy)}, of the loss"]
    formula = LOSSES[name].slope
    numbers = {"y": float(trace[f"y{last}"][n, unit]), "t": t, "n": len(trace["t"])}
    value = float(compute(formula, numbers))
    differs = "" if np.isclose(value, dy, rtol=TOLERANCE) else f"; the step has {short(dy)}, wrong"
    return [f"dy{at} = {formula} = {with_numbers(formula, numbers)} = {short(value)}, of the loss "
            f"{name}{differs}"]  # fmt: skip


def _sum(
    name: str, over: str, texts: Sequence[Sequence[str]], factors: Sequence[Floats]
) -> list[str]:
    """name = sum over ... of products = the largest terms by name = in numbers = the sum."""
    products = np.prod(factors, axis=0)
    largest = sorted(np.argsort(-np.abs(products), kind="stable")[:TERMS].tolist())
    left = len(products) - len(largest)
    rest = float(products.sum() - products[largest].sum())
    more = f" + {left} smaller terms" if left else ""
    named = " + ".join(" * ".join(text[k] for text in texts) for k in largest)
    numbers = " + ".join(" * ".join(short(float(f[k])) for f in factors) for k in largest)
    indent = " " * len(name)
    return [
        f"{name} = sum over {over}",
        f"{indent} = {named}{more}",
        f"{indent} = {numbers}" + (f" + {short(rest)}" if left else ""),
        f"{indent} = {float(products.sum()):.6g}",
    ]


def _compared(trace: StepRecord, array: str, place: tuple[int, ...]) -> list[str]:
    gradient = next(q for q in trace.quantities if q.name == f"d{array}")
    lines = [f"the step has {gradient.array[place]:.6g}"]
    if gradient.expected is not None and not np.isnan(gradient.expected[place]):
        wrong = "" if gradient.errors[place] <= TOLERANCE else ", wrong"
        lines[0] += (f", finite differences {gradient.expected[place]:.6g}: relative error "
                     f"{gradient.errors[place]:.1e}{wrong}")  # fmt: skip
    return lines


def _update(trace: StepRecord, array: str, place: tuple[int, ...]) -> list[str]:
    decayed = array[0] == "w" and trace.hyper["weight_decay"] != 0
    formulas = update_formulas(trace.optimizer, decayed)
    if not formulas:
        return [f"update of {array} by {trace.optimizer}, whose formula is not in the table: new "
                f"value {trace[f'{array}.new'][place]:.6g}"]  # fmt: skip
    known = {
        **trace.hyper, "dw": float(trace[f"d{array}"][place]), "w": float(trace[array][place])
    }  # fmt: skip
    for what in ("m", "v"):
        if f"{array}.{what}_before" in trace.arrays:
            known[what] = float(trace[f"{array}.{what}_before"][place])
    lines = [f"update {trace.hyper['t']:g} by {trace.optimizer}"]
    width = max(map(len, formulas))
    for what, text in formulas.items():
        value = float(trace[f"{array}.{what}"][place])
        shown = text.replace("dw", f"d{array}") if what == "g" else text
        lines.append(f"  {what:{width}} = {shown} = {with_numbers(text, known)} = {value:.6g}")
        known[what] = value
    return lines
