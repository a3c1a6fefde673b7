"""ONNX files give the net's numbers in onnxruntime, and chains from elsewhere are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tests.export.test_numpy_file import module
from tinyae import Autoencoder, FileError, TiedAutoencoder, VariationalAutoencoder
from tinyae.data.rows import as_rows
from tinyae.export.chain import rounded

onnx = pytest.importorskip("onnx", reason="needs onnx")
ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

Array = np.ndarray[Any, Any]


def run(path: Path, **inputs: Array) -> dict[str, Array]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def expect_near(found: Array, expected: Array) -> None:
    """Within 1e-5 of the largest number of the sample, or of 1."""
    assert found.shape == expected.shape
    size = np.maximum(np.abs(expected).max(axis=1, keepdims=True), 1)
    assert (np.abs(found - expected) <= 1e-5 * size).all()


@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize("quantize", (None, "float16", "int8"))
def test_many_nets(tmp_path: Path, quantize: str | None) -> None:
    for ae, X in nets(120 if quantize is None else 24, ("float32", "float64")):
        (file,) = ae.export(tmp_path / "net.onnx", quantize=quantize)
        near = ae if quantize is None else rounded(ae, quantize)
        x = (X / 255 if X.dtype == np.uint8 else X).astype(np.float32)
        found = run(file, x=x)
        expect_near(found["code"], near.encode(X))
        expect_near(found["reconstruction"], near.reconstruct(X))


def test_a_table_with_categories(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({
        "year": 2000 + rng.integers(0, 20, 40), "size": rng.normal(size=40),
        "colour": rng.choice(["red", "green", "blue"], 40), "on": rng.choice(["yes", "no"], 40),
    })  # fmt: skip
    ae = Autoencoder(code=2, epochs=2, random_state=0).fit(table)
    X = as_rows(table, schema=ae.schema_).array
    (file,) = ae.export(tmp_path / "net.onnx")
    found = run(file, x=X.astype(np.float32))
    net = module(ae.export(tmp_path / "net.py")[0])
    expect_near(found["code"], net.encode(X))
    expect_near(found["reconstruction"], net.reconstruct(X))


@pytest.mark.parametrize(
    ("part", "inputs", "outputs"),
    (("encoder", ["x"], ["code"]), ("decoder", ["code"], ["reconstruction"]),
     ("all", ["x"], ["code", "reconstruction"])),
)  # fmt: skip
def test_parts_and_metadata(
    tmp_path: Path, part: str, inputs: list[str], outputs: list[str]
) -> None:
    ae = Autoencoder(hidden=(4,), code=2, epochs=0, random_state=7).fit(np.eye(5))
    (file,) = ae.export(tmp_path / "net.onnx", part=part)
    graph = onnx.load(file)
    assert [each.name for each in graph.graph.input] == inputs
    assert [each.name for each in graph.graph.output] == outputs
    about = {each.key: each.value for each in graph.metadata_props}
    assert (about["seed"], about["part"], about["widths"]) == ("7", part, "5-4-2-4-5")
    before = file.read_bytes()
    ae.export(file, part=part)
    assert file.read_bytes() == before


def test_there_and_back(tmp_path: Path) -> None:
    """Nets that do nothing but layers: the same weights, and so the same bits."""
    read = 0
    for ae, X in nets(80, ("float32",)):
        if ae.scaling_ is None and ae.fill_ is None:
            (file,) = ae.export(tmp_path / "net.onnx")
            again = Autoencoder.from_onnx(file, backend="numpy")
            np.testing.assert_array_equal(again.encode(X), ae.encode(X))
            np.testing.assert_array_equal(again.reconstruct(X), ae.reconstruct(X))
            read += 1
    assert read >= 20


def made(path: Path, nodes: list[Any], n: int = 3, **arrays: Array) -> Path:
    """A file as other libraries write it: x (n features) -> y."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [[helper.make_tensor_value_info(name, kind, ["n", n])] for name in "xy"]
    constants = [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()]
    graph = helper.make_graph(nodes, "net", *ends, constants)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


W = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
B = np.array([0.5, -0.25], np.float32)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs.split(), [output], name=output, **attributes)


def test_layers_of_other_libraries(tmp_path: Path) -> None:
    """MatMul and Add, a transposed Gemm, silu as two nodes; they may stand in any way of these."""
    file = made(
        tmp_path / "other.onnx",
        [node("MatMul", "x w", "a"), node("Add", "b a", "c"), node("Sigmoid", "c", "s"),
         node("Mul", "c s", "d"), node("Dropout", "d", "e"),
         node("Gemm", "e v", "f", transB=1, alpha=2.0), node("Tanh", "f", "y")],
        w=W, b=B, v=W,
    )  # fmt: skip
    ae = Autoencoder.from_onnx(file)
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert (ae.code, ae.code_activation, ae.output) == (2, "silu", "tanh")
    expect_near(ae.reconstruct(X), run(file, x=X)["y"])


@pytest.mark.parametrize("quantize", ("float16", "int8"))
def test_weights_in_fewer_bits_are_read(tmp_path: Path, quantize: str) -> None:
    """Of own files: Cast, and Mul by the scale."""
    ae = Autoencoder(hidden=(4,), code=2, epochs=0, random_state=0, backend="numpy").fit(np.eye(5))
    (file,) = ae.export(tmp_path / "net.onnx", quantize=quantize)
    again, near = Autoencoder.from_onnx(file, backend="numpy"), rounded(ae, quantize)
    for name, value in near.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], value)


def test_a_net_of_float16_is_read_as_float32(tmp_path: Path) -> None:
    """Its weights as they are; between layers nothing is rounded to float16."""
    kinds = onnx.TensorProto
    nodes = [node("Cast", "x", "h", to=kinds.FLOAT16), node("Transpose", "v", "t", perm=[1, 0]),
             node("Gemm", "h t b", "a"), node("Relu", "a", "c"), node("MatMul", "c v", "d"),
             node("Cast", "d", "y", to=kinds.FLOAT)]  # fmt: skip
    v = np.ascontiguousarray(W.T).astype(np.float16)
    file = made(tmp_path / "half.onnx", nodes, v=v, b=B.astype(np.float16))
    X = np.random.default_rng(0).random((5, 3), np.float32)
    ae = Autoencoder.from_onnx(file)
    assert ae.dtype == "float32"
    np.testing.assert_array_equal(ae.parameters()["decoder.0.weight"], v)
    # five roundings to 11 bits, of numbers below 2
    assert np.abs(ae.reconstruct(X) - run(file, x=X)["y"]).max() <= 5 * 2 * 2.0**-11
    nodes[-1] = node("Cast", "d", "y", to=kinds.INT64)
    with pytest.raises(
        FileError, match=r"node 'y' \(Cast\) makes numbers of it that are no floats"
    ):
        Autoencoder.from_onnx(made(tmp_path / "int.onnx", nodes, v=v, b=B.astype(np.float16)))


GOOD = ("Gemm", "x w b", "a")


@pytest.mark.parametrize(
    ("nodes", "said"),
    (
        ([GOOD, ("Softmax", "a", "c"), ("Gemm", "c v", "y")], "node 'c' (Softmax)"),
        ([GOOD, ("Gelu", "a", "c"), ("Gemm", "c v", "y")], "node 'c' (Gelu) has approximate none"),
        ([GOOD, ("Relu", "a", "c"), ("Tanh", "c", "d"), ("Gemm", "d v", "y")], "node 'd' (Tanh)"),
        ([("Relu", "x", "a"), ("MatMul", "a w", "c"), ("MatMul", "c v", "y")], "node 'a' (Relu)"),
        ([("MatMul", "x w", "a"), ("Relu", "a", "c"), ("Add", "c b", "d"), ("MatMul", "d v", "y")],
         "node 'd' (Add) adds what is no bias"),
        ([GOOD, ("Gemm", "a v", "c"), ("Add", "c x", "y")], "node 'y' (Add)"),
        ([("Gemm", "x w b", "y"), ("Gemm", "y v", "c")], "ends in 'c', which is no output: y"),
        ([GOOD, ("Dropout", "a half yes", "c"), ("Gemm", "c v", "y")], "'c' (Dropout) may drop"),
        ([("Gemm", "x w tall", "a"), ("Gemm", "a v", "y")], "bias of 2 numbers, got shape (2, 1)"),
        ([("MatMul", "x w", "a"), ("Add", "a tall", "c"), ("Gemm", "c v", "y")],
         "node 'c' (Add) adds what is no bias"),
        ([("Gemm", "x int", "a"), ("Gemm", "a v", "y")],
         "'a' (Gemm) must have a matrix of float16, float32 or float64, got shape (3, 2), int64"),
        ([("Gemm", "x none", "a"), ("Gemm", "a none", "y")], "got shape (3, 0)"),
        ([("Gemm", "x nan", "a"), ("Gemm", "a v", "y")], "its weights must be finite"),
        ([("Identity", "x", "y")], "no layer"),
        ([("Gemm", "x q", "y")], "3 numbers of 3 by 1 layer"),
    ),
)  # fmt: skip
def test_what_is_no_chain(tmp_path: Path, nodes: list[tuple[str, ...]], said: str) -> None:
    q = np.eye(3, dtype=np.float32)
    file = made(
        tmp_path / "other.onnx", [node(*each) for each in nodes], w=W, b=B, v=W.T, q=q,
        half=np.array(0.5, np.float32), yes=np.array(True), tall=B[:, None], none=W[:, :0],
        int=W.astype(np.int64), nan=W * np.float32(np.nan),
    )  # fmt: skip
    with pytest.raises(FileError) as caught:
        Autoencoder.from_onnx(file)
    assert said in str(caught.value)


def test_operators_that_are_not_what_their_names_say(tmp_path: Path) -> None:
    """Of another domain, or a Flatten over samples; a bias that is left out by an empty name."""
    make = onnx.helper.make_node
    last = node("Gemm", "a v", "y")
    flat = [node("Flatten", "x", "f", axis=0), node("Gemm", "f w b", "a"), last]
    with pytest.raises(FileError, match="has axis 0, expected 1"):
        Autoencoder.from_onnx(made(tmp_path / "flat.onnx", flat, w=W, b=B, v=W.T))
    file = made(tmp_path / "a.onnx", [make("Gemm", ["x", "w", ""], ["a"]), last], w=W, v=W.T)
    X = np.eye(3, dtype=np.float32)
    expect_near(Autoencoder.from_onnx(file).reconstruct(X), run(file, x=X)["y"])
    model = onnx.load(file)
    model.graph.node[0].domain = "some.where"
    model.opset_import.append(onnx.helper.make_opsetid("some.where", 1))
    onnx.save(model, file)
    with pytest.raises(FileError, match="is an operator of 'some.where', not of ONNX itself"):
        Autoencoder.from_onnx(file)
    with pytest.raises(TypeError, match=r"code must be an integer >= 1, got 2\.0"):
        Autoencoder.from_onnx(file, code=2.0)  # type: ignore[arg-type]


def test_what_is_no_onnx(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("weights")
    with pytest.raises(FileError, match="text.onnx"):
        Autoencoder.from_onnx(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError):
        Autoencoder.from_onnx(tmp_path / "none.onnx")
    ae = Autoencoder(hidden=(4,), code=2, epochs=0).fit(np.eye(5))
    (file,) = ae.export(tmp_path / "net.onnx")
    with pytest.raises(FileError, match="no layer has 3 units: 4-2-4"):
        Autoencoder.from_onnx(file, code=3)


def test_a_family_with_layers_of_its_own_has_no_such_file(tmp_path: Path) -> None:
    for family in (TiedAutoencoder, VariationalAutoencoder):
        with pytest.raises(ValueError, match=f"{family.__name__}.*use Autoencoder.from_onnx"):
            family.from_onnx(tmp_path / "net.onnx")
