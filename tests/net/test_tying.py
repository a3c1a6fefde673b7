"""The tied layer: the product, the sum of both gradients, and the same net with arrays apart."""

from __future__ import annotations

import numpy as np

from tests import reference as ref
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, NEEDS_INPUT
from tinyae.net.layers import DenseSpec, NoiseSpec
from tinyae.net.network import Architecture, Network, Workspace, backward, forward
from tinyae.net.tying import SharedSpec, TiedSpec

SIZES = ((7, 5), (33, 17), (1, 1), (4, 65))


def nets(backend: Backend, n: int, h: int, act: str, dtype: str) -> tuple[Network, Network]:
    """A tied net and the plain one with the same numbers."""
    tied = (SharedSpec("encoder.0", n, h, act), NoiseSpec("noise"),
            TiedSpec("decoder.0", h, n, act, "encoder.0"))  # fmt: skip
    plain = (DenseSpec("encoder.0", n, h, act), NoiseSpec("noise"),
             DenseSpec("decoder.0", h, n, act))  # fmt: skip
    found = [Network(backend, Architecture(x, 1, "mse", "identity"), dtype) for x in (tied, plain)]
    rng = np.random.default_rng(n)
    values = {
        name: rng.standard_normal(shape) / np.sqrt(n)
        for name, shape in found[0].parameters.shapes.items()
    }
    assert set(values) == {"encoder.0.weight", "encoder.0.bias", "decoder.0.bias"}
    found[0].parameters.set(values)
    found[1].parameters.set({**values, "decoder.0.weight": values["encoder.0.weight"].T})
    return found[0], found[1]


def test_it_is_the_plain_net_with_gradients_summed(backend: Backend, dtype: str) -> None:
    """Three products of sums of at most 65 terms, in another order: 3 x 65 roundings of numbers of
    about 1, and as many in what activations (steepness at most 1.2) make of them. Twice over, with
    fewer samples the second time: nothing is left from the first."""
    slack = 4 * 3 * 66 * ref.eps(dtype)
    for act in ("tanh", "relu", "silu") if backend.name == "cuda-ptx" else ACTIVATIONS:
        for n, h in SIZES:
            pair = nets(backend, n, h, act, dtype)
            spaces = [Workspace(net, 9, training=True) for net in pair]
            for batch in (9, 4):
                x = np.random.default_rng(batch).standard_normal((batch, n)).astype(dtype)
                found = []
                for net, space in zip(pair, spaces, strict=True):
                    device, records = backend.to_device(x), space.records(batch)
                    y = backend.to_host(forward(backend, device, records))
                    dz = np.random.default_rng(1).standard_normal((batch, n)).astype(dtype)
                    backend.write(dz, records[-1].dz)
                    backward(backend, device, records, [])
                    gradients = backend.to_host(net.parameters.gradients)
                    found.append((y, net.parameters.split(gradients)))
                (y, ours), (expected, plain) = found
                np.testing.assert_allclose(y, expected, rtol=0, atol=slack * np.abs(y).max())
                sums = {**plain}
                sums["encoder.0.weight"] = (
                    plain["encoder.0.weight"] + sums.pop("decoder.0.weight").T
                )
                for name, value in sums.items():
                    most = max(1.0, np.abs(value).max()) * batch
                    np.testing.assert_allclose(
                        ours[name], value, rtol=0, atol=slack * most, err_msg=f"{name} {act}"
                    )


def test_what_the_activation_keeps(backend: Backend) -> None:
    for act in NEEDS_INPUT:
        net, _ = nets(backend, 4, 3, act, "float64")
        records = Workspace(net, 5).records(5)
        x = backend.to_device(np.random.default_rng(0).standard_normal((5, 4)))
        forward(backend, x, records)
        values = net.parameters.to_host()
        z = backend.to_host(records[0].y) @ values["encoder.0.weight"].T + values["decoder.0.bias"]
        np.testing.assert_allclose(backend.to_host(records[1].saved), z, rtol=0, atol=1e-14)
