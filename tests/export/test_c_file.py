"""The exported header, compiled: its numbers against float64, its warnings, its memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tinyae import Autoencoder
from tinyae import export as export_room
from tinyae.export.chain import Chain, Layer, chain_of, quantized
from tinyae.kernels.conventions import ACTIVATIONS
from tinyae.kernels.reference.activation import activation_forward
from tinyae.net.losses import softmax

EPS = float(np.finfo(np.float32).eps)
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

# reads samples, writes for each: code, reconstruction, score
MAIN = """
static void run_PREFIX(int n) {
    float x[PRE_FEATURES], z[PRE_CODE], y[PRE_FEATURES], score;
    float *scratch = (float *)malloc(PRE_SCRATCH);
    while (n--) {
        if (fread(x, sizeof x, 1, stdin) != 1) exit(2);
        PREFIX_encode(x, z, scratch);
        fwrite(z, sizeof z, 1, stdout);
        PREFIX_decode(z, y, scratch);
        fwrite(y, sizeof y, 1, stdout);
        score = PREFIX_score(x, scratch);
        fwrite(&score, sizeof score, 1, stdout);
        PREFIX_reconstruct(x, x, scratch);
        if (memcmp(x, y, sizeof x) != 0) exit(3);
    }
    free(scratch);
}
"""


def run(folder: Path, cases: Sequence[tuple[Autoencoder, Any]], compiler: Sequence[str],
        quantize: str | None = None) -> list[tuple[Any, Any, Any]]:  # fmt: skip
    """(codes, reconstructions, scores) of each net's samples, by one program of all nets."""
    text = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    for i, (ae, _) in enumerate(cases):
        ae.export(folder / f"n{i}.h", prefix=f"n{i}", quantize=quantize)
        text += [f'#include "n{i}.h"', MAIN.replace("PREFIX", f"n{i}").replace("PRE_", f"N{i}_")]
    calls = "".join(f"    run_n{i}({len(X)});\n" for i, (_, X) in enumerate(cases))
    suffix = "cpp" if "++" in compiler[0] else "c"
    source, program = folder / f"main.{suffix}", folder / "main"
    source.write_text("\n".join(text) + f"\nint main(void) {{\n{calls}    return 0;\n}}\n")
    command = [*compiler, str(source), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    samples = b"".join(as_floats(X).tobytes() for _, X in cases)
    found = subprocess.run([program], input=samples, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()[-3000:]
    numbers, results, at = np.frombuffer(found.stdout, np.float32), [], 0
    for ae, X in cases:
        width = ae.code + ae.n_features_in_ + 1
        block = numbers[at : at + len(X) * width].reshape(len(X), width)
        results.append((block[:, : ae.code], block[:, ae.code : -1], block[:, -1]))
        at += block.size
    return results


def as_floats(X: Any) -> Any:
    return (X / 255).astype(np.float32) if X.dtype == np.uint8 else X.astype(np.float32)


def forward(layers: Sequence[Layer], y: Any, off: Any) -> tuple[Any, Any]:
    """In float64, and a bound of what float may be off: rounding of each sum of K products is at
    most (K + 2) eps of its absolute terms, and no activation has a slope above 1.2."""
    for layer in layers:
        w = layer.values.astype(np.float64)
        terms = np.abs(y) @ np.abs(w) + np.abs(layer.bias)
        off = off @ np.abs(w) + (len(w) + 4) * EPS * terms
        y = y @ w + layer.bias
        activation_forward(y, layer.activation, y)
        off = 1.2 * off + 8 * EPS * np.abs(y) + 1e-30
    return y, off


def expected(chain: Chain, X: Any) -> Any:
    """Codes, reconstructions, scores, and bounds of the first two."""
    x = as_floats(X).astype(np.float64)
    center, spread = chain.scaling or (np.zeros(x.shape[1]), np.ones(x.shape[1]))
    scaled = (x - center) / spread
    off = 4 * EPS * (np.abs(x) + np.abs(center)) / spread
    read = scaled if chain.fill is None else np.where(np.isnan(scaled), chain.fill, scaled)
    z, z_off = forward(chain.encoder, read, np.nan_to_num(off) + 4 * EPS * np.abs(read))
    y, y_off = forward(chain.decoder, z, z_off)
    error = np.nan_to_num(y - scaled)
    y_off = (y_off + 4 * EPS * np.abs(y)) * spread + 4 * EPS * np.abs(center)
    return z, y * spread + center, (error**2).sum(axis=1), z_off, y_off


def expect_near(cases: Sequence[Any], found: Sequence[Any], quantize: str | None = None) -> None:
    for (ae, X), (codes, out, scores) in zip(cases, found, strict=True):
        chain = chain_of(ae) if quantize is None else quantized(chain_of(ae), quantize)
        z, y, score, z_off, y_off = expected(chain, X)
        assert (np.abs(codes - z) <= z_off).all(), ae
        assert (np.abs(out - y) <= y_off).all(), ae
        np.testing.assert_allclose(scores, score, rtol=1e-3, atol=1e-4)


@GCC
@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize(
    ("n", "quantize"),
    (pytest.param(200, None, marks=pytest.mark.slow), (40, None), (40, "int8")),
)
def test_many_nets_in_strict_c99(tmp_path: Path, n: int, quantize: str | None) -> None:
    cases = list(nets(n, ("float32",)))
    found = run(tmp_path, cases, ["gcc", "-std=c99", "-O1", *STRICT], quantize)
    expect_near(cases, found, quantize)


@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize("compiler", [*filter(shutil.which, ("g++", "clang", "clang++"))])
def test_other_compilers(tmp_path: Path, compiler: str) -> None:
    cases = list(nets(36, ("float64",)))
    standard = "-std=c++11" if "++" in compiler else "-std=c99"
    expect_near(cases, run(tmp_path, cases, [compiler, standard, "-O2", *STRICT]))


@GCC
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:X ranges over")
def test_sanitizers_and_extreme_samples(tmp_path: Path) -> None:
    """No read or write outside of what there is; NaN in gives NaN out, infinity no crash."""
    cases = []
    for ae, X in nets(60, ("float32",)):
        wild = np.resize([np.nan, np.inf, -np.inf, 3e38, -1e30, 1e-42, 0.0], (7, X.shape[1]))
        cases.append((ae, wild.astype(np.float32)))
    found = run(tmp_path, cases, ["gcc", "-std=c99", "-O1", *STRICT, *SANITIZED])
    for (ae, X), (codes, _, _) in zip(cases, found, strict=True):
        lost = np.isnan(X).any(axis=1) & (ae.fill_ is None)
        if lost.any() and all(np.abs(w).min() > 0 for w in ae.parameters().values()):
            assert np.isnan(codes[lost]).any(axis=1).all()


@GCC
def test_nan_stays_nan(tmp_path: Path) -> None:
    """Through every activation, where no value may be missing."""
    cases = []
    for activation in ACTIVATIONS:
        ae = Autoencoder(hidden=(3,), code=2, activation=activation, code_activation=activation,
                         epochs=0, random_state=0, backend="numpy")  # fmt: skip
        cases.append((ae.fit(np.eye(4)), np.array([[0.1, np.nan, 0.2, 0.3]])))
    for codes, out, score in run(tmp_path, cases, ["gcc", "-std=c99", *STRICT]):
        assert np.isnan(codes).all() and np.isnan(out).all() and np.isnan(score).all()


@GCC
@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize(("part", "quantize"), (("encoder", None), ("decoder", "int8")))
def test_a_part_by_itself(tmp_path: Path, part: str, quantize: str | None) -> None:
    """The bits of the whole, with less scratch memory, of which it needs no byte more."""
    cases = list(nets(24, ("float32",)))
    whole = run(tmp_path, cases, ["gcc", "-std=c99", "-O1", *STRICT], quantize)
    do, size_in, size_out = ("encode", "FEATURES", "CODE")
    if part == "decoder":
        do, size_in, size_out = ("decode", "CODE", "FEATURES")
    text = ["#include <stdio.h>", "#include <stdlib.h>"]
    calls, given, expected_bits = [], b"", b""
    for i, ((ae, X), (codes, out, _)) in enumerate(zip(cases, whole, strict=True)):
        ae.export(tmp_path / f"p{i}.h", part=part, prefix=f"p{i}", quantize=quantize)
        text += [
            f'#include "p{i}.h"', f"static void run{i}(int n) {{",
            f"    float in[P{i}_{size_in}], out[P{i}_{size_out}];",
            f"    float *scratch = (float *)malloc(P{i}_SCRATCH);",
            "    while (n-- && fread(in, sizeof in, 1, stdin) == 1) {",
            f"        p{i}_{do}(in, out, scratch);",
            "        fwrite(out, sizeof out, 1, stdout);", "    }", "    free(scratch);", "}",
        ]  # fmt: skip
        calls.append(f"    run{i}({len(X)});")
        given += (as_floats(X) if part == "encoder" else codes).tobytes()
        expected_bits += (codes if part == "encoder" else out).tobytes()
    text += ["int main(void) {", *calls, "    return 0;", "}"]
    (tmp_path / "parts.c").write_text("\n".join(text), encoding="utf-8")
    command = ["gcc", "-std=c99", "-O1", *STRICT, *SANITIZED, "parts.c", "-o", "parts", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = subprocess.run([tmp_path / "parts"], input=given, capture_output=True, check=True)
    assert found.stdout == expected_bits


@GCC
def test_a_category_is_a_softmax(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    frame = pandas.DataFrame({"size": rng.normal(3, 2, 60), "kind": rng.choice(list("abc"), 60)})
    ae = Autoencoder(hidden=(8,), code=2, epochs=3, random_state=0, backend="numpy").fit(frame)
    # random samples in the net's columns: those of a level may be any numbers
    X = rng.random((20, ae.n_features_in_))
    ((codes, out, _),) = run(tmp_path, [(ae, X)], ["gcc", "-std=c99", *STRICT])
    scaled = (X - ae.scaling_.center) / ae.scaling_.spread
    z, z_off = forward(chain_of(ae).encoder, scaled, 1e-6 * np.abs(scaled))
    assert (np.abs(codes - z) <= z_off).all()
    logits, _ = forward(chain_of(ae).decoder, z, z_off)
    levels = softmax(logits, ae.schema_.groups)
    np.testing.assert_allclose(out[:, ae.schema_.groups[0][0] :], levels, rtol=1e-4, atol=1e-5)


def test_a_prefix_is_a_name(tmp_path: Path) -> None:
    (ae, _), *_ = nets(1, ("float32",))
    for prefix in (3, '"; evil', "", "1a", "a b", "ä", "_x"):
        with pytest.raises(ValueError, match="prefix must be letters, digits and _"):
            ae.export(tmp_path / "net.h", prefix=prefix)
    assert not list(tmp_path.iterdir())
    ae.export(tmp_path / "net.h", prefix="My2")
    text = (tmp_path / "net.h").read_text(encoding="utf-8")
    assert "MY2_FEATURES" in text and "My2_encode" in text
    assert "net_" not in text and "NET_" not in text
    ae.export(tmp_path / "net.h", prefix="NET_a")
    text = (tmp_path / "net.h").read_text(encoding="utf-8")
    assert "NET_A_FEATURES" in text and " NET_a_encode" in text and "NET_A_a" not in text


@GCC
def test_prefixes_that_differ_in_case_alone(tmp_path: Path) -> None:
    """Names in C differ then, but not all macros: neither header hides the other unseen."""
    for prefix, code in (("net", 2), ("Net", 3)):
        ae = Autoencoder(hidden=(), code=code, epochs=0, backend="numpy").fit(np.eye(4))
        ae.export(tmp_path / f"{prefix}{code}.h", prefix=prefix)
    (tmp_path / "main.c").write_text('#include "net2.h"\n#include "Net3.h"\n')
    done = subprocess.run(["gcc", "-std=c99", "-c", "main.c"], cwd=tmp_path, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode != 0 and "another header has defined NET_FEATURES" in done.stderr
    (tmp_path / "main.c").write_text('#include "Net3.h"\n#include "Net3.h"\n')
    subprocess.run(["gcc", "-std=c99", *STRICT, "-c", "main.c"], cwd=tmp_path, check=True)


@GCC
def test_the_program_of_the_readme(tmp_path: Path) -> None:
    """It compiles as it stands there, and prints a score for each line of a CSV file."""
    readme = (Path(export_room.__file__).parent / "README.md").read_text(encoding="utf-8")
    program = readme.partition("```c\n")[2].partition("```")[0]
    ae = Autoencoder(hidden=(8,), code=2, epochs=2, random_state=0, backend="numpy")
    X = np.random.default_rng(0).random((5, 3))
    ae.fit(X).export(tmp_path / "net.h")
    (tmp_path / "main.c").write_text(program, encoding="utf-8")
    command = ["gcc", "-std=c99", *STRICT, "main.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    lines = "\n".join(",".join(map(str, row)) for row in X)
    said = subprocess.run([tmp_path / "main"], input=lines, capture_output=True, text=True,
                          check=True).stdout  # fmt: skip
    np.testing.assert_allclose([*map(float, said.split())], -ae.score_samples(X), rtol=1e-3)
