"""Random numbers: the published Philox vectors, exact bits, and what chance must look like."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.reference import assert_within, box_muller, call, eps, poisoned, units
from tinyae.kernels.backend import Backend
from tinyae.kernels.reference.random import CHUNK, _words, philox

# ---- Philox and the shuffle a second time, in Python integers


@cache
def block(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, ...]:
    """Salmon et al. 2011, figure 4 and section 3.3: ten rounds, the key bumped between them."""
    left0, right0, left1, right1 = counter
    for r in range(10):
        k0 = (key[0] + r * 0x9E3779B9) % 2**32
        k1 = (key[1] + r * 0xBB67AE85) % 2**32
        high0, low0 = divmod(left0 * 0xD2511F53, 2**32)
        high1, low1 = divmod(left1 * 0xCD9E8D57, 2**32)
        left0, right0, left1, right1 = high1 ^ right0 ^ k0, low1, high0 ^ right1 ^ k1, low0
    return left0, right0, left1, right1


def word(state: np.ndarray, j: int) -> int:
    k0, k1, stream, step = state.tolist()
    index = j // 4
    return block((index % 2**32, index // 2**32, stream, step), (k0, k1))[j % 4]


def shuffled(state: np.ndarray, n: int, i: int) -> int:
    """Element i of the permutation: a Feistel network over pairs of digits, walked until < n."""
    k0, k1, stream, step = state.tolist()
    keys = [k for j in range(3) for k in block((j, 0xFE157E1, stream, step), (k0, k1))]
    base = 8
    while base * base < n:
        base *= 2
    while True:
        a, b = divmod(i, base)
        for key in keys:
            h = b ^ key
            h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
            h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
            a, b = b, a ^ (h ^ h >> 16) % base
        i = a * base + b
        if i < n:
            return i


# ---- helpers


def state_of(*words: int) -> np.ndarray:
    return np.array(words, np.uint32)


SEED = state_of(0x12345678, 0x9ABCDEF0, 3, 41)

# Found by search: streams of key (1, 2) whose first words have 24 equal leading bits.
LOWEST = state_of(1, 2, 165525, 8)  # 000000fc ...
HIGHEST = state_of(1, 2, 235471, 35)  # ffffff06 ...
HIGHEST_ANGLE = state_of(1, 2, 27248, 42)  # its fourth word is ffffff90


def drawn(backend: Backend, op: str, size: int, dtype: str, **given: Any) -> np.ndarray:
    """So many numbers of the stream SEED, unless another state is given."""
    arguments = {"state": SEED, **STANDARD.get(op, {}), **given, "out": poisoned((size,), dtype)}
    return call(backend, op, ("out",), **arguments)[0]


STANDARD = {
    "random_uniform": {"low": 0.0, "high": 1.0}, "random_normal": {"mean": 0.0, "std": 1.0}
}  # fmt: skip


def bits(backend: Backend, state: np.ndarray, n: int) -> np.ndarray:
    return drawn(backend, "random_bits", n, "uint32", state=state)


def permutation(backend: Backend, state: np.ndarray, n: int, start: int, size: int) -> np.ndarray:
    return drawn(backend, "random_permutation", size, "int64", state=state, n=n, start=start)


# ---- bits

KNOWN = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_published_vectors(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    """Random123's kat_vectors, philox4x32 with 10 rounds."""
    assert block(counter, key) == words
    many = np.array([counter] * 3, np.uint32)
    np.testing.assert_array_equal(philox(many, key), [words] * 3)


def test_the_first_published_vector_from_every_backend(backend: Backend) -> None:
    assert tuple(bits(backend, state_of(0, 0, 0, 0), 4)) == KNOWN[0][2]


@pytest.mark.parametrize("state", (SEED, state_of(*[2**32 - 1] * 4)))
def test_bits_across_chunks(backend: Backend, state: np.ndarray) -> None:
    edge = 4 * CHUNK
    out = bits(backend, state, 2 * edge + 7)
    near_edges = [k * edge + j for k in range(3) for j in range(-9, 9)]
    for j in {*near_edges, *range(0, len(out), 397)}:
        if 0 <= j < len(out):
            assert out[j] == word(state, j), j


def test_more_blocks_than_one_counter_word_counts() -> None:
    """The NumPy column's own: 2^34 numbers are too many to draw."""
    first = 2**32 - 2
    expected = [word(SEED, 4 * first + j) for j in range(16)]
    assert _words(SEED, first, 4).reshape(-1).tolist() == expected


def test_each_word_of_the_state_matters(backend: Backend) -> None:
    plain = bits(backend, SEED, 64)
    for i in range(4):
        for flip in (1, 2**31):
            state = SEED.copy()
            state[i] ^= flip
            other = bits(backend, state, 64)
            assert (other != plain).all(), (i, flip)
            changed = sum(bin(x).count("1") for x in (other ^ plain).tolist())
            assert abs(changed - 1024) < 5 * math.sqrt(2048 / 4)  # half of 2048 bits


SOME_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 1023, 2 * CHUNK - 1, 2 * CHUNK + 1, 4 * CHUNK + 3)


def test_a_prefix_does_not_depend_on_the_length(backend: Backend, dtype: str) -> None:
    longest = SOME_SIZES[-1]
    given = {"random_bits": {}, "random_uniform": {"low": -1.0}, "random_normal": {},
             "random_bernoulli": {"probability": 0.3}}  # fmt: skip
    for op, numbers in given.items():
        kind = "uint32" if op == "random_bits" else dtype
        whole = drawn(backend, op, longest, kind, **numbers)
        for n in SOME_SIZES:
            np.testing.assert_array_equal(drawn(backend, op, n, kind, **numbers), whole[:n])


def test_the_shape_does_not_matter(backend: Backend, dtype: str) -> None:
    (matrix,) = call(
        backend, "random_normal", ("out",),
        state=SEED, mean=0.0, std=1.0, out=poisoned((7, 3, 5), dtype),
    )  # fmt: skip
    np.testing.assert_array_equal(matrix.reshape(-1), drawn(backend, "random_normal", 105, dtype))


# ---- uniform


@pytest.mark.parametrize("state", (SEED, LOWEST, HIGHEST, HIGHEST_ANGLE))
@pytest.mark.parametrize(("low", "high"), ((0.0, 1.0), (-0.05, 0.05), (-3.0, 3.0), (0.0, 0.7)))
def test_uniform_is_exact(
    backend: Backend, state: np.ndarray, low: float, high: float, dtype: str
) -> None:
    """low + (high - low) u, each operation rounded once to dtype: no fused multiply-add.

    Below high for ranges that start at 0 or lie about 0: there high - low times the largest u,
    1 - 2^-24, rounds to a number below high - low, and adding low to it is exact.
    """
    n = 4 * CHUNK + 5
    out = drawn(backend, "random_uniform", n, dtype, state=state, low=low, high=high)
    real = np.dtype(dtype).type
    per_number = 1 if dtype == "float32" else 2
    u = units(bits(backend, state, per_number * n), dtype).astype(dtype)
    np.testing.assert_array_equal(out, u * real(high - low) + real(low))
    assert real(low) <= out.min()
    assert out.max() < real(high)


def test_the_extreme_uniforms(backend: Backend) -> None:
    assert drawn(backend, "random_uniform", 1, "float32", state=LOWEST)[0] == 0
    assert drawn(backend, "random_uniform", 1, "float32", state=HIGHEST)[0] == 1 - 2**-24


# ---- normal


@pytest.mark.parametrize("state", (SEED, LOWEST, HIGHEST, HIGHEST_ANGLE))
def test_normal_is_box_and_muller(backend: Backend, state: np.ndarray, dtype: str) -> None:
    """radius = sqrt(-2 log(u + half a bit)), angle = 2 pi v; never the logarithm of 0.

    The sum u + half a bit is rounded once, as defined (near 1 it matters). log and sqrt: 4 eps
    and 1 of the radius. The angle is rounded by 2 eps of up to 2 pi, sin and cos by 4: the
    error is at most (2 * 2 pi + 4 + 5 + 2) eps = 24 eps of the radius, which is all of them
    scaled by std; the sum with the mean is one more rounding.
    """
    n = 5000
    mean, std = 0.25, 1.5
    out = drawn(backend, "random_normal", n, dtype, state=state, mean=mean, std=std)
    words = bits(backend, state, n if dtype == "float32" else 2 * n)
    g, radius = box_muller(words, dtype)
    expected = mean + std * g
    tolerance = 24 * eps(dtype) * std * radius + 2 * eps(dtype) * np.abs(expected)
    assert_within(out, expected, tolerance)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("shape", ((0, 3), (1, 1), (1, 5), (7, 3), (129, 33)))
def test_add_normal(backend: Backend, shape: tuple[int, int], dtype: str) -> None:
    """x + std g with random_normal's g: a product and a sum, each rounded once."""
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    (out,) = call(
        backend, "add_normal", ("out",),
        state=SEED, std=np.array([0.3]), x=x, out=poisoned(shape, dtype),
    )  # fmt: skip
    noise = 0.3 * drawn(backend, "random_normal", x.size, dtype).reshape(shape).astype(np.float64)
    assert_within(out, x + noise, 2 * eps(dtype) * (np.abs(noise) + np.abs(x)), shape)


def test_add_normal_in_place(backend: Backend, dtype: str) -> None:
    x, std = np.random.default_rng(2).standard_normal((33, 5)).astype(dtype), np.array([2.0])
    (apart,) = call(
        backend, "add_normal", ("out",), state=SEED, std=std, x=x, out=poisoned(x.shape, dtype)
    )
    there = backend.to_device(x)
    backend.add_normal(backend.to_device(SEED), backend.to_device(std), there, there)
    np.testing.assert_array_equal(backend.to_host(there), apart)


# ---- distributions. Seeds are fixed, so that a bound that holds once holds always; bounds are
# those that a true random stream breaks in 1 of 1000 (Kolmogorov-Smirnov) or 16000 (4 sigma).

N = 40_000


def assert_distributed(sample: np.ndarray, cdf: np.ndarray) -> None:
    """Kolmogorov and Smirnov; ``cdf`` at the sorted sample."""
    n = len(sample)
    distance = max((np.arange(1, n + 1) / n - cdf).max(), (cdf - np.arange(n) / n).max())
    assert distance < 1.95 / math.sqrt(n)


def assert_uncorrelated(a: np.ndarray, b: np.ndarray) -> None:
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(a))


def assert_moments(sample: np.ndarray, moments: tuple[float, ...]) -> None:
    """Means of x, x^2, x^3, x^4 within 4 standard errors; ``moments`` are E x ... E x^8."""
    for k in range(1, 5):
        error = math.sqrt((moments[2 * k - 1] - moments[k - 1] ** 2) / len(sample))
        assert abs((sample**k).mean() - moments[k - 1]) < 4 * error, k


def test_uniform_distribution(backend: Backend, dtype: str) -> None:
    sample = drawn(backend, "random_uniform", N, dtype).astype(np.float64)
    assert_distributed(sample, np.sort(sample))
    assert_moments(2 * sample - 1, tuple((k + 1) % 2 / (k + 1) for k in range(1, 9)))
    for lag in (1, 2, 3, 4, 8):
        assert_uncorrelated(sample[lag:], sample[:-lag])


def test_normal_distribution(backend: Backend, dtype: str) -> None:
    sample = drawn(backend, "random_normal", N, dtype).astype(np.float64)
    ordered = np.sort(sample)
    assert_distributed(sample, np.array([0.5 + 0.5 * math.erf(x / math.sqrt(2)) for x in ordered]))
    assert_moments(sample, (0, 1, 0, 3, 0, 15, 0, 105))
    for lag in (1, 2, 3, 4, 8):
        assert_uncorrelated(sample[lag:], sample[:-lag])
        assert_uncorrelated(sample[lag:] ** 2, sample[:-lag] ** 2)  # sine and cosine share one


def test_neighbouring_streams_are_unrelated(backend: Backend) -> None:
    plain = drawn(backend, "random_normal", N, "float64")
    for i in range(4):
        state = SEED.copy()
        state[i] += 1
        assert_uncorrelated(plain, drawn(backend, "random_normal", N, "float64", state=state))


# ---- bernoulli


@pytest.mark.parametrize("probability", (0.0, 2**-32, 0.1, 0.25, 0.5, 0.9, 1 - 2**-32, 1.0))
def test_bernoulli_is_exact(backend: Backend, probability: float, dtype: str) -> None:
    n = 4 * CHUNK + 5
    out = drawn(backend, "random_bernoulli", n, dtype, probability=probability)
    words = bits(backend, SEED, n).astype(np.int64)
    np.testing.assert_array_equal(out, (words < round(probability * 2**32)).astype(dtype))
    spread = math.sqrt(n * probability * (1 - probability))
    assert abs(out.sum(dtype=np.float64) - n * probability) <= 4 * spread + 1e-3


def test_bernoulli_never_and_always(backend: Backend, dtype: str) -> None:
    """Also for the words next to the ends, which rounding would get wrong."""
    for state, p in itertools.product((LOWEST, HIGHEST), (0.0, 1.0)):
        assert (
            drawn(backend, "random_bernoulli", 1000, dtype, state=state, probability=p) == p
        ).all()


def test_bernoulli_at_its_threshold(backend: Backend, dtype: str) -> None:
    """The word itself is not below its own threshold, but below the next one."""
    first = word(SEED, 0)
    for i in (0, 1):
        assert drawn(backend, "random_bernoulli", 1, dtype, probability=(first + i) / 2**32)[0] == i


# ---- permutation


def test_permutations_of_every_small_size(backend: Backend) -> None:
    """Each number once, in the order of the plain integers."""
    for n in range(71):
        p = permutation(backend, SEED, n, 0, n)
        np.testing.assert_array_equal(np.sort(p), np.arange(n))
        assert p.tolist() == [shuffled(SEED, n, i) for i in range(n)]


@pytest.mark.parametrize("n", (1023, 1024, 1025, 4096, 4097, 60_000, 70_000))
def test_large_permutations(backend: Backend, n: int) -> None:
    p = permutation(backend, SEED, n, 0, n)
    np.testing.assert_array_equal(np.sort(p), np.arange(n))
    for i in {0, 1, n // 2, n - 1, *range(0, n, n // 50)}:
        assert p[i] == shuffled(SEED, n, i), i
    assert_uncorrelated(p, np.arange(n))
    assert_uncorrelated(p[1:], p[:-1])


def test_windows_agree_with_the_whole(backend: Backend) -> None:
    n = 1000
    whole = permutation(backend, SEED, n, 0, n)
    for start, size in ((0, 0), (0, 1), (0, 128), (872, 128), (999, 1), (1000, 0), (333, 400)):
        window = permutation(backend, SEED, n, start, size)
        np.testing.assert_array_equal(window, whole[start : start + size])


def test_a_window_of_more_rows_than_memory_holds(backend: Backend) -> None:
    for n in (2**32 - 5, 2**32 + 5, 10**15):
        window = permutation(backend, SEED, n, n - 3, 3)
        assert window.tolist() == [shuffled(SEED, n, i) for i in range(n - 3, n)]


def test_each_word_of_the_state_shuffles_anew(backend: Backend) -> None:
    plain = permutation(backend, SEED, 500, 0, 500)
    for i in range(4):
        state = SEED.copy()
        state[i] += 1
        assert_uncorrelated(plain, permutation(backend, state, 500, 0, 500))


def test_all_orders_of_four_are_equally_frequent(backend: Backend) -> None:
    """chi-square with 23 degrees of freedom: 49.7 is exceeded by 1 true shuffle in 1000."""
    trials = 1200
    count = Counter(
        tuple(permutation(backend, state_of(7, 11, 0, step), 4, 0, 4).tolist())
        for step in range(trials)
    )
    expected = trials / 24
    orders = itertools.permutations(range(4))
    assert sum((count[order] - expected) ** 2 / expected for order in orders) < 49.7
    assert count.total() == trials
