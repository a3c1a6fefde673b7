"""SparseAutoencoder: its training step by step by hand, its codes everywhere the same."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.test_numpy_file import module
from tests.reference import sigmoid
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, SparseAutoencoder, gradcheck
from tinyae.cli.main import main
from tinyae.data.rows import as_rows
from tinyae.families.revival import Revival
from tinyae.kernels.backend import Backend
from tinyae.kernels.cuda_host.host import find_compiler
from tinyae.learn.page import page
from tinyae.learn.tracing import trace

RNG = np.random.default_rng(0)
X = RNG.random((60, 6)) * (RNG.random((60, 6)) < 0.6)
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
L1 = {"sparsity": "l1", "code_activation": "relu", "weight": 0.05}
KL = {"sparsity": "kl", "code_activation": "sigmoid", "weight": 0.3, "rho": 0.1}
NUMBERS = {"loss": "mse", "output": "identity", "scale": None}


def make(**options: Any) -> SparseAutoencoder:
    settings: dict[str, Any] = {"code": 9, "epochs": 3, "batch_size": 16, "random_state": 1,
                                "dtype": "float64"}  # fmt: skip
    if "sparsity" not in options:
        settings["k"] = 3
    return SparseAutoencoder(**{**settings, **options})


# ---- training


@pytest.mark.parametrize("data", (X, HOLED), ids=("whole", "holed"))
@pytest.mark.parametrize("deep", ({}, {"hidden": (5,), "activation": "tanh"}), ids=("flat", "deep"))
@pytest.mark.parametrize(
    "options",
    ({}, {"code_activation": "gelu", **NUMBERS}, L1, {"sparsity": "l1"}, KL, {**KL, **NUMBERS}),
    ids=("top-k", "gelu", "l1-relu", "l1", "kl", "kl-mse"),
)
def test_the_gradient(options: dict[str, Any], deep: dict[str, Any], data: Any) -> None:
    """Of the whole loss; what the dead units learn is none of it, and comes with an epoch's end."""
    model = make(**options, **deep, missing="allow").fit(data)
    check = gradcheck(model, data[:9])
    assert check.max_error <= 1e-7
    assert check.straddled <= 20


class ByHand:
    """x -> z -> output, one layer each, and plain descent."""

    def __init__(self, model: SparseAutoencoder, rate: float) -> None:
        self.p, self.rate, self.revived = model.parameters(), rate, 0

    def step(
        self, x: np.ndarray, loss: str, kind: str, k: int = 3,
        dead: np.ndarray | None = None, revive: float = 0.0,
    ) -> float:  # fmt: skip
        p, n = self.p, len(x)
        w, b = p["encoder.0.weight"], p["encoder.0.bias"]
        u, c = p["decoder.0.weight"], p["decoder.0.bias"]
        a = x @ w + b
        z, extra, d_extra = a, 0.0, np.zeros_like(a)
        slope = np.ones_like(a)
        if kind == "top-k":
            slope = np.zeros_like(a)
            for row, mask in zip(a, slope, strict=True):
                mask[np.argsort(-row, kind="stable")[:k]] = 1
            z = a * slope
        elif kind == "l1":
            z, slope = np.maximum(a, 0), (a > 0).astype(float)
            extra, d_extra = 0.05 * z.sum(), 0.05 / n * (a > 0)
        else:
            z = sigmoid(a)
            slope, m = z * (1 - z), z.mean(axis=0)
            extra = 0.3 * n * (0.1 * np.log(0.1 / m) + 0.9 * np.log(0.9 / (1 - m))).sum()
            d_extra = 0.3 / n * (0.9 / (1 - m) - 0.1 / m) * slope
        out = z @ u + c
        if loss == "bce":
            value, d_out = (np.logaddexp(0, out) - x * out).sum(), (sigmoid(out) - x) / n
            e = 4 * (x - sigmoid(out))
        else:
            value, d_out = ((out - x) ** 2).sum(), 2 * (out - x) / n
            e = x - out
        d_a = d_out @ u.T * slope + d_extra
        d_u = z.T @ d_out
        if dead is not None and dead.any():
            mask = np.zeros_like(a)
            for row, out_row in zip(np.where(dead, a, -np.inf), mask, strict=True):
                most = min(3, dead.sum())  # half of 6 features
                out_row[np.argsort(-row, kind="stable")[:most]] = 1
            aux = a * mask
            self.revived += int(mask.sum())
            d_e = 2 * revive * (aux @ u - e) / n
            d_u = d_u + aux.T @ d_e
            d_a = d_a + d_e @ u.T * mask
        w -= self.rate * x.T @ d_a
        b -= self.rate * d_a.sum(axis=0)
        u -= self.rate * d_u
        c -= self.rate * d_out.sum(axis=0)
        return float(value + extra) / n


@pytest.mark.parametrize("loss", ({"loss": "bce"}, NUMBERS), ids=("bce", "mse"))
@pytest.mark.parametrize("options", ({}, L1, KL), ids=("top-k", "l1", "kl"))
def test_ten_updates_by_hand(
    backend: Backend, options: dict[str, Any], loss: dict[str, Any]
) -> None:
    model = make(**options, **loss, backend=backend.name, optimizer="sgd", learning_rate=0.1)
    model.initialize(6).partial_fit(X[:20])  # settles the output; its weights are where both begin
    hand = ByHand(model, 0.1)
    for i in range(10):
        batch = X[5 * i : 5 * i + 10]
        value = hand.step(batch, model.loss_name_, model.sparsity)
        model.partial_fit(batch)
        assert model.loss_ == pytest.approx(value, rel=1e-12)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, hand.p[name], rtol=0, atol=1e-10, err_msg=name)


def asleep(**options: Any) -> SparseAutoencoder:
    """With units 0, 4 and 7 so low that no sample uses them."""
    model = make(optimizer="sgd", learning_rate=0.05, schedule="constant", warmup=0.0,
                 shuffle=False, batch_size=15, **options).initialize(6)  # fmt: skip
    values = model.parameters()
    values["encoder.0.bias"][[0, 4, 7]] = -2
    values["encoder.0.bias"][[1, 2]] = 0.5
    return model.set_parameters(values).set_params(warm_start=True)  # type: ignore[return-value]


@pytest.mark.parametrize("loss", ({"loss": "bce"}, NUMBERS), ids=("bce", "mse"))
def test_dead_units_by_hand(backend: Backend, loss: dict[str, Any]) -> None:
    """An epoch finds which are dead, and in the next two these learn what the others leave over."""
    model = asleep(**loss, backend=backend.name, revive=0.5)
    hand = ByHand(model, 0.05)
    model.fit(X)
    dead, losses = np.zeros(9, bool), []
    for _ in range(3):
        used, losses_ = np.zeros(9, bool), []
        for start in range(0, 60, 15):
            x = X[start : start + 15]
            a = x @ hand.p["encoder.0.weight"] + hand.p["encoder.0.bias"]
            used[np.argsort(-a, axis=1, kind="stable")[:, :3]] = True
            losses_.append(hand.step(x, model.loss_name_, "top-k", 3, dead, 0.5))
        dead = ~used
        losses.append((float(dead.sum()), float(np.mean(losses_))))
    assert losses[0][0] >= 3 and hand.revived > 50  # otherwise nothing is tested
    assert model.history_["dead_units"] == [count for count, _ in losses]
    np.testing.assert_allclose(model.history_["loss"], [loss for _, loss in losses], rtol=1e-12)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, hand.p[name], rtol=0, atol=1e-10, err_msg=name)


def test_dead_units_revive() -> None:
    """Of samples that are sums of three out of 24 directions."""
    rng = np.random.default_rng(3)
    atoms, weights = rng.standard_normal((24, 16)), 1 + rng.random((400, 24))
    weights[np.argsort(rng.random((400, 24)), axis=1) >= 3] = 0
    data = weights @ (atoms / np.linalg.norm(atoms, axis=1, keepdims=True))
    options = {"code": 48, "epochs": 40, "learning_rate": 0.02, "warmup": 0.0, **NUMBERS}
    dead, alive = (
        make(**options, revive=weight, backend="numpy").fit(data) for weight in (0.0, 1 / 32)
    )
    assert dead.history_["dead_units"][-1] >= max(5, 3 * alive.history_["dead_units"][-1])


@pytest.mark.parametrize(
    "options",
    ({}, {"code": 60, "code_activation": "silu", "revive": 0.5}, L1, KL),
    ids=("top-k", "more dead than learn", "l1", "kl"),
)
@pytest.mark.parametrize("dtype", ("float64", "float32"))
def test_all_backends_train_alike(backend: Backend, dtype: str, options: dict[str, Any]) -> None:
    """12 updates, replayed where a backend replays steps. An update moves a weight by at most
    0.01, of which rounding changes 1e4 eps, as in test_missing.py. No unit is so near to the k-th
    greatest that rounding chooses between them, or it would be off by far more than that."""
    options = {**options, "dtype": dtype, "learning_rate": 0.01, "validation_fraction": 0.2}
    ours, plain = (make(**options, backend=name).fit(X) for name in (backend.name, "numpy"))
    assert "code" not in options or plain.history_["dead_units"][0] > 3  # half of 6 features learn
    slack = 1e4 * float(np.finfo(dtype).eps)
    for name, array in ours.parameters().items():
        np.testing.assert_allclose(array, plain.parameters()[name], rtol=0, atol=12 * slack * 0.01)
    assert {*ours.history_} == {*plain.history_}
    for name in ("loss", "val_loss", *(["dead_units"] if "dead_units" in ours.history_ else [])):
        np.testing.assert_allclose(ours.history_[name], plain.history_[name], rtol=slack)


@pytest.mark.parametrize("options", ({}, KL), ids=("top-k", "kl"))
@pytest.mark.parametrize("epoch", (1, 2, 3))
def test_a_resumed_run_ends_with_the_same_bytes(
    tmp_path: Path, epoch: int, options: dict[str, Any]
) -> None:
    """Also from within an epoch, where dead units are counted and others learn."""

    def model() -> SparseAutoencoder:
        revival = {} if "sparsity" in options else {"revive": 1.0}
        return make(code=40, validation_fraction=0.2, patience=3, **revival, **options)

    file = tmp_path / "checkpoint.npz"
    whole = model().fit(X)
    assert "dead_units" not in whole.history_ or whole.history_["dead_units"][0] > 0
    for step in (1, 2):
        with pytest.raises(Stop):
            model().fit(X, checkpoint=file, callback=stop_at(epoch, step))
        again = model().fit(X, checkpoint=file, resume=True)
        assert_same_weights(whole, again)
        for name in {*whole.history_} - {"seconds"}:
            assert again.history_[name] == whole.history_[name]
        file.unlink(missing_ok=True)


# ---- codes, files, the ecosystem


def test_k_units_are_at_work() -> None:
    model = make().fit(X)
    z = model.encode(X)
    assert z.shape == (60, 9) and (np.count_nonzero(z, axis=1) == 3).all()
    a = X @ model.parameters()["encoder.0.weight"] + model.parameters()["encoder.0.bias"]
    kept = np.argsort(-a, axis=1, kind="stable")[:, :3]
    np.testing.assert_allclose(
        np.take_along_axis(z, kept, 1), np.take_along_axis(a, kept, 1), rtol=1e-12
    )
    np.testing.assert_allclose(model.usage(X), (z != 0).mean(axis=0))
    assert make(code=35, k=None).fit(X)._numbers == 4  # a tenth, rounded up
    np.testing.assert_allclose(model.encode(X[:5]), z[:5], rtol=1e-12)  # few: NumPy does it


def test_the_dictionary() -> None:
    """What a unit adds to a reconstruction, on the scale of the data."""
    model = make(**{**NUMBERS, "scale": "standard"}).fit(X)
    rows = model.dictionary()
    difference = model.decode(np.eye(9)) - model.decode(np.zeros((1, 9)))
    np.testing.assert_allclose(rows, difference, atol=1e-12)
    with pytest.raises(ValueError, match="decoder without hidden layers, and this one has 1"):
        make(hidden=(4,)).fit(X).dictionary()
    shown = model._units_shown(as_rows(X))
    assert shown is not None and np.abs(shown).max() == 1
    first = np.argmax(model.usage(X))
    np.testing.assert_allclose(shown[0], rows[first] / np.abs(rows[first]).max())


def test_the_start() -> None:
    model = make().initialize(6)
    w, u = (model.parameters()[f"{part}.0.weight"] for part in ("encoder", "decoder"))
    np.testing.assert_array_equal(u, w.T)
    bce = make(loss="bce").initialize(6).parameters()
    np.testing.assert_array_equal(bce["decoder.0.weight"], 4 * bce["encoder.0.weight"].T)
    fitted = make(**NUMBERS, epochs=0).fit(X)
    rebuilt = fitted.decode(np.zeros((1, 9)))
    np.testing.assert_allclose(rebuilt[0], X.mean(axis=0), rtol=1e-12)
    a = X @ w + fitted.parameters()["encoder.0.bias"]
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((w**2).sum(axis=0), 1, rtol=1e-12)
    pca = make(initializer="pca", code=4, k=4, epochs=0, **NUMBERS).fit(X)
    plain = Autoencoder(hidden=(), code=4, initializer="pca", epochs=0, dtype="float64",
                        **NUMBERS).fit(X)  # fmt: skip
    np.testing.assert_allclose(pca.reconstruct(X), plain.reconstruct(X), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    ({}, {"loss": "bce"}, {"hidden": (5,)}, L1, KL),
    ids=("top-k", "bce", "deep", "l1", "kl"),
)
def test_unit_norm(backend: Backend, options: dict[str, Any]) -> None:
    """From the start, and after each update; by hand: a plain update, and then the lengths."""
    start = make(**options, unit_norm=True, epochs=0, backend=backend.name).fit(X)
    rows = start.parameters()["decoder.0.weight"]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-12)
    settings = {**options, "optimizer": "sgd", "learning_rate": 0.1, "backend": backend.name}
    unit, plain = (make(**settings, unit_norm=on).initialize(6) for on in (True, False))
    unit.partial_fit(X[:20])
    for i in range(4):
        plain.set_params(output=unit.output_).partial_fit(X[:20])
        plain.set_parameters(unit.parameters())
        batch = X[10 * i : 10 * i + 20]
        unit.partial_fit(batch)
        plain.partial_fit(batch)
        expected = plain.parameters()
        rows = expected["decoder.0.weight"]
        assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() > 1e-6  # something was to be done
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for name, array in unit.parameters().items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-14, err_msg=name)
    fitted = make(**options, unit_norm=True, backend=backend.name).fit(X)
    rows = fitted.parameters()["decoder.0.weight"]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-12)


def test_the_output_that_auto_is() -> None:
    """Of data in [0, 1]: a sigmoid leaves most units of a wide code dead."""
    outputs = [make(**options).fit(X) for options in ({}, {"loss": "bce"}, L1)]
    assert [(m.output_, m.loss_name_) for m in outputs] == [
        ("identity", "mse"), ("sigmoid", "bce"), ("sigmoid", "bce"),
    ]  # fmt: skip
    assert outputs[0].get_params()["output"] == "auto"


def test_penalties_do_what_they_are_for() -> None:
    options = {"epochs": 200, "learning_rate": 0.01, **NUMBERS}
    weak, strong = (
        make(**{**L1, **options, "weight": weight}).fit(X).usage(X).sum() for weight in (0.0, 0.5)
    )
    assert strong < weak / 2
    rate = make(**{**KL, **options, "weight": 30.0}).fit(X).usage(X)
    np.testing.assert_allclose(rate, 0.1, atol=0.02)


def test_exports_have_the_same_codes(tmp_path: Path) -> None:
    """Also where units are equal, of which the first are kept: twice the same weights."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make(scale="standard", dtype="float32", code_activation="relu").fit(X)
    values = model.parameters()
    values["encoder.0.weight"][:, 5] = values["encoder.0.weight"][:, 2]
    values["encoder.0.bias"][5] = values["encoder.0.bias"][2]
    model.set_parameters(values)
    z, x = X.astype(np.float32), X.astype(np.float32)
    z = model.encode(x)
    assert ((z[:, 2] > 0) & (z[:, 5] == 0)).any() and (z[:, 5] > 0).any()
    model.export(tmp_path / "net.py")
    net = module(tmp_path / "net.py")
    np.testing.assert_allclose(net.encode(x), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.encode(x[0]), z[0], rtol=1e-5, atol=1e-6)
    model.export(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    code, rebuilt = session.run(None, {"x": x})
    np.testing.assert_allclose(code, z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rebuilt, model.reconstruct(x), rtol=1e-4, atol=1e-5)
    model.export(tmp_path / "net.h")
    np.testing.assert_allclose(in_c(tmp_path, x, 9), z, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no place for a selection of the k greatest"):
        model.export(tmp_path / "net.safetensors")
    model.export(tmp_path / "decoder.safetensors", part="decoder")
    make(**L1).fit(X).export(tmp_path / "l1.safetensors")


def in_c(folder: Path, x: np.ndarray, code: int) -> np.ndarray:
    """The codes by the header ``net.h``."""
    (folder / "net.c").write_text(
        '#include "net.h"\nvoid encode(const float *x, float *z, int n) {\n'
        "    static char scratch[NET_SCRATCH];\n    for (int i = 0; i < n; i++)\n"
        "        net_encode(x + i * NET_FEATURES, z + i * NET_CODE, (float *)scratch);\n}\n"
    )
    library = folder / "net.so"
    flags = ("-std=c99", "-x", "c", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")
    subprocess.run([find_compiler(), *flags, folder / "net.c", "-lm", "-o", library], check=True)
    z = np.empty((len(x), code), np.float32)
    pointers = (ctypes.c_void_p(np.ascontiguousarray(a).ctypes.data) for a in (x, z))
    ctypes.CDLL(str(library)).encode(*pointers, len(x))
    return z


def test_what_has_no_room_for_a_selection() -> None:
    model = make().fit(X)
    with pytest.raises(TypeError, match="dense layers alone, and this one has a layer 'top_k'"):
        trace(model, X[:2])
    assert trace(make(**KL).fit(X), X[:2]).first_wrong is None  # its penalty is left out
    with pytest.raises(ValueError, match="this one keeps the k greatest units"):
        page(model, X)
    assert "layer" in page(make(**L1).fit(X), X)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"k": 10}, ValueError, "k must be at most code=9, got 10"),
        ({"k": 0}, ValueError, "k must be an integer >= 1.*got 0"),
        ({"k": 2.5}, (TypeError, ValueError), "k must be an integer.*got 2.5"),
        ({"sparsity": "l2"}, ValueError, "sparsity must be one of 'top-k', 'l1', 'kl', got 'l2'"),
        ({**KL, "rho": 1.0}, ValueError, "rho must be a number > 0 and < 1, got 1.0"),
        ({**L1, "weight": -1}, ValueError, "weight must be a number >= 0, got -1"),
        ({"revive": "much"}, TypeError, "revive must be a number >= 0, got 'much'"),
        ({"sparsity": "kl"}, ValueError, "use code_activation='sigmoid', got 'identity'"),
        (
            {**L1, "k": 3},
            ValueError,
            "^k is for sparsity='top-k', and with 'l1' must be left out.*3",
        ),
        ({**L1, "rho": 0.1}, ValueError, "^rho is for sparsity='kl', and with 'l1' must be"),
        ({**KL, "revive": 0}, ValueError, "^revive is for sparsity='top-k', and with 'kl' must be"),
        (
            {"weight": 0.1},
            ValueError,
            "^weight is for sparsity='l1' or 'kl', and with 'top-k' must",
        ),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        make(**wrong).fit(X)


def test_partial_fit_revives_nothing() -> None:
    """It has no epochs to tell which units are dead."""
    model = asleep(**NUMBERS, revive=9.0)
    without = asleep(**NUMBERS, revive=0.0)
    for _ in range(3):
        model.partial_fit(X)
        without.partial_fit(X)
    assert_same_weights(model, without)


def test_units_that_all_stay_are_never_dead() -> None:
    model = make(k=9).fit(X)
    assert model.history_["dead_units"] == [0, 0, 0]
    term = model._terms(model._built_params, model._network, 0, 5)[0]
    assert isinstance(term, Revival) and not term.k


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x_train=np.tile(X, (2, 1)), x_test=X[:20])
    argv = "--data data.npz --code 12 --epochs 2 --backend numpy --seed 1 --out run"
    options = "--family sparse --k 2"
    assert main(["train", *argv.split(), *options.split()]) == 0
    out = capsys.readouterr()
    assert "PCA 2" in out.out and "no shorter than a sample" not in out.err
    assert (tmp_path / "run" / "units.png").exists()
    assert "dead_units" in (tmp_path / "run" / "history.csv").read_text()
    assert main(["evaluate", "run"]) == 0
    assert "test: units that are 0 for all samples: " in capsys.readouterr().out
    assert type(Autoencoder.load("run/model.npz")) is SparseAutoencoder
    assert main(["train", *argv.split(), *options.split(), "--k", "13"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    sweep = "sweep --data data.npz --codes 8,12 --epochs 1 --backend numpy --seed 1 --out sweep"
    assert main([*sweep.split(), *options.split()]) == 0
