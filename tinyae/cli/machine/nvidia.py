"""What NVIDIA's software is on this machine: the driver and its GPUs, CuPy's wheels, NVRTC.

Libraries are asked through ctypes, wheels through their metadata: no package is imported.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WINDOWS = sys.platform == "win32"

# of the enumeration CUdevice_attribute
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76

# All of them provide the module ``cupy``, so that only one may be installed.
CUPY_WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")

# CUDA's major version -> the wheel with its NVRTC
NVRTC_WHEELS = {13: "nvidia-cuda-nvrtc", 12: "nvidia-cuda-nvrtc-cu12"}


@dataclass(frozen=True)
class Device:
    name: str
    capability: tuple[int, int]
    memory: int  # bytes


@dataclass(frozen=True)
class Driver:
    version: str  # such as 580.65.06; "" where NVML does not tell
    cuda: tuple[int, int]  # the newest CUDA that it runs
    devices: tuple[Device, ...]
    error: str = ""  # why there are no devices


@dataclass(frozen=True)
class Nvrtc:
    version: str  # the wheel's, 13.5.37, or what the library says of itself, 13.5
    origin: str  # the wheel's name or the library's path
    library: Any


def find_driver() -> Driver | None:
    """The NVIDIA driver, None where there is none."""
    try:
        cuda = _load("nvcuda.dll" if WINDOWS else "libcuda.so.1")
    except OSError:
        return None
    newest, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(newest))
    failure = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    return Driver(
        version=_driver_version(),
        cuda=(newest.value // 1000, newest.value % 1000 // 10),
        devices=tuple(_device(cuda, i) for i in range(count.value)),
        error=_error(cuda, failure) if failure else "" if count.value else "it finds no GPU",
    )


def _device(cuda: Any, ordinal: int) -> Device:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), CAPABILITY_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), CAPABILITY_MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Device(name.value.decode(), (major.value, minor.value), memory.value)


def _error(cuda: Any, code: int) -> str:
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    return f"{text.value.decode() if text.value else 'unknown error'} (CUDA error {code})"


def _driver_version() -> str:
    """Of the driver's package, asked of NVML: libcuda knows only its CUDA version."""
    text = ctypes.create_string_buffer(96)
    try:
        nvml = _load("nvml.dll" if WINDOWS else "libnvidia-ml.so.1")
    except OSError:
        return ""
    if nvml.nvmlInit_v2():
        return ""
    nvml.nvmlSystemGetDriverVersion(text, len(text))
    nvml.nvmlShutdown()
    return text.value.decode()


def cupy_wheels() -> dict[str, str]:
    """The installed distributions that provide ``cupy``: name -> version."""
    return {name: version for name in CUPY_WHEELS if (version := _version(name))}


def numba_cuda_version() -> str:
    return _version("numba-cuda")


def find_nvrtc(major: int | None = None) -> Nvrtc | None:
    """NVRTC of this major version (else the newest), from a wheel or else from a CUDA toolkit.

    Raises OSError where a wheel is installed but its library does not load.
    """
    majors = tuple(NVRTC_WHEELS) if major is None else (major,)
    for name in (NVRTC_WHEELS[m] for m in majors if m in NVRTC_WHEELS):
        if path := _library_in(name):
            # some versions look for this one where the system's libraries are
            for builtins in path.parent.glob("*nvrtc-builtins*"):
                _load(str(builtins))
            return Nvrtc(_version(name), name, _load(str(path)))
    for place in (place for m in majors for place in _nvrtc_places(m)):
        try:
            library = _load(place)
        except OSError:
            continue
        return Nvrtc(_nvrtc_version(library), place, library)
    return None


def _library_in(wheel: str) -> Path | None:
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    names = re.compile(r"libnvrtc\.so\.\d+|nvrtc64_\d+_\d+\.dll")
    return next((Path(str(f.locate())) for f in files if names.fullmatch(f.name)), None)


def _nvrtc_places(major: int) -> list[str]:
    """Where a toolkit of this major version would have it; a bare name asks the system's loader."""
    name = f"nvrtc64_{major}0_0.dll" if WINDOWS else f"libnvrtc.so.{major}"
    roots = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    folders = ("bin", "bin/x64") if WINDOWS else ("lib64", "lib")
    return [name, *(str(Path(r) / folder / name) for r in roots if r for folder in folders)]


def _nvrtc_version(library: Any) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _load(library: str) -> Any:
    return ctypes.CDLL(library)
