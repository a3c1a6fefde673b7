"""What tests of training share: a crash at a step, and whether two nets have the same bytes."""

from __future__ import annotations

from collections.abc import Callable

from tinyae import Autoencoder
from tinyae.train.progress import Progress


class Stop(Exception):
    """Ends a training from its callback, as a crash would."""


def stop_at(epoch: int, step: int) -> Callable[[Progress], None]:
    def callback(p: Progress) -> None:
        if (p.epoch, p.step) == (epoch, step):
            raise Stop

    return callback


def assert_same_weights(a: Autoencoder, b: Autoencoder) -> None:
    for name, value in a.parameters().items():
        assert value.tobytes() == b.parameters()[name].tobytes(), name
