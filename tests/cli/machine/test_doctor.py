"""``tinyae doctor`` on machines that are made up: drivers, wheels, compilers, and none of them.

The driver is a shared library compiled here with libcuda's and NVML's own signatures; wheels are
folders of metadata.
"""

from __future__ import annotations

import configparser
import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyae.cli.machine import doctor, nvidia
from tinyae.cli.main import main
from tinyae.kernels.cuda import measured_plans
from tinyae.kernels.cuda_host.host import CompilerMissing, find_compiler
from tinyae.kernels.cuda_ptx import nvrtc

Output = pytest.CaptureFixture[str]

DRIVER = """
#include <stddef.h>
#include <string.h>
extern "C" {
int cuDriverGetVersion(int *version) { *version = CUDA; return 0; }
int cuInit(unsigned flags) { return flags ? 1 : INIT; }
int cuDeviceGetCount(int *count) { *count = DEVICES; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 70 + ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 70 ? "NVIDIA H100 80GB HBM3" : "NVIDIA GeForce GTX 1080", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    bool major = attribute == 75;  // 76: minor
    *value = device == 70 ? (major ? 9 : 0) : (major ? 6 : 1);
    return !(major || attribute == 76);
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = device == 70 ? 85520809984ull : 8589934592ull;
    return 0;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == 803 ? "system has unsupported display driver / cuda driver combination" : NULL;
    return 0;
}
int nvmlInit_v2() { return NVML; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    strncpy(text, "580.65.06", size);
    return 0;
}
int nvmlShutdown() { return 0; }
int nvrtcVersion(int *major, int *minor) {
    *major = CUDA / 1000, *minor = CUDA % 1000 / 10;
    return 0;
}
}
"""

Fake = Callable[..., None]


@pytest.fixture
def driver(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """driver(cuda=13000, devices=1): from now on libcuda and NVML are a library like that."""

    def install(cuda: int = 13000, devices: int = 1, init: int = 0, nvml: int = 0) -> None:
        path = tmp_path_factory.mktemp("driver") / "libcuda.so"
        build(path, CUDA=cuda, DEVICES=devices, INIT=init, NVML=nvml)
        monkeypatch.setattr(nvrtc, "load", lambda _: ctypes.CDLL(str(path)))

    return install


def build(path: Path, **numbers: int) -> None:
    try:
        compiler = find_compiler()
    except CompilerMissing as error:
        pytest.skip(f"the made-up driver: {error}")
    defines = [f"-D{name}={value}" for name, value in numbers.items()]
    command = [compiler, "-shared", "-fPIC", "-xc++", "-", "-o", str(path), *defines]
    subprocess.run(command, input=DRIVER, text=True, check=True)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """wheels(cupy_cuda13x="14.2.0"): these are installed, and no others of NVIDIA's or CuPy's."""
    plain = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *plain])

    def install(files: str = "", **versions: str) -> Path:
        for name, version in versions.items():
            folder = tmp_path / f"{name}-{version}.dist-info"
            folder.mkdir()
            name = name.replace("_", "-")
            (folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
            (folder / "RECORD").write_text(files)
        return tmp_path

    return install


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, wheels: Callable[..., Path]) -> None:
    """No driver, no toolkit, no wheels; the backends are not asked."""

    def nothing(library: str) -> Any:
        raise OSError(f"{library}: cannot open shared object file")

    monkeypatch.setattr(nvrtc, "load", nothing)
    monkeypatch.setattr(doctor, "backend_report", lambda: {"cupy": "no", "numpy": ""})


def rows() -> dict[str, tuple[str, str]]:
    """(state, remedy) of each row but the backends'."""
    sections = doctor.report(*doctor.examine())
    return {
        row.what: row[1:]
        for title, found in sections.items()
        for row in found
        if not title.startswith("backends")
    }


def test_no_driver(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    found = rows()
    assert found["driver"][0] == "no NVIDIA driver"
    assert "apt-get install nvidia-driver" in found["driver"][1]
    assert found["cupy"] == ("not installed; it needs a GPU and its driver", "")
    assert found["nvrtc"] == (
        "not installed; it comes with CuPy, and alone for cuda-ptx",
        "pip install nvidia-cuda-nvrtc",
    )
    assert found["numba-cuda"] == ("not installed; it needs a GPU and its driver", "")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert rows()["driver"] == ("no NVIDIA driver", "")


def test_backends_that_are_for_tests_say_so(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"numpy": "", "cuda-host": "", "cuda-ptx": ""}
    monkeypatch.setattr(doctor, "backend_report", lambda: found)
    sections = doctor.report(*doctor.examine())
    backends = next(rows for title, rows in sections.items() if title.startswith("backends"))
    assert [row.state.partition(":")[0] for row in backends] == ["works", *["works, for tests"] * 2]
    assert "very slow" in backends[2].state


def test_two_gpus(bare: None, driver: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(cuda=13010, devices=2)
    plans = {"NVIDIA GeForce GTX 1080": {"a problem": "its plan"}}
    monkeypatch.setattr(measured_plans, "load", lambda device: plans.get(device, {}))
    found = rows()
    assert found["driver"] == ("NVIDIA 580.65.06, runs CUDA up to 13.1", "")
    assert found["gpu 0"] == ("NVIDIA H100 80GB HBM3, compute capability 9.0, 79.6 GiB", "")
    old = "NVIDIA GeForce GTX 1080, compute capability 6.1, 8.0 GiB, products tuned: 1"
    assert found["gpu 1"] == (old, "")
    # CUDA 13 no longer compiles for the second
    assert found["cupy"] == ("not installed", 'pip install "tinyae[cuda12]"')
    assert found["numba-cuda"] == ("not installed", 'pip install "tinyae[numba-cuda12]"')


def test_numba_cuda(bare: None, driver: Fake, wheels: Callable[..., Path]) -> None:
    driver(cuda=13000, devices=1)
    assert rows()["numba-cuda"] == ("not installed", 'pip install "tinyae[numba-cuda13]"')
    wheels(numba_cuda="0.30.4")
    assert rows()["numba-cuda"] == ("0.30.4", "")


@pytest.mark.parametrize(
    ("made", "state", "remedy"),
    [
        (dict(devices=0), "NVIDIA 580.65.06, runs CUDA up to 13.0: it finds no GPU", "nvidia-smi"),
        (
            dict(init=803, nvml=9),
            "NVIDIA, runs CUDA up to 13.0: system has unsupported display driver / cuda driver "
            "combination (CUDA error 803)",
            "nvidia-smi",
        ),
        (
            dict(init=999),
            "NVIDIA 580.65.06, runs CUDA up to 13.0: unknown error (CUDA error 999)",
            "nvidia-smi",
        ),
        (dict(cuda=11040, nvml=9), "NVIDIA, runs CUDA up to 11.4: too old", "525 or newer"),
    ],
)
def test_a_driver_without_use(
    bare: None, driver: Fake, made: dict[str, int], state: str, remedy: str
) -> None:
    driver(**made)
    found = rows()
    assert found["driver"][0] == state and remedy in found["driver"][1]
    assert found["cupy"] == ("not installed; it needs a GPU and its driver", "")


@pytest.mark.parametrize(
    ("cuda", "devices", "installed", "state", "remedy"),
    [
        (13000, 1, {}, "not installed", 'pip install "tinyae[cuda13]"'),
        (12040, 1, {}, "not installed", 'pip install "tinyae[cuda12]"'),
        (13000, 1, dict(cupy_cuda13x="14.2.0"), "cupy-cuda13x 14.2.0", ""),
        (13000, 1, dict(cupy_cuda12x="14.2.0"), "cupy-cuda12x 14.2.0", ""),
        (12040, 1, dict(cupy="15.0.0"), "cupy 15.0.0", ""),
        (
            12040, 1, dict(cupy_cuda13x="14.2.0"),
            "cupy-cuda13x 14.2.0 needs driver 580 and compute capability 7.5, or newer",
            'pip uninstall -y cupy-cuda13x && pip install "tinyae[cuda12]"',
        ),
        (
            13000, 2, dict(cupy_cuda13x="14.2.0"),
            "cupy-cuda13x 14.2.0 needs driver 580 and compute capability 7.5, or newer",
            'pip uninstall -y cupy-cuda13x && pip install "tinyae[cuda12]"',
        ),
        (
            13000, 1, dict(cupy_cuda13x="14.2.0", cupy_cuda12x="14.0.1"),
            "cupy-cuda12x 14.0.1 and cupy-cuda13x 14.2.0 overwrite each other: only one may be "
            "installed",
            'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "tinyae[cuda13]"',
        ),
        (
            12040, 1, dict(cupy="14.0.0", cupy_cuda12x="14.2.0"),
            "cupy 14.0.0 and cupy-cuda12x 14.2.0 overwrite each other: only one may be installed",
            'pip uninstall -y cupy cupy-cuda12x && pip install "tinyae[cuda12]"',
        ),
        (
            13000, 1, dict(cupy_cuda11x="13.6.0"), "cupy-cuda11x 13.6.0 is older than 14",
            'pip uninstall -y cupy-cuda11x && pip install "tinyae[cuda13]"',
        ),
    ],
)  # fmt: skip
def test_cupy(
    bare: None, driver: Fake, wheels: Callable[..., Path], cuda: int, devices: int,
    installed: dict[str, str], state: str, remedy: str,
) -> None:  # fmt: skip
    driver(cuda=cuda, devices=devices)
    wheels(**installed)
    assert rows()["cupy"] == (state, remedy)
    assert "cupy" not in sys.modules


def test_two_cupys_without_a_driver(bare: None, wheels: Callable[..., Path]) -> None:
    wheels(cupy_cuda12x="14.2.0", cupy_cuda13x="14.2.0")
    assert rows()["cupy"][1].startswith("pip uninstall -y cupy-cuda12x cupy-cuda13x && ")


def test_nvrtc_of_a_wheel(
    bare: None, wheels: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = "nvidia/lib/libnvrtc-builtins.so.13.5,,\nnvidia/lib/libnvrtc.so.13,,\n"
    folder = wheels(files, nvidia_cuda_nvrtc="13.5.37")
    state, remedy = rows()["nvrtc"]  # there is no such file
    assert state.startswith("unknown: OSError: ") and "libnvrtc.so.13" in state and not remedy
    (folder / "nvidia/lib").mkdir(parents=True)
    (folder / "nvidia/lib/libnvrtc-builtins.so.13.5").touch()
    loaded: list[str] = []
    monkeypatch.setattr(nvrtc, "load", lambda path: loaded.append(Path(path).name))
    assert rows()["nvrtc"] == ("13.5.37, from nvidia-cuda-nvrtc", "")
    assert loaded[-2:] == ["libnvrtc-builtins.so.13.5", "libnvrtc.so.13"]
    wheels(cupy_cuda12x="14.2.0")  # which cannot use it
    monkeypatch.setattr(nvrtc, "load", load_files)
    assert rows()["nvrtc"] == ("CuPy needs that of CUDA 12", 'pip install "tinyae[cuda12]"')


def test_nvrtc_of_a_toolkit(
    bare: None, wheels: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nvrtc, "WINDOWS", False)
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    (tmp_path / "lib64").mkdir()
    path = tmp_path / "lib64" / "libnvrtc.so.12"
    build(path, CUDA=12090, DEVICES=0, INIT=0, NVML=0)
    monkeypatch.setattr(nvrtc, "load", load_files)
    assert rows()["nvrtc"] == (f"12.9, from {path}", "")


def load_files(library: str) -> Any:
    """A library by its path, none of the system's."""
    if not Path(library).exists():
        raise OSError(f"{library}: cannot open shared object file")
    return ctypes.CDLL(library)


def test_compiler(bare: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rows()["compiler"] == ("no C++ compiler", "install g++, or set CXX to a compiler")
    program(tmp_path / "dnf", "exit 0")
    assert rows()["compiler"] == ("no C++ compiler", "dnf install gcc-c++")
    program(tmp_path / "g++", 'echo "g++ (Some) 12.2.0"; echo Copyright')
    assert rows()["compiler"] == (f"g++ (Some) 12.2.0, {tmp_path / 'g++'}", "")
    program(tmp_path / "g++", "exit 3")
    assert rows()["compiler"][0].startswith("unknown: CalledProcessError: ")


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_extras(bare: None, wheels: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for module, _, _ in doctor.EXTRAS.values():  # what other tests have imported
        monkeypatch.delitem(sys.modules, module, raising=False)
    folder = wheels(Pillow="12.0")
    (folder / "PIL.py").touch()
    (folder / "tqdm.py").touch()
    found = rows()
    assert found["images"] == ("Pillow 12.0 (folders of images)", "")
    assert found["progress"] == ("tqdm of unknown version (a progress bar)", "")
    assert found["plot"] == ("missing (pictures)", 'pip install "tinyae[plot]"')


def test_the_threads_and_what_sets_them(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYAE_NUM_THREADS", "1")
    assert rows()["cores"] == ("1 threads of backend numba, by TINYAE_NUM_THREADS", "")
    monkeypatch.setenv("TINYAE_NUM_THREADS", "0")
    assert rows()["cores"][0].startswith("unknown: ValueError: TINYAE_NUM_THREADS must be")


def test_nothing_is_raised(
    bare: None, monkeypatch: pytest.MonkeyPatch, capsys: Output,
    wheels: Callable[..., Path],
) -> None:  # fmt: skip
    def broken() -> Any:
        raise AttributeError("module 'cupy' has no attribute 'ndarray'")

    monkeypatch.setattr(doctor, "backend_report", broken)
    monkeypatch.setattr(nvidia, "find_driver", broken)
    wheels(cupy="main")  # a version that is no number
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for what in ("backends", "driver"):
        assert re.search(rf"^  {what} +unknown: AttributeError: module 'cupy'", out, re.MULTILINE)
    assert re.search(r"^  cupy +unknown: ValueError: .*'main'", out, re.MULTILINE)
    assert re.search(r"^  numpy +\d", out, re.MULTILINE)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["driver"] is None and set(found["failures"]) == {"backends", "driver"}


def test_layout(
    bare: None, driver: Fake, wheels: Callable[..., Path], capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    driver()
    wheels(cupy_cuda13x="14.2.0", cupy_cuda12x="14.2.0")
    failure = "CuPy does not load (\n====\nFailed to import CuPy.\n\n  libcudart: no such file\n)"
    monkeypatch.setattr(doctor, "backend_report", lambda: {"cupy": failure, "numpy": ""})
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    texts = [match for line in lines if (match := re.fullmatch(r"  (.*?) {2,}(\S.*)", line))]
    assert len({text.start(2) for text in texts}) == 1
    assert len(texts) == sum(line.startswith("  ") for line in lines) > 15
    (remedy,) = (line for line in lines if "pip uninstall" in line)
    above = lines[lines.index(remedy) - 1]
    assert remedy.index("->") == above.index("cupy-cuda12x") and above.startswith("  cupy ")


def test_json(bare: None, driver: Fake, wheels: Callable[..., Path], capsys: Output) -> None:
    driver(cuda=12080)
    wheels(cupy_cuda13x="14.2.0")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    device = {"name": "NVIDIA H100 80GB HBM3", "capability": [9, 0], "memory": 85520809984}
    assert found["driver"] == {
        "version": "580.65.06", "cuda": [12, 8], "devices": [device], "error": "",
    }  # fmt: skip
    assert found["cupy"] == {"cupy-cuda13x": "14.2.0"} and found["backends"]["numpy"] == ""
    assert set(found) >= {"tinyae", "python", "executable", "system", "numpy", "blas", "threads",
                          "nvrtc", "compiler", "extras"}  # fmt: skip
    assert found["remedies"]["cupy"].endswith('pip install "tinyae[cuda12]"')
    assert found["failures"] == {}


def test_remedies_name_extras_that_exist() -> None:
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[3] / "setup.cfg")
    extras = config["options.extras_require"]
    assert {*doctor.EXTRAS, *(f"cuda{major}" for major in doctor.OLDEST_DRIVER)} <= set(extras)
    assert "cuda1" not in extras["all"] and "cupy" not in extras["all"]
    for major in doctor.OLDEST_DRIVER:
        assert extras[f"cuda{major}"].strip() == f"cupy-cuda{major}x[ctk]>={doctor.OLDEST_CUPY}"


def test_nothing_heavy_is_imported() -> None:
    """Numba looks for SciPy's version, which imports nothing of what is heavy in it."""
    script = (
        "import sys; from tinyae.cli.main import main; main(['doctor'])\n"
        "sys.exit(bool({'matplotlib', 'sklearn', 'scipy.linalg', 'PIL'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
