"""The exported module gives the net's own bits."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tinyae import Autoencoder, passes
from tinyae.export.chain import rounded
from tinyae.export.write import export


def module(path: Path) -> ModuleType:
    found = ModuleType(path.stem)
    found.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), found.__dict__)
    return found


def expect_same_bits(net: Any, ae: Autoencoder, X: Any) -> None:
    codes = ae.encode(X)
    for ours, own in (
        (net.encode(X), codes), (net.decode(codes), ae.decode(codes)),
        (net.reconstruct(X), ae.reconstruct(X)),
        (net.score(X).astype(codes.dtype), -ae.score_samples(X)),
    ):  # fmt: skip
        assert ours.dtype == own.dtype
        np.testing.assert_array_equal(ours, own)


@pytest.mark.filterwarnings("ignore:X ranges over")
def test_two_hundred_nets(tmp_path: Path) -> None:
    for ae, X in nets(200, ("float32", "float64")):
        ae.export(tmp_path / "net.py")
        net = module(tmp_path / "net.py")
        expect_same_bits(net, ae, X)
        assert (net.N_FEATURES, net.CODE) == (ae.n_features_in_, ae.code)
        np.testing.assert_allclose(net.encode(X[0]), ae.encode(X[:1])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_many_rows(tmp_path: Path, dtype: str) -> None:
    """As many as a batch has."""
    X = np.random.default_rng(0).random((passes.BATCH, 190)).astype(dtype)
    ae = Autoencoder(hidden=(61,), code=7, dtype=dtype, epochs=0, backend="numpy").fit(X)
    ae.export(tmp_path / "net.py")
    for n in (1, 16, 513, 2000, passes.BATCH):
        expect_same_bits(module(tmp_path / "net.py"), ae, X[:n])


@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize("quantize", ("float16", "int8"))
def test_fewer_bits(tmp_path: Path, quantize: str) -> None:
    """The bits of the net with rounded weights, which are near; a part of the bytes."""
    for ae, X in nets(40, ("float32", "float64")):
        ae.export(tmp_path / "net.py", quantize=quantize)
        near = rounded(ae, quantize)
        expect_same_bits(module(tmp_path / "net.py"), near, X)
        step = 2.0**-11 if quantize == "float16" else 0.5 / 127
        for name, weight in ae.parameters().items():
            error = np.abs(near.parameters()[name] - weight)
            largest = np.abs(weight).max(axis=0) if weight.ndim == 2 else 0
            assert (error <= step * largest * 1.001 + 2.0**-25).all()


@pytest.mark.parametrize("weights", (False, True))
def test_parts(tmp_path: Path, weights: bool) -> None:
    (ae, X), *_ = nets(1, ("float32",))
    file, archive = tmp_path / "net.py", tmp_path / "other.npz"
    names: dict[str, set[str]] = {
        "encoder": {"encode"}, "decoder": {"decode"},
        "all": {"encode", "decode", "reconstruct", "score"},
    }  # fmt: skip
    for part, functions in names.items():
        written = ae.export(file, part=part, weights=archive if weights else None)
        assert written == ([archive, file] if weights else [file])
        net = module(file)
        assert {name for name in names["all"] if hasattr(net, name)} == functions
        if part != "decoder":
            np.testing.assert_array_equal(net.encode(X), ae.encode(X))
        if part != "encoder":
            np.testing.assert_array_equal(net.decode(ae.encode(X)), ae.decode(ae.encode(X)))


def test_large_nets_have_their_weights_beside_them(tmp_path: Path) -> None:
    ae = Autoencoder(hidden=(900,), code=3, epochs=0, dtype="float64", backend="numpy")
    X = np.random.default_rng(0).random((5, 200))
    ae.fit(X)
    file = tmp_path / "net.py"
    assert ae.export(file) == [tmp_path / "net.npz", file]
    assert file.stat().st_size < 4000
    expect_same_bits(module(file), ae, X)


def test_weights_of_another_export_are_refused(tmp_path: Path) -> None:
    """As when an export ends between its two files."""
    X, file, archive = np.eye(5), tmp_path / "net.py", tmp_path / "net.npz"
    ae = Autoencoder(hidden=(), code=2, epochs=0, random_state=0, backend="numpy").fit(X)
    ae.export(file, weights=archive)
    older = file.read_text(encoding="utf-8")
    ae.set_parameters({name: 2 * value + 1 for name, value in ae.parameters().items()})
    ae.export(file, weights=archive)
    expect_same_bits(module(file), ae, X)
    file.write_text(older, encoding="utf-8")
    with pytest.raises(ValueError, match=r"net.npz holds other weights than those of .*net.py"):
        module(file)


def test_a_table_with_categories(tmp_path: Path) -> None:
    """In and out are the columns that the net reads: one for each level, by softmax."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    frame = pandas.DataFrame({"size": rng.normal(3, 2, 60), "kind": rng.choice(["a", "b", "c"], 60),
                              '"; evil': rng.choice(["x", "y"], 60)})  # fmt: skip
    ae = Autoencoder(hidden=(8,), code=2, epochs=3, random_state=0, backend="numpy").fit(frame)
    ae.export(tmp_path / "net.py")
    net = module(tmp_path / "net.py")
    assert len(net.NAMES) == ae.n_features_in_ and "size" in net.NAMES
    codes = ae.encode(frame)
    out = net.decode(codes)
    for start, stop in ae.schema_.groups:
        np.testing.assert_allclose(out[:, start:stop].sum(axis=1), 1, rtol=1e-6)
    assert list(ae.schema_.back(out)["kind"]) == list(ae.decode(codes)["kind"])


def test_names_make_no_code(tmp_path: Path) -> None:
    """Those of features, of the folder and of both files."""
    folder = tmp_path / '"; raise SystemExit #'
    folder.mkdir()
    names = ['"""; raise SystemExit', "a\nraise SystemExit", "\\", "'"]
    ae = Autoencoder(hidden=(), code=2, epochs=0, backend="numpy").fit(np.eye(4))
    file, archive = folder / '"; evil.py', folder / '\n"""; raise SystemExit \'.npz'
    assert export(ae, file, weights=archive, names=names) == [archive, file]
    net = module(file)
    assert list(net.NAMES) == names
    expect_same_bits(net, ae, np.eye(4))


def test_the_module_is_short_and_imports_numpy_alone(tmp_path: Path) -> None:
    for i, (ae, _) in enumerate(nets(9, ("float32",))):
        ae.export(tmp_path / "net.py")
        text = (tmp_path / "net.py").read_text(encoding="utf-8")
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.string.strip() and token.type not in (tokenize.COMMENT, tokenize.STRING):
                lines.add(token.start[0])
        assert len(lines) <= 60
        if i == 0:
            code = "import sys, net; assert 'tinyae' not in sys.modules"
            subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_an_overflow_is_no_good_score(tmp_path: Path) -> None:
    """A missing value counts as no error, a net that overflows does not."""
    X = np.array([[0.5, np.nan], [0.2, 0.3]])
    ae = Autoencoder(hidden=(), code=1, epochs=0, backend="numpy", missing="allow").fit(X)
    ae.export(tmp_path / "net.py")
    with np.errstate(all="ignore"):
        scores = module(tmp_path / "net.py").score([[3e38, np.nan], [np.inf, 1], [0.5, np.nan]])
    assert not (scores[:2] < 1e30).any() and scores[2] < 10


def test_another_width_is_refused(tmp_path: Path) -> None:
    ae = Autoencoder(hidden=(), code=2, epochs=0, backend="numpy").fit(np.eye(3))
    ae.export(tmp_path / "net.py")
    net = module(tmp_path / "net.py")
    for wrong in (np.zeros((2, 4)), 0.0):
        with pytest.raises(ValueError, match="x must have 3 columns, got shape"):
            net.encode(wrong)
        with pytest.raises(ValueError, match="z must have 2 columns, got shape"):
            net.decode(wrong)


def test_nan_stays_nan_where_no_value_may_be_missing(tmp_path: Path) -> None:
    ae = Autoencoder(hidden=(), code=1, epochs=0, backend="numpy").fit(np.eye(3))
    ae.export(tmp_path / "net.py")
    assert np.isnan(module(tmp_path / "net.py").encode([[np.nan, 0, 0]])).all()
