"""CUDA C -> PTX, by NVRTC out of NVIDIA's wheel; neither a GPU nor a driver is needed."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from functools import cache
from typing import Any

WHEEL = "nvidia-cuda-nvrtc"


class NvrtcMissing(RuntimeError):
    """The wheel is not installed, or its library does not load."""


class CompileError(RuntimeError):
    """A source that NVRTC does not take; the message is its log."""


@cache
def library() -> Any:
    """NVRTC's; raises NvrtcMissing, with the remedy."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        raise NvrtcMissing(f"it needs NVIDIA's compiler: pip install {WHEEL}") from None
    names = re.compile(r"(lib)?nvrtc(-builtins\.so\.|\.so\.|64_|-builtins64_)[\d._]+(dll)?")
    found = [str(file.locate()) for file in files if names.fullmatch(file.name)]
    try:
        # the builtins first: some versions look for them where the system's libraries are
        loaded = [ctypes.CDLL(path) for path in sorted(found, key=lambda p: "builtins" not in p)]
        nvrtc: Any = loaded[-1]
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    except (OSError, IndexError, AttributeError) as error:
        raise NvrtcMissing(f"the library of {WHEEL} does not load ({error})") from error
    return nvrtc


@cache
def compile_ptx(source: str, name: str, options: tuple[str, ...]) -> str:
    """The PTX of a source text; raises CompileError."""
    nvrtc = library()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    failure = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), 0, None, None
    )
    if failure:
        raise CompileError(nvrtc.nvrtcGetErrorString(failure).decode())
    try:
        texts = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failure = nvrtc.nvrtcCompileProgram(program, len(options), texts)
        what = "ProgramLog" if failure else "PTX"
        getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{what}")(program, text)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    found = text.value.decode(errors="replace")
    if failure:
        raise CompileError(f"{name}: {nvrtc.nvrtcGetErrorString(failure).decode()}\n{found}")
    return found
