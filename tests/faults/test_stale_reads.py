"""Nobody is told an older balance than somebody was told before; and who would find out if it were otherwise."""

from __future__ import annotations

import pytest

from tests.faults import stale_orders, stale_reads
from tests.faults.servers import Server
from tests.faults.stale_clients import Order, Plan

READS = {"ci": 20_000, "nightly": 200_000, "release": 1_000_000}
FAULTS = {"ci": 50, "nightly": 500, "release": 2_000}
_TRIES = 5
_ONLY = {stale_orders.any_instance: ("brought back old",)}
"""What shows itself after one fault only is looked for with that one."""


@pytest.mark.timeout(3600)  # of a release; a change's run takes half a minute
def test_no_balance_is_older_than_what_was_told(fault_server: Server, tier: str) -> None:
    plan = Plan(1, until_reads=READS[tier], until_faults=FAULTS[tier])

    result = stale_reads.run(plan, fault_server)

    assert result.violations == []
    assert result.hits > result.reads / 10, "most of it went past Redis: nothing was put to the test"
    assert result.posted > FAULTS[tier]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("order", stale_orders.FOUR)
def test_a_wrong_order_is_found(fault_server: Server, order: Order) -> None:
    _found(fault_server, order)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("order", stale_orders.OURS)
def test_a_step_that_is_left_out_is_found(fault_server: Server, order: Order, tier: str) -> None:
    if tier == "ci":
        pytest.skip("--nightly: each takes seconds, and the four that caches are usually built by are tried always")
    _found(fault_server, order)


@pytest.mark.timeout(180)
def test_redis_taken_for_the_truth_is_found(fault_server: Server) -> None:
    plan = Plan(1, seconds=6, death_rate=0.1, order=stale_orders.redis_taken_for_the_truth, faults=("writer killed",))

    violations = stale_reads.run(plan, fault_server).violations

    assert [words for words in violations if not words.startswith("told, and not in the books")] == []
    assert violations


def _found(server: Server, order: Order) -> None:
    """Within a few runs: which of them comes between two others is a matter of moments."""
    for seed in range(_TRIES):
        plan = Plan(seed, seconds=20, order=order, faults=_ONLY.get(order, ()))
        if stale_reads.run(plan, server).violations:
            return
    pytest.fail(f"{order.__name__} was not found in {_TRIES} runs")
