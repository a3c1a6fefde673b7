"""What training minimises: the loss of the output against its target, and terms beside it.

A term is a subclass of ``Term`` in a file of its own, in ``terms/`` and an entry in
``assemble.TERMS``, or in ``families/``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from ..kernels.backend import Array, Backend
from ..net.layers import Record
from ..net.network import Network, Visit, backward, forward
from ..net.parameters import Parameters
from .code_noise import CodeNoise
from .draws import Draws


class Term:
    """A change to the target, or something that is added to the loss and to its gradient.

    A step calls ``target``, ``value``, ``visit``, ``gradient`` and ``after``, in this order; a term
    overrides those that it needs. ``ops`` are the operations of the backend.
    """

    draws: Draws | None = None  # its random numbers, which are others at every update
    target_only = False  # True where it overrides ``target`` alone
    # True where value and gradient are sums over samples: processes may share a minibatch
    of_samples = False
    # where it is no sum over samples: the argument that makes it so, and what to give instead
    setting, instead = "its loss", ""  # "sparsity='kl'", "sparsity='l1'"
    of_the_data = False  # True where it belongs to every sample: validation data go through it too
    remedy = ""  # against a loss that is no longer finite: "a smaller beta (it is 4)"
    visit: Visit | None = None  # a method of this type may add to a layer's dz

    def prepare(self, progress: float) -> None:
        """Before an epoch, with the part ``progress`` of training done."""

    def metrics(self) -> dict[str, float]:
        """After an epoch: what its entries in the history are, by their columns."""
        return {}

    def state(self) -> Mapping[str, Array]:
        """Arrays in the backend's memory that a resumed run needs, by name."""
        return {}

    def mode(self) -> Hashable:
        """A step that was recorded in one mode is replayed in that mode only."""
        return None

    def judge(self) -> None:
        """Before validation data, if it is of the data."""
        if self.draws is not None:
            self.draws.judge()

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        """What is to be reconstructed, (batch, n_features), where ``target`` would be without the
        term. x is what the net reads, and may be changed in place; ``target`` may be x itself."""
        return target

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        """Adds its value, summed over the batch, to totals[0]."""

    def gradient(self, ops: Backend, parameters: Parameters) -> None:
        """Adds to the gradients of the parameters."""

    def after(self, ops: Backend) -> None:
        """After an update: may change parameters."""

    def kinks(self, records: Sequence[Record]) -> Sequence[Array]:
        """Numbers at whose sign the value has a kink: no finite difference may straddle it."""
        return ()


class Objective:
    """The loss of ``network`` in training, and its gradient.

    Of the arguments of its methods, x and target are (batch, n_features), ``records`` those of
    the batch, and ``totals`` float64 (2,) receives [losses, squared errors], summed.
    """

    def __init__(
        self, network: Network, noise: CodeNoise | None = None, terms: Sequence[Term] = (),
        visits: Sequence[Visit] = (),
    ) -> None:  # fmt: skip
        self.network = network
        self.noise = noise  # None leaves its layer out
        self.terms = terms
        self.visits = [*(term.visit for term in terms if term.visit is not None), *visits]
        # a step is nothing but layers, loss and update
        targets_only = all(term.target_only for term in terms)
        self.plain = noise is None and targets_only and not self.visits

    @property
    def draws(self) -> list[Draws]:
        """Of all terms."""
        return [term.draws for term in self.terms if term.draws is not None]

    @property
    def remedies(self) -> list[str]:
        """Of all terms."""
        return [term.remedy for term in self.terms if term.remedy]

    def begin(self, update: int, progress: float) -> None:
        """Before a step that is not replayed: update number ``update``, with the part ``progress``
        of training done."""
        if self.noise is not None:
            self.noise.prepare(update, progress)
        for draws in self.draws:
            draws.prepare(update)

    def target(self, ops: Backend, x: Array) -> Array:
        """Changes x to what the net reads; returns what is to be reconstructed."""
        return _target(ops, x, self.terms)

    def loss(
        self, ops: Backend, x: Array, target: Array, records: Sequence[Record], totals: Array
    ) -> None:
        """Forward, and the loss without terms.

        Leaves d(mean loss)/d(last layer's output) in the last record's dz.
        """
        output = forward(ops, x, records)
        ops.loss(self.network.architecture.loss, output, target, records[-1].dz, totals)

    def judge(self, ops: Backend, x: Array, records: Sequence[Record], totals: Array) -> None:
        """The loss of validation data x, with the terms that are of the data."""
        terms = [term for term in self.terms if term.of_the_data]
        for term in terms:
            term.judge()
        self.value(ops, x, _target(ops, x, terms), records, totals, terms)

    def value(
        self, ops: Backend, x: Array, target: Array, records: Sequence[Record], totals: Array,
        terms: Sequence[Term],
    ) -> None:  # fmt: skip
        """``loss`` with these terms."""
        self.loss(ops, x, target, records, totals)
        for term in terms:
            term.value(ops, records, totals)

    def gradient(
        self, ops: Backend, x: Array, target: Array, records: Sequence[Record], totals: Array
    ) -> None:
        """``value`` with all terms, and its gradient in the parameters' ``gradients``."""
        self.value(ops, x, target, records, totals, self.terms)
        last = records[-1]
        if last.activation != "identity":
            ops.activation_backward(last.dz, last.activation, last.saved, last.dz)
        backward(ops, x, records, self.visits)
        for term in self.terms:
            term.gradient(ops, self.network.parameters)


def _target(ops: Backend, x: Array, terms: Sequence[Term]) -> Array:
    target = x
    for term in terms:
        target = term.target(ops, x, target)
    return target
