"""JAX as a rival: a whole training step in one compiled function.

Its streams are its own, so it is timed by the host's clock, which waits for each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import nets
from benchmarks.contestants.loaded import Loaded, StepRun


def load(name: str) -> Jax:
    return Jax(name)


class Jax(Loaded):
    exact = False

    def __init__(self, name: str) -> None:
        self.device = "gpu" if name == "jax-gpu" else "cpu"
        self._place = jax.devices("gpu" if self.device == "gpu" else "cpu")[0]
        jax.config.update("jax_default_device", self._place)
        jax.config.update("jax_default_matmul_precision", "highest")  # no TF32
        self.note = "jitted step, timed by the host's clock" + (
            ", TF32 off" if self.device == "gpu" else ""
        )

    def to_device(self, host: Any) -> Any:
        return jax.device_put(host, self._place)

    def to_host(self, array: Any) -> Any:
        return np.array(array)

    def step(self, net: str, batch: int) -> StepRun:
        x, update = self.to_device(nets.batch_of(batch)), jax.jit(step_of(net))
        state = [self._start(net), jnp.zeros(())]

        def run() -> None:
            state[:] = update(state[0], x)
            jax.block_until_ready(state)

        def results() -> tuple[float, list[tuple[Any, Any]]]:
            moments = state[0][1]
            return float(state[1]), [(np.array(w), np.array(b)) for w, b in moments]

        return StepRun(run, results)

    def _start(self, net: str) -> tuple[Any, Any, Any, Any]:
        """(parameters, first and second moments, updates)"""
        weights = [(self.to_device(w), self.to_device(b)) for w, b in nets.weights(net)]
        zeros = [(jnp.zeros_like(w), jnp.zeros_like(b)) for w, b in weights]
        return weights, zeros, zeros, jnp.zeros(())

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        data = self.to_device(nets.pixels(batch, quick))
        train = step_of(net)

        @jax.jit
        def update(state: Any, data: Any, positions: Any) -> Any:
            x = data[positions].astype(jnp.float32) / 255
            state, loss = train(state, x)
            return state, loss * len(positions)

        state, key = [self._start(net)], [jax.random.key(0)]

        def epoch() -> float:
            key[0], drawn = jax.random.split(key[0])
            order = jax.random.permutation(drawn, len(data))
            total = jnp.zeros(())
            for start in range(0, len(data), batch):
                state[0], loss = update(state[0], data, order[start : start + batch])
                total += loss
            return float(total) / len(data)

        return epoch


def step_of(net: str) -> Callable[[Any, Any], Any]:
    """(state, x) -> (state, mean loss): forward, cross-entropy on logits, backward, Adam."""
    names = nets.activations(net)
    beta1, beta2 = nets.BETAS

    def loss_of(weights: Any, x: Any) -> Any:
        z = x
        for (w, b), name in zip(weights, names, strict=True):
            z = z @ w + b
            z = jax.nn.relu(z) if name == "relu" else z
        return jnp.sum(jax.nn.softplus(z) - x * z) / len(x)

    def step(state: Any, x: Any) -> Any:
        weights, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(weights, x)
        t = t + 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
        c1, c2 = 1 - jnp.exp(t * math.log(beta1)), 1 - jnp.exp(t * math.log(beta2))
        weights = jax.tree.map(
            lambda w, m, v: w - nets.LEARNING_RATE * (m / c1) / (jnp.sqrt(v / c2) + nets.EPS),
            weights, m, v,
        )  # fmt: skip
        return (weights, m, v, t), loss

    return step
