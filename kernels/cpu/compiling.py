"""Compiling with Numba: cached on disk, announced once, and for this machine's vectors.

Every jitted function of the column goes through ``jit``. Code is compiled at its first call with
new types and kept in the user's cache folder, or in $NUMBA_CACHE_DIR; where that cannot be written
it is compiled anew in each process.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from llvmlite.binding import get_host_cpu_features
from numba import extending, njit
from numba.core import caching, config, event
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature

from ..user_cache import user_cache

F = TypeVar("F", bound=Callable[..., Any])

# (name, time of change, size) of every file that compiled code may come from
_ROOM = Path(__file__).parent
_SOURCES = tuple(
    (file.name, file.stat().st_mtime_ns, file.stat().st_size)
    for file in (*sorted(_ROOM.glob("*.py")), _ROOM.parent / "conventions.py")
)


def jit(
    parallel: bool = False, contract: bool = True, reassociate: bool = False
) -> Callable[[F], F]:
    """Compiles the decorated function at its first call.

    ``contract`` lets a * b + c become one fused multiply-add, which is rounded once instead of
    twice: not where bits must be equal on all backends. ``reassociate`` lets a sum be taken in
    another order, as vectors need it: for functions that do nothing but sum. Without Python's
    check for zero (``error_model``) a division can be vectorised.
    """
    flags = {"contract": contract, "reassoc": reassociate}
    fastmath = {flag for flag, wanted in flags.items() if wanted}

    def compile_at_first_call(function: F) -> F:
        compiled: F = njit(error_model="numpy", nogil=True, parallel=parallel, fastmath=fastmath)(
            function
        )
        _keep_on_disk(compiled, function)
        return compiled

    return compile_at_first_call


def c_function(function: Callable[..., Any], signature: Any) -> Any:
    """Compiles now, for C callers with this signature; the result has an ``address``."""
    options = {"error_model": "numpy", "fastmath": {"contract"}}
    compiled = CFunc(function, normalize_signature(signature), locals={}, options=options)
    _keep_on_disk(compiled, function)
    compiled.compile()
    return compiled


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
        try:
            located.ensure_cache_path()
        except OSError:
            return None
        return located


class _Files(caching.FunctionCache._impl_class):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _Files


def _keep_on_disk(compiled: Any, function: Callable[..., Any]) -> None:
    try:
        compiled._cache = _Cache(function)
    except RuntimeError:  # no folder for it can be written
        return
    # Numba compiles anew when the function's own file has changed: any file here counts
    compiled._cache._cache_file._source_stamp = _SOURCES


def inline(function: F) -> F:
    """A small function that becomes part of the jitted ones that call it."""
    compiled: F = njit(error_model="numpy", fastmath={"contract"})(function)
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
    """(bytes, number) of this processor's widest vector registers."""
    features = get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 16, 32
    return (32 if features.get("avx2") else 16), 16


VECTOR_BYTES, VECTOR_REGISTERS = _vectors()


class _Announce(event.Listener):  # type: ignore[misc]
    """Says, once in a process, that something is being compiled: it takes seconds."""

    said = False

    def on_start(self, started: Any) -> None:
        module = started.data["dispatcher"].py_func.__module__
        if not self.said and module.startswith(__package__):
            self.said = True
            print("tinyae: compiling for this processor, once (kept on disk) ...", file=sys.stderr)

    def on_end(self, ended: Any) -> None:
        pass


event.register("numba:compile", _Announce())
