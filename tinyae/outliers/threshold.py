"""From which score on a row is an outlier, and how rare a score is among normal rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .nets import Floats

FENCE = 1.5  # interquartile ranges (Tukey, "Exploratory Data Analysis", 1977)


def threshold(logs: Floats, held_out: Floats, contamination: Any) -> float:
    """The logarithmic score above which a row is an outlier.

    ``logs``: those of the training rows as they will be scored; a share ``contamination`` of them
    is above. ``held_out``: each by members that do not know the row; "auto" is Tukey's upper fence
    of these, beyond which lie 0.2 to 2 % of normally distributed rows, of others more.
    """
    if contamination == "auto":
        low, high = np.quantile(held_out, (0.25, 0.75))
        return float(high + FENCE * (high - low))
    return float(np.quantile(logs, 1 - contamination))


def p_values(held_out: Floats, logs: Floats) -> Floats:
    """The share of normal rows that are at least as unlike the others, (n,), in (0, 1].

    ``held_out``, sorted, are scores of training rows by members that do not know them. A new
    normal row is as likely to have any place among these, so its p-value is at most alpha with
    probability alpha (conformal; Vovk, Gammerman and Shafer 2005, with the members that leave a
    row out, as in Kim, Xu and Barber 2020).
    """
    above = held_out.size - np.searchsorted(held_out, logs, side="left")
    return np.asarray((1 + above) / (1 + held_out.size))
