"""What a GPU should reach, and whether it did: judged from what ``gpu_goals.py`` has measured.

A goal is met, missed, or was not measured: for that it takes all that it is held against, of the
same run. What was measured to be wrong has missed its goal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.reports.rows import Results, Row, geometric_mean, significant, time_text

Parts = dict[str, Any]  # by name, as in gpu_goals.PARTS; what was not run is absent

PRODUCTS = ("dense_forward", "dense_backward_input", "dense_backward_weights")
BATCHES = (128, 1024, 8192)
STEP_SECONDS = {"deep": 80e-6, "small": 30e-6}  # at B = 128
GRAPHS = "torch-cuda-graphs"
CHECKS = ("tests", "memcheck", "racecheck", "initcheck", "synccheck")
EPOCHS = 200


@dataclass(frozen=True)
class Goal:
    criterion: str
    what: str
    wanted: str
    measured: str = "not measured"
    met: bool | None = None  # None: not measured


class Missing(Exception):
    """What keeps a goal from being judged."""


class Wrong(Exception):
    """A result that failed its check: it has no time."""


def judge(parts: Parts) -> list[Goal]:
    """All goals, in the order of their criteria."""
    return [*_products(parts), *_steps(parts), *_memory(parts), *_mnist(parts), *_clean(parts)]


def _goal(criterion: str, what: str, wanted: str, measure: Callable[[], tuple[str, bool]]) -> Goal:
    try:
        return Goal(criterion, what, wanted, *measure())
    except Missing as missing:
        return Goal(criterion, what, wanted, f"not measured: {missing}")
    except Wrong as wrong:
        return Goal(criterion, what, wanted, str(wrong), met=False)


def _row(parts: Parts, part: str, contestant: str, **about: Any) -> Row:
    """The one row with these properties. Raises Missing where there is none, Wrong where it has
    no time."""
    if part not in parts:
        raise Missing(f"{part} was not run")
    results: Results = parts[part]
    found = [row for row in results["rows"] if row["contestant"] == contestant
             and all(row[name] == value for name, value in about.items())]  # fmt: skip
    if not found:
        reason = results["contestants"].get(contestant, {}).get("reason", "")
        raise Missing(f"no {contestant} ({reason})" if reason else f"no {contestant}")
    if found[0]["error"]:
        raise Wrong(f"{contestant}: {found[0]['error']}")
    return found[0]


def _percent(value: float) -> str:
    return f"{significant(100 * value)} %"


def _worst(named: Sequence[tuple[float, str]], text: Callable[[float], str]) -> str:
    """The least of them, and which one it is."""
    value, name = min(named)
    return f"{text(value)} ({name})"


# ---- 1, 2: products


def _products(parts: Parts) -> list[Goal]:
    def square(contestant: str, op: str) -> Row:
        return _row(parts, "products-4096", contestant, op=op, size=4096)

    def speeds(contestant: str) -> list[tuple[float, str]]:
        """cublasSgemm's time over its, for each of the three products."""
        return [(square("cublas", op)["median"] / square(contestant, op)["median"], op)
                for op in PRODUCTS]  # fmt: skip

    def fp32() -> tuple[str, bool]:
        found = speeds("cupy")
        return _worst(found, _percent), min(found)[0] >= 0.95

    def tensor_cores() -> tuple[str, bool]:
        found = speeds("cupy-3xtf32")
        return _worst(found, significant), min(found)[0] >= 2

    def error() -> tuple[str, bool]:
        ratios = [(square("cupy-3xtf32", op)["rms_error"] / square("cublas", op)["rms_error"], op)
                  for op in PRODUCTS]  # fmt: skip
        value, op = max(ratios)
        return f"{significant(value)} ({op})", value <= 2

    return [
        _goal("1", "fp32 products at 4096^3", ">= 95 % of cublasSgemm, the worst of three", fp32),
        *(_goal("1", f"the nets' products, B = {batch}",
                ">= 100 % of cuBLAS and kernels (geom. mean)",
                lambda batch=batch: _of_nets(parts, batch)) for batch in BATCHES),
        _goal("2", "3xTF32 products at 4096^3", ">= 2 times cublasSgemm, the worst of three",
              tensor_cores),
        _goal("2", "3xTF32's error against float64", "<= 2 times cublasSgemm's, the worst", error),
    ]  # fmt: skip


def _of_nets(parts: Parts, batch: int) -> tuple[str, bool]:
    """Beside torch-eager-gpu, whose cuBLAS and other kernels are replayed from a graph too."""
    ratios = []
    for net in STEP_SECONDS:
        part = f"products-{net}"
        rows = parts.get(part, {"rows": []})["rows"]
        cases = {(row["op"], row["case"]) for row in rows
                 if (row["net"], row["batch"]) == (net, batch)}  # fmt: skip
        if not cases:
            raise Missing(f"{part} has no B = {batch}" if part in parts else f"{part} was not run")
        for op, case in sorted(cases):
            own, rival = (_row(parts, part, name, op=op, case=case, net=net)
                          for name in ("cupy", "torch-eager-gpu"))  # fmt: skip
            ratios.append(rival["median"] / own["median"])
    mean = geometric_mean(ratios)
    return f"{_percent(mean)} ({_percent(min(ratios))} to {_percent(max(ratios))})", mean >= 1


# ---- 3: steps


def _steps(parts: Parts) -> list[Goal]:
    def step(contestant: str, net: str, batch: int) -> float:
        row = _row(parts, f"steps-{net}", contestant, op="step", net=net, batch=batch)
        return float(row["median"])

    def time(net: str) -> tuple[str, bool]:
        seconds = step("cupy", net, 128)
        text = time_text(seconds)
        with suppress(Missing, Wrong):  # not judged
            text += f" (3xTF32 {time_text(step('cupy-3xtf32', net, 128))})"
        return text, seconds <= STEP_SECONDS[net]

    def beside(net: str, batch: int) -> tuple[str, bool]:
        rivals = [(step(GRAPHS, net, batch), GRAPHS)]
        with suppress(Missing, Wrong):  # where it is faster without graphs, that is to be beaten
            rivals.append((step("torch-compile-gpu", net, batch), "torch-compile-gpu"))
        best, name = min(rivals)
        ratio = best / step("cupy", net, batch)
        return f"{significant(ratio)} (beside {name})", ratio >= 1.3

    goals = [_goal("3", f"a step, {net} net, B = 128", f"<= {time_text(seconds)}",
                   lambda net=net: time(net)) for net, seconds in STEP_SECONDS.items()]  # fmt: skip
    return goals + [
        _goal("3", f"a step, {net} net, B = {batch}",
              ">= 1.3 times PyTorch, compiled, CUDA graphs",
              lambda net=net, batch=batch: beside(net, batch))
        for net in STEP_SECONDS for batch in BATCHES
    ]  # fmt: skip


# ---- 4: what only moves data


def _memory(parts: Parts) -> list[Goal]:
    def share(op: str) -> tuple[str, bool]:
        _row(parts, "memory", "cupy", op=op)
        results = parts["memory"]
        if "gpu" not in results["ceilings"]:
            raise Missing("no copy was measured")
        rows = [row for row in results["rows"] if (row["contestant"], row["op"]) == ("cupy", op)]
        if wrong := next((row["error"] for row in rows if row["error"]), ""):
            raise Wrong(wrong)
        shares = [(row["gbs"] / results["ceilings"]["gpu"]["gbs"], row["case"]) for row in rows]
        return _worst(shares, _percent), min(shares)[0] >= 0.9

    return [_goal("4", f"{op}, beyond L2", ">= 90 % of the largest copy, the worst case",
                  lambda op=op: share(op)) for op in ("loss", "adam", "gather")]  # fmt: skip


# ---- 5: MNIST


def _mnist(parts: Parts) -> list[Goal]:
    def runs() -> list[tuple[str, dict[str, Any]]]:
        names = ("mnist-tinyae", "mnist-torch")
        for name in names:
            if name not in parts:
                raise Missing(f"{name} was not run")
            if parts[name]["epochs"] != EPOCHS:
                raise Missing(f"{parts[name]['epochs']} epochs of {name}")
        return [(name, parts[name]) for name in names]

    def beside(values: Iterable[str]) -> str:
        return ", PyTorch ".join(values)

    def seconds() -> tuple[str, bool]:
        when = [run["seconds_to_target"] for _, run in runs()]
        texts = ["never" if at is None else f"{significant(at)} s" for at in when]
        return beside(texts), when[0] is not None

    def error() -> tuple[str, bool]:
        return beside(significant(run["squared_error"], 4) for _, run in runs()), True

    return [
        _goal("5", "MNIST, deep net: to a test squared error of 3.5", "seconds, beside PyTorch's",
              seconds),
        _goal("5", f"MNIST, deep net: after {EPOCHS} epochs", "squared error, beside PyTorch's",
              error),
    ]  # fmt: skip


# ---- 6: right at all


def _clean(parts: Parts) -> list[Goal]:
    def clean(name: str) -> tuple[str, bool]:
        if name not in parts:
            raise Missing(f"{name} was not run")
        result = parts[name]
        if "missing" in result:
            raise Missing(result["missing"])
        return "clean" if result["clean"] else "NOT CLEAN", bool(result["clean"])

    def curve() -> tuple[str, bool]:
        if "curve" not in parts:
            raise Missing("curve was not run")
        result = parts["curve"]["cupy"]
        offs = [value for name, value in result.items() if name.startswith("off_eps")]
        return f"{significant(max(offs))} eps", max(offs) <= result["allowed_eps"]

    def bits() -> tuple[str, bool]:
        if "curve" not in parts:
            raise Missing("curve was not run")
        same = [result["same_bits"] for result in parts["curve"].values()]
        return ("equal" if all(same) else "they differ"), all(same)

    allowed = parts.get("curve", {}).get("cupy", {}).get("allowed_eps")
    wanted = f"<= {allowed} eps of NumPy's" if allowed else "as NumPy's, within the tests' bound"
    return [
        *(_goal("6", name, "clean", lambda name=name: clean(name)) for name in CHECKS),
        _goal("6", "the loss curve", wanted, curve),
        _goal("6", "two runs of the same seed", "the same bits", bits),
    ]


def table(goals: Sequence[Goal]) -> str:
    """criterion | wanted | measured | met"""
    verdict = {True: "met", False: "MISSED", None: "-"}
    head = ("", "what", "wanted", "measured", "")
    lines = [head, *((g.criterion, g.what, g.wanted, g.measured, verdict[g.met]) for g in goals)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    text.insert(1, "-" * max(map(len, text)))
    counts = [sum(goal.met is met for goal in goals) for met in (True, False, None)]
    return "\n".join([*text, "", "{} met, {} missed, {} not measured".format(*counts)])
