"""What NVIDIA's software is on this machine: the driver and its GPUs, and CuPy's wheels.

Libraries are asked through ctypes, wheels through their metadata: no package is imported.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from ...kernels.cuda_ptx import nvrtc
from ...kernels.cuda_ptx.nvrtc import WINDOWS

# of the enumeration CUdevice_attribute
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76

# All of them provide the module ``cupy``, so that only one may be installed.
CUPY_WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")


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


def find_driver() -> Driver | None:
    """The NVIDIA driver, None where there is none."""
    try:
        cuda = nvrtc.load("nvcuda.dll" if WINDOWS else "libcuda.so.1")
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
        nvml = nvrtc.load("nvml.dll" if WINDOWS else "libnvidia-ml.so.1")
    except OSError:
        return ""
    if nvml.nvmlInit_v2():
        return ""
    nvml.nvmlSystemGetDriverVersion(text, len(text))
    nvml.nvmlShutdown()
    return text.value.decode()


def cupy_wheels() -> dict[str, str]:
    """The installed distributions that provide ``cupy``: name -> version."""
    return {name: version for name in CUPY_WHEELS if (version := nvrtc.version_of(name))}


def numba_cuda_version() -> str:
    return nvrtc.version_of("numba-cuda")
