"""Who embeds a trained net gets the numbers of the float64 reference, or no time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cases import nets
from benchmarks.cases.cases import GROUPS, Options, select
from benchmarks.cases.latency_cases import TOLERANCE, check_chain, layers_of
from benchmarks.contestants import chains
from benchmarks.contestants.contestants import CONTESTANTS, Contestant, load, why_absent

LATENCY = GROUPS["latency"]
# PyTorch is no requirement of the tests: its case is there where it is
TAKE_PART = [
    c for c in CONTESTANTS.values()
    if set(LATENCY) <= {*c.ops} and not (c.name.startswith("torch") and why_absent(c))
]  # fmt: skip


def test_each_number_of_rows_is_a_case() -> None:
    found = [(c.op, c.batch, c.case) for c in select("latency", Options(nets=("small",)))]
    rows = ((1, "1 row"), (16, "16 rows"), (2000, "2000 rows"))
    assert found == [(op, *row) for op in LATENCY for row in rows]
    (case,) = select("latency", Options(only=("encode",), nets=("small",), batches=(7,)))
    assert (case.op, case.counts.flops) == ("encode", 2 * 7 * (784 * 128 + 128 * 32))


@pytest.mark.parametrize("op", LATENCY)
@pytest.mark.parametrize("contestant", TAKE_PART, ids=lambda contestant: contestant.name)
def test_all_compute_the_same_net(contestant: Contestant, op: str) -> None:
    if reason := why_absent(contestant):
        pytest.skip(reason)
    if contestant.name.startswith("export-c") and chains.shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    loaded, x = load(contestant), nets.batch_of(3)
    assert loaded.threads() >= 1
    call = loaded.chain(op, "small", x)
    for _ in range(2):
        check_chain(op, "small", loaded.weights("small"), x, call())


@pytest.mark.parametrize("op", LATENCY)
def test_what_is_slightly_wrong_gets_no_time(op: str) -> None:
    hand, x = chains.ByHand(), nets.batch_of(3)
    weights, right = hand.weights("small"), hand.chain(op, "small", x)()
    assert right.shape == (3, nets.layers("small")[layers_of(op, "small") - 1][1])
    check_chain(op, "small", weights, x, right)
    for wrong in (right + 2 * TOLERANCE * np.abs(right).max(), right * np.nan):
        with pytest.raises(AssertionError, match=f"{op} is off by"):
            check_chain(op, "small", weights, x, wrong)
    with pytest.raises(AssertionError, match=r"gives shape \(1, "):
        check_chain(op, "small", weights, x, right[:1])
    other = [(w, b + 1e-3) for w, b in weights]
    with pytest.raises(AssertionError, match=f"{op} is off by"):
        check_chain(op, "small", other, x, right)


def test_without_a_compiler_c_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no C compiler \(cc\)"):
        load(CONTESTANTS["export-c"])
