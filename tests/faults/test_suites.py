"""Every suite of faults, at the size of the tier that was asked for; see docs/reliability.md."""

from __future__ import annotations

import pytest

from tests.faults import suites


@pytest.mark.timeout(4 * 3600)  # of a release; a change's runs take less than a minute each
@pytest.mark.parametrize("name", suites.SUITES)
def test_nothing_is_lost_and_nothing_is_doubled(tier: str, name: str) -> None:
    if reason := suites.SUITES[name].impossible():
        pytest.skip(reason)
    total = suites.run(name, tier)
    assert total.violations == {}
