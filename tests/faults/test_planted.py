"""Each planted bug is found by a checker named beforehand: else runs without violations prove nothing."""

from __future__ import annotations

import pytest

from tests.faults import campaign, planted
from tests.faults.campaign import Sabotage
from tests.faults.planted import BUGS, ELSEWHERE, WAITING, Bug
from tests.faults.servers import Server

OF_THE_LIST = 36


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.number} {bug.words}")
def test_a_planted_bug_is_found(fault_server: Server, bug: Bug) -> None:
    sabotage = Sabotage(lambda conninfo: planted.sow(bug, conninfo), lambda: planted.infect(bug))
    if bug.server:
        with campaign.server(bug.server) as own:
            result = campaign.run(own, bug.plan, sabotage)
    else:
        result = campaign.run(fault_server, bug.plan, sabotage)
    assert set(bug.caught_by) & result.violations.keys(), result.counts


def test_every_bug_of_the_list_is_planted_or_has_its_reason() -> None:
    accounted = [bug.number for bug in BUGS] + list(WAITING) + list(ELSEWHERE)
    assert sorted(accounted) == list(range(1, OF_THE_LIST + 1))
