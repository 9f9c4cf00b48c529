"""Every suite of faults, at the size of the tier that was asked for; see docs/reliability.md."""

from __future__ import annotations

import pytest

from tests.faults import suites

HOURS = 4 * 3600


@pytest.mark.timeout(HOURS)
@pytest.mark.parametrize("name", suites.SUITES)
def test_nothing_is_lost_and_nothing_is_doubled(tier: str, name: str) -> None:
    if reason := suites.SUITES[name].impossible():
        pytest.skip(reason)
    total = suites.run(name, tier)
    assert total.violations == {}
    assert total.runs > total.unknown, "in no run did a fault strike a commit"
