"""``tinyae gradcheck`` and ``tinyae doctor``: does it work, and does it work here?"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from typing import Any

import numpy as np

from . import gradient_check as checks
from ._version import __version__
from .kernels.columns import backend_report, get_backend
from .kernels.conventions import ACTIVATIONS, LOSSES
from .tables import table

TOLERANCE = 1e-7

# extra -> (module, distribution, what it is for)
EXTRAS = {
    "plot": ("matplotlib", "matplotlib", "pictures"),
    "progress": ("tqdm", "tqdm", "a progress bar"),
    "images": ("PIL", "Pillow", "folders of images"),
    "download": ("pooch", "pooch", "mnist and fashion-mnist by name"),
    "digits": ("sklearn", "scikit-learn", "the digits data set"),
}


def gradcheck(given: argparse.Namespace) -> None:
    """Raises ArithmeticError where a gradient is wrong."""
    get_backend(given.backend)
    results = checks.gradcheck_table(
        activations=(given.activation,) if given.activation else ACTIVATIONS,
        names=(given.loss,) if given.loss else LOSSES,
        mode=given.mode,
        seed=given.seed,
        backend=given.backend,
        report=_counter if sys.stderr.isatty() else lambda done, total: None,
    )
    rows = [(a, n, d, c.max_error, c.straddled) for a, n, d, c in results]
    worst = max(row[3] for row in rows)
    if given.json:
        names = ("activation", "loss", "depth", "relative_error", "straddled")
        checked = [dict(zip(names, row, strict=True)) for row in rows]
        print(json.dumps({"max_relative_error": worst, "tolerance": TOLERANCE, "checks": checked}))
    else:
        print(table(("activation", "loss", "depth", "relative error", "straddled"), rows))
        print(f"\n{given.mode}: {len(rows)} nets, largest relative error {worst:.2g} "
              f"(at most {TOLERANCE:g} is right)")  # fmt: skip
    if not worst <= TOLERANCE:
        raise ArithmeticError(f"a gradient is off by {worst:.2g}, more than {TOLERANCE:g}")


def _counter(done: int, total: int) -> None:
    print(f"\r{done}/{total} nets", end="\n" if done == total else "", file=sys.stderr, flush=True)


def doctor(given: argparse.Namespace) -> None:
    """What works here; for what does not, the command that mends it."""
    found: dict[str, Any] = {
        "tinyae": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "numpy": np.__version__,
        "blas": _blas(),
        "threads": _threads(),
        "backends": backend_report(),
        "extras": {extra: _version(module, name) for extra, (module, name, _) in EXTRAS.items()},
    }
    if given.json:
        print(json.dumps(found))
        return
    for name in ("tinyae", "python", "system", "numpy", "blas", "threads"):
        print(f"{name:10}{found[name]}")
    print("\nbackends, the fastest first:")
    for name, missing in found["backends"].items():
        print(f"  {name:10}{missing or 'works'}")
    print("\nextras:")
    for extra, (_, name, purpose) in EXTRAS.items():
        version = found["extras"][extra]
        state = f"{name} {version}" if version else f'missing: pip install "tinyae[{extra}]"'
        print(f"  {extra:10}{state}  ({purpose})")


def _version(module: str, name: str) -> str | None:
    return importlib.metadata.version(name) if importlib.util.find_spec(module) else None


def _blas() -> str:
    config: Any = np.show_config(mode="dicts")  # type: ignore[call-overload, func-returns-value, unused-ignore]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _threads() -> str:
    """How many threads BLAS uses, asked of threadpoolctl where it is installed."""
    if importlib.util.find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_info

        pools = [f"{p['internal_api']} {p['num_threads']}" for p in threadpool_info()]
        return ", ".join(pools) or "no thread pool found"
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    given = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join(given) or "as many as BLAS likes (set OMP_NUM_THREADS to bound them)"
