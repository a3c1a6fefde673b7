"""What the GPU columns should reach: measures it on this machine, beside rivals, and judges it.

    python benchmarks/gpu/gpu_goals.py                                    everything
    python benchmarks/gpu/gpu_goals.py --only products,memory             these parts
    python benchmarks/gpu/gpu_goals.py --only mnist --mnist DIR           with MNIST's files in DIR
    python benchmarks/gpu/gpu_goals.py --only mnist --backend numba --epochs 2   a try without a GPU

Parts, each of which is written down as soon as it has ended:
  check      tests, memcheck, racecheck, initcheck, synccheck (see gpu_check.py), and curve: losses
             against NumPy's, two runs bit by bit
  tune       tinyae tune on the shapes of products and steps, which then use what it finds: it is in
             the user's cache, so run it again where the machine is a new one
  products   products-4096: beside cuBLAS; products-deep, products-small: the nets' own products,
             with bias, activation and slope, beside PyTorch's cuBLAS and kernels in a graph
  steps      steps-deep, steps-small: training steps beside PyTorch's compiled ones; branches: what
             it gains that a step makes dw beside dx
  memory     loss, adam and gather beside the largest copy
  mnist      mnist-tinyae, mnist-torch: the deep net, the error on test after each epoch

They all go into one file, benchmarks/results/gpu-goals-DEVICE.json, merged with what is there: on
a machine that is lent for minutes, run a part at a time and keep the file between calls. The table
of goals is judged from the file; goals whose parts were not run stay open. The exit code is 0 when
all parts that were asked for have run, whatever they found, and 1 otherwise.

To be installed before, as a GPU machine may have no internet:
  pip install -e ".[test,bench,cuda13]" or cuda12, where the driver is older than CUDA 13
  pip install torch                     the rival, with CUDA; without it most goals stay open
  NVIDIA's CUDA toolkit                 for compute-sanitizer, on the PATH
  MNIST's four files                    in the folder --mnist; without it they are downloaded, once
                                        (pip install -e ".[download]"), into TINYAE_DATA/mnist
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.cases.nets import NETS
from benchmarks.gpu import gpu_check
from benchmarks.gpu.goals import BATCHES, CHECKS, EPOCHS, judge, table
from benchmarks.machine import machine, versions
from benchmarks.reports.rows import load
from tinyae.data.datasets import load_dataset
from tinyae.files import write_atomically
from tinyae.kernels.columns import BackendUnavailable, get_backend

ROOT = Path(__file__).parents[2]
SECONDS = 0.1  # for each case in each pass

NETS_BATCHES = ",".join(map(str, BATCHES))
LARGE = "65536"  # samples: arrays of 200 MB and more
# what `tinyae bench` is asked for
BENCH = {
    "products-4096": ["--only", "dense", "--sizes", "4096", "--backends",
                      "cupy,cupy-3xtf32,cupy-tf32", "--rivals", "cublas,cublas-tf32"],
    # squares cannot be left out: a small one
    **{f"products-{net}": ["--only", "dense", "--sizes", "128", "--nets", net, "--batches",
                           NETS_BATCHES, "--backends", "cupy,cupy-3xtf32", "--rivals",
                           "torch-eager-gpu"] for net in ("deep", "small")},
    **{f"steps-{net}": ["--only", "step", "--nets", net, "--batches", NETS_BATCHES, "--backends",
                        "cupy,cupy-3xtf32", "--rivals", "torch-compile-gpu,torch-cuda-graphs"]
       for net in ("deep", "small")},
    "memory": ["--only", "loss,adam,gather", "--nets", "deep", "--batches", LARGE, "--backends",
               "cupy", "--rivals", "torch-eager-gpu"],
}  # fmt: skip
TUNE = [
    [*shapes, "--matmul", matmul]
    for matmul in ("fp32", "3xtf32")
    for shapes in (
        ["--square", "4096"],
        *(["--hidden", ",".join(map(str, hidden)), "--code", str(code), "--batch-size",
           NETS_BATCHES] for *hidden, code in NETS.values()),
    )
]  # fmt: skip
PARTS = {
    "check": (*CHECKS, "curve"),
    "tune": ("tune",),
    "products": ("products-4096", "products-deep", "products-small"),
    "steps": ("steps-deep", "steps-small", "branches"),
    "memory": ("memory",),
    "mnist": ("mnist-tinyae", "mnist-torch"),
}
ALL = tuple(part for parts in PARTS.values() for part in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    try:
        get_backend(given.backend)
    except BackendUnavailable as error:
        print(f"{error}\nwithout a GPU: --only mnist --backend numba", file=sys.stderr)
        return 1
    out = given.out or default_out(given.backend)
    found = read(out)
    failed = []
    for part in given.only:
        say(f"{part} ...")
        try:
            found["parts"][part] = run_part(part, given)
        except KeyboardInterrupt:
            say(f"interrupted; the parts before {part} are in {out}")
            return 1
        except Exception as error:  # every library has its own
            say(f"{part} did not run: {type(error).__name__}: {error}")
            failed.append(part)
            continue
        found["about"][part] = about()
        write(out, found)
    if given.backend == "cupy":
        goals = judge(found["parts"])
        write(out, found | {"goals": [vars(goal) for goal in goals]})
        print(table(goals))
    else:
        print(courses(found["parts"]))
    print(f"\n{out}" + (f"; did not run: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def courses(parts: dict[str, Any]) -> str:
    """MNIST without a GPU: a try, which no goal is judged from."""
    lines = [f"{run['by']}: squared error {run['squared_error']:.4f} on test after {run['epochs']} "
             f"epochs, {run['seconds']:.1f} s" for run in parts.values()]  # fmt: skip
    return "\n".join([*lines, "no goal is judged: they are a GPU's"])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_parts, default=ALL, metavar="PART,...",
                        help="parts, or single ones of them (default: all)")  # fmt: skip
    parser.add_argument("--backend", default="cupy", metavar="NAME",
                        help="of mnist (default cupy; others say nothing about a GPU)")  # fmt: skip
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="the folder of MNIST's files")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N",
                        help=f"of mnist (default {EPOCHS}, which the goals are about)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S",
                        help=f"for each case of tinyae bench (default {SECONDS})")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="instead of the usual one")
    given = parser.parse_args(arguments)
    if given.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {given.epochs}")
    if given.backend != "cupy" and not {*given.only} <= {*PARTS["mnist"]}:
        parser.error(f"--backend {given.backend} is for --only mnist: the rest needs a GPU")
    return given


def _parts(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS and name not in ALL]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(dict.fromkeys((*PARTS, *ALL)))}, got {text!r}"
        )
    chosen = {part for name in names for part in PARTS.get(name, (name,))}
    return tuple(part for part in ALL if part in chosen)


def default_out(backend: str) -> Path:
    """For a GPU beside the other results; what was but tried out does not go there."""
    if backend != "cupy":
        folder = ROOT / "runs"
        folder.mkdir(exist_ok=True)
        return folder / f"gpu-goals-{backend}.json"
    name = gpu_check.describe_machine()["device"]["name"]
    return gpu_check.RESULTS / f"gpu-goals-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"


def read(path: Path) -> dict[str, Any]:
    """What earlier calls have found; ends the program at another kind of file."""
    if not path.exists():
        return {"what": "gpu-goals", "goals": [], "about": {}, "parts": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("what") != "gpu-goals":
        raise SystemExit(f"{path} holds no goals: name another file with --out")
    return found


def write(path: Path, found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def about() -> dict[str, Any]:
    """Of a part: when, where and with what it was run."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True,
                            capture_output=True, check=False).stdout.strip()  # fmt: skip
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"date": now, "commit": commit, "machine": machine(), "versions": versions()}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_part(part: str, given: argparse.Namespace) -> dict[str, Any]:
    """Its result. Raises what keeps it from running."""
    if part in BENCH:
        return bench(BENCH[part], given.seconds)
    if part == "tests":
        return gpu_check.run_tests()
    if part in gpu_check.TOOLS:
        return gpu_check.run_sanitizer(part)
    if part == "curve":
        return curve()
    if part == "branches":
        return branches()
    if part == "tune":
        return {" ".join(how): tune(how) for how in TUNE}
    from benchmarks.gpu import mnist_race

    data = load_dataset(given.mnist or "mnist")
    race: Callable[..., dict[str, Any]] = mnist_race.pytorch
    how: tuple[Any, ...] = (given.backend == "cupy",)
    if part == "mnist-tinyae":
        race, how = mnist_race.tinyae, (given.backend, "fp32")
    return race(data, *how, given.epochs, lambda line: say(f"  {line}"))


def bench(arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    """results.json of `tinyae bench`, whose table goes to the standard error."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinyae", "bench", *arguments,
                   "--seconds", str(seconds), "--out", folder]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        if done.returncode:
            raise RuntimeError(f"tinyae bench ended with {done.returncode}")
        typed = " ".join(["tinyae bench", *arguments, "--seconds", str(seconds)])
        return load(Path(folder) / "results.json") | {"command": typed}


def tune(arguments: Sequence[str]) -> list[str]:
    """The lines of what `tinyae tune` prints."""
    command = [sys.executable, "-m", "tinyae", "tune", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    say(done.stdout)
    if done.returncode:
        raise RuntimeError(f"tinyae tune ended with {done.returncode}")
    return done.stdout.splitlines()


def branches() -> dict[str, Any]:
    import cupy

    from benchmarks.gpu import branch_gain
    from tinyae.kernels.cuda.device import DeviceRunner

    return {"rows": branch_gain.measure(DeviceRunner, cupy.cuda, NETS, BATCHES, say)}


def curve() -> dict[str, Any]:
    """By contestant: float32's own products, and 3xTF32 where there are tensor cores."""
    from benchmarks.gpu import training_check

    found = {"cupy": training_check.check("cupy")}
    try:
        found["cupy-3xtf32"] = training_check.check("cupy", "3xtf32")
    except BackendUnavailable as error:
        say(f"  {error}")
    return found


if __name__ == "__main__":
    sys.exit(main())
