"""Compiling with Numba: cached on disk, announced once, and for this machine's vectors.

Every jitted function of the column goes through ``jit``. Code is compiled at its first call with
new types and kept in the user's cache folder, or in $NUMBA_CACHE_DIR; where that cannot be written
it is compiled anew in each process, and so is what is damaged there.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from llvmlite.binding import get_host_cpu_features
from numba import extending, njit
from numba.core import caching, config, event

from ..user_cache import user_cache

F = TypeVar("F", bound=Callable[..., Any])

# (name, time of change, size) of every file that compiled code may come from
_ROOM = Path(__file__).parent
_SOURCES = tuple(
    (file.name, file.stat().st_mtime_ns, file.stat().st_size)
    for file in (*sorted(_ROOM.rglob("*.py")), _ROOM.parent / "conventions.py")
)


def jit(
    parallel: bool = False, contract: bool = True, reassociate: bool = False,
    from_python: bool = True,
) -> Callable[[F], F]:  # fmt: skip
    """Compiles the decorated function at its first call.

    ``contract`` lets a * b + c become one fused multiply-add, which is rounded once instead of
    twice: not where bits must be equal on all backends. ``reassociate`` lets a sum be taken in
    another order, as vectors need it: for functions that do nothing but sum. Without Python's
    check for zero (``error_model``) a division can be vectorised. What is not called
    ``from_python`` needs no code that takes Python's objects apart.
    """
    flags = {"contract": contract, "reassoc": reassociate}
    fastmath = {flag for flag, wanted in flags.items() if wanted}

    def compile_at_first_call(function: F) -> F:
        compiled: F = njit(
            error_model="numpy", nogil=True, parallel=parallel, fastmath=fastmath,
            no_cfunc_wrapper=True, no_cpython_wrapper=not from_python,
        )(function)  # fmt: skip
        _keep_on_disk(compiled, function)
        return compiled

    return compile_at_first_call


class _Locator(caching.FunctionCache._impl_class._locator_classes[0]):  # type: ignore[misc]
    """The folder of a function's compiled code. Numba's own choice, where no $NUMBA_CACHE_DIR is
    set, is beside the source: there it would outlive the package."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        if not config.CACHE_DIR:
            self._cache_path = str(user_cache() / "numba" / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Any:
        located = cls(function, file)
        located.ensure_cache_path()
        return located


class _Files(caching.FunctionCache._impl_class):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Kept(caching.IndexDataCacheFile):  # type: ignore[misc]
    """A function's compiled code on disk, a file for each list of argument types.

    A file is: what it was compiled from, the checksum of the rest, a pickle of (types, code). The
    checksum is Numba's omission: unnoticed, damaged code ends the process, or is wrong. So is its
    index of files, in which two processes at once may both take the same number.
    """

    def load(self, key: Any) -> Any:
        """None where there is none, or none that is sound."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                stamp, checksum, content = file.read(16), file.read(16), file.read()
            if stamp == self._stamp() or len(checksum) < 16:
                if checksum != digest(content):
                    raise ValueError(f"{path}: its checksum differs")
                kept_key, data = pickle.loads(content)
                return data if kept_key == key else None
        except FileNotFoundError:
            pass
        except Exception as error:  # of the file system; unpickling may raise anything
            _say_once("damaged", f"compiled code was damaged and is made anew ({error})")
        return None  # not there, damaged, or of other sources

    def save(self, key: Any, data: Any) -> None:
        content = self._dump((key, data))
        with self._open_for_write(self._path(key)) as file:
            file.write(self._stamp() + digest(content) + content)

    def _path(self, key: Any) -> str:
        number = int.from_bytes(digest(repr(key))[:8], "big")
        return str(self._data_path(self._data_name_pattern.format(number=number)))

    def _stamp(self) -> bytes:
        return digest(repr((self._version, self._source_stamp)))


def digest(content: str | bytes) -> bytes:
    data = content if isinstance(content, bytes) else content.encode()
    return hashlib.blake2b(data, digest_size=16).digest()


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _Files

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # Numba compiles anew when the function's own file has changed: any file here counts
        self._cache_file = _Kept(self._cache_path, self._impl.filename_base, _SOURCES)

    def save_overload(self, signature: Any, compiled: Any) -> None:
        try:
            super().save_overload(signature, compiled)
        except OSError as error:
            where = f"{self._cache_path} cannot be written"
            _say_once("unkept", f"compiled for this process only: {where}: {error}")


def _keep_on_disk(compiled: Any, function: Callable[..., Any]) -> None:
    try:
        compiled._cache = _Cache(function)
    except (OSError, RuntimeError) as error:  # no folder for it can be written, or none is known
        _Compiling.kept = f"for this process only: {error}"


_said: set[str] = set()


def _say_once(kind: str, what: str) -> None:
    if kind not in _said:
        _said.add(kind)
        print(f"tinyae: {what}", file=sys.stderr)


def inline(function: F) -> F:
    """A small function that becomes part of the jitted ones that call it."""
    compiled: F = njit(error_model="numpy", fastmath={"contract"}, inline="always")(function)
    return compiled


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that writes LLVM's instructions: it returns (signature, generator)."""
    written: Callable[..., Any] = extending.intrinsic(function)
    return written


def overload(function: Callable[..., Any]) -> Callable[[F], F]:
    """What compiled code calls in the place of ``function``, chosen by the arguments' types."""
    chooser: Callable[[F], F] = extending.overload(function, strict=False)
    return chooser


def _vectors() -> tuple[int, int]:
    """(bytes, number) of the widest vector registers of the processor that Numba compiles for."""
    if config.CPU_FEATURES is None:
        features = {name for name, there in get_host_cpu_features().items() if there}
    else:  # of NUMBA_CPU_FEATURES: "+avx2,-avx512f,..."
        features = {name[1:] for name in config.CPU_FEATURES.split(",") if name[:1] == "+"}
    if "avx512f" in features:
        return 64, 32
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 16, 32
    return (32 if "avx2" in features else 16), 16


VECTOR_BYTES, VECTOR_REGISTERS = _vectors()


class _Compiling(event.Listener):  # type: ignore[misc]
    """Says, once in a process, that something is being compiled: it takes seconds.

    Meanwhile Python does not search for cycles of garbage: Numba makes millions of objects that
    stay, and the searches among them take a sixth of the time. Numba compiles in one thread at a
    time.
    """

    kept = "once, kept on disk"
    _depth, _collects = 0, False

    def on_start(self, started: Any) -> None:
        module = started.data["dispatcher"].py_func.__module__
        if self._depth or module.startswith(__package__):
            if not self._depth:
                self._collects = gc.isenabled()
                gc.disable()
            self._depth += 1
            what = f"compiling for this processor, some seconds ({self.kept}) ..."
            _say_once("compiling", what)

    def on_end(self, ended: Any) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth and self._collects:
                gc.enable()


event.register("numba:compile", _Compiling())
