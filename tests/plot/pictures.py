"""What the tests of pictures share: random pictures, and reading what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NEEDED = 'drawing needs matplotlib: pip install "tinyae[plot]"'


def read(path: Path) -> np.ndarray:
    """The picture as stored, uint8: (height, width) for grey, (height, width, 3) for colour."""
    from PIL import Image

    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [other.name for other in path.parent.iterdir() if other.name[0] == "."] == []
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 2 else pixels[:, :, :3]


def drawn(folder: Path, plot: Callable[..., None], *arguments: Any, **options: Any) -> np.ndarray:
    """What a function draws from these arguments into a folder, as ``read`` gives it."""
    plot(*arguments, folder / "drawn.png", **options)
    return read(folder / "drawn.png")


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, int(np.prod(shape))))


def shows(pixels: np.ndarray, colour: str) -> int:
    """How many pixels have just this colour."""
    rgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
    return int((pixels == rgb).all(axis=2).sum())
