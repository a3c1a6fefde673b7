"""Where on this machine the kernels keep what was made once: compiled files, measured plans."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """$TINYAE_CACHE, or tinyae in the user's cache folder; it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TINYAE_CACHE") or Path(home) / "tinyae")
