"""New samples: that each is made as it says, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.codes.augment import NewSamples, add_noise, interpolate, shift_images
from tinyae.codes.few_labels import Augmentation, Samples, accuracies, augmented, labelled

LABELS = np.array([5, 9, 5, 5, 9, 5, 9, 5, 5, 9, 5])  # seven of class 5, four of class 9


def points(features: int = 6) -> np.ndarray:
    return np.random.default_rng(features).normal(size=(len(LABELS), features))


def shift(x: np.ndarray, y: np.ndarray, n: int, seed: int = 0) -> NewSamples:
    return shift_images(x, y, n, (2, 3), seed)


WAYS = pytest.mark.parametrize("make", [interpolate, add_noise, shift])


@WAYS
@pytest.mark.parametrize("n", [1, 4, 7, 16])
def test_every_class_gets_as_many(make: Callable[..., NewSamples], n: int) -> None:
    x = points()
    before = x.copy()
    new = make(x, LABELS, n)
    assert new.points.shape == (2 * n, 6) and new.points.dtype == np.float64
    assert new.labels.tolist() == [5] * n + [9] * n
    np.testing.assert_array_equal(LABELS[new.base], new.labels)
    counts = np.bincount(new.base, minlength=len(LABELS))
    for kind in (5, 9):
        assert np.ptp(counts[LABELS == kind]) <= 1
    np.testing.assert_array_equal(x, before)


@WAYS
def test_the_seed_decides(make: Callable[..., NewSamples]) -> None:
    x = points()
    a, b, c = make(x, LABELS, 9, 3), make(x, LABELS, 9, 3), make(x, LABELS, 9, 4)
    np.testing.assert_array_equal(a.points, b.points)
    assert not np.isin(a.points, c.points).all()
    words = make(x, np.where(LABELS == 5, "five", "nine"), 9, 3)
    np.testing.assert_array_equal(a.points, words.points)
    assert words.labels.tolist() == ["five"] * 9 + ["nine"] * 9


@pytest.mark.parametrize("k", [1, 2, 3, 5, 50])
def test_interpolation_stays_between_neighbours(k: int) -> None:
    x = points()
    new = interpolate(x, LABELS, 40, neighbours=k)
    used, shares = set(), []
    for point, base in zip(new.points, new.base, strict=True):
        others = np.flatnonzero((LABELS == LABELS[base]) & (np.arange(len(LABELS)) != base))
        distances = ((x[others] - x[base]) ** 2).sum(axis=1)
        near = others[np.argsort(distances)[:k]]
        # u of the line from base to each neighbour that comes nearest, and how near it comes
        way = x[near] - x[base]
        u = (way @ (point - x[base])) / (way**2).sum(axis=1)
        misses = np.abs(x[base] + u[:, None] * way - point).max(axis=1)
        best = misses.argmin()
        assert misses[best] < 1e-12 and -1e-12 < u[best] < 1
        used.add((base, near[best]))
        shares.append(u[best])
    # with 40 draws of each class, some neighbour of a sample may stay out, but few do
    assert len(used) > 0.7 * sum(min(k, n - 1) * n for n in (7, 4))
    assert 0.4 < np.mean(shares) < 0.6  # 5 standard deviations of the mean of 80 uniforms: 0.16


def test_interpolation_between_equal_samples() -> None:
    x = np.ones((6, 2))
    x[5] = 3
    new = interpolate(x, [0] * 6, 12, neighbours=2)
    assert (new.points[new.base < 5] == 1).all()
    assert (new.points[new.base == 5] > 1).all()


def test_noise_has_the_spread_of_its_class() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 10.0, 0.0]
    labels = np.arange(60) % 2
    new = add_noise(x, labels, 6000, scale=0.5)
    for kind in (0, 1):
        own = x[labels == kind].std(axis=0)
        noise = (new.points - x[new.base])[new.labels == kind]
        # 5 standard deviations: of a mean 5 / sqrt(6000), of a deviation 5 / sqrt(12000)
        assert (np.abs(noise.mean(axis=0)) <= 0.5 * own * 0.065).all()
        np.testing.assert_allclose(noise.std(axis=0), 0.5 * own, rtol=0.046)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (3, 4, 3)])
@pytest.mark.parametrize("pixels", [1, 2])
def test_shifts_move_by_whole_pixels_and_repeat_the_edge(
    shape: tuple[int, ...], pixels: int
) -> None:
    x = np.random.default_rng(0).random((2, int(np.prod(shape))))
    new = shift_images(x, [1, 1], 200, shape, pixels=pixels)
    h, w = shape[:2]
    moves = [(a, b) for a in range(-pixels, pixels + 1) for b in range(-pixels, pixels + 1)]
    seen = set()
    for point, base in zip(new.points, new.base, strict=True):
        image = x[base].reshape(h, w, -1)
        found = [
            (a, b)
            for a, b in moves
            if np.array_equal(
                point.reshape(h, w, -1),
                image[np.arange(a, a + h).clip(0, h - 1)][:, np.arange(b, b + w).clip(0, w - 1)],
            )
        ]
        assert len(found) == 1
        seen.update(found)
    assert seen == set(moves) - {(0, 0)}


@WAYS
def test_bad_input(make: Callable[..., NewSamples]) -> None:
    x = points()
    with pytest.raises(ValueError, match="class 7 has a single sample: new ones .* at least 2"):
        make(x, np.where(np.arange(11) == 3, 7, 1), 5)
    with pytest.raises(ValueError, match=r"labels must have shape \(11,\), got \(10,\)"):
        make(x, LABELS[1:], 5)
    with pytest.raises(ValueError, match="per_class must be an integer >= 1, got 0"):
        make(x, LABELS, 0)
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        make(x, LABELS, 5, -1)
    x[2, 2] = np.nan
    with pytest.raises(ValueError, match="points contains NaN"):
        make(x, LABELS, 5)


def test_bad_options() -> None:
    x = points()
    with pytest.raises(ValueError, match="neighbours must be an integer >= 1, got 0"):
        interpolate(x, LABELS, 5, neighbours=0)
    for scale in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="scale must be a number > 0, got"):
            add_noise(x, LABELS, 5, scale=scale)
    with pytest.raises(ValueError, match="pixels must be an integer >= 1, got 0"):
        shift_images(x, LABELS, 5, (2, 3), pixels=0)
    for shape in [(2, 2), (6,), (1, 2, 3, 1)]:
        with pytest.raises(ValueError, match="image_shape must be .* for 6 features, got"):
            shift_images(x, LABELS, 5, shape)


def test_samples_without_a_shape_are_not_shifted() -> None:
    ae = Autoencoder(hidden=(), code=2, epochs=1, random_state=0).fit(points())
    known = Samples(points(), ae.encode(points()), LABELS)
    made, base = augmented(ae, known, how=Augmentation(per_class=4), image_shape=None, seed=0)
    assert list(made) == ["pixel interpolation", "pixel noise", "code interpolation", "code noise"]
    assert {len(new.labels) for new in made.values()} == {len(base)} == {8}
    for name, new in made.items():  # pixels and codes are the same samples
        near, far = (ae.encode(new.x), new.z) if "pixel" in name else (ae.decode(new.z), new.x)
        np.testing.assert_allclose(near, far, rtol=1e-4, atol=1e-5)
    assert set(accuracies(known.joined(made["code noise"]), known)) == {
        "pixels k-NN", "pixels softmax", "codes k-NN", "codes softmax"
    }  # fmt: skip


def test_labelled_chooses_at_random_as_many_of_each() -> None:
    labels = np.repeat([3, 8], [50, 10])
    a, b = labelled(labels, 10, 0), labelled(labels, 10, 1)
    assert labels[a].tolist() == [3] * 10 + [8] * 10 and len(set(a)) == 20
    assert set(a[:10]) != set(b[:10]) and set(a[10:]) == set(range(50, 60))
    with pytest.raises(ValueError, match="class 8 has 10 training samples, fewer than the 11"):
        labelled(labels, 11, 0)
