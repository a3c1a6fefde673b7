"""A folder of pictures as one uint8 array."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reading import expect_memory, reading
from .formats import Part

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
)

_GREY = frozenset(("1", "L", "LA", "La"))
_COLOUR = frozenset(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"))


def read_images(folder: Path, size: tuple[int, int] | None = None) -> Part:
    """All pictures of a folder, sorted by name: samples uint8 (n, height, width) if all are
    grey, else (n, height, width, 3). If they lie in sub-folders, those are the labels (words).

    ``size`` = (width, height) resizes every picture, whatever its proportions; without it all
    must be of one size. Transparency is dropped, of several frames the first is read; hidden
    files and files with other endings (see SUFFIXES) are passed over.
    Raises ImportError without Pillow; ValueError for no pictures, pictures both in the folder
    and in sub-folders or deeper, different sizes, unreadable files, more than 8 bits a channel.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('reading images needs Pillow: pip install "tinyae[images]"') from None

    if size is not None and not (len(size) == 2 and min(size) >= 1):
        raise ValueError(f"size must be (width, height), both at least 1, got {size}")
    paths = list(_pictures(folder))
    labels = _labels(folder, paths)
    mode, (width, height) = _common(paths, size)
    shape = (len(paths), height, width) + ((3,) if mode == "RGB" else ())
    expect_memory(folder, math.prod(shape))
    samples = np.empty(shape, np.uint8)
    for i, path in enumerate(paths):
        with _open(path, decode=True) as image:
            # straight from a transparent palette to RGB, Pillow warns
            by_palette = image.mode == "P" and "transparency" in image.info
            pixels = (image.convert("RGBA") if by_palette else image).convert(mode)
        if size is not None:
            pixels = pixels.resize(size, Image.Resampling.LANCZOS)
        samples[i] = np.asarray(pixels)
    return Part(samples, labels)


def _pictures(folder: Path, depth: int = 0) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if depth < 2:  # one deeper than is allowed, to tell that they are there
                yield from _pictures(path, depth + 1)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _labels(folder: Path, paths: list[Path]) -> Any:
    """The name of each picture's sub-folder; None if they lie in the folder itself."""
    if not paths:
        endings = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{folder}: no pictures ({endings}) in the folder or its sub-folders")
    depths: dict[int, Path] = {}
    for path in paths:
        depths.setdefault(len(path.relative_to(folder).parts), path)
    if max(depths) > 2:
        raise ValueError(
            f"{depths[max(depths)]} lies too deep: pictures are read from {folder} or, sorted by "
            "class, from its sub-folders"
        )
    if len(depths) > 1:
        raise ValueError(
            f"{folder}: pictures must lie either in the folder ({depths[1].name}) or in "
            f"sub-folders, one for each class ({depths[2].relative_to(folder)}), got both"
        )
    return np.array([path.parent.name for path in paths]) if 2 in depths else None


def _common(paths: list[Path], size: tuple[int, int] | None) -> tuple[str, tuple[int, int]]:
    """The mode (L, or RGB if any is in colour) and size of all, mostly from the headers."""
    mode = "L"
    expected: tuple[int, int] | None = None
    for path in paths:
        with _open(path, decode=False) as image:
            if image.mode not in _GREY | _COLOUR:
                raise ValueError(
                    f"{path}: expected 8 bits per channel, got Pillow's mode {image.mode}: "
                    "convert the picture first"
                )
            if mode == "L" and not _is_grey(image):
                mode = "RGB"
            expected = expected or image.size
            if size is None and image.size != expected:
                raise ValueError(
                    f"pictures must be of one size: {paths[0]} is {_times(expected)}, {path} is "
                    f"{_times(image.size)}. Resize all of them with --size WIDTHxHEIGHT "
                    "(in Python: size=(width, height))"
                )
    assert expected is not None
    return mode, size or expected


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _open(path: Path, decode: bool) -> Image.Image:
    """The picture, to be closed: its header, or (decode) its pixels too."""
    import logging

    from PIL import Image

    if not logging.getLogger("PIL").hasHandlers():  # its messages would come beside the error
        logging.getLogger("PIL").addHandler(logging.NullHandler())
    with reading(path, "cannot be read as a picture"), warnings.catch_warnings():
        # damaged notes beside the pixels do no harm; more pixels than Pillow trusts may
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(path)
        try:
            if decode or image.mode == "P":  # a palette is only complete after decoding
                image.load()
        except BaseException:
            image.close()
            raise
    return image
