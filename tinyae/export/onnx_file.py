"""A net as ONNX, and one of ONNX as an autoencoder's layers.

Operators: https://onnx.ai/onnx/operators. The names: x, code, reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..storage.kinds import MARK
from .chain import Array, Chain, Layer, narrowed

OPSET, OPSET_GELU = 17, 20  # Gelu came with the latter
MISSING = 'ONNX needs the package onnx: pip install "tinyae[onnx]"'

# activation -> (operator, its attributes); silu has none: x * Sigmoid(x)
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {}),
    "gelu": ("Gelu", {"approximate": "tanh"}),
}


def library() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(MISSING) from error
    return onnx


def content(chain: Chain, part: str, about: dict[str, str]) -> bytes:
    """The file: float32 throughout, any number of samples; ``about`` are its metadata."""
    graph = _Graph(library())
    widths = {"x": chain.n_features, "code": chain.code, "reconstruction": chain.n_features}
    first = "code" if part == "decoder" else "x"
    if part != "decoder":
        _code(graph, chain)
    if part != "encoder":
        _reconstruction(graph, chain)
    made = [
        name for name in ("code", "reconstruction") if any(name in n.output for n in graph.nodes)
    ]
    return graph.model(chain, {first: widths[first]}, {name: widths[name] for name in made}, about)


def _code(graph: _Graph, chain: Chain) -> None:
    """Nodes from x to the code."""
    value = "x"
    if chain.scaling is not None:
        value = graph.in_double(value, ("Sub", chain.scaling.center), ("Div", chain.scaling.spread))
    if chain.fill is not None:
        missing = graph.node("IsNaN", [value])
        value = graph.node(
            "Where", [missing, graph.constant("fill", _single("fill", chain.fill)), value]
        )
    graph.layers(chain.encoder, value, "code")


def _reconstruction(graph: _Graph, chain: Chain) -> None:
    """Nodes from the code to the reconstruction."""
    *below, last = chain.decoder
    name = "reconstruction" if chain.scaling is None else "scaled"
    if chain.groups:
        logits = graph.affine(last, graph.layers(below, "code", "below"), "logits")
        pieces, first = list[str](), chain.groups[0][0]
        if first:
            numbers = graph.slice(logits, 0, first)
            pieces.append(graph.activation(last.activation, numbers, "numbers"))
        for start, stop in chain.groups:
            pieces.append(graph.node("Softmax", [graph.slice(logits, start, stop)], axis=-1))
        graph.node("Concat", pieces, name, axis=-1)
    else:
        graph.layers(chain.decoder, "code", name)
    if chain.scaling is not None:
        steps = ("Mul", chain.scaling.spread), ("Add", chain.scaling.center)
        graph.in_double(name, *steps, name="reconstruction")


def _single(name: str, array: Array) -> Array:
    return narrowed(name, array, np.float32, "onnx")


class _Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opset = OPSET

    def constant(self, name: str, array: Array) -> str:
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """Adds a node; returns its output, called ``name``, else by operator and number."""
        name = name or f"{operator.lower()}.{len(self.nodes)}"
        make = self.onnx.helper.make_node
        self.nodes.append(make(operator, inputs, [name], name=name, **attributes))
        return name

    def in_double(self, value: str, *steps: tuple[str, Array], name: str = "") -> str:
        """Elementwise with float64 constants, as centers are large beside spreads."""
        types = self.onnx.TensorProto
        value = self.node("Cast", [value], to=types.DOUBLE)
        for operator, array in steps:
            which = {"Sub": "center", "Add": "center"}.get(operator, "spread")
            known = any(constant.name == which for constant in self.constants)
            value = self.node(operator, [value, which if known else self.constant(which, array)])
        return self.node("Cast", [value], name, to=types.FLOAT)

    def slice(self, value: str, start: int, stop: int) -> str:
        """Columns start .. stop - 1."""
        ends = [self.constant(f"{value}.{start}.{end}", np.array([number], np.int64))
                for end, number in (("start", start), ("stop", stop), ("axis", 1))]  # fmt: skip
        return self.node("Slice", [value, *ends])

    def layers(self, layers: Sequence[Layer], value: str, name: str) -> str:
        """All of them, one after the other; returns the last one's output, called ``name``."""
        for layer in layers:
            end = name if layer is layers[-1] else layer.name
            last = end if layer.k is None else f"{layer.name}.all"
            if layer.activation == "identity":
                value = self.affine(layer, value, last)
            else:
                value = self.activation(layer.activation, self.affine(layer, value), last)
            if layer.k is not None:
                value = self.top_k(value, layer.k, end)
        return value

    def top_k(self, value: str, k: int, name: str) -> str:
        """The k greatest of each sample, of equal ones the first, as TopK has it; the others 0."""
        shape, number = self.node("Shape", [value]), self.constant(f"{name}.k", np.array([k]))
        nothing = self.node("ConstantOfShape", [shape])
        greatest, places = f"{name}.greatest", f"{name}.places"
        make = self.onnx.helper.make_node
        self.nodes.append(make("TopK", [value, number], [greatest, places], name=f"{name}.top_k"))
        return self.node("ScatterElements", [nothing, places, greatest], name, axis=-1)

    def affine(self, layer: Layer, value: str, name: str = "") -> str:
        """value @ weight + bias; weights in fewer bits are made float32 on the way."""
        weight, bias = layer.weight, _single(f"{layer.name}.bias", layer.bias)
        if weight.dtype == np.float64:
            weight = _single(f"{layer.name}.weight", weight)
        w = self.constant(f"{layer.name}.weight", weight)
        if weight.dtype != np.float32:
            w = self.node("Cast", [w], to=self.onnx.TensorProto.FLOAT)
        if layer.scale is not None:
            scale = self.constant(
                f"{layer.name}.scale", _single(f"{layer.name}.scale", layer.scale)
            )
            w = self.node("Mul", [w, scale])
        b = self.constant(f"{layer.name}.bias", bias)
        return self.node("Gemm", [value, w, b], name or f"{layer.name}.z")

    def activation(self, activation: str, value: str, name: str) -> str:
        if activation == "identity":
            return self.node("Identity", [value], name)
        if activation == "silu":
            return self.node("Mul", [value, self.node("Sigmoid", [value])], name)
        if activation == "gelu":
            self.opset = OPSET_GELU
        operator, attributes = OPERATORS[activation]
        return self.node(operator, [value], name, **attributes)

    def model(
        self, chain: Chain, inputs: dict[str, int], outputs: dict[str, int], about: dict[str, str]
    ) -> bytes:
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        ends = [
            [helper.make_tensor_value_info(name, kind, ["n", width]) for name, width in of.items()]
            for of in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, f"autoencoder {chain.widths}", *ends, self.constants)
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=9,
                                  producer_name=MARK.decode())  # fmt: skip
        helper.set_model_props(model, about)
        self.onnx.checker.check_model(model, full_check=True)
        written: bytes = model.SerializeToString(deterministic=True)
        return written
