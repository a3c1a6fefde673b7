"""Are the CUDA columns right on this machine's GPU? One command, one JSON file.

    python benchmarks/gpu/gpu_check.py

Runs the tests that are marked ``gpu`` (every operation, every shape, training, the ladder), then
NVIDIA's compute-sanitizer over every kernel of cupy, and of numba-cuda where that is installed:
memcheck (bounds, alignment), racecheck (missing barriers), initcheck (memory that was never
written) and synccheck (barriers that not all reach).
The file goes to benchmarks/results/; the exit code is 0 when all is clean. Nothing is timed.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinyae import __version__
from tinyae.cli import nvidia
from tinyae.kernels.columns import BackendUnavailable, get_backend

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="default: benchmarks/results/gpu-check-DEVICE.json")  # fmt: skip
    parser.add_argument("--only", choices=("tests", *TOOLS), action="append",
                        help="only this part; may be given several times")  # fmt: skip
    given = parser.parse_args()
    try:
        get_backend("cupy")
    except BackendUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    machine = describe_machine()
    parts = given.only or ("tests", *TOOLS)
    result: dict[str, Any] = {"what": "gpu-check", **machine}
    for part in parts:
        print(f"{part} ...", flush=True)
        result[part] = run_tests() if part == "tests" else run_sanitizer(part)
        print(f"  {'clean' if result[part]['clean'] else 'NOT CLEAN'}: {result[part]}", flush=True)
    name = re.sub(r"\W+", "-", machine["device"]["name"].lower())
    out = given.out or RESULTS / f"gpu-check-{name}.json"
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(out)
    return 0 if all(result[part]["clean"] for part in parts) else 1


def describe_machine() -> dict[str, Any]:
    driver = nvidia.find_driver()
    if driver is None or not driver.devices:
        raise SystemExit("the NVIDIA driver answers to CuPy, but not to tinyae.cli.nvidia")
    wheels, nvrtc = nvidia.cupy_wheels(), nvidia.find_nvrtc()
    return {
        "date": datetime.date.today().isoformat(),
        "tinyae": __version__,
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "cupy": wheels,
        "numba-cuda": nvidia.numba_cuda_version() or None,
        "nvrtc": nvrtc.version if nvrtc else None,
        "driver": driver.version,
        "device": asdict(driver.devices[0]),
    }


def run_tests() -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")]
    return _counted(command, r"passed")


def run_sanitizer(tool: str) -> dict[str, Any]:
    """Every kernel through tests/kernels/cuda_host/cuda_sanitize.py, under compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"clean": False, "missing": "compute-sanitizer comes with NVIDIA's CUDA toolkit"}
    script = str(ROOT / "tests" / "kernels" / "cuda_host" / "cuda_sanitize.py")
    results = {}
    for column in ("gpu", "numba-cuda") if nvidia.numba_cuda_version() else ("gpu",):
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, script, column]
        results[column] = _counted(command, r"ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards")
    return {"clean": all(result["clean"] for result in results.values()), **results}


def _counted(command: list[str], good: str) -> dict[str, Any]:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    clean = done.returncode == 0 and re.search(good, text) is not None
    result: dict[str, Any] = {"clean": clean, "seconds": round(time.perf_counter() - started, 1)}
    result |= {what: int(n) for n, what in COUNTS.findall(done.stdout.strip().rpartition("\n")[2])}
    if summary := re.search(r"(?:ERROR|RACECHECK) SUMMARY: .*", text):
        result["summary"] = summary[0]
    if not clean:
        print(text[-4000:], file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
