"""One optimiser update in float64, with how far float32 may be off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def updated(op: str, given: dict[str, Any], eps: float) -> dict[str, tuple[Array, Array]]:
    """name -> (expected, tolerance) of w and the moments.

    w is rounded once, or for adamw three times (the decay's factor, its product, the step). Step
    and moments are a dozen products and sums of magnitudes that ``size`` and ``way`` keep: each of
    these is rounded, by eps / 2 of at most that magnitude.
    """
    w, g = (given[name].astype(np.float64) for name in ("w", "grad"))
    rate, decay, mu, beta1, beta2, small, correction1, correction2 = given["hyper"]
    lam = np.where(np.arange(w.size) < given["n_decayed"], decay, 0.0)
    if op != "adamw":
        g = g + lam * w
    size = np.abs(given["grad"]) + lam * np.abs(w)
    new: dict[str, tuple[Array, Array]] = {}
    if op in ("adam", "adamw"):
        m = beta1 * given["m"].astype(np.float64) + (1 - beta1) * g
        v = beta2 * given["v"].astype(np.float64) + (1 - beta2) * g * g
        m_size = beta1 * np.abs(given["m"]) + (1 - beta1) * size
        v_size = beta2 * np.abs(given["v"]) + (1 - beta2) * size * size
        new |= {"m": (m, 12 * eps * m_size), "v": (v, 12 * eps * v_size)}
        root = np.sqrt(v / correction2) + small
        step = rate * m / correction1 / root
        way = rate * m_size / correction1 / root * (v_size / v)
        if op == "adamw":
            step = step + rate * lam * w
            way = way + rate * lam * np.abs(w)
    elif op == "sgd":
        step, way = rate * g, rate * size
    else:
        v = mu * given["v"].astype(np.float64) + g
        v_size = mu * np.abs(given["v"]) + size
        new["v"] = v, 12 * eps * v_size
        step, way = rate * v, rate * v_size
        if op == "nesterov":
            step, way = rate * (g + mu * v), rate * (size + mu * v_size)
    roundings = 3 if op == "adamw" else 1
    new["w"] = w - step, roundings * eps * (np.abs(w) + way) + 24 * eps * way
    return new
