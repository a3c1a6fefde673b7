"""Judges what was written, and names the mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gradient_check import stencil
from .station import Station

# Of the largest number of an output. Finite differences of these losses are right to 1e-9, and
# sums in another order to 1e-14.
TOLERANCE = 1e-6
# What NumPy says of a number that is none -> the word for the mistake, and where it comes from
NOT_FINITE = {
    "overflow": ("overflow", "exp of a large number overflows, and log(0) is -infinity"),
    "divide by zero": ("division by 0", "something is divided by 0, or log(0) was taken"),
    "invalid value": ("no number", "a root or log of a negative number is none, nor are 0 / 0 and "
                      "infinity - infinity"),
}  # fmt: skip


class Mistake(Exception):
    """What is wrong: ``word`` names it, the text explains it."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word}: {text}")
        self.word = word


class _Output(NamedTuple):
    name: str
    value: NDArray[Any]
    expected: NDArray[np.float64]
    by: str  # what the expected numbers come from
    n: int  # samples
    met: Mapping[str, int]  # of ``NOT_FINITE``, in the order in which it came about


def judge(station: Station, function: Callable[..., Any]) -> None:
    """Raises Mistake unless ``function`` is right in all cases of the station."""
    for args in station.cases():
        given, met = _copied(args), dict[str, int]()
        with np.errstate(all="call", under="ignore", call=met.setdefault):  # (what, its bits)
            result = function(*given)
        values = _named(station, result)
        expected = _expected(station, args)
        for name in station.outputs:
            out = _Output(name, _array(name, values[name]), *expected[name], _samples(args), met)
            if not _same(out.value, out.expected):
                _explain(station, args, out, expected)
        for before, after in zip(args, given, strict=True):
            if not np.array_equal(before, after):
                raise Mistake(
                    "in place", "an array that was given to the function has been changed: make a "
                    "new one (a = a * b, not a *= b)",
                )  # fmt: skip


def _copied(args: tuple[Any, ...]) -> list[Any]:
    return [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]


def _samples(args: tuple[Any, ...]) -> int:
    return len(next(arg for arg in args if isinstance(arg, np.ndarray)))


def _named(station: Station, result: Any) -> dict[str, Any]:
    names = station.outputs
    if result is None:
        raise Mistake("return", f"nothing was returned, expected {', '.join(names)}")
    if len(names) == 1:
        return {names[0]: result}
    if not isinstance(result, (tuple, list)) or len(result) != len(names):
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else "one value"
        raise Mistake("return", f"expected {len(names)} values, {', '.join(names)}, got {what}")
    return dict(zip(names, result, strict=True))


def _array(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise Mistake("type", f"{name} must be an array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise Mistake("type", f"{name} must be made of numbers, got {type(value).__name__}")
    return array


def _expected(
    station: Station, args: tuple[Any, ...]
) -> dict[str, tuple[NDArray[np.float64], str]]:
    gradients, loss = station.gradients or {}, station.loss
    found = {
        name: (np.asarray(value, np.float64), "the reference")
        for name, value in station.reference(*_copied(args)).items()
    }
    if loss is not None:
        for name, place in gradients.items():
            found[name] = _differences(loss, args, place), "the finite difference"
    return found


def _differences(
    loss: Callable[..., float], args: tuple[Any, ...], place: int
) -> NDArray[np.float64]:
    """d loss / d args[place], element by element."""
    moved = _copied(args)
    result = np.empty(args[place].shape)
    for i in range(result.size):

        def at(step: float, i: int = i) -> tuple[float, bytes]:
            moved[place] = args[place].copy()
            moved[place].flat[i] += step
            return loss(*moved), b""

        result.flat[i] = stencil(at)
    return result


def _same(value: NDArray[Any], expected: NDArray[np.float64]) -> bool:
    if value.shape != expected.shape:
        return False
    size = float(np.abs(expected).max(initial=0)) or 1.0
    return bool((np.abs(value - expected) <= TOLERANCE * size).all())  # False for NaN


def _alike(value: NDArray[Any], made: NDArray[np.float64]) -> bool:
    """``_same``, where a mistake may lead to NaN in places."""
    nan = np.isnan(made)
    if value.shape != made.shape or nan.all() or not np.array_equal(np.isnan(value), nan):
        return False
    return _same(np.where(nan, 0, value), np.where(nan, 0, made))


def _explain(
    station: Station, args: tuple[Any, ...], out: _Output,
    expected: Mapping[str, tuple[NDArray[np.float64], str]],
) -> None:  # fmt: skip
    """Raises the Mistake that makes this number of what should be the other."""
    for suspect in station.suspects:
        with np.errstate(all="ignore"):
            try:
                made = suspect.made(*_copied(args)).get(out.name)
            except ValueError:  # shapes that the mistake needs
                continue
        if made is not None and _alike(out.value, np.asarray(made, np.float64)):
            raise Mistake(suspect.word, f"{suspect.text} ({_where(out)})")
    _explain_shape(out, expected)
    value, right = out.value, out.expected
    if not np.isfinite(value).all():
        word, why = NOT_FINITE[next(iter(out.met), "overflow")]
        raise Mistake(word, f"{out.name} has NaN or infinity in it: {why} ({_where(out)})")
    if _same(value, -right):
        raise Mistake("sign", f"{out.name} has the wrong sign ({_where(out)})")
    if right.ndim == 2 and right.shape[0] == right.shape[1] and _same(value, right.T):
        raise Mistake("transposition", f"{out.name} is transposed ({_where(out)})")
    large = np.abs(right) > 0.01 * np.abs(right).max(initial=0)
    ratios = value[large] / right[large]
    if ratios.size and _same(value, right * ratios[0]) and ratios[0] != 0:
        ratio, n = float(ratios[0]), out.n
        if abs(ratio / n - 1) < TOLERANCE:
            raise Mistake("factor 1/n", f"{out.name} is {n} times too large, and {n} samples were "
                          f"given: their mean divides by n ({_where(out)})")  # fmt: skip
        if abs(ratio * n - 1) < TOLERANCE:
            raise Mistake("factor 1/n", f"{out.name} is {n} times too small, and {n} samples were "
                          "given: it is divided by n once too often, where the samples are to be "
                          f"summed ({_where(out)})")  # fmt: skip
        raise Mistake("factor", f"{out.name} is {ratio:.4g} times what it should be everywhere "
                      f"({_where(out)})")  # fmt: skip
    raise Mistake("value", _where(out))


def _explain_shape(
    out: _Output, expected: Mapping[str, tuple[NDArray[np.float64], str]]
) -> None:  # fmt: skip
    value = out.value
    for name, (right, _) in expected.items():
        if name != out.name and value.ndim and _same(value, right):
            raise Mistake("order", f"{name} stands where {out.name} belongs: the order is "
                          f"{', '.join(expected)}")  # fmt: skip
    if value.shape == out.expected.shape:
        return
    if value.ndim == 2 and value.T.shape == out.expected.shape:
        raise Mistake("transposition", f"{out.name} has shape {value.shape}, expected "
                      f"{out.expected.shape}: it, or a part of it, is transposed")  # fmt: skip
    raise Mistake("shape", f"{out.name} has shape {value.shape}, expected {out.expected.shape}")


def _where(out: _Output) -> str:
    """The element that is off most, with both numbers."""
    if out.value.shape != out.expected.shape:
        return f"{out.name} has shape {out.value.shape}, expected {out.expected.shape}"
    gap = np.abs(out.value - out.expected)
    at = np.unravel_index(np.argmax(np.where(np.isnan(gap), np.inf, gap)), gap.shape)
    index = f"[{','.join(str(int(k)) for k in at)}]" if at else ""
    return (f"{out.name}{index} is {float(out.value[at]):.6g}, and {out.by} "
            f"{float(out.expected[at]):.6g}")  # fmt: skip
