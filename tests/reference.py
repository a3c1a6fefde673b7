"""What the kernels must compute, from textbook formulas in float64, and how far off they may be.

Nothing here is taken from the kernels. Derivatives are functions of the *input* (kernels take
the output where they can), losses are written with probabilities, not with clever logits.

Tolerances are derived, not guessed. ``eps`` is the gap between 1 and the next number, so a
correctly rounded operation errs by eps / 2 of its result; exp, log1p, expm1 and tanh are allowed
4 eps each (NumPy's vectorised and CUDA's versions promise 4 units in the last place or fewer).
The float64 reference makes rounding errors of its own when float64 is tested, hence bounds are
taken about twice as wide as one evaluation needs. ``tiny``, the smallest normal number, is
allowed where results may be flushed to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import MOMENTS

Array = np.ndarray[Any, Any]

SIZES = (0, 1, 2, 3, 5, 7, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)

EXTREMES = tuple(
    sign * x for x in (0.0, 1e-30, 1e-8, 0.5, 1.0, 9.0, 20.0, 40.0, 88.0, 104.0, 750.0, 1e4)
    for sign in (1.0, -1.0)
)  # fmt: skip


def awkward_shapes(n_dims: int, backend: Backend | None = None) -> list[tuple[int, ...]]:
    """Sizes about the powers of two in many combinations, each dimension empty in turn; every
    20th combination where the backend takes a second for each."""
    shapes = list(_awkward_shapes(n_dims))
    pick = backend is not None and backend.name == "cuda-ptx"
    return shapes[6 : -2 * n_dims : 20] + shapes[-2 * n_dims :] if pick else shapes


def _awkward_shapes(n_dims: int) -> Iterator[tuple[int, ...]]:
    for stride in (0, 1, 4, 7):
        for i in range(len(SIZES)):
            yield tuple(SIZES[(i + stride * d) % len(SIZES)] for d in range(n_dims))
    for d in range(n_dims):
        yield tuple(0 if k == d else k + 2 for k in range(n_dims))
        yield tuple(129 if k == d else 1 for k in range(n_dims))


def normals(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def poisoned(shape: tuple[int, ...], dtype: str) -> Array:
    """An array that shows where an output was not written: NaN, for integers a bit pattern."""
    fill = np.nan if np.dtype(dtype).kind == "f" else 0xA5 % np.iinfo(dtype).max
    return np.full(shape, fill, dtype)


def operation(owner: Any, op: str) -> Callable[..., None]:
    """The operation of a column or launcher; an optimiser's name is ``update`` with that name and
    its moments as arguments of their own."""
    if op not in MOMENTS:
        function: Callable[..., None] = getattr(owner, op)
        return function

    def update(**named: Any) -> None:
        moments = tuple(named.pop(moment) for moment in MOMENTS[op])
        owner.update(name=op, moments=moments, **named)

    return update


def call(
    backend: Backend, op: str, outputs: tuple[str, ...], **arguments: Any
) -> tuple[Array, ...]:
    """Runs an op on copies of the host arrays; returns its outputs as host arrays.

    Fails when the op has written into an array that is not among its outputs.
    """
    moved = {
        name: backend.to_device(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    operation(backend, op)(**moved)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and name not in outputs:
            after = backend.to_host(moved[name])
            assert after.tobytes() == value.tobytes(), f"{op} has changed its input {name}"
    return tuple(backend.to_host(moved[name]) for name in outputs)


def assert_within(actual: Array, expected: Any, tolerance: Any, what: object = "") -> None:
    """|actual - expected| <= tolerance in every element; NaN and inf are errors."""
    expected = np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    error = np.abs(actual.astype(np.float64) - expected)
    bad = ~(error <= tolerance)
    if bad.any():
        first = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
        allowed = np.broadcast_to(tolerance, error.shape)[first]
        raise AssertionError(
            f"{what}: {bad.sum()} of {bad.size} wrong, first at {first}: {actual[first]!r} "
            f"instead of {expected[first]!r}, error {error[first]:.3g} > {allowed:.3g}"
        )


def eps(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


def tiny(dtype: str) -> float:
    return float(np.finfo(dtype).tiny)


# ---- activations


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


GELU_SLOPE = np.sqrt(2 / np.pi)  # of the inner function, at 0


def _gelu_inner(x: Array) -> Array:
    return np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def _sech2(x: Array) -> Array:
    return 1 / np.cosh(np.minimum(np.abs(x), 300)) ** 2


def activation(name: str, x: Array) -> Array:
    x = x.astype(np.float64)
    negative = np.minimum(x, 0)  # so that np.where evaluates no exp(1e4)
    return {
        "identity": lambda: x,
        "relu": lambda: np.where(x > 0, x, 0),
        "leaky_relu": lambda: np.where(x > 0, x, 0.01 * x),
        "elu": lambda: np.where(x > 0, x, np.expm1(negative)),
        "sigmoid": lambda: sigmoid(x),
        "tanh": lambda: np.tanh(x),
        "softplus": lambda: np.logaddexp(0, x),
        "silu": lambda: x * sigmoid(x),
        "gelu": lambda: 0.5 * x * (1 + np.tanh(_gelu_inner(x))),
    }[name]()


def derivative(name: str, x: Array) -> Array:
    """d activation / dx at the *input* x; 0, 0.01 and 1 at the kinks of relu, leaky_relu, elu."""
    x = x.astype(np.float64)
    s = sigmoid(x)
    inner = _gelu_inner(x)
    return {
        "identity": lambda: np.ones_like(x),
        "relu": lambda: np.where(x > 0, 1.0, 0.0),
        "leaky_relu": lambda: np.where(x > 0, 1.0, 0.01),
        "elu": lambda: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
        "sigmoid": lambda: s * sigmoid(-x),
        "tanh": lambda: _sech2(x),
        "softplus": lambda: s,
        "silu": lambda: s + x * s * sigmoid(-x),
        "gelu": lambda: (
            0.5 * (1 + np.tanh(inner))
            + 0.5 * x * _sech2(inner) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        ),
    }[name]()


# No activation is steeper: gelu reaches 1.129, silu 1.100, the others 1.
STEEPEST = 1.13


def curvature(name: str, x: Array) -> Array:
    """The second derivative at the input x; 0 at kinks. Of silu and gelu by the product rule."""
    x = x.astype(np.float64)
    s, slope = sigmoid(x), sigmoid(x) * sigmoid(-x)
    bend = slope * (sigmoid(-x) - s)
    inner = _gelu_inner(x)
    first, second = GELU_SLOPE * (1 + 3 * 0.044715 * x**2), GELU_SLOPE * 6 * 0.044715 * x
    sech2 = _sech2(inner)
    return {
        "elu": lambda: np.where(x < 0, np.exp(np.minimum(x, 0)), 0.0),
        "sigmoid": lambda: bend,
        "tanh": lambda: -2 * np.tanh(x) * _sech2(x),
        "softplus": lambda: slope,
        "silu": lambda: 2 * slope + x * bend,
        "gelu": lambda: (
            sech2 * first + x / 2 * (sech2 * second - 2 * np.tanh(inner) * sech2 * first**2)
        ),
    }.get(name, lambda: np.zeros_like(x))()


def curvature_tolerance(name: str, x: Array, dtype: str) -> Array:
    """How far act''(x) may be off, computed from ``saved``.

    elu, sigmoid, tanh, softplus: as of the derivative, products of a few numbers of at most 2 of
    which each is off by at most 4 eps. silu: 1 - s is off by eps (from x = 40 on s is 1) and
    multiplied by at most 2 + |x|. gelu: 1 - t^2 is off by 8 eps and some, times i + x (i' / 2 -
    t i^2) with i = 0.8 (1 + 0.134 x^2); from x = 8 on t is 1.
    """
    x = np.abs(x.astype(np.float64))
    if name == "silu":
        return 8 * eps(dtype) * (2 + np.minimum(x, 40))
    if name == "gelu":
        c = np.minimum(x, 8)
        i = 0.8 * (1 + 0.134 * c**2)
        return 12 * eps(dtype) * (i + 0.11 * c**2 + c * i**2)
    return np.full_like(x, 12 * eps(dtype) * (name in ("elu", "sigmoid", "tanh", "softplus")))


def activation_tolerance(name: str, x: Array, dtype: str) -> Array:
    """How far act(x) may be off for an exact x.

    identity, relu: exact. leaky_relu: 0.01 and the product are rounded. gelu: for a negative x
    the sum 1 + tanh(a) cancels, which leaves 4 eps from tanh and, as the argument a is off by
    some 2 eps of itself, 2 eps max |a| (1 - tanh(a)^2) = 0.9 eps; x multiplies them. The others
    are quotients and products of at most two exp, log1p, expm1 or tanh (4 eps each) and a few
    roundings; what silu multiplies by x may have been flushed to zero.
    """
    x = np.abs(x.astype(np.float64)) if name == "gelu" else x.astype(np.float64)
    if name in ("identity", "relu"):
        return np.zeros_like(x)
    if name == "leaky_relu":
        return 2 * eps(dtype) * np.abs(x)
    if name == "gelu":
        return 8 * eps(dtype) * x + tiny(dtype)
    return 16 * eps(dtype) * np.abs(activation(name, x)) + tiny(dtype) * (1 + np.abs(x))


def derivative_tolerance(name: str, x: Array, dtype: str) -> Array:
    """How far act'(x) may be off, computed from ``saved``: act(x) rounded once, or x itself.

    tanh, elu: 1 - y^2 and y + 1 cancel, so what remains of a small derivative is the rounding of
    y (of at most 1) and of the sum. sigmoid: the same in 1 - y, times y. softplus: an expm1
    (4 eps) that does not cancel, of a rounded y.
    silu: 1 - s is off by eps and multiplied by x; from x = 40 on s is exactly 1 in both dtypes.
    gelu: 1 - tanh^2 is off by 2 * 4 eps and some, times x inner'(x) / 2 = 0.4 (x + 0.134 x^3);
    from x = 8 on tanh is exactly 1 in both dtypes.
    """
    x = x.astype(np.float64)
    if name in ("identity", "relu"):
        return np.zeros_like(x)
    if name == "silu":
        return 8 * eps(dtype) * (1 + np.minimum(np.abs(x), 40))
    if name == "gelu":
        c = np.minimum(np.abs(x), 8)
        return 8 * eps(dtype) * (1 + c + 0.134 * c**3)
    if name == "sigmoid":
        return 4 * eps(dtype) * activation(name, x) + tiny(dtype)
    if name == "softplus":
        return 8 * eps(dtype) * derivative(name, x) + tiny(dtype)
    return np.full_like(x, 4 * eps(dtype))


def saved_for_backward(name: str, x: Array, dtype: str) -> Array:
    """What ``activation_backward`` is given for the input x: silu and gelu keep it."""
    return x.astype(dtype) if name in ("silu", "gelu") else activation(name, x).astype(dtype)


# ---- the dense layer


def dense(x: Array, w: Array, b: Array) -> Array:
    return np.einsum("ni,ij->nj", x.astype(np.float64), w.astype(np.float64)) + b


def product_tolerance(a: Array, b: Array, dtype: str) -> Array:
    """How far a @ b (depth K) and one more addition may be off, in any order of summation.

    Each of the K products and K sums is rounded: at most K eps / 2 of the sum of magnitudes
    (Higham, "Accuracy and stability", section 3.1), twice that with the reference's own.
    """
    depth = a.shape[-1]
    magnitudes = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return (depth + 1) * eps(dtype) * magnitudes


def tolerance_3xtf32(a: Array, b: Array, dtype: str) -> Array:
    """How far a @ b (depth K) may be off in 3xTF32.

    Each factor x is big + small up to eps |x|: big leaves 12 bits, small keeps 11 of them. small_a
    small_b, left out, is at most 2^-22 = 2 eps of the product: 4 eps so far. Tensor cores then sum
    8 products and what they have: nine addends, each less than eps of the largest off, and the
    sum once more: 10 eps; the two small products of the three add 10 eps 2^-10. Each of the K / 8
    sums rounds by eps / 2 as it is added, and so do the bias and the splits: at most 3, or one for
    each 64 terms.
    """
    steps = -(-a.shape[-1] // 8) * (1 + 1 / 8)
    magnitudes = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return (4 + 10.01 + (steps + 4) / 2) * eps(dtype) * magnitudes


def tolerance_tf32(a: Array, b: Array, dtype: str) -> Array:
    """Each factor is rounded to 11 bits, so errs by 2^-11 of itself; the sums are those above."""
    magnitudes = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return (2 * 2**-11 + 2**-22) * magnitudes + tolerance_3xtf32(a, b, dtype)


# by conventions.MATMULS
PRODUCT_TOLERANCES = {
    "fp32": product_tolerance,
    "3xtf32": tolerance_3xtf32,
    "tf32": tolerance_tf32,
}


def check_matmul(
    backend: Backend, matmul: Callable[..., None], rng: np.random.Generator, dtype: str,
    shape: tuple[int, int, int], offsets: tuple[int, int, int] = (0, 0, 0), guard: int = 512,
) -> None:  # fmt: skip
    """c (m, n) = a (m, k) @ b (k, n), and nothing but c is read or written.

    Each lies so many elements past a multiple of 16 bytes, amid NaN: what is read outside a or b
    brings NaN into c, even where it is multiplied by a zero.
    """
    m, k, n = shape
    host = normals(rng, (m, k), dtype), normals(rng, (k, n), dtype), poisoned((m, n), dtype)
    starts = [guard + offset for offset in offsets]
    around = [np.pad(x.reshape(-1), (start, guard), constant_values=np.nan)
              for x, start in zip(host, starts, strict=True)]  # fmt: skip
    buffers = list(map(backend.to_device, around))
    matmul(*(buffer[start : start + x.size].reshape(x.shape)
             for buffer, start, x in zip(buffers, starts, host, strict=True)))  # fmt: skip
    a, b, c = map(backend.to_host, buffers)
    assert a.tobytes() == around[0].tobytes() and b.tobytes() == around[1].tobytes(), shape
    result = c[starts[2] : starts[2] + m * n].reshape(m, n)
    tolerance = product_tolerance(*host[:2], dtype)
    assert_within(result, dense(*host[:2], np.zeros(n)), tolerance, (shape, offsets))
    assert np.isnan(c).sum() == c.size - m * n, (shape, offsets)


# ---- losses: each a pair (value, derivative with respect to the output), elementwise


def loss(name: str, output: Array, target: Array) -> tuple[Array, Array]:
    z, t = output.astype(np.float64), target.astype(np.float64)
    e = z - t
    inside = np.abs(e) <= 1
    return {
        "mse": lambda: (e**2, 2 * e),
        # -t log p - (1 - t) log(1 - p), where -log sigmoid(z) = log(e^0 + e^-z)
        "bce": lambda: (
            t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z),
            t * (sigmoid(z) - 1) + (1 - t) * sigmoid(z),
        ),
        "l1": lambda: (np.abs(e), np.where(e > 0, 1.0, np.where(e < 0, -1.0, 0.0))),
        "huber": lambda: (
            np.where(inside, e**2 / 2, np.abs(e) - 0.5),
            np.where(inside, e, np.where(e > 0, 1.0, -1.0)),
        ),
    }[name]()


def reconstruction(name: str, output: Array) -> Array:
    return sigmoid(output.astype(np.float64)) if name == "bce" else output.astype(np.float64)


def loss_tolerances(name: str, output: Array, target: Array, dtype: str) -> tuple[float, Array]:
    """How far the summed value, and each derivative before its division, may be off.

    mse, l1, huber: one subtraction (exact in sign), then two or three products of one sign, and
    |e| - 1/2 at |e| >= 1 which at most doubles a relative error: 4 eps. bce: z t and 1 - t are
    rounded unless t is 0 or 1, then max(z, 0) - z t is; log1p(exp) errs by 8 eps of itself; p by
    9 eps of at most 1 (see ``activation_tolerance``), less t. The values are summed in float64.
    """
    value, slope = loss(name, output, target)
    if name == "bce":
        z = np.abs(output.astype(np.float64))
        inexact = (target != 0) & (target != 1)
        each = eps(dtype) * (2 * z * inexact + 8 * value) + tiny(dtype)
        slack = np.full_like(slope, 12 * eps(dtype))
    else:
        each = 4 * eps(dtype) * value + tiny(dtype)  # a square may be too small to store
        slack = 4 * eps(dtype) * np.abs(slope)
    return float(each.sum() + value.size * eps("float64") * value.sum()), slack


def squared_error_tolerance(name: str, output: Array, target: Array, dtype: str) -> float:
    """(e + d)^2 - e^2 = 2 e d + d^2, d the error of the reconstruction e + t; then 2 roundings."""
    e = np.abs(reconstruction(name, output) - target)
    d = 12 * eps(dtype) if name == "bce" else eps(dtype) * e
    square = e**2
    each = 2 * e * d + np.square(d) + 2 * eps(dtype) * square + tiny(dtype)
    return float(each.sum() + e.size * eps("float64") * square.sum())


def assert_loss(
    name: str, output: Array, target: Array, gradient: Array, totals: Array, dtype: str
) -> None:
    """These are the loss's, within what it may be off; exactly 0 is the share of a NaN target."""
    there = ~np.isnan(target)
    values = name, output[there], target[there]
    value, slope = loss(*values)
    value_slack, slope_slack = loss_tolerances(*values, dtype)
    squared = np.square(reconstruction(*values[:2]) - target[there])
    squared_slack = squared_error_tolerance(*values, dtype)
    expected, what = [value.sum(), squared.sum()], f"{output.shape}"
    assert_within(totals, expected, [value_slack, squared_slack], f"totals of {what}")
    batch = max(len(output), 1)
    slopes, tolerance = np.zeros((2, *output.shape))
    slopes[there] = slope / batch
    # 1 / batch is rounded too
    tolerance[there] = (slope_slack + 2 * eps(dtype) * np.abs(slope)) / batch
    assert_within(gradient, slopes, tolerance, f"gradient of {what}")


# ---- random numbers, from a stream's words


def units(words: Array, dtype: str) -> Array:
    """The uniforms in [0, 1) that these words stand for: 24 bits of one, or 53 bits of two."""
    wide = words.astype(np.float64)  # exact, as is everything that follows
    if dtype == "float32":
        return np.floor(wide / 2**8) / 2**24
    return (np.floor(wide[0::2] / 2**5) * 2**26 + np.floor(wide[1::2] / 2**6)) / 2**53


def box_muller(words: Array, dtype: str) -> tuple[Array, Array]:
    """(normals, the radius of each); the sum u + half a bit is rounded to dtype, as defined."""
    u = units(words, dtype).astype(dtype)
    half = np.dtype(dtype).type(2.0 ** (-25 if dtype == "float32" else -54))
    radius = np.sqrt(-2 * np.log((u[0::2] + half).astype(np.float64)))
    angle = 2 * np.pi * u[1::2].astype(np.float64)
    g = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return g.reshape(-1), np.repeat(radius, 2)
