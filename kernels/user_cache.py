"""Where on this machine the kernels keep what was made once: compiled files, measured plans."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """$TINYAE_CACHE, or tinyae in the user's cache folder; it need not exist.

    Raises FileNotFoundError where the user has no home.
    """
    if given := os.environ.get("TINYAE_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyae"
    except RuntimeError as error:
        raise FileNotFoundError("the user has no home folder: set TINYAE_CACHE") from error
