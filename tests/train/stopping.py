"""What tests of training share: a crash at a step, and whether two nets have the same bytes."""

from __future__ import annotations

from collections.abc import Callable

from tinyae import Autoencoder
from tinyae.train.progress import Progress


class Stop(Exception):
    """Ends a training from its callback, as a crash would."""


def crash() -> None:
    raise Stop


def stop_at(epoch: int, step: int, how: Callable[[], None] = crash) -> Callable[[Progress], None]:
    def callback(p: Progress) -> None:
        if (p.epoch, p.step) == (epoch, step):
            how()

    return callback


def assert_same_weights(a: Autoencoder, b: Autoencoder) -> None:
    assert list(a.parameters()) == list(b.parameters())
    for name, value in a.parameters().items():
        assert value.tobytes() == b.parameters()[name].tobytes(), name
