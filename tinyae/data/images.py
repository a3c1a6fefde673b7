"""A folder of pictures as one uint8 array."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage.files import FileError
from ..storage.untrusted import errors_of, expect_memory
from .formats import Part, Parts
from .reading import Progress

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
)

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")

_ORIENTATION = 0x0112  # of EXIF: 1 is upright

Bad = dict[Path, Exception]  # what cannot be read, and why

log = logging.getLogger(__name__)

_GREY = frozenset(("1", "L", "LA", "La"))
_COLOUR = frozenset(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"))


def read_image_parts(
    folder: Path,
    size: tuple[int, int] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Parts:
    """``read_images`` of a folder, or of its sub-folders as training and test part, if it holds
    just these: train (or training) and test (or testing, val, valid, validation).

    Where there are both test and val, val is not read, and that is logged. train alone is a
    training part without a test part.
    """
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    inside = {path.name.lower(): path for path in visible if path.is_dir()}
    train = [inside[name] for name in _TRAIN if name in inside]
    tests = [inside[name] for name in _TEST if name in inside]
    loose = any(path.suffix.lower() in SUFFIXES for path in visible if path.is_file())
    if len(train) != 1 or len(inside) > 1 + len(tests) or loose:
        return read_images(folder, size, skip_bad, progress), None
    if not tests:
        return read_images(train[0], size, skip_bad, progress), None
    for other in tests[1:]:
        log.warning("%s is not read: the test part is %s", other, tests[0])
    parts = [read_images(part, size, skip_bad, progress) for part in (train[0], tests[0])]
    if parts[0].samples.ndim != parts[1].samples.ndim:  # one is grey, the other in colour
        grey = min((0, 1), key=lambda i: parts[i].samples.ndim)
        coloured = np.repeat(parts[grey].samples[..., None], 3, axis=-1)
        parts[grey] = Part(coloured, parts[grey].labels)
    return parts[0], parts[1]


def read_images(
    folder: Path,
    size: tuple[int, int] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Part:
    """All pictures of a folder, sorted by name: samples uint8 (n, height, width) if all are
    grey, else (n, height, width, 3). If they lie in sub-folders, those are the labels (words).

    ``size`` = (width, height) resizes every picture, whatever its proportions; without it all
    must be of one size. Pictures are turned as their EXIF data say. Transparency is dropped, of
    several frames the first is read; hidden files and files with other endings (see SUFFIXES)
    are passed over. ``skip_bad`` leaves out files that cannot be read, and logs them and their
    number. ``progress`` is called with (pictures read, all).
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
    bad: Bad | None = {} if skip_bad else None
    mode, (width, height) = _common(paths, size, bad)
    shape = (len(paths), height, width) + ((3,) if mode == "RGB" else ())
    expect_memory(folder, math.prod(shape))
    samples, read = np.empty(shape, np.uint8), list[int]()
    for i, image in _opened(paths, True, bad):
        # straight from a transparent palette to RGB, Pillow warns
        by_palette = image.mode == "P" and "transparency" in image.info
        pixels = (image.convert("RGBA") if by_palette else image).convert(mode)
        if size is not None:
            pixels = pixels.resize(size, Image.Resampling.LANCZOS)
        # a PNG may name its turn after its pixels, unknown to _common
        _expect_size(pixels.size, (width, height), paths[i], paths[0])
        samples[len(read)] = np.asarray(pixels)
        read.append(i)
        if progress is not None:
            progress(i + 1, len(paths))
    if not read:
        raise ValueError(f"{folder}: none of {len(paths)} pictures can be read")
    if bad:
        log.warning("%s: %d of %d pictures are left out:", folder, len(bad), len(paths))
        for error in bad.values():
            log.warning("%s", error)
    return Part(samples[: len(read)], None if labels is None else labels[read])


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


def _common(
    paths: list[Path], size: tuple[int, int] | None, bad: Bad | None
) -> tuple[str, tuple[int, int]]:
    """The mode (L, or RGB if any is in colour) and size of all, mostly from the headers."""
    mode = "L"
    expected: tuple[int, int] | None = None
    first = None
    for i, image in _opened(paths, False, bad):
        if mode == "L" and not _is_grey(image):
            mode = "RGB"
        expected = expected or image.size
        first = first or paths[i]
        if size is None:
            _expect_size(image.size, expected, paths[i], first)
    return mode, size or expected or (1, 1)


def _expect_size(size: tuple[int, int], expected: tuple[int, int], path: Path, first: Path) -> None:
    if size != expected:
        raise ValueError(
            f"pictures must be of one size: {first} is {_times(expected)}, {path} is "
            f"{_times(size)}. Resize all of them with --size WIDTHxHEIGHT "
            "(in Python: size=(width, height))"
        )


def _opened(paths: list[Path], decode: bool, bad: Bad | None) -> Iterator[tuple[int, Image.Image]]:
    """(i, picture i, upright) of each that can be read, with its header or its pixels.

    The errors of the others go into ``bad``, which passes them over; None raises them.
    """
    for i, path in enumerate(paths):
        if bad and path in bad:
            continue
        try:
            if not path.is_file():  # opening a pipe would wait for ever
                raise FileError(f"{path}: cannot be read as a picture: it is no file")
            image = _upright(path, decode)
        except (ValueError, OSError) as error:
            if bad is None:
                remedy = "--skip-bad (in Python: skip_bad=True) leaves such pictures out"
                raise FileError(f"{str(error).rstrip('.')}. {remedy}") from error
            bad[path] = error
            continue
        with image:
            yield i, image


def _upright(path: Path, decode: bool) -> Image.Image:
    from PIL import Image, ImageOps

    if not logging.getLogger("PIL").hasHandlers():  # its messages would come beside the error
        logging.getLogger("PIL").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        # damaged notes beside the pixels do no harm; more pixels than Pillow trusts may
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _open(path, decode)
        if _is_turned(image):
            if not decode:  # the header has the size before the turn
                image.close()
                image = _open(path, decode=True)
            if image.format != "TIFF":  # which Pillow turns as it decodes
                with suppress(Exception):  # broken EXIF data, of a picture that may be whole
                    ImageOps.exif_transpose(image, in_place=True)
    return image


def _is_turned(image: Image.Image) -> bool:
    if image.format != "PNG" or "exif" in image.info:  # else Pillow would decode it
        with suppress(Exception):
            return bool(image.getexif().get(_ORIENTATION, 1) != 1)
    return False


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _open(path: Path, decode: bool) -> Image.Image:
    """The picture, to be closed: its header, or (decode) its pixels too."""
    from PIL import Image

    with errors_of(path, "cannot be read as a picture"):
        image = Image.open(path)
        image.filename = ""  # else Pillow >= 11 maps a TIFF that is turned as if it were upright
        try:
            if image.mode not in _GREY | _COLOUR:
                raise ValueError(
                    f"expected 8 bits per channel, got Pillow's mode {image.mode}: convert the "
                    "picture first"
                )
            if decode or image.mode == "P":  # a palette is only complete after decoding
                image.load()
        except BaseException:
            image.close()
            raise
    return image
