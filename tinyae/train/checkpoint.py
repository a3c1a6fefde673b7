"""Checkpoints: everything a resumed run needs to end with the very same bytes, on as many threads.

Random numbers are functions of (seed, stream, step), so the position in the training is their
whole state; the schedule is a function of it as well. A version of tinyae whose kernels round
otherwise goes on with an earlier one's checkpoint too, to weights that differ in their last digits.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checks import integer, number
from ..data.rows import Rows
from ..storage.files import FileError, expect_replaceable, write_npz
from ..storage.kinds import tinyae_kind
from ..storage.locks import held
from ..storage.untrusted import brief, errors_of, open_npz
from .training import State, Training

FORMAT, VERSION = "tinyae-checkpoint", 1
MOST = 2**64 - 1  # of any number that is counted, or a seed


@contextmanager
def writing(path: str | os.PathLike[str] | None, resume: bool) -> Iterator[None]:
    """For the block the checkpoint is its training's alone; None is no checkpoint.

    Raises BlockingIOError where another training writes it, in this process or another, and what
    ``expect_replaceable`` does, before anything is trained.
    """
    if path is None:
        yield
        return
    expect_replaceable(Path(path), None if resume else tinyae_kind(FORMAT))  # it is read then
    with held(path):
        yield


def save_checkpoint(
    path: str | os.PathLike[str], training: Training, config: Mapping[str, Any],
    threads: int | None = None,
) -> None:  # fmt: skip
    """Writes weights, moments, counters and history atomically; ``threads`` as information."""
    state, parameters = training.state, training.network.parameters
    arrays = {f"parameter/{name}": value for name, value in parameters.to_host().items()}
    arrays |= {f"moment/{name}": value for name, value in training.optimizer.state().items()}
    for term in training.work.objective.terms:
        arrays |= {f"term/{k}": parameters.backend.to_host(v) for k, v in term.state().items()}
    arrays["totals"] = parameters.backend.to_host(training.totals)
    if state.best_values is not None:
        arrays["best"] = state.best_values
    meta = {
        "config": dict(config),
        "data": fingerprint(training.rows),
        "validation": _of_validation(training),
        "threads": threads,
        "updates": training.optimizer.updates,
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
        "best_loss": state.best_loss if state.best_values is not None else None,
        "best_epoch": state.best_epoch,
    }
    write_npz(path, FORMAT, VERSION, meta, arrays)


def restore_checkpoint(
    path: str | os.PathLike[str], training: Training, config: Mapping[str, Any],
    threads: int | None = None, tied: str = "", absent: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Puts ``training`` where the checkpoint's was.

    ``tied`` says why ``config`` may not have more epochs than the checkpoint, if so; ``absent`` is
    what it means where it lacks a setting. Warns where
    ``threads`` are not as many as there were. Raises FileError for a broken or foreign file,
    ValueError where the settings or the data are not those of the run that wrote it.
    """
    parameters, optimizer = training.network.parameters, training.optimizer
    with open_npz(path, FORMAT, VERSION) as (meta, read):
        _expect_same(path, meta, training, config, tied, absent or {})
        with errors_of(path, "no complete checkpoint"):
            state = _state(meta, training)
        if threads is not None and meta.get("threads") not in (None, threads):
            warnings.warn(
                f"{path} was written with threads={meta['threads']} and is resumed with "
                f"threads={threads}: the result's bytes may differ from an uninterrupted run's",
                stacklevel=3,
            )
        dtype = parameters.dtype
        expected: dict[str, tuple[tuple[int, ...], str]] = {
            f"parameter/{name}": (shape, dtype) for name, shape in parameters.shapes.items()
        }
        expected |= {f"moment/{name}": ((parameters.size,), dtype) for name in optimizer.moments}
        terms = {k: v for term in training.work.objective.terms for k, v in term.state().items()}
        expected |= {f"term/{name}": (v.shape, v.dtype.name) for name, v in terms.items()}
        expected["totals"] = ((training.steps, 2), "float64")
        if meta["best_loss"] is not None:
            expected["best"] = ((parameters.size,), dtype)
        arrays = read(expected)
    parameters.set({name: arrays[f"parameter/{name}"] for name in parameters.shapes})
    moments = {name: arrays[f"moment/{name}"] for name in optimizer.moments}
    optimizer.restore(meta["updates"], moments)
    parameters.backend.write(arrays["totals"], training.totals)
    for name, value in terms.items():
        parameters.backend.write(arrays[f"term/{name}"], value)
    training.state = replace(state, best_values=arrays.get("best"))


def _state(meta: Mapping[str, Any], training: Training) -> State:
    """Where training stood, without the best weights; raises ValueError or TypeError."""
    epoch, step, best_loss = meta["epoch"], meta["step"], meta["best_loss"]
    for name in ("updates", "epoch", "step", "best_epoch"):
        integer(name, meta[name], 0)
    left = training.settings.epochs - epoch  # an interrupt may come after an epoch's last step
    if left < 0 or step > (training.steps if left else 0) or meta["best_epoch"] > epoch:
        raise ValueError(
            f"epoch {epoch}, step {step}, best_epoch {meta['best_epoch']} do not fit "
            f"{training.settings.epochs} epochs of {training.steps} steps"
        )
    if meta["updates"] != epoch * training.steps + step:
        raise ValueError(
            f"updates must be {epoch * training.steps + step} after epoch {epoch}, step {step} of "
            f"{training.steps}, got {meta['updates']}"
        )
    if best_loss is not None:
        number("best_loss", best_loss)
    if meta.get("threads") is not None:
        integer("threads", meta["threads"], 1, MOST)
    history = history_from(meta["history"])
    if set(map(len, history.values())) != ({epoch} if epoch else set()):
        raise ValueError(f"its history must have {epoch} entries, one for each epoch")
    best_loss = float("inf") if best_loss is None else float(best_loss)
    return State(epoch, step, history, best_loss, meta["best_epoch"])


def history_from(found: Any) -> dict[str, list[float]]:
    """A history from JSON; raises ValueError or TypeError for what is none."""
    for name, values in dict(found).items():
        if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
            raise TypeError(f"history {name!r} must be a list of numbers")
    return {name: [float(v) for v in values] for name, values in found.items()}


def checkpoint_origin(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings of the run that wrote the checkpoint."""
    with open_npz(path, FORMAT, VERSION) as (meta, _), errors_of(path, "no complete checkpoint"):
        config = dict(meta["config"])
        integer("random_state", config["random_state"], 0, MOST)
        if not isinstance(config["backend"], str):
            raise TypeError(f"backend must be a name, got {config['backend']!r}")
        return config


def _expect_same(
    path: str | os.PathLike[str], meta: Mapping[str, Any], training: Training,
    config: Mapping[str, Any], tied: str, absent: Mapping[str, Any],
) -> None:  # fmt: skip
    required = {"config", "data", "updates", "epoch", "step", "history", "best_loss", "best_epoch"}
    if missing := required - set(meta):
        raise FileError(f"{path} is no complete checkpoint: it lacks {', '.join(sorted(missing))}")
    with errors_of(path, "no complete checkpoint"):
        saved = {**absent, **dict(meta["config"])}
        integer("epochs", saved["epochs"], 0)
    if config["epochs"] > saved["epochs"]:
        if tied:
            raise ValueError(
                f"cannot resume from {path} with epochs={config['epochs']} instead of "
                f"{saved['epochs']}: {tied}"
            )
        saved["epochs"] = config["epochs"]
    changed = [
        f"{brief(f'{name}={saved.get(name)!r}')} there, {config.get(name)!r} here"
        for name in sorted({*saved, *config})
        if saved.get(name) != config.get(name)
    ]
    if changed:
        raise ValueError(f"cannot resume from {path} with other settings: {'; '.join(changed)}")
    if meta["data"] != fingerprint(training.rows):
        raise ValueError(
            f"cannot resume from {path} with other data: the run was trained on "
            f"{brief(str(meta['data']))}, these are {fingerprint(training.rows)}"
        )
    judged = _of_validation(training)
    known = "validation" in meta  # older files only show whether there was any
    with errors_of(path, "no complete checkpoint"):
        before = meta["validation"] if known else "val_loss" in dict(meta["history"])
    if before != (judged if known else judged is not None) and (known or meta["epoch"]):
        raise ValueError(f"cannot resume from {path} with other validation data")


def _of_validation(training: Training) -> dict[str, Any] | None:
    return None if training.validation is None else fingerprint(training.validation)


def fingerprint(rows: Rows) -> dict[str, Any]:
    """Size, dtype and a hash of 64 samples spread over the data: tells other data apart."""
    n, n_features = rows.shape
    digest = hashlib.sha256(rows.spread().tobytes()).hexdigest()[:16]
    return {"samples": n, "features": n_features, "dtype": rows.dtype.name, "sample_sha256": digest}
