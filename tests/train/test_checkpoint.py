"""A run that was stopped and resumed ends with the same bytes as one that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, FileError
from tinyae.assemble import TERMS
from tinyae.kernels.backend import Backend
from tinyae.train.progress import Progress
from tinyae.train.schedules import SCHEDULES

X = np.random.default_rng(0).random((50, 6))


def make(**options: Any) -> Autoencoder:
    settings: dict[str, Any] = {
        "hidden": (7,), "code": 2, "epochs": 5, "batch_size": 8, "random_state": 3,
        "learning_rate": 0.01,
    }  # fmt: skip
    return Autoencoder(**{**settings, **options})


def assert_same(a: Autoencoder, b: Autoencoder) -> None:
    """Weights, moments and history, bit for bit; the wall clock apart."""
    assert_same_weights(a, b)
    moments, others = a._optimizer.state(), b._optimizer.state()
    assert list(moments) == list(others)
    for name, moment in moments.items():
        np.testing.assert_array_equal(moment, others[name], err_msg=name)
    assert a._optimizer.updates == b._optimizer.updates
    assert a.n_iter_ == b.n_iter_
    for history in (a.history_, b.history_):
        assert len(history["seconds"]) == a.n_iter_
    clockless = [{k: v for k, v in m.history_.items() if k != "seconds"} for m in (a, b)]
    assert clockless[0] == clockless[1]


PICTURES = {"code_noise": (0.1, 0.02), "target_blur": 3.0, "image_shape": (2, 3)}


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("options", [{"schedule": "one-cycle"}, {"schedule": "step"}, PICTURES])
def test_resume_after_every_epoch(tmp_path: Path, optimizer: str, options: dict[str, Any]) -> None:
    options = {"optimizer": optimizer, "weight_decay": 0.01, "clip_norm": 1.0, **options}
    whole = make(**options).fit(X)
    for epoch in range(1, 6):
        file = tmp_path / f"{epoch}.npz"
        with pytest.raises(Stop):
            make(**options).fit(X, checkpoint=file, callback=stop_at(epoch, 3))
        assert file.exists() == (epoch > 1)  # the last whole epoch, if there was one
        assert_same(make(**options).fit(X, checkpoint=file, resume=True), whole)


@pytest.mark.parametrize("step", [1, 4, 6])  # 6 is the epoch's last: 45 samples by eights
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_interrupt_within_an_epoch(tmp_path: Path, epoch: int, step: int) -> None:
    options = {"validation_fraction": 0.1, "patience": 4, "dtype": "float64"}
    whole = make(**options).fit(X)
    assert whole.n_iter_ == 5
    file = tmp_path / "checkpoint.npz"
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupt = stop_at(epoch, step, lambda: os.kill(os.getpid(), signal.SIGINT))
        make(**options).fit(X, checkpoint=file, callback=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same(make(**options).fit(X, checkpoint=file, resume=True), whole)


def test_patience_and_best_weights_survive(tmp_path: Path) -> None:
    options = {"validation_fraction": 0.3, "patience": 3, "epochs": 60, "learning_rate": 0.2}
    whole = make(**options).fit(X)
    assert whole.n_iter_ < 60
    best = int(np.argmin(whole.history_["val_loss"])) + 1
    assert whole.n_iter_ == best + 3
    file = tmp_path / "checkpoint.npz"
    with pytest.raises(Stop):
        make(**options).fit(X, checkpoint=file, callback=stop_at(best + 2, 2))
    assert_same(make(**options).fit(X, checkpoint=file, resume=True), whole)


def test_resuming_an_ended_run_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    whole = make().fit(X, checkpoint=file)
    assert_same(make().fit(X, checkpoint=file, resume=True), whole)


def test_without_a_seed_the_checkpoint_brings_its_own(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    with pytest.raises(Stop):
        make(random_state=None).fit(X, checkpoint=file, callback=stop_at(3, 2))
    resumed = make(random_state=None).fit(X, checkpoint=file, resume=True)
    assert_same(resumed, make(random_state=resumed.seed_).fit(X))


def test_other_settings_data_or_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    make().fit(X, checkpoint=file)
    with pytest.raises(ValueError, match="other settings: learning_rate=0.01 there, 0.02 here"):
        make(learning_rate=0.02).fit(X, checkpoint=file, resume=True)
    with pytest.raises(ValueError, match="cannot resume from .* with other data"):
        make().fit(X[::-1], checkpoint=file, resume=True)
    with pytest.raises(ValueError, match="with other data"):
        make().fit(X[:-1], checkpoint=file, resume=True)
    model = tmp_path / "model.npz"
    make().fit(X).save(model)
    with pytest.raises(FileError, match=r"no tinyae-checkpoint file: its format is 'tinyae-model'"):
        make().fit(X, checkpoint=model, resume=True)
    whole = file.read_bytes()
    for size in range(0, len(whole), 997):
        file.write_bytes(whole[:size])
        with pytest.raises(FileError, match="broken or truncated"):
            make().fit(X, checkpoint=file, resume=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epoch", 6, "do not fit 5 epochs of 7 steps"),
        ("epoch", -1, "epoch must be an integer >= 0"),
        ("step", 8, "do not fit"),
        ("step", 2.0, "step must be an integer"),
        ("updates", None, "updates must be an integer"),
        ("best_epoch", 4, "do not fit"),
        ("best_loss", "x", "best_loss must be a number"),
        ("best_loss", None, r"unknown \['best'\]"),
        ("history", {}, "its history must have 3 entries"),
        ("history", {"loss": [1, 2]}, "its history must have 3 entries"),
        ("history", {"loss": [1, 2, "x"]}, "'loss' must be a list of numbers"),
        ("config", 1, "no complete checkpoint"),
        ("threads", "3", "threads must be an integer"),
    ],
)
def test_a_checkpoint_that_contradicts_itself(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    file = tmp_path / "checkpoint.npz"
    options = {"validation_fraction": 0.1, "patience": 4, "batch_size": 7}
    with pytest.raises(Stop):
        make(**options).fit(X, checkpoint=file, callback=stop_at(4, 2))
    with np.load(file) as saved:
        arrays = dict(saved)
    meta = json.loads(str(arrays["meta"])) | {name: value}
    np.savez(file, **arrays | {"meta": json.dumps(meta)})
    ae = make(**options)
    with pytest.raises(FileError, match=f"^{file}.*{message}"):
        ae.fit(X, checkpoint=file, resume=True)


def test_a_second_training_of_a_checkpoint_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    file, refused = tmp_path / "checkpoint.npz", []

    def second() -> None:
        for resume in (False, True):
            with pytest.raises(BlockingIOError, match=f"in use by process {os.getpid()} ") as error:
                make().fit(X, checkpoint=file, resume=resume)
            refused.append(error)

    def callback(p: Progress) -> None:
        if (p.epoch, p.step) == (2, 1):
            second()
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    assert_same(make().fit(X, checkpoint=file, callback=callback), make().fit(X))
    assert len(refused) == 4 and list(tmp_path.iterdir()) == [file]
    make().fit(X, checkpoint=file)  # it is free again


FREE: dict[str, Any] = {"schedule": "constant", "warmup": 0.0, "backend": "numpy"}
# by the argument that counts in parts of all epochs
TIED: dict[str, list[dict[str, Any]]] = {
    "schedule": [{"schedule": name} for name in SCHEDULES if name != "constant"],
    "warmup": [{"warmup": 0.3}],
    "code_noise": [{"code_noise": (0.5, 0.1)}],
    **{name: [{name: 3.0, "image_shape": (2, 3)}] for name in TERMS},
}


@pytest.mark.parametrize("stop", [None, (2, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"optimizer": "momentum", "shuffle": False, "weight_decay": 0.1, "clip_norm": 1.0},
        {"code_noise": 0.1}, {"code_noise": (0.2, 0.2), "dtype": "float64"},
        {"validation_fraction": 0.2},
        {"validation_fraction": 0.3, "patience": 2, "learning_rate": 0.3},  # it stops at 4 of 7
        {"validation_fraction": 0.3, "patience": 4},
    ],
)  # fmt: skip
def test_more_epochs_later_are_as_many_at_once(
    tmp_path: Path, options: dict[str, Any], stop: tuple[int, int] | None
) -> None:
    options, file = {**FREE, **options}, tmp_path / "checkpoint.npz"
    whole = make(epochs=7, **options).fit(X)
    with nullcontext() if stop is None else pytest.raises(Stop):
        callback = None if stop is None else stop_at(*stop)
        make(epochs=3, **options).fit(X, checkpoint=file, callback=callback)
    for epochs in (5, 7):
        longer = make(epochs=epochs, **options).fit(X, checkpoint=file, resume=True)
    assert_same(longer, whole)
    if longer.n_iter_ > 5:
        with pytest.raises(ValueError, match="other settings: epochs=7 there, 5 here"):
            make(epochs=5, **options).fit(X, checkpoint=file, resume=True)


def test_more_epochs_on_every_backend(backend: Backend, tmp_path: Path) -> None:
    options, file = {**FREE, "backend": backend.name}, tmp_path / "checkpoint.npz"
    make(epochs=3, **options).fit(X, checkpoint=file)
    longer = make(epochs=6, **options).fit(X, checkpoint=file, resume=True)
    assert_same(longer, make(epochs=6, **options).fit(X))


@pytest.mark.parametrize("name", TIED)
def test_what_counts_in_parts_of_all_epochs_forbids_more(tmp_path: Path, name: str) -> None:
    """And rightly so: as many at once begin otherwise."""
    for options in TIED[name]:
        options, file = {**FREE, **options}, tmp_path / "checkpoint.npz"
        short = make(epochs=3, **options).fit(X, checkpoint=file)
        message = f"epochs=6 instead of 3: {name}=.* count in parts of all epochs; only a run"
        with pytest.raises(ValueError, match=message):
            make(epochs=6, **options).fit(X, checkpoint=file, resume=True)
        assert make(epochs=6, **options).fit(X).history_["loss"][:3] != short.history_["loss"]


def test_threads_are_kept_and_others_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checkpoint.npz"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    whole = make(backend="numpy").fit(X, checkpoint=file)
    make(backend="numpy").fit(X, checkpoint=file, resume=True)  # no warning
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with pytest.warns(UserWarning, match="written with threads=3 and is resumed with threads=1"):
        assert_same(make(backend="numpy").fit(X, checkpoint=file, resume=True), whole)


TRAIN = """
import sys
import numpy as np
from tinyae import Autoencoder

X = np.random.default_rng(1).random((400, 12))
ae = Autoencoder(hidden=(16,), code=3, epochs=60, batch_size=20, random_state=5,
                 validation_fraction=0.1, optimizer="adamw", schedule="one-cycle",
                 backend="numpy")  # trains at once: others take a second to load
print("ready", flush=True)
ae.fit(X, checkpoint=sys.argv[1], resume=True)
ae.save(sys.argv[2])
"""


@pytest.mark.slow
def test_killed_50_times_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL at 50 random moments, many of them while a checkpoint is being written."""

    def start(name: str) -> subprocess.Popen[str]:
        files = [str(tmp_path / f"{name}{suffix}.npz") for suffix in ("", "-model")]
        process = subprocess.Popen(
            [sys.executable, "-c", TRAIN, *files], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.stdout.close()
        return process

    started = time.perf_counter()
    assert start("whole").wait() == 0
    seconds = time.perf_counter() - started
    delays = random.Random(0)
    kills = runs = 0
    while kills < 50:
        runs += 1
        process = start(f"run{runs}")
        while process.poll() is None and kills < 50:
            time.sleep(delays.uniform(0, seconds / 3))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                if process.wait() == 0:  # it ended just before
                    break
                kills += 1
                process = start(f"run{runs}")
        assert process.wait() == 0
    with np.load(tmp_path / "whole-model.npz") as whole:
        for run in range(1, runs + 1):
            with np.load(tmp_path / f"run{run}-model.npz") as model:
                for name in set(whole.files) - {"meta"}:
                    assert whole[name].tobytes() == model[name].tobytes(), (run, name)
    assert runs >= 2 and not list(tmp_path.glob(".*"))  # nothing that a kill left


def test_other_validation_data_are_refused(tmp_path: Path) -> None:
    """With the file as it was: what it began with still goes on."""
    longer: dict[str, Any] = {"schedule": "constant", "warmup": 0.0, "epochs": 4}
    sets = [None, X[:8], X[8:16]]
    for i, before in enumerate(sets):
        file = tmp_path / f"{i}.npz"
        make(**{**longer, "epochs": 2}).fit(X, validation=before, checkpoint=file)
        for j, now in enumerate(sets):
            if i != j:
                with pytest.raises(ValueError, match="with other validation data"):
                    make(**longer).fit(X, validation=now, checkpoint=file, resume=True)
        ae = make(**longer).fit(X, validation=before, checkpoint=file, resume=True)
        assert {len(values) for values in ae.history_.values()} == {4}
