"""An autoencoder from an ONNX file: a chain of dense layers that was trained elsewhere."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..assemble import architecture
from ..checks import integer
from ..storage.untrusted import errors_of
from .chain import Layer
from .onnx_file import OPERATORS, library

if TYPE_CHECKING:
    from ..estimator import Autoencoder

Model = TypeVar("Model", bound="Autoencoder")

ACTIVATIONS = {operator: name for name, (operator, _) in OPERATORS.items()}
# attributes that say which activation it is, where they are left out: operator -> defaults
DEFAULTS: dict[str, dict[str, Any]] = {
    "Elu": {"alpha": 1.0},
    "LeakyRelu": {"alpha": 0.01},
    "Gelu": {"approximate": "none"},
}
# they do nothing to (n, features) in inference, or round it as a Cast does
PASSED_OVER = ("Identity", "Dropout", "Flatten", "Cast")
FLOATS = (1, 10, 11)  # of TensorProto: FLOAT, FLOAT16, DOUBLE


def read(kind: type[Model], path: str | os.PathLike[str], code: int | None, backend: str) -> Model:
    """See ``Autoencoder.from_onnx``."""
    onnx = library()
    if kind._architecture is not architecture:
        raise ValueError(
            f"{kind.__name__} has other layers than such a file: use Autoencoder.from_onnx"
        )
    if code is not None:
        integer("code", code, 1)
    with errors_of(path, "is no autoencoder of dense layers"), np.errstate(over="ignore"):
        model = onnx.load(os.fspath(path), load_external_data=False)
        onnx.checker.check_model(model)
        layers = _chain(onnx, model.graph)
        if not layers:
            raise ValueError("it has no layer")
        for layer in layers:
            if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
                raise ValueError("its weights must be finite, and some are NaN or infinity")
        n_features, widths = len(layers[0].weight), [layer.bias.size for layer in layers]
        if len(layers) < 2 or widths[-1] != n_features:
            raise ValueError(
                f"it makes {widths[-1]} numbers of {n_features} by {len(layers)} layers"
            )
        inner = widths[:-1]
        if code is not None and code not in inner:
            raise ValueError(f"no layer has {code} units: {'-'.join(map(str, inner))}")
        names = [layer.name for layer in layers[:-1]]
        if code is None and "code" in names:
            at = names.index("code")
        else:
            at = inner.index(min(inner) if code is None else code)
        hidden = {layer.activation for layer in (*layers[:at], *layers[at + 1 : -1])} or {"relu"}
        if len(hidden) > 1:
            raise ValueError(f"its hidden layers differ: {', '.join(sorted(hidden))}")
        dtype = np.result_type(*(layer.weight for layer in layers)).name
    output = layers[-1].activation
    ae = kind(
        hidden=inner[:at], code=inner[at], decoder_hidden=inner[at + 1 :], activation=hidden.pop(),
        code_activation=layers[at].activation, output=output, scale=None, missing="error",
        loss="bce" if output == "sigmoid" else "mse", backend=backend, dtype=dtype,
    )  # fmt: skip
    ae.initialize(n_features)
    places = [("encoder", i) for i in range(at + 1)] + [
        ("decoder", i) for i in range(len(layers) - at - 1)
    ]
    values = dict[str, Any]()
    for (part, i), layer in zip(places, layers, strict=True):
        values |= {f"{part}.{i}.weight": layer.weight, f"{part}.{i}.bias": layer.bias}
    ae.set_parameters(values)
    return ae


def _chain(onnx: Any, graph: Any) -> list[Layer]:
    """The layers from the only input to the last node: Gemm, or MatMul and Add, and activations."""
    arrays = _constants(onnx, graph)
    inputs = [each.name for each in graph.input if each.name not in arrays]
    if len(inputs) != 1:
        raise ValueError(f"it must have one input, got {', '.join(inputs) or 'none'}")
    value, found = inputs[0], list[Layer]()
    nodes = [node for node in graph.node if node.output[0] not in arrays]
    while nodes:
        node = next((node for node in nodes if value in node.input), None)
        if node is None:
            break
        nodes.remove(node)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        said = f"node {node.name or node.output[0]!r} ({node.op_type})"
        others = [arrays[name] for name in node.input if name in arrays]
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(f"{said} is an operator of {node.domain!r}, not of ONNX itself")
        if node.op_type in PASSED_OVER:
            _expect_nothing(node, others, attributes, said)
        elif node.op_type == "Gemm":
            found.append(_gemm(node, others, attributes, said, value))
        elif node.op_type == "MatMul" and node.input[0] == value and len(others) == 1:
            weight = _matrix(others[0], said)
            found.append(Layer("", weight, np.zeros(weight.shape[1], weight.dtype), "identity"))
        elif node.op_type == "Add" and found and len(others) == 1:
            last = found[-1]
            if (
                last.activation != "identity"
                or others[0].shape[-1:] != last.bias.shape
                or (others[0].size != last.bias.size)
            ):
                raise ValueError(f"{said} adds what is no bias of the layer below")
            found[-1] = last._replace(bias=last.bias + others[0].reshape(-1))
        elif found and found[-1].activation == "identity":
            activation, node = _activation(node, nodes, attributes, value, said)
            found[-1] = found[-1]._replace(activation=activation)
        else:
            raise ValueError(f"{said} is not of a chain of dense layers")
        value = node.output[0]
        if found:
            found[-1] = found[-1]._replace(name=value)
    if nodes:
        left = nodes[0]
        raise ValueError(
            f"node {left.name or left.output[0]!r} ({left.op_type}) is not of the chain"
        )
    ends = [each.name for each in graph.output]
    if value not in ends:
        raise ValueError(f"the chain ends in {value!r}, which is no output: {', '.join(ends)}")
    for below, above in pairwise(found):
        if below.bias.size != len(above.weight):
            raise ValueError(f"{below.bias.size} outputs go into {len(above.weight)} inputs")
    return found


def _constants(onnx: Any, graph: Any) -> dict[str, Any]:
    """By name: the file's arrays, float16 as float32, and what Cast, Mul and Transpose make of them
    alone, as of weights that are stored in fewer bits."""
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    types = {onnx.TensorProto.FLOAT16: np.float32, onnx.TensorProto.FLOAT: np.float32,
             onnx.TensorProto.DOUBLE: np.float64}  # fmt: skip
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = [arrays[name] for name in node.input if name in arrays]
        if node.op_type == "Constant" and "value" in attributes:
            arrays[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
        elif not given or len(given) < len(node.input):
            continue
        elif node.op_type == "Cast" and attributes.get("to") in types:
            arrays[node.output[0]] = given[0].astype(types[attributes["to"]])
        elif node.op_type == "Mul":
            arrays[node.output[0]] = given[0] * given[1]
        elif node.op_type == "Transpose":
            arrays[node.output[0]] = given[0].transpose(attributes.get("perm"))
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def _matrix(array: Any, said: str) -> Any:
    if array.ndim != 2 or not array.size or array.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{said} must have a matrix of float16, float32 or float64, got shape {array.shape}, "
            f"{array.dtype}"
        )
    return array


def _expect_nothing(node: Any, others: list[Any], attributes: dict[str, Any], said: str) -> None:
    """Raises ValueError where an operator that is passed over would change (n, features)."""
    if node.op_type == "Cast" and attributes["to"] not in FLOATS:
        raise ValueError(f"{said} makes numbers of it that are no floats")
    if node.op_type == "Flatten" and attributes.get("axis", 1) not in (1, -1):
        raise ValueError(f"{said} has axis {attributes['axis']}, expected 1")
    if (
        node.op_type == "Dropout"
        and len(node.input) > 2
        and node.input[2]
        and (not others or others[-1].any())
    ):
        raise ValueError(f"{said} may drop units, as in training")


def _gemm(node: Any, others: list[Any], attributes: dict[str, Any], said: str, value: str) -> Layer:
    given = [name for name in node.input if name]  # "" is one that is left out
    if node.input[0] != value or len(others) != len(given) - 1 or attributes.get("transA"):
        raise ValueError(f"{said} does not multiply its input by weights of the file")
    weight = _matrix(others[0], said)
    weight = weight.T if attributes.get("transB") else weight
    weight = weight * weight.dtype.type(attributes.get("alpha", 1.0))
    bias = np.zeros(weight.shape[1], weight.dtype)
    if others[1:]:
        if others[1].shape not in ((), (1,), (1, 1), (bias.size,), (1, bias.size)):
            raise ValueError(
                f"{said} must have a bias of {bias.size} numbers, got shape {others[1].shape}"
            )
        bias += others[1].reshape(-1) * attributes.get("beta", 1.0)
    return Layer("", np.ascontiguousarray(weight), bias, "identity")


def _activation(
    node: Any, nodes: list[Any], attributes: dict[str, Any], value: str, said: str
) -> tuple[str, Any]:
    """Its name, and the last node of those that it takes."""
    name = ACTIVATIONS.get(node.op_type)
    if name is None:
        raise ValueError(f"{said} is no activation that tinyae has")
    for key, default in DEFAULTS.get(node.op_type, {}).items():
        given, meant = attributes.get(key, default), OPERATORS[name][1][key]
        given = given.decode() if isinstance(given, bytes) else given
        # numbers of the file are float32
        if given != meant and (isinstance(meant, str) or abs(given - meant) > 1e-6):
            raise ValueError(f"{said} has {key} {given}, and tinyae's {name} {meant}")
    if name == "sigmoid":  # x * sigmoid(x) is silu
        for other in nodes:
            if other.op_type == "Mul" and {*other.input} == {value, node.output[0]}:
                nodes.remove(other)
                return "silu", other
    return name, node
