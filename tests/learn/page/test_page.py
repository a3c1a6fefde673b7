"""``page`` and ``tinyae page`` without a browser: what is in the file, and what is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.learn.nets import SHAPE, balls, small
from tinyae import Autoencoder, FileError, NotFittedError
from tinyae.cli.main import main
from tinyae.export.chain import chain_of, rounded
from tinyae.learn.page import LARGEST_SAMPLE, page

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return small(balls(60))


def content(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return dict(json.loads(found))


def unpacked(text: str, dtype: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), dtype)


def test_what_is_in_it(ae: Autoencoder) -> None:
    X, labels = balls(60), np.repeat(["left", "right"], 30)
    text = page(ae, X, balls(5, seed=1), labels=labels, image_shape=SHAPE)
    data = content(text)
    assert np.array_equal(
        unpacked(data["samples"], np.uint8), np.rint(np.r_[X, balls(5, seed=1)] * 255).ravel()
    )
    assert (data["n_samples"], data["n_held_out"], data["n_all"]) == (60, 5, 60)
    weights = [layer.values.ravel() for layer in chain_of(rounded(ae, "float16")).layers("all")]
    assert np.array_equal(unpacked(data["weights"], np.float16), np.concatenate(weights))
    assert (data["family"], data["in_training"]) == ("", "")
    assert data["label_names"] == ["left", "right"] and data["labels"] == [0] * 30 + [1] * 30
    assert text == page(ae, X, balls(5, seed=1), labels=labels, image_shape=SHAPE)
    assert not re.search("https?://|@import|url[(]|src=|href=", text)


def test_its_policy_allows_its_own_script_and_style_alone(ae: Autoencoder) -> None:
    text = page(ae, balls(60), image_shape=SHAPE)
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    (style,), (script,) = (re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
                           for tag in ("style", "script"))  # fmt: skip
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
              for part in (script, style)]  # fmt: skip
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("bad", ["</script>", "<!--<script>", "]]>", "{{data}}", "&lt;", "\u2028"])
def test_foreign_text_stays_text(ae: Autoencoder, bad: str) -> None:
    X, labels = balls(4), np.array([0, 0, 1, 1])
    text = page(ae, X, labels=labels, label_names=[bad, "x"], columns=[bad], title=bad)
    data = content(text)
    assert data["label_names"][0] == data["columns"][0] == data["title"] == bad
    assert len(re.findall("<script", text)) == 2 and len(re.findall("</script", text)) == 2


def test_the_small_net_of_mnist_takes_at_most_1_5_mb() -> None:
    """Noise is what compresses least."""
    X = np.random.default_rng(0).integers(0, 256, (3000, 784), np.uint8)
    ae = small(X, hidden=(128,), code=32, epochs=0, initializer="random")
    text = page(ae, X, X[:300], labels=np.arange(3000) % 10, image_shape=SHAPE)
    assert len(text) <= 1_500_000 and 300 <= content(text)["n_samples"] < 600


def test_without_labels_and_with_many(ae: Autoencoder) -> None:
    X = balls(60)
    assert content(page(ae, X, image_shape=SHAPE))["labels"] is None
    assert content(page(ae, X, labels=np.arange(60)))["label_names"][-1] == "59"


def test_a_missing_value_stays_missing() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[5, 1] = np.nan
    ae = small(X, missing="allow")
    data = content(page(ae, X))
    x = unpacked(data["samples"], np.float32).reshape(-1, 3)
    assert np.isnan(x[5, 1]) and np.isnan(x).sum() == 1
    assert np.array_equal(unpacked(data["fill"], np.float64), chain_of(ae).fill)


def test_what_it_refuses(ae: Autoencoder) -> None:
    with pytest.raises(ValueError, match="X must have 784 features, as the net, got 3"):
        page(ae, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\), got \(3,\)"):
        page(ae, balls(4), labels=np.zeros(3))
    with pytest.raises(ValueError, match="held_out must have 784 features, as the net, got 3"):
        page(ae, balls(4), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="NaN"):
        page(ae, np.full((4, 784), np.nan))
    for shape in ((28, 27), (28, 14, 2), (784,)):
        with pytest.raises(ValueError, match="image_shape must be .* of 784 numbers, got "):
            page(ae, balls(4), image_shape=shape)
    for labels in ([0, 0, 0, 1], [-1, 0, 0, 0], ["a"] * 4):
        with pytest.raises(ValueError, match="labels must be integers from 0 to 0, as there"):
            page(ae, balls(4), labels=labels, label_names=["a"])
    with pytest.raises(NotFittedError):
        page(Autoencoder(), balls(4))
    wide = np.zeros((2, LARGEST_SAMPLE + 1))
    net = Autoencoder(hidden=(1,), code=1, backend="numpy").initialize(wide.shape[1])
    with pytest.raises(ValueError, match="at most 12,288 numbers, and these have 12,289"):
        page(net, wide)
    huge = {k: v + (1e6 if k == "encoder.0.weight" else 0) for k, v in ae.parameters().items()}
    with pytest.raises(ValueError, match="up to 65,504, but encoder.0.weight"):
        page(small(balls(60), epochs=1).set_parameters(huge), balls(4))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    np.savez(folder / "data.npz", x=balls(40).reshape(40, *SHAPE), y=np.arange(40) % 3)
    train = f"train --data {folder / 'data.npz'} --code 2 --hidden 9 --epochs 1 --backend numpy"
    assert main([*train.split(), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_page_of_a_run_lies_in_it(run: Path, capsys: Output) -> None:
    assert main(["page", str(run)]) == 0
    file = run / "page.html"
    said = capsys.readouterr()
    assert said.out == f"{file}: {file.stat().st_size:,} bytes; open it in a browser\n"
    data = content(file.read_text(encoding="utf-8"))
    assert data["image_shape"] == [*SHAPE] and data["label_names"] == ["0", "1", "2"]
    assert (data["n_samples"], data["n_held_out"]) == (36, 4)
    assert main(["page", str(run)]) == 0  # over its own


def test_a_net_that_is_too_large_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    for module in ("cli.learn.page", "learn.page"):
        monkeypatch.setattr(f"tinyae.{module}.LARGEST_NET", 500)
    assert main(["page", str(run), "--out", str(tmp_path / "p.html")]) == 0
    assert "has 14,148 weights, and a page holds at most 500" in capsys.readouterr().err
    data = content((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert "weights" not in data and data["n_weights"] == 14_148


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    (
        (["RUN", "--out", "page.txt"], 2, "must end in .html or .htm, got page.txt"),
        (["RUN", "--out", "none/page.html"], 2, "there is no folder none"),
        (["RUN", "--out", "mine.html"], 2, "mine.html holds text, not a tinyae export"),
        (["nowhere"], 2, "nowhere is no run folder: it does not exist"),
        (["RUN", "--data", "nothing.npy"], 2, "nothing.npy"),
        ([], 2, "RUN"),
    ),
)
def test_what_the_command_refuses(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output,
    arguments: list[str], code: int, complaint: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("mine.html").write_text("mine", encoding="utf-8")
    assert main(["page", *(str(run) if a == "RUN" else a for a in arguments)]) == code
    err = capsys.readouterr().err
    assert complaint in err and "Traceback" not in err
    assert [f.name for f in tmp_path.iterdir()] == ["mine.html"]
    assert Path("mine.html").read_text(encoding="utf-8") == "mine"


def test_another_net_of_other_features(run: Path, tmp_path: Path, capsys: Output) -> None:
    np.save(tmp_path / "other.npy", np.zeros((9, 5)))
    assert main(["page", str(run), "--data", str(tmp_path / "other.npy")]) == 2
    assert "other.npy has 5 features, and" in (err := capsys.readouterr().err)
    assert "was trained on 784" in err


def test_import_tinyae_imports_nothing_of_it() -> None:
    probe = "import sys, tinyae; tinyae.Autoencoder; print('tinyae.learn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_broken_model_is_an_error_of_one_line(run: Path, tmp_path: Path, capsys: Output) -> None:
    copied = shutil.copytree(run, tmp_path / "run")
    (copied / "model.npz").write_bytes(b"PK")
    assert main(["page", str(copied)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(FileError):
        Autoencoder.load(copied / "model.npz")
