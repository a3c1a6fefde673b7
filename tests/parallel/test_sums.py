"""Memory that ranks share and messages between them: two ways to one sum."""

from __future__ import annotations

import pytest

from tests.parallel.launching import needs_mpi
from tests.parallel.test_team import program
from tinyae.kernels.columns import available_backends


@needs_mpi
@pytest.mark.parametrize("backend", ("numpy", "numba"))
def test_both_ways_give_the_same_net(backend: str) -> None:
    """By numpy to the last bit; numba goes through parts in vectors, whose tails may round another
    way. The larger net has its gradient by layers. Moments are this process's own in the end."""
    if backend not in available_backends():
        pytest.skip("no numba")
    text = """
from tinyae.parallel import sums
backend, made_of = sys.argv[1], []
class Spied(sums.MachineSum):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        made_of.append(self._divided)
sums.MachineSum = Spied
cases = {}, {"clip_norm": 0.1}, {"code_noise": 0.1}, {"optimizer": "nesterov"}, {"eps": 1e-6}
found = []
for way in (sums.shared_memory, lambda *_: None):
    sums.shared_memory = way
    for options in (*cases, {"hidden": (800, 800), "epochs": 1}):
        ae = made(backend=backend, **options).fit(X, comm=comm)
        arrays = [*ae.parameters().values(), *ae._optimizer.moments.values()]
        own = ae._network.parameters.values, *ae._optimizer.moments.values()
        assert all(a.flags.owndata for a in own)
        assert np.shares_memory(ae._network.layers[0].w, own[0])
        ae.partial_fit(X[:7])
        found.append(np.concatenate([array.ravel() for array in arrays]))
assert made_of == [True, False, True, True, True, True], made_of
pairs = list(zip(found[:6], found[6:]))
assert all(a.tobytes() == b.tobytes() for a, b in pairs) or backend == "numba"
say(max(abs(a - b).max() for a, b in pairs))
"""
    done = program(2, text, backend)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
    assert all(float(found) < 1e-12 for found in done.stdout.split())


@needs_mpi
def test_a_machine_without_room_sends_messages() -> None:
    text = """
from tinyae.parallel import machine, sums
machine._room = lambda: 1000.0 if comm.rank else float("inf")  # one rank of two knows
ae = made().initialize(6)
assert type(sums.sum_for(comm, ae._optimizer, ae._network, True)) is sums.Sum
machine._room = lambda: float("inf")
found = sums.sum_for(comm, ae._optimizer, ae._network, True)
say(type(found).__name__)
found.close()
"""
    done = program(2, text)
    assert done.stdout.split() == ["MachineSum"] * 2, done.stderr
