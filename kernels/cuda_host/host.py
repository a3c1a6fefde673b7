"""The ``cuda-host`` runner: the .cu files, compiled by a C++ compiler and executed on the CPU.

For machines without a GPU: every kernel can be tested, sanitised, and stepped through in a
debugger (``flags=("-O0",)``, see ``cuda_host.h``). Its timings say nothing about a GPU.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..cuda.source import defines, kernel_names, read_source
from ..grids import Dim
from ..recording import Recording
from ..scratch import borrow
from ..user_cache import user_cache

Array = Any

HERE = Path(__file__).parent
HEADERS = ("cuda_host.h", "cuda_host_copy.h", "cuda_host_fibers.h", "cuda_host_mma.h",
           "cuda_host_sanitizers.h", "cuda_host_scheduler.h")  # fmt: skip
FLAGS = ("-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-ffp-contract=off", "-fvisibility=hidden",
         "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unknown-pragmas")  # fmt: skip


class CompilerMissing(RuntimeError):
    """There is no C++ compiler."""


class HostRunner(Recording):
    """Compiles and launches kernels on NumPy arrays. ``flags`` are further compiler flags."""

    name = "cuda-host"
    array_type = np.ndarray

    def __init__(self, flags: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.compiler = find_compiler()
        self.flags = (*_fused_multiply_add(), *flags)
        self.cache = cache_folder()
        self._libraries: dict[tuple[str, str], ctypes.CDLL] = {}
        self._functions: dict[tuple[str, str, str], Any] = {}

    def run(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        function = self._function(file, kernel, dtype)
        values = [_value(arg) for arg in args]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        failure = function((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), pointers,
                           len(values), cooperative)  # fmt: skip
        if failure:
            raise RuntimeError(f"{file}, {kernel}: {failure.decode()}")

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
        """Uninitialised memory, valid until the slot is asked for again."""
        return borrow(shape, dtype, slot)

    def library(self, file: str, dtype: str) -> Path:
        """The compiled file's shared library, from the cache if it is there."""
        source = defines(dtype) + read_source(file)
        names = kernel_names(source)
        source += "\n" + "".join(f"CUDA_HOST_LAUNCHER({name})\n" for name in names)
        key = hashlib.sha256()
        for text in (source, *((HERE / h).read_text() for h in HEADERS), *FLAGS, *self.flags,
                     self.compiler, sys.platform):  # fmt: skip
            key.update(text.encode())
        target = self.cache / f"{Path(file).stem}-{dtype}-{key.hexdigest()[:24]}.so"
        if not target.exists():
            self._compile(source, target)
        return target

    def _compile(self, source: str, target: Path) -> None:
        name, dtype, _ = target.stem.rsplit("-", 2)
        print(f"tinyae: compiling {name}.cu ({dtype}) for cuda-host, once", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            text, built = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            try:
                text.write_text(source)
            except OSError as error:  # as on a full disk
                raise OSError(error.errno, error.strerror, str(target.parent)) from error
            command = [self.compiler, *FLAGS, *self.flags, f"-I{HERE}", "-include",
                       "cuda_host.h", str(text), "-o", str(built), "-lpthread"]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(
                    f"{self.compiler} could not compile {target.stem}:\n{done.stderr}"
                )
            os.replace(built, target)

    def _function(self, file: str, kernel: str, dtype: str) -> Any:
        key = (file, kernel, dtype)
        if key not in self._functions:
            if key[::2] not in self._libraries:
                self._libraries[file, dtype] = ctypes.CDLL(str(self.library(file, dtype)))
            function = getattr(self._libraries[file, dtype], f"launch_{kernel}")
            function.restype = ctypes.c_char_p
            self._functions[key] = function
        return self._functions[key]


def find_compiler() -> str:
    """$CXX, or g++, clang++ or c++ on the path; raises CompilerMissing."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            return path
    raise CompilerMissing("it needs a C++ compiler: apt-get install g++ (or set CXX to one)")


def _fused_multiply_add() -> tuple[str, ...]:
    """-mfma where the processor has it: else each fma() is a call, several times as slow."""
    try:
        return ("-mfma",) if " fma " in Path("/proc/cpuinfo").read_text() else ()
    except OSError:
        return ()


def cache_folder() -> Path:
    """That of the user, or a temporary one where it is closed."""
    try:
        folder = user_cache() / "cuda-host"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    closed = Path(tempfile.mkdtemp(prefix="tinyae-cuda-host-"))
    atexit.register(shutil.rmtree, closed, ignore_errors=True)
    return closed


def _value(arg: Any) -> Any:
    """The argument as a ctypes object that holds its bytes."""
    if isinstance(arg, np.ndarray):
        return ctypes.c_void_p(arg.ctypes.data)
    if not isinstance(arg, np.generic):
        raise TypeError(f"kernel arguments are arrays and NumPy scalars, got {type(arg).__name__}")
    dtype: Any = arg.dtype
    return np.ctypeslib.as_ctypes_type(dtype)(arg.item())
