"""CUDA C -> PTX by NVRTC, which needs neither a GPU nor a driver; and where NVRTC is found.

Libraries are asked through ctypes, wheels through their metadata: no package is imported.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

WINDOWS = sys.platform == "win32"

# CUDA's major version -> the wheel with its NVRTC
NVRTC_WHEELS = {13: "nvidia-cuda-nvrtc", 12: "nvidia-cuda-nvrtc-cu12"}


class NvrtcMissing(RuntimeError):
    """There is no NVRTC here, or it does not load."""


class CompileError(RuntimeError):
    """A source that NVRTC does not take; the message is its log."""


@dataclass(frozen=True)
class Nvrtc:
    version: str  # the wheel's, 13.5.37, or what the library says of itself, 13.5
    origin: str  # the wheel's name or the library's path
    library: Any


def find_nvrtc(major: int | None = None) -> Nvrtc | None:
    """NVRTC of this major version (else the newest), from a wheel or else from a CUDA toolkit.

    Raises OSError where a wheel is installed but its library does not load.
    """
    majors = tuple(NVRTC_WHEELS) if major is None else (major,)
    for name in (NVRTC_WHEELS[m] for m in majors if m in NVRTC_WHEELS):
        if path := _library_in(name):
            # some versions look for this one where the system's libraries are
            for builtins in path.parent.glob("*nvrtc-builtins*"):
                load(str(builtins))
            return Nvrtc(version_of(name), name, load(str(path)))
    for place in (place for m in majors for place in _places(m)):
        try:
            library = load(place)
        except OSError:
            continue
        return Nvrtc(_version_of_library(library), place, library)
    return None


@cache
def compiler() -> Nvrtc:
    """The newest; raises NvrtcMissing, with the remedy."""
    try:
        found = find_nvrtc()
    except OSError as error:
        raise NvrtcMissing(f"NVIDIA's compiler does not load ({error})") from error
    if found is None:
        raise NvrtcMissing(f"it needs NVIDIA's compiler: pip install {NVRTC_WHEELS[13]}")
    return found


@cache
def compile_ptx(source: str, name: str, options: tuple[str, ...]) -> str:
    """The PTX of a source text; raises CompileError and NvrtcMissing."""
    return compile_source(compiler(), source, name, options, "PTX")


def compile_source(
    nvrtc: Nvrtc, source: str, name: str, options: Sequence[str], result: str = "ProgramLog"
) -> str:
    """The log of a compilation, or its PTX; raises CompileError."""
    text = compile_bytes(nvrtc, source, name, options, result)
    return text.rstrip(b"\0").decode(errors="replace")


def compile_bytes(
    nvrtc: Nvrtc, source: str, name: str, options: Sequence[str], result: str
) -> bytes:
    """What NVRTC calls ``result``, as its CUBIN: the code of a GPU. Releases the GIL, and NVRTC
    allows several compilations at a time. Raises CompileError.
    """
    library: Any = nvrtc.library
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    failure = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), 0, None, None
    )
    if failure:
        raise CompileError(library.nvrtcGetErrorString(failure).decode())
    try:
        texts = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failure = library.nvrtcCompileProgram(program, len(options), texts)
        what = "ProgramLog" if failure else result
        getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(library, f"nvrtcGet{what}")(program, buffer)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    if failure:
        log = buffer.value.decode(errors="replace")
        raise CompileError(f"{library.nvrtcGetErrorString(failure).decode()}\n{log}")
    return buffer.raw


def _library_in(wheel: str) -> Path | None:
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    names = re.compile(r"libnvrtc\.so\.\d+|nvrtc64_\d+_\d+\.dll")
    return next((Path(str(f.locate())) for f in files if names.fullmatch(f.name)), None)


def _places(major: int) -> list[str]:
    """Where a toolkit of this major version would have it; a bare name asks the system's loader."""
    name = f"nvrtc64_{major}0_0.dll" if WINDOWS else f"libnvrtc.so.{major}"
    roots = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    folders = ("bin", "bin/x64") if WINDOWS else ("lib64", "lib")
    return [name, *(str(Path(r) / folder / name) for r in roots if r for folder in folders)]


def _version_of_library(library: Any) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def version_of(distribution: str) -> str:
    """Empty where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def load(library: str) -> Any:
    return ctypes.CDLL(library)
