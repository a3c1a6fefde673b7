"""The sampling layer: draws in memory for training, the mean elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from tinyae.kernels.backend import Backend
from tinyae.kernels.reference.random import random_normal
from tinyae.net.layers import DenseSpec
from tinyae.net.network import Architecture, Network, Workspace, forward
from tinyae.net.sampling import Sample, SampleRecord, SampleSpec


def net(backend: Backend, draws: int = 1) -> tuple[Network, Sample]:
    layers = (DenseSpec("encoder.0", 3, 4, "identity"), SampleSpec("sample", draws),
              DenseSpec("decoder.0", 2, 3, "identity"))  # fmt: skip
    network = Network(backend, Architecture(layers, 2, "mse", "identity"), "float64")
    rng = np.random.default_rng(0)
    shapes = network.parameters.shapes.items()
    network.parameters.set({name: rng.standard_normal(shape) for name, shape in shapes})
    layer = network.layers[1]
    assert isinstance(layer, Sample)
    return network, layer


def test_the_mean_but_in_training_with_a_state(backend: Backend) -> None:
    network, layer = net(backend)
    x = backend.to_device(np.random.default_rng(1).standard_normal((5, 3)))

    def code(training: bool) -> np.ndarray:
        records = Workspace(network, 7, training).records(5)[:2]
        return backend.to_host(forward(backend, x, records))

    mean = code(training=False)
    assert mean.shape == (5, 2)
    np.testing.assert_array_equal(code(training=True), mean)
    layer.state = backend.to_device(np.arange(4, dtype=np.uint32))
    np.testing.assert_array_equal(code(training=False), mean)
    assert (code(training=True) != mean).all()
    np.testing.assert_array_equal(code(training=True), code(training=True))


def test_several_draws(backend: Backend) -> None:
    """Of the whole batch one after another, in training; their gradients are added."""
    network, layer = net(backend, 3)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 3))
    layer.state = backend.to_device(np.arange(4, dtype=np.uint32))
    records = Workspace(network, 7, training=True).records(5)
    forward(backend, backend.to_device(x), records)
    below, drawn, above = records
    pair = backend.to_host(below.y)
    g = np.empty((15, 2))
    random_normal(np.arange(4, dtype=np.uint32), 0.0, 1.0, g)
    m, v = np.split(np.tile(pair, (3, 1)), 2, axis=1)
    y = backend.to_host(drawn.y)
    np.testing.assert_allclose(y, m + np.exp(v / 2) * g, rtol=1e-12)
    assert above.y.shape == (15, 3)
    assert Workspace(network, 7).records(5)[2].y.shape == (5, 3)
    dy, slopes = rng.standard_normal((15, 2)), rng.standard_normal((15, 4))
    assert isinstance(drawn, SampleRecord)
    backend.write(dy, drawn.dz)
    backend.write(slopes, drawn.slopes)
    layer.backward(backend, below.y, drawn, below)
    slopes = slopes + np.hstack([dy, dy * (y - m) / 2])
    expected = slopes.reshape(3, 5, 4).sum(axis=0)
    np.testing.assert_allclose(backend.to_host(below.dz), expected, rtol=1e-12)


def test_it_needs_an_identity_below(backend: Backend) -> None:
    _, layer = net(backend)
    below = DenseSpec("encoder.0", 3, 4, "tanh").layer(net(backend)[0].parameters)
    record = below.record(backend, 2, False, None)
    for wrong in (None, record):
        with pytest.raises(ValueError, match="sample must stand above a layer with activation"):
            layer.record(backend, 2, False, wrong)
