"""A net as one C99 header: float arithmetic, weights in constants, memory from the caller."""

from __future__ import annotations

import re
import textwrap

import numpy as np

from ..storage.kinds import MARK
from .chain import Array, Chain, Layer, narrowed

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
LANES = 32  # columns of a block: its sums fit into the registers of AVX2 and of AVX-512

# y[i] for each activation, where t is exp(-|y[i]|). NaN stays NaN, and no exp overflows.
T = "expf(-fabsf(y[i]))"
SIGMOID = "(y[i] < 0 ? t : 1.0f) / (1.0f + t)"
ACTIVATIONS = {
    "relu": "y[i] < 0 ? 0.0f : y[i]",
    "leaky_relu": "y[i] > 0 ? y[i] : 0.01f * y[i]",
    "elu": "y[i] > 0 ? y[i] : expm1f(y[i])",
    "sigmoid": SIGMOID,
    "tanh": "tanhf(y[i])",
    "softplus": "(y[i] > 0 ? y[i] : 0.0f) + log1pf(t)",
    "silu": f"y[i] * ({SIGMOID})",
    "gelu": "0.5f * y[i] * (1.0f + tanhf(0.7978845608f * y[i] * (1.0f + 0.044715f * y[i] * y[i])))",
}


def source(chain: Chain, part: str, prefix: str) -> str:
    """The header's text. Raises ValueError for a prefix that cannot begin a name in C."""
    if not (isinstance(prefix, str) and NAME.fullmatch(prefix)):
        raise ValueError(f"prefix must be letters, digits and _, a letter first, got {prefix!r}")
    layers = chain.layers(part)
    if layers[0].weight.dtype == np.float16:
        raise ValueError("quantize='float16' is not for to='c': C99 has no such type; use 'int8'")
    lines = [*_head(chain, part), *_constants(chain, part), *_dense(layers)]
    for name in dict.fromkeys(layer.activation for layer in layers):
        if name != "identity":
            lines += _elementwise(name)
    if any(layer.k is not None for layer in layers):
        lines += ["", TOP_K]
    if part != "decoder":
        lines += _encode(chain, part)
    if part != "encoder":
        lines += _decode(chain, part)
    if part == "all":
        lines += _both(chain)
    text = "\n".join([*lines, "", "#endif", ""])
    return re.sub(r"\bnet_", f"{prefix}_", re.sub(r"\bNET_", f"{prefix.upper()}_", text))


def _head(chain: Chain, part: str) -> list[str]:
    about = {
        "encoder": ["net_encode(x, z, scratch)       a sample x (NET_FEATURES) -> its code z "
                    "(NET_CODE)"],
        "decoder": ["net_decode(z, x, scratch)       and back"],
        "all": ["net_reconstruct(x, y, scratch)  both; y may be x",
                "net_score(x, scratch)           squared error of the reconstruction, on the "
                "net's scale"],
    }  # fmt: skip
    wanted = about if part == "all" else (part,)
    missing = " NaN is a missing value." if chain.fill is not None and part != "decoder" else ""
    # a layer's input and its output, each as wide as the widest; to reconstruct a code, to score
    # a sample too
    scratch = 2 * _widest(chain, part)
    scratch += chain.code + chain.n_features if part == "all" else 0
    return [
        f"/* {MARK.decode()}", "",
        f"   An autoencoder, {chain.widths}. It needs C99 and math.h alone.", "",
        *(f"     {line}" for name in wanted for line in about[name]), "",
        f"   scratch is memory of NET_SCRATCH bytes.{missing} */",
        "#ifndef net_included", "#define net_included", "", "#include <math.h>", "",
        "#ifdef NET_FEATURES  /* of prefixes that differ in nothing but case */",
        '#error "another header has defined NET_FEATURES: export one of them with another prefix"',
        "#endif", "",
        "#ifdef __cplusplus", "#define NET_RESTRICT __restrict", "#else",
        "#define NET_RESTRICT restrict", "#endif", "",
        f"#define NET_FEATURES {chain.n_features}", f"#define NET_CODE {chain.code}",
        f"#define NET_SCRATCH ({scratch} * sizeof(float))", "",
    ]  # fmt: skip


def _widest(chain: Chain, part: str) -> int:
    layers = chain.layers(part)
    return max(len(layers[0].weight), *(layer.bias.size for layer in layers))


def _constants(chain: Chain, part: str) -> list[str]:
    lines = []
    for name, array in chain.arrays(part).items():
        kind = "signed char" if array.dtype == np.int8 else "float"
        array = _blocks(array) if array.ndim == 2 else array
        lines += [f"static const {kind} net_{_flat(name)}[{array.size}] = {{",
                  *_numbers(name, array), "};"]  # fmt: skip
    return lines


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _numbers(name: str, array: Array) -> list[str]:
    """The shortest digits that give these floats back."""
    if array.dtype == np.int8:
        digits = [str(value) for value in array.ravel()]
    else:
        digits = [_literal(value) for value in narrowed(name, array.ravel(), np.float32, "c")]
    return textwrap.wrap(", ".join(digits), 100, initial_indent="    ", subsequent_indent="    ")


def _literal(value: np.float32) -> str:
    text = np.format_float_scientific(value, trim="0", unique=True)
    return f"{text}f"


def _blocks(weight: Array) -> Array:
    """(n_in, n_out) in the order in which ``net_dense`` reads it."""
    starts = range(0, weight.shape[1], LANES)
    return np.concatenate([weight[:, start : start + LANES].ravel() for start in starts])


def _dense(layers: tuple[Layer, ...]) -> list[str]:
    """A block's sums lie side by side, of which compilers make vectors that stay in registers, and
    weights are read from front to back: of a large net they come as fast as memory gives them."""
    quantized = layers[0].scale is not None
    kind, scale = ("signed char", "const float *s, ") if quantized else ("float", "")
    first = "0.0f" if quantized else "b[j + k]"
    after = ["    for (j = 0; j < n_out; j++) y[j] = y[j] * s[j] + b[j];"] if quantized else []
    return [
        "", f"/* y = x w + b; w (n_in, n_out) in blocks of {LANES} columns, each row by row */",
        "static inline void net_dense(const float *NET_RESTRICT x, float *NET_RESTRICT y,",
        f"                             const {kind} *NET_RESTRICT w, {scale}const float *b,",
        "                             int n_in, int n_out) {",
        f"    const int whole = n_out - n_out % {LANES}, rest = n_out - whole;", "    int i, j, k;",
        f"    for (j = 0; j < whole; j += {LANES}) {{", f"        float sum[{LANES}];",
        f"        for (k = 0; k < {LANES}; k++) sum[k] = {first};",
        *_rows("sum[k]", str(LANES), quantized),
        f"        for (k = 0; k < {LANES}; k++) y[j + k] = sum[k];", "    }",
        "    if (rest > 0) {", f"        for (k = 0; k < rest; k++) y[j + k] = {first};",
        *_rows("y[j + k]", "rest", quantized), "    }", *after, "}",
    ]  # fmt: skip


def _rows(sums: str, width: str, quantized: bool) -> list[str]:
    """sums += x w over rows of this width, four at once: so each sum is seldom loaded and stored
    where a compiler leaves it in memory."""

    def product(row: int) -> str:
        weight = f"w[{f'{row} * {width} + ' * (row > 0)}k]"
        return f"x[i{f' + {row}' * (row > 0)}] * " + (f"(float){weight}" if quantized else weight)

    return [
        f"        for (i = 0; i + 4 <= n_in; i += 4, w += 4 * {width})",
        f"            for (k = 0; k < {width}; k++)",
        f"                {sums} += ({product(0)} + {product(1)})",
        f"                    + ({product(2)} + {product(3)});",
        f"        for (; i < n_in; i++, w += {width})",
        f"            for (k = 0; k < {width}; k++) {sums} += {product(0)};",
    ]


def _elementwise(name: str) -> list[str]:
    text = ACTIVATIONS[name]
    declared = [f"        const float t = {T};"] if re.search(r"\bt\b", text) else []
    return [
        "", f"static inline void net_{name}(float *y, int n) {{", "    int i;",
        "    for (i = 0; i < n; i++) {", *declared, f"        y[i] = {text};", "    }", "}",
    ]  # fmt: skip


def _encode(chain: Chain, part: str) -> list[str]:
    read, start = [], "x"
    if chain.scaling is not None or chain.fill is not None:
        read, start = [f"for (i = 0; i < NET_FEATURES; i++) a[i] = {_scaled(chain)};"], "a"
    if chain.fill is not None:
        read.append("for (i = 0; i < NET_FEATURES; i++) if (a[i] != a[i]) a[i] = net_fill[i];")
    return _function("net_encode(const float *x, float *z, float *scratch)", _widest(chain, part),
                     *read, *_calls(chain.encoder, start, "z"))  # fmt: skip


def _scaled(chain: Chain) -> str:
    return "x[i]" if chain.scaling is None else "(x[i] - net_center[i]) / net_spread[i]"


def _decode(chain: Chain, part: str) -> list[str]:
    """net_decode, and where samples are scaled net_decode_scaled, which it calls."""
    *below, last = chain.decoder
    name = "net_decode" if chain.scaling is None else "net_decode_scaled"
    head = f"{name}(const float *z, float *x, float *scratch)"
    if chain.groups:
        logits = "b" if len(below) % 2 else "a"
        lines = _calls((*below, last._replace(activation="identity")), "z", logits)
        lines.append(f"for (i = 0; i < NET_FEATURES; i++) x[i] = {logits}[i];")
        if last.activation != "identity":
            lines.append(f"net_{last.activation}(x, NET_FEATURES);")
        lines += [f"net_softmax({logits} + {start}, x + {start}, {stop - start});"
                  for start, stop in chain.groups]  # fmt: skip
        functions = ["", SOFTMAX, *_function(head, _widest(chain, part), *lines)]
    else:
        functions = _function(head, _widest(chain, part), *_calls(chain.decoder, "z", "x"))
    if chain.scaling is None:
        return functions
    return [*functions, *_function(
        "net_decode(const float *z, float *x, float *scratch)", 0,
        "net_decode_scaled(z, x, scratch);",
        "for (i = 0; i < NET_FEATURES; i++) x[i] = x[i] * net_spread[i] + net_center[i];",
    )]  # fmt: skip


SOFTMAX = """\
/* y = softmax of the logits z */
static inline void net_softmax(const float *z, float *y, int n) {
    float largest = z[0], sum = 0.0f;
    int i;
    for (i = 1; i < n; i++) largest = z[i] > largest ? z[i] : largest;
    for (i = 0; i < n; i++) sum += y[i] = expf(z[i] - largest);
    for (i = 0; i < n; i++) y[i] /= sum;
}"""


TOP_K = """\
/* The k greatest of y stay, of equal ones the first, and NaN; the others become 0. */
static inline void net_top_k(float *y, int n, int k) {
    float least = 0.0f;
    int i, room = k, found = 0, first = 1;
    for (;;) { /* the next number, from the greatest on, and how often it is there */
        float next = 0.0f;
        int count = 0;
        for (i = 0; i < n; i++) {
            if (!(first ? y[i] == y[i] : y[i] < least)) continue;
            if (count == 0 || y[i] > next) next = y[i], count = 1;
            else if (y[i] == next) count++;
        }
        if (count == 0) break;
        least = next, first = 0, found = 1;
        if (count >= room) break;
        room -= count;
    }
    for (i = 0; i < n; i++) {
        if (!found || y[i] != y[i] || y[i] > least) continue;
        if (y[i] == least && room > 0) room--;
        else y[i] = 0.0f;
    }
}"""


def _both(chain: Chain) -> list[str]:
    code = f"scratch + {2 * _widest(chain, 'all')}"
    decode = "net_decode" if chain.scaling is None else "net_decode_scaled"
    known = "" if chain.fill is None else "if (x[i] == x[i]) "  # not NaN
    return [
        *_function(
            "net_reconstruct(const float *x, float *y, float *scratch)", 0,
            f"float *z = {code};", "net_encode(x, z, scratch);", "net_decode(z, y, scratch);",
        ),
        *_function(
            "net_score(const float *x, float *scratch)", 0,
            f"float *z = {code}, *y = z + NET_CODE, sum = 0.0f;", "net_encode(x, z, scratch);",
            f"{decode}(z, y, scratch);", "for (i = 0; i < NET_FEATURES; i++) {",
            f"    const float d = y[i] - {_scaled(chain)};", f"    {known}sum += d * d;", "}",
            "return sum;", returns="float",
        ),
    ]  # fmt: skip


def _calls(layers: tuple[Layer, ...], start: str, end: str) -> list[str]:
    """What takes ``start`` to ``end``, by way of the two halves of scratch, a and b."""
    lines, here = [], start
    for i, layer in enumerate(layers):
        there = end if i == len(layers) - 1 else "b" if here == "a" else "a"
        name, (n_in, n_out) = f"net_{_flat(layer.name)}", layer.weight.shape
        scale = "" if layer.scale is None else f"{name}_scale, "
        lines.append(
            f"net_dense({here}, {there}, {name}_weight, {scale}{name}_bias, {n_in}, {n_out});"
        )
        if layer.activation != "identity":
            lines.append(f"net_{layer.activation}({there}, {n_out});")
        if layer.k is not None:
            lines.append(f"net_top_k({there}, {n_out}, {layer.k});")
        here = there
    return lines


def _function(head: str, widest: int, *body: str, returns: str = "void") -> list[str]:
    """With the variables that its lines use."""
    text = "\n".join(body)
    declared = [
        declaration
        for used, declaration in (
            (r"\ba\b", "float *a = scratch;"), (r"\bb\b", f"float *b = scratch + {widest};"),
            (r"\bi\b", "int i;"),
        )
        if re.search(used, text)
    ]  # fmt: skip
    if not re.search(r"\bscratch\b", "\n".join([*declared, text])):
        declared.append("(void)scratch;")
    return ["", f"static inline {returns} {head} {{", *(f"    {line}" for line in declared),
            *(f"    {line}" for line in body), "}"]  # fmt: skip
